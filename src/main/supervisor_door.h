/* supervisor_door: what a worker process asks of the supervisor over the channel between them, and what it is answered.
 *
 *   ask (a number) --> answers with that number, as many messages as the descriptors need
 *
 * An answer that comes later than answer_ms is nobody's: whatever asks next, it is known by its number, dropped, and its
 * descriptors are closed. What was opened too late, or cannot be taken, is asked to be
 * closed again.
 *
 * Owner: the thread that changes the configuration ("warp-config"), which waits here; none of it is shared.
 * Errors: ERR_TIMEOUT: no answer in time; ERR_CLOSED: the supervisor has gone; ERR_LIMIT: no more descriptors; else its own. */
#ifndef WARP_MAIN_SUPERVISOR_DOOR_H
#define WARP_MAIN_SUPERVISOR_DOOR_H

#include "os/os.h"

#define SUPERVISOR_ANSWER_MS 10000
#define LISTENER_TEXT_BYTES  160u

/* ---- messages ------------------------------------------------------------------------------------------------------- */

enum supervisor_ask_kind { ASK_OPEN, ASK_CLOSE, ASK_VERSION, ASK_READY };
struct supervisor_ask {
    uint64_t number; /* of OPEN, which alone is answered */
    uint32_t kind;   /* enum supervisor_ask_kind */
    uint32_t is_tls;
    uint64_t version;
    char text[LISTENER_TEXT_BYTES];
};
/* As many messages as the descriptors need. */
struct supervisor_answer {
    uint64_t number; /* the ask's */
    err result;
    uint32_t left; /* descriptors that follow in more messages */
    struct os_address address;
};

/* ---- the worker process' end ---------------------------------------------------------------------------------------- */

struct supervisor_door {
    int channel;
    int answer_ms;
    uint64_t number; /* of the last ask */
    unsigned late;   /* asks whose answers nobody waits for any more, and which have not come */
};

void supervisor_door_init(struct supervisor_door *door, int channel, int answer_ms);
/* Opens an address with a listener for each worker: fills `count` of them. */
MUST_USE err supervisor_open(struct supervisor_door *door, const char *text, bool is_tls, struct os_listener *ret_shards, unsigned count);
/* The supervisor lets go of it. Not answered. */
MUST_USE err supervisor_close(struct supervisor_door *door, const char *text, bool is_tls);
/* What a worker process that is started after a crash begins with. Not answered. */
MUST_USE err supervisor_tell_version(struct supervisor_door *door, uint64_t version);
/* It serves: one that ends from here on is started again. Not answered. Any thread. */
MUST_USE err supervisor_tell_ready(int channel);
/* Drops what has come too late meanwhile: a listener in the channel takes connections that nobody accepts. */
void supervisor_door_turn(struct supervisor_door *door);

#endif
