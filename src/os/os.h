/* os: the one door to the kernel. Nothing above it calls the kernel, the clock or the random source.
 *
 * Completion style: submit an operation, its done() is called later from os_turn() on the same thread, never
 * from inside the submitting call. Everything an operation points to stays valid until its done().
 * Implementations: the kernel's two doors, os/uring and os/epoll, one of them chosen when a thread's door is
 * opened; or, at link time, os/sim (one seed drives clock, sockets, entropy and the order of completions and
 * wake-ups).
 *
 * Thread: a struct os belongs to one thread; only os_wake may be called from another. No lock may be held
 * across a submit or a wait. Results: >= 0 bytes or 0, < 0 an errno, negated (-ECANCELED after close). */
#ifndef WARP_OS_OS_H
#define WARP_OS_OS_H

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

struct os;

/* ---- clock, entropy: any thread ---------------------------------------------------------------------- */

uint64_t os_clock_ns(void);       /* monotonic, never 0 */
int64_t os_wall_ms(void);         /* milliseconds since 1970, UTC */
uint64_t os_thread_cpu_ns(void);  /* CPU time of this thread */
void os_entropy(void *ret_bytes, size_t size);

/* ---- addresses ---------------------------------------------------------------------------------------- */

struct os_address {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

/* The address of a peer, kept small because every idle connection has one. */
struct os_peer {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX (ip and port are then zero) */
};

/* "127.0.0.1:80", "[::1]:80", ":80" (all addresses, IPv6 with IPv4 where there is IPv6), "unix:/path". */
MUST_USE err os_address_parse(slice text, struct os_address *ret_address);
/* An IP literal without port, and a port. ERR_INVALID when it is not a literal. */
MUST_USE err os_address_from_ip(slice ip, uint16_t port, struct os_address *ret_address);
/* As os_address_parse reads it; always terminated; returns buffer. */
const char *os_address_text(const struct os_address *address, char *buffer, size_t size);
/* The IP alone without port or brackets ("unix" for AF_UNIX); returns buffer; 46 bytes suffice. */
const char *os_peer_text(const struct os_peer *peer, char *buffer, size_t size);
bool os_peer_is_loopback(const struct os_peer *peer);
bool os_peer_is_ipv4(const struct os_peer *peer); /* by its address: a mapped one */
struct os_peer os_peer_of(const struct os_address *address);

/* ---- one thread's door ---------------------------------------------------------------------------------- */

enum os_io {
    OS_IO_AUTO, /* io_uring where the kernel has it and permits it, else epoll */
    OS_IO_EPOLL,
    OS_IO_URING, /* os_new fails where there is none */
};

struct os_config {
    enum os_io io;              /* the simulator has one kind only */
    uint32_t recv_buffer_bytes; /* epoll, sim: what a receive into the door's own buffer can bring; 0: 64 KiB */
};

MUST_USE err os_new(const struct os_config *config, struct os **ret_os);
/* Operations on files that are under way are waited for; then done() is called for each, with -ECANCELED, and must not submit
 * another. */
struct os *os_free(struct os *os);

/* Runs the completions that are due, waiting for one until deadline_ns (0: do not wait; UINT64_MAX: for
 * ever) when there are none. Returns the number run. */
unsigned os_turn(struct os *os, uint64_t deadline_ns);
/* Makes a waiting os_turn return; any thread; cheap when already pending. */
void os_wake(struct os *os);
const char *os_backend_name(const struct os *os); /* "epoll", "uring", "sim" */
/* The errno with which io_uring was refused where OS_IO_AUTO then took epoll; 0 otherwise. */
int os_uring_refused(const struct os *os);

/* ---- operations ---------------------------------------------------------------------------------------- */

struct os_op {
    struct list link; /* the door's */
    void (*done)(struct os_op *op);
    int32_t result;
    uint8_t kind, state; /* the door's */
};

/* Receive. into NULL: the door provides the bytes in data, valid only inside done(): an idle connection
 * holds no buffer. result 0: the peer has finished sending (FIN). */
struct os_recv {
    struct os_op op;
    void *into;
    uint32_t into_bytes;
    const char *data;
};

/* Send, all of iov or as much as the socket takes at once: result may be short, never 0.
 * iov is not changed. flag more: the caller will send again at once (MSG_MORE). */
struct os_send {
    struct os_op op;
    const struct iovec *iov;
    uint16_t iov_count;
    bool more;
};

struct os_connect {
    struct os_op op;
    const struct os_address *address;
};

/* A connected or connecting byte stream (TCP or unix). At most one receive and one send are under way. */
struct os_socket {
    struct os *os;
    int32_t fd;     /* -1 when not open; a number of the simulator's own there */
    uint32_t state; /* the door's */
    struct os_recv *recv;
    struct os_send *send; /* or the connect */
    void (*closed)(struct os_socket *socket);
    struct list link; /* the door's */
    void *own;        /* the door's */
};

/* Takes fd (from an acceptor), non-blocking, no delay. On error fd is closed. */
MUST_USE err os_socket_adopt(struct os *os, struct os_socket *socket, int fd);
/* A new socket; connect->op.done when connected (0) or not (-errno). local may be NULL. */
MUST_USE err os_socket_connect(struct os *os, struct os_socket *socket, struct os_connect *connect);
void os_socket_recv(struct os_socket *socket, struct os_recv *recv);
void os_socket_send(struct os_socket *socket, struct os_send *send);
/* Takes back a receive that has not completed: true, and done() will not be called; false when its
 * completion is already due. */
MUST_USE bool os_socket_recv_cancel(struct os_socket *socket);
/* True when nothing can be received now: no bytes, no FIN, no error (MSG_PEEK). No receive is under way. */
MUST_USE bool os_socket_is_silent(struct os_socket *socket);
/* No more will be sent (FIN). */
void os_socket_shutdown(struct os_socket *socket);
/* Ends the socket; reset: by RST instead of FIN, so that a peer cannot take what it has for complete. What a send
 * or receive under way points to (iov, into) is not touched any more when this returns. The operations complete
 * with -ECANCELED, then closed() is called; only then may their own memory go. */
void os_socket_close(struct os_socket *socket, bool reset);
/* Bytes in the send queue that the peer has not acknowledged, 0 where unknown. */
uint32_t os_socket_unsent_bytes(const struct os_socket *socket);

/* ---- listeners: opened once in main/, before the threads; handed to them and to the next process --------- */

struct os_listener {
    int32_t fd;
    struct os_address address; /* as bound: port 0 is resolved */
};

/* shards: how many sockets share the address, one per thread (SO_REUSEPORT); the array is the caller's. An
 * address that another process listens on is -EADDRINUSE whatever that process has set. A stale unix socket
 * file is replaced. A unix socket is one socket in all shards, with a descriptor to close in each. */
MUST_USE err os_listen(const struct os_address *address, unsigned shards, int backlog, struct os_listener *ret_listeners);
/* The same, blocking: an address in use is tried again for two seconds, since a process that was killed holds it until the
 * kernel has taken it apart. */
MUST_USE err os_listen_patiently(const struct os_address *address, unsigned shards, int backlog,
                                 struct os_listener *ret_listeners);
void os_listener_close(struct os_listener *listener);

struct os_acceptor {
    struct os *os;
    struct os_listener *listener;
    void *owner; /* the receiver's own */
    /* fd is the receiver's. Not called after os_accept_stop. */
    void (*accepted)(struct os_acceptor *acceptor, int fd, const struct os_peer *peer);
    /* The process or system is out of descriptors or memory (errno); accepting goes on by itself after
     * 100 ms: never a busy loop. May be NULL. */
    void (*failed)(struct os_acceptor *acceptor, int error);
    struct list link; /* the door's */
    void *own;        /* the door's */
};

MUST_USE err os_accept_start(struct os *os, struct os_acceptor *acceptor);
void os_accept_stop(struct os_acceptor *acceptor); /* new connections wait in the backlog; start again later */
void os_accepted_close(int fd);                    /* one that is not wanted */

/* ---- datagram and stream descriptors for the resolver (c-ares brings its own callbacks) ------------------- */

int os_resolver_socket(int family, int type);                     /* fd or -errno; non-blocking */
int os_resolver_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t os_resolver_send(int fd, const struct iovec *iov, int count);
ssize_t os_resolver_recv(int fd, void *buffer, size_t size, struct sockaddr *from, socklen_t *from_len);
void os_resolver_close(int fd);

/* Readiness, for those descriptors only; stays until os_watch_stop. want: 1 readable, 2 writable. */
struct os_watch {
    struct os *os;
    int32_t fd;
    uint32_t want;
    void (*ready)(struct os_watch *watch, uint32_t which);
    struct list link; /* the door's */
    void *own;        /* the door's */
};
MUST_USE err os_watch_start(struct os *os, struct os_watch *watch); /* again with another want: changes it */
void os_watch_stop(struct os_watch *watch);

/* ---- threads ---------------------------------------------------------------------------------------------- */

struct os_thread;
/* name: at most 15 characters, seen in ps -L. */
MUST_USE err os_thread_start(const char *name, void (*run)(void *arg), void *arg, struct os_thread **ret_thread);
void os_thread_join(struct os_thread *thread); /* frees it */
uint32_t os_process_id(void);
unsigned os_cpu_count(void);                   /* usable here: affinity mask and cgroup quota, rounded up */
uint64_t os_memory_bytes(void);                /* of the machine or of the cgroup, whichever is less */
unsigned os_descriptor_limit_raise(void);      /* soft limit to the hard one; returns it */
void os_thread_yield(void);                    /* somebody else first: of a thread that spins */

/* Addresses of zeros that become memory page by page as they are written; not in core dumps. ERR_SYS(ENOMEM): there
 * are not so many. */
MUST_USE err os_memory_reserve(size_t size, void **ret_bytes);
void os_memory_release(void *bytes, size_t size); /* fine with NULL */
/* What was free()d goes back to the kernel now: after much was, where little is to come. Milliseconds. */
void os_memory_trim(void);

/* ---- whole files: only at start, at the end, in command-line clients and on threads of their own --------- */

/* Reads a plain file of at most max bytes; NUL-terminated behind len; free() it. Links are not followed. */
MUST_USE err os_file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len);
/* The same where the operator names the file: links are followed (certbot and orchestrators make them). ret_mode: its
 * permission bits. */
