/* listen_clash: addresses that cannot both be listened on: equal ones, and one that is part of another of the same port.
 *
 *   0.0.0.0   every IPv4 address            [::], and a port alone   every address, IPv4 too
 *
 * Port 0 is a port of its own each time. What is no address clashes with nothing: others say so. Pure. */
#ifndef WARP_CONF_LISTEN_CLASH_H
#define WARP_CONF_LISTEN_CLASH_H

#include "base/slice.h"

struct config;
struct config_build;
struct conf_document;

/* What os_address_parse takes. */
MUST_USE bool listen_text_is_address(slice text);
bool listen_texts_clash(slice a, slice b);
/* Does the origin lead to that listener, as far as its text says it: an address, or a name that is always this machine's? */
bool listen_text_reached(slice listen, slice origin);
/* Which of the own listeners it leads to, and the name of its option; NULL: to none. */
const char *listen_of_origin(const struct config *config, slice origin, const char **ret_name);
#define LISTEN_IS_OWN " is where this WARP itself listens (%s %s); write where the site's own server is"
/* All addresses that an instance listens on, with each other, and with the origins at the top. Problems are in the report. */
void listen_check(const struct config_build *build, const struct conf_document *document);

#endif
