/* The two that others are measured by: LRU with exact bytes, and a cyclic log, which keeps what it wrote last. Every miss
 * is written. */
#include "replay/key_table.h"
#include "replay/policy.h"

#include <stdlib.h>

/* A ring of entries, the next victim behind the head. */
struct entry {
    uint64_t object, bytes;
    uint32_t next, prev;
};
#define HEAD 0u

struct plain {
    struct policy policy;
    struct key_table table;
    struct entry *entries;
    uint32_t count, room, free; /* free: a list by next; HEAD: none */
    uint64_t used_bytes;
};

static struct policy *plain_new(const struct policy_kind *kind, const struct policy_config *config)
{
    struct plain *plain = replay_memory(NULL, 1, sizeof(*plain));

    *plain = (struct plain){.policy = {.kind = kind, .config = *config}, .count = 1, .room = 1024};
    plain->entries = replay_memory(NULL, plain->room, sizeof(*plain->entries));
    plain->entries[HEAD] = (struct entry){0, 0, HEAD, HEAD};
    return &plain->policy;
}

static struct policy *lru_new(const struct policy_config *config)
{
    return plain_new(&policy_lru, config);
}

static struct policy *fifo_new(const struct policy_config *config)
{
    return plain_new(&policy_fifo, config);
}

static void plain_free(struct policy *policy)
{
    struct plain *plain = container_of(policy, struct plain, policy);

    key_table_done(&plain->table);
    free(plain->entries);
    free(plain);
}

static void unlink_entry(struct plain *plain, uint32_t at)
{
    struct entry *entry = &plain->entries[at];

    plain->entries[entry->prev].next = entry->next;
    plain->entries[entry->next].prev = entry->prev;
}

static void link_last(struct plain *plain, uint32_t at)
{
    struct entry *head = &plain->entries[HEAD], *entry = &plain->entries[at];

    entry->prev = head->prev;
    entry->next = HEAD;
    plain->entries[head->prev].next = at;
    head->prev = at;
}

static uint32_t entry_new(struct plain *plain)
{
    uint32_t at = plain->free;

    if (at != HEAD) {
        plain->free = plain->entries[at].next;
        return at;
    }
    if (plain->count == plain->room) {
        plain->room *= 2;
        plain->entries = replay_memory(plain->entries, plain->room, sizeof(*plain->entries));
    }
    return plain->count++;
}

static void evict_oldest(struct plain *plain)
{
    uint32_t at = plain->entries[HEAD].next;

    INVARIANT(at != HEAD);
    plain->used_bytes -= plain->entries[at].bytes;
    key_table_remove(&plain->table, plain->entries[at].object);
    unlink_entry(plain, at);
    plain->entries[at].next = plain->free;
    plain->free = at;
}

static void admit(struct plain *plain, const struct trace_request *request)
{
    uint32_t at;

    if (request->bytes > plain->policy.config.bytes)
        return;
    while (plain->used_bytes > plain->policy.config.bytes - request->bytes)
        evict_oldest(plain);
    at = entry_new(plain);
    plain->entries[at].object = request->object;
    plain->entries[at].bytes = request->bytes;
    link_last(plain, at);
    key_table_add(&plain->table, request->object, at);
    plain->used_bytes += request->bytes;
    plain->policy.written_bytes += request->bytes;
}

static uint64_t plain_request(struct policy *policy, const struct trace_request *request)
{
    struct plain *plain = container_of(policy, struct plain, policy);
    uint32_t at = key_table_find(&plain->table, request->object);

    if (at == KEY_NONE) {
        admit(plain, request);
        return 0;
    }
    policy->hits++;
    if (policy->kind == &policy_lru) {
        unlink_entry(plain, at);
        link_last(plain, at);
    }
    return request->bytes;
}

const struct policy_kind policy_lru = {"lru", "least recently used, by exact bytes", lru_new, plain_free, plain_request, NULL};
const struct policy_kind policy_fifo = {"fifo", "a cyclic log: every miss is written", fifo_new, plain_free, plain_request, NULL};
