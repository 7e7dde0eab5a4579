/* tenant_registry: which id a tenant has, and the generation of its key rules.
 *
 * Ids are part of what is stored. They are written down in a file of the state directory before they are used, and a name
 * keeps its id for as long as it is remembered. A generation is the time (seconds) at which the key rules became what they
 * are, and never one that was there before: where the file is lost, what was stored under lost ids is not found again.
 *
 *   free --take--> a name's --forget--> leaving --left--> free
 *
 * What leaves is written down as well: until everything that is stored for the id is purged it comes to nobody, however often
 * the process ends meanwhile. Then it rests for as long as there are others.
 *
 * Threads: one at a time. */
#ifndef WARP_TENANT_REGISTRY_H
#define WARP_TENANT_REGISTRY_H

#include "base/err.h"
#include "base/slice.h"

struct tenant_registry;

struct tenant_record {
    uint16_t id;
    uint32_t generation;
    uint64_t key_rules; /* hash of their text */
};

/* text: the file's content, empty for none; problems: lines that are not understood are left out, and counted. */
MUST_USE err tenant_registry_new(slice text, unsigned *ret_bad_lines, struct tenant_registry **ret_registry);
struct tenant_registry *tenant_registry_free(struct tenant_registry *registry);
/* The tenant's record with those key rules: its own, one with a later generation where they have changed, or a new one.
 * ERR_LIMIT: all ids are taken. */
MUST_USE err tenant_registry_take(struct tenant_registry *registry, slice name, uint64_t key_rules, int64_t wall_s,
                                  struct tenant_record *ret_record);
/* The tenant is gone; its id is leaving. */
void tenant_registry_forget(struct tenant_registry *registry, slice name);
/* The next id behind this one that is leaving; 0: no more. */
uint16_t tenant_registry_leaving(const struct tenant_registry *registry, uint16_t behind);
/* Nothing is stored for it any more: it may come to another. */
void tenant_registry_left(struct tenant_registry *registry, uint16_t id);
/* Has anything changed since it was read or written? */
bool tenant_registry_is_changed(const struct tenant_registry *registry);
/* The file's content; free() it. */
MUST_USE err tenant_registry_write(struct tenant_registry *registry, char **ret_text, size_t *ret_len);

#endif
