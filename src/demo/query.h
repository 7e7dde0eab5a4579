/* query: what the demo reads out of a query string, and how it may be shown. Pure. */
#ifndef WARP_DEMO_QUERY_H
#define WARP_DEMO_QUERY_H

#include "base/arena.h"

/* The first value with that name, "+" and %XX decoded; data NULL: not there, or no memory. */
slice query_get(slice query, slice name, struct arena *arena);
/* A number within [least, most]; otherwise when it is not there; false when it is not such a number. */
MUST_USE bool query_get_number(slice query, slice name, struct arena *arena, uint64_t least, uint64_t most,
                               uint64_t otherwise, uint64_t *ret_value);
/* Text as HTML, in an element or a quoted attribute; control characters become U+FFFD. data NULL: no memory. */
slice html_escape(slice text, struct arena *arena);

#endif