MUST_USE err os_file_read_named(const char *path, size_t max, char **ret_bytes, size_t *ret_len, unsigned *ret_mode);
/* The names in a directory without those that begin with a dot, sorted; os_dir_names_free. */
MUST_USE err os_dir_names(const char *path, char ***ret_names, unsigned *ret_count);
void os_dir_names_free(char **names, unsigned count);
/* The paths that match a pattern (glob(7)), sorted, NULL-terminated; none is fine. free() each, and the array. */
MUST_USE err os_file_glob(const char *pattern, char ***ret_paths);
/* ERR_NOT_FOUND: there is none. */
MUST_USE err os_file_remove(const char *path);
/* Creates or replaces by rename, with that mode, flushed to disk. */
MUST_USE err os_file_write(const char *path, slice bytes, unsigned mode);
/* The same in two steps: written beside it, flushed (*ret_temp: where), and put in its place, which needs no room any more.
 * os_file_remove for one that is not wanted. */
MUST_USE err os_file_stage(const char *path, slice bytes, unsigned mode, char *ret_temp, size_t size);
MUST_USE err os_file_rename(const char *from, const char *to);
MUST_USE err os_file_rename_flush(const char *to); /* what is there now outlives a power cut */

/* ---- files of a store: read and written without ever blocking a loop ------------------------------------------ */

