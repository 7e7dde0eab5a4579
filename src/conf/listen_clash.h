/* listen_clash: addresses that cannot both be listened on: equal ones, and one that is part of another of the same port.
 *
 *   0.0.0.0   every IPv4 address            [::], and a port alone   every address, IPv4 too
 *
 * Port 0 is a port of its own each time. What is no address clashes with nothing: others say so. Pure. */
#ifndef WARP_CONF_LISTEN_CLASH_H
#define WARP_CONF_LISTEN_CLASH_H

#include "base/slice.h"

struct config_build;
struct conf_document;

/* What os_address_parse takes. */
MUST_USE bool listen_text_is_address(slice text);
bool listen_texts_clash(slice a, slice b);
/* All addresses that an instance listens on, with each other. Problems are in the report. */
void listen_check(const struct config_build *build, const struct conf_document *document);

#endif
