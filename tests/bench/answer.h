/* answer: a head and a body that lies ready in the pattern, on their way out of a non-blocking socket. */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include "common.h"

struct answer {
    char head[512];
    size_t head_len, head_sent;
    const char *body;
    uint64_t body_len, body_sent;
};

enum sending {
    SENT,
    BLOCKED,
    GONE
};

/* 200, or 304 where the request has If-None-Match; `fields` are whole lines. */
void answer_make(struct answer *answer, const struct request *request, const char *fields);
/* Sends up to byte `until` of the body, head first. */
enum sending answer_send(struct answer *answer, int fd, uint64_t until);

/* Small answers in one piece each, made at first use: what a do-nothing server sends. */
#define READY_SIZE_MAX 4096u
struct ready {
    size_t len;
    char bytes[];
};
const struct ready *ready_of(const struct request *request);

#endif