#define OS_FILE_MEMORY_ALIGN 4096u
#define OS_FILE_OP_BYTES_MAX (1u << 30)

/* A preallocated plain file or a block device, locked for this process (flock: gone with its holder). */
struct os_file {
    int32_t fd;           /* -1 when not open; a number of the simulator's own there */
    uint32_t align_bytes; /* offsets and sizes of operations are multiples of it: 4096, or more; 1 where not direct */
    uint64_t size_bytes;  /* of a device: all it has */
    bool is_direct; /* O_DIRECT: false where the file system refuses it */
    bool is_device;
    void *own; /* the simulator's */
};

enum os_file_wish {
    OS_FILE_BUFFERED = 1, /* never direct */
    OS_FILE_EXISTING = 2, /* ENOENT where there is none */
    OS_FILE_PATIENT = 4,  /* a lock that another process holds is waited for, two seconds at most: one that was killed lets go
                             of it when the kernel has taken it down, and that takes a while with much memory */
};

/* Blocks: at start, or on a thread of its own. Opens or creates (0600) a plain file, or opens a block device; links
 * are not followed. size_bytes: a plain file is made that long, every byte of it allocated, so that no write to it can
 * fail for want of room (a longer one is cut); 0: as it is. Nothing is changed before the lock is had; a new file that
 * cannot be made so is removed again. Errors: ERR_SYS of EWOULDBLOCK (another process has it), EBUSY (the device is
 * mounted), ENOSPC, EROFS, EACCES, ELOOP, ...; ERR_INVALID: neither a plain file nor a block device, or a device smaller
 * than that. */
