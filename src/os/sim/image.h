/* image: the bytes of one simulated file; for os/sim/ only.
 *
 * Three states: as reads find them (now), as the medium has them, as they were before the last write. A write changes
 * what reads find and is loose until a sync, or the device by itself, brings it to the medium; a loss of power leaves of
 * the loose ones whatever the seed likes. Pages are shared between the states and made when written: a file costs its
 * tables and what was written to it. */
#ifndef WARP_OS_SIM_IMAGE_H
#define WARP_OS_SIM_IMAGE_H

#include "base/err.h"
#include "base/list.h"

#define IMAGE_PAGE_BYTES   4096u
#define IMAGE_SECTOR_BYTES 512u

struct image_page {
    uint32_t refs;
    uint64_t number; /* of the write that made it: an older one never takes its place on the medium */
    char bytes[IMAGE_PAGE_BYTES];
};

enum image_state { IMAGE_NOW, IMAGE_MEDIUM, IMAGE_BEFORE, IMAGE_STATES };

/* A write that happened. */
struct image_write {
    struct list link;
    uint64_t number, at;
    uint32_t size, page_count;
    uint64_t told; /* when its caller heard of it, 0: not yet */
    struct image_page *pages[];
};

struct image {
    struct image_page **states[IMAGE_STATES]; /* by page; NULL: zeros */
    uint64_t page_room;
    uint64_t size, size_on_medium;
    bool is_there, is_there_on_medium;
    bool keeps_before;
    uint64_t writes, tellings;
    struct list loose; /* struct image_write, in the order in which they happened */
};

void image_init(struct image *image);
void image_done(struct image *image);
/* to takes over a state of from: its own is let go. */
void image_copy(struct image *to, const struct image *from);
void image_resize(struct image *image, uint64_t size);
void image_remove(struct image *image);

/* Zeros where nothing was written, and behind the end. */
void image_read(const struct image *image, enum image_state state, uint64_t at, uint32_t size, void *ret_bytes);
/* Returns the write's number. */
uint64_t image_write(struct image *image, uint64_t at, const void *bytes, uint32_t size);
/* Of a write only some sectors or pages, as the seed likes. */
void image_write_torn(struct image *image, uint64_t at, const char *bytes, uint32_t size);
void image_overlay_torn(char *into, const char *bytes, uint32_t size);
/* The caller of that write has heard that it is done. */
void image_tell(struct image *image, uint64_t number);
void image_tell_all(struct image *image); /* the kernel has them: the next sync is for them too */

/* The medium has all that was told of up to then; of the rest what the seed likes. */
void image_sync(struct image *image, uint64_t told);
/* A sync failed: each of those is loose still, or on the medium, or never will be though reads find it. */
void image_sync_fail(struct image *image, uint64_t told);
/* Power is lost, and comes back. */
void image_lose_power(struct image *image);
/* Changes every version of those bytes: the medium itself is different. */
void image_poke(struct image *image, uint64_t at, const void *bytes, uint32_t size);

#endif
