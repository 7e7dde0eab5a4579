/* policy: what is kept of a trace. One instance for each policy and size; all of them see each request. */
#ifndef WARP_REPLAY_POLICY_H
#define WARP_REPLAY_POLICY_H

#include "replay/trace.h"

#include <stdio.h>

struct policy_config {
    uint64_t bytes;        /* RAM and disk together */
    uint64_t memory_bytes; /* of them RAM; policies that know of no RAM take no notice */
    uint64_t write_bytes_per_s;
};

struct policy;
struct policy_kind {
    const char *name, *text;
    struct policy *(*new)(const struct policy_config *config);
    void (*free)(struct policy *policy);
    /* Bytes of the request that were there. */
    uint64_t (*request)(struct policy *policy, const struct trace_request *request);
    /* What it decided by, for people; may be NULL. */
    void (*details)(const struct policy *policy, FILE *to);
};

struct policy {
    const struct policy_kind *kind;
    struct policy_config config;
    uint64_t requests, hits, bytes, hit_bytes; /* hits: requests of which every byte was there */
    uint64_t written_bytes;
};

/* How the disk of warp is laid out. */
struct policy_shape {
    uint64_t segments, segment_bytes;
};
struct policy_shape policy_warp_shape(const struct policy_config *config);

extern const struct policy_kind policy_lru, policy_fifo, policy_warp;

#endif
