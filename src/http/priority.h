/* priority: how urgent an answer is (RFC 9218 4). Pure. */
#ifndef WARP_HTTP_PRIORITY_H
#define WARP_HTTP_PRIORITY_H

#include "http/field.h"

struct priority {
    uint8_t urgency; /* 0 (first) .. 7 */
    bool incremental;
};
#define PRIORITY_DEFAULT ((struct priority){3, false})

/* What the Priority field says over what was known; a parameter that is not there, or not valid, changes nothing.
 * arena: for what the parser may have to copy. */
void priority_read(const struct fields *fields, struct arena *arena, struct priority *priority);
/* The same of the value alone, as PRIORITY_UPDATE frames have it. False: it is no dictionary, nothing is changed. */
bool priority_parse(slice text, struct priority *priority);

#endif
