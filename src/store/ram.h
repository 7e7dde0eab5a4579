/* ram: what a tier above the RAM tier (tiered.c) wants to know of it, beyond storage.h. */
#ifndef WARP_STORE_RAM_H
#define WARP_STORE_RAM_H

#include "store/object.h"

/* Called on any thread, without locks; each may be NULL. An object stays valid during the call. */
struct ram_watch {
    void (*stored)(void *watcher, struct stored *object);  /* complete, and in the index */
    void (*updated)(void *watcher, struct stored *object); /* has taken another's place with the same body */
    void (*over)(void *watcher, hash128 hash);  /* what lay under the key is replaced or dropped, wherever else it is */
    void *watcher;
};
/* Before the first call. */
void ram_watch(struct storage *ram, const struct ram_watch *watch);
/* Of the object with that upper half of its hash, where there is one: these flags (enum stored_flag) are not set any more. */
void ram_clear_flags(struct storage *ram, uint64_t hash_hi, unsigned flags);
/* Takes the object out of this tier alone, as an eviction does; fine when it is not in the index. */
void ram_let_go(struct storage *ram, struct stored *object);

#endif
