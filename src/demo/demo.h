/* demo: an origin that makes a cache's work visible: a small photo journal, and paths that are slow, large,
 * private, changing or broken when asked to be. Served by WARP's own HTTP/1 server.
 *
 *   demo_new --(demo_listen | demo_accept)*--> serving --demo_stop--> stopping --> stopped() --> demo_free
 *
 * Thread: everything but demo_stop belongs to the loop's thread. Bounds: DEMO_CONNECTIONS_MAX connections, one
 * request each, DEMO_REQUEST_BYTES_MAX of memory a request. The README has the table of paths. */
#ifndef WARP_DEMO_DEMO_H
#define WARP_DEMO_DEMO_H

#include "loop/loop.h"
#include "os/os.h"

#define DEMO_ADDRESS           "127.0.0.1:8001" /* when --listen names none */
#define DEMO_CONNECTIONS_MAX   4096u
#define DEMO_REQUEST_BYTES_MAX (128u << 10)
#define DEMO_STOP_MS           1000u /* for answers under way; then they are reset */

struct demo;

MUST_USE err demo_new(struct loop *loop, struct demo **ret_demo);
/* After stopped(), or when nothing was ever accepted. */
struct demo *demo_free(struct demo *demo);

/* Opens a listener and accepts from it on the demo's loop; once. ret_address: as bound (port 0 is resolved). */
MUST_USE err demo_listen(struct demo *demo, const struct os_address *address, struct os_address *ret_address);
/* A connection from a caller's own acceptor; fd is taken. */
void demo_accept(struct demo *demo, int fd, const struct os_peer *peer);

/* Ends it within DEMO_STOP_MS or so. Any thread, any number of times, until demo_free; takes no lock. */
void demo_stop(struct demo *demo);
/* Told once, on the loop's thread: the last connection is gone. Set before demo_stop. */
void demo_set_stopped(struct demo *demo, void (*stopped)(void *arg), void *arg);

/* All of it on the calling thread: loop, listener, serving until demo_stop. started (may be NULL) is told when
 * connections are taken; the demo it gets must not be used after demo_run has returned. */
MUST_USE err demo_run(const struct os_address *address,
                      void (*started)(void *arg, struct demo *demo, const struct os_address *bound), void *arg);

#endif
