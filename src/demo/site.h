/* site: the files of src/demo/site, made part of the program at build time by tools/embed.py. */
#ifndef WARP_DEMO_SITE_H
#define WARP_DEMO_SITE_H

#include "base/slice.h"

struct site_file {
    slice path; /* "/style.css"; index.html is "/" */
    slice type;
    slice etag; /* strong: a hash of the bytes */
    slice bytes;
};
extern const struct site_file site_files[];
extern const unsigned site_files_count;

/* When the site was published, for Last-Modified: 2026-01-05 08:00 UTC. The same in every build; the ETag is
 * what changes with the bytes. */
#define SITE_PUBLISHED_S INT64_C(1767600000)

#endif