MUST_USE err os_file_open(const char *path, uint64_t size_bytes, unsigned wishes, struct os_file *ret_file);
void os_file_close(struct os_file *file); /* nothing is under way on it; fine when not open */

enum os_file_kind { OS_FILE_READ, OS_FILE_WRITE, OS_FILE_SYNC /* data written before it was submitted is durable (fdatasync) */ };

/* One operation of any thread's door on a file; any number may be under way, in no order. It cannot be taken back:
 * bytes stay until done(). result: size (never short; reads beyond the end of the file bring zeros), 0 of a sync, or
 * -errno; -ECANCELED: the door was closed meanwhile. */
struct os_file_op {
    struct os_op op;
    struct os_file *file;
    void *bytes; /* aligned to OS_FILE_MEMORY_ALIGN where the file is direct */
    uint64_t at;
    uint32_t size; /* 1 to OS_FILE_OP_BYTES_MAX; of a sync nothing */
    uint8_t what;  /* enum os_file_kind */
    struct os *os; /* the door's */
    int32_t moved; /* the door's: what earlier parts brought */
};
void os_file_submit(struct os *os, struct os_file_op *op);
/* The same at once: blocks. At start and on threads of their own. */
MUST_USE err os_file_now(struct os_file *file, enum os_file_kind what, void *bytes, uint32_t size, uint64_t at);
bool os_path_is_device(const char *path);                  /* a block device; links are followed */
MUST_USE err os_dir_make(const char *path, unsigned mode); /* with parents; fine when there */
/* Memory for such operations, aligned; free() it. NULL when there is none. */
void *os_file_memory(size_t size);

/* An append-only file of records (the access log): any one thread of its own. path "-" is stdout. */
MUST_USE err os_append_open(const char *path, int *ret_fd);
/* Whether it could be opened so; nothing is made. */
MUST_USE err os_append_check(const char *path);
MUST_USE err os_append_write(int fd, slice bytes); /* blocks; all or an error */
MUST_USE err os_append_whole(int fd, slice bytes); /* the same of a file of one writer: on an error it ends where it did */
void os_append_close(int fd);
/* Sleeps on an own thread until os_event_set or timeout_ns from now. */
struct os_event;
struct os_event *os_event_new(void);
struct os_event *os_event_free(struct os_event *event);
void os_event_set(struct os_event *event);
void os_event_wait(struct os_event *event, uint64_t timeout_ns);

#endif
