/* process: children, signals, rights and numbers of the process; for main/ and admin/. Linux. */
#ifndef WARP_OS_PROCESS_H
#define WARP_OS_PROCESS_H

#include "base/err.h"
#include "base/slice.h"

#include <sys/types.h>

/* 0 in the child, its id in the parent, -errno. A child gets SIGTERM when its parent dies. */
pid_t os_process_fork(void);
pid_t os_process_parent(void);
void os_process_kill(pid_t child, int signal);
/* Leaves at once, without clean-up by the parent's handlers. */
_Noreturn void os_process_exit(int code);
/* Another program in place of this one; returns only on failure. */
err os_process_exec(const char *path, char *const argv[]);

/* TERM, INT, HUP, USR1, USR2, CHLD, PIPE are blocked and read from a descriptor from now on; children inherit
 * the mask, threads too. Call before any thread is started. */
MUST_USE err os_signals_take(void);
/* A descriptor that is readable when a signal is pending (os_watch), -errno. */
int os_signals_open(void);
/* The next pending signal, 0 when there is none. */
int os_signals_next(int fd);
/* Waits for one, at most timeout_ms (-1: for ever); 0 when none came. For the supervisor. */
int os_signals_wait(int fd, int timeout_ms);

/* The same, or until that descriptor has something to read (-1: none): *ret_readable. */
int os_signals_wait_or(int fd, int other, int timeout_ms, bool *ret_readable);

/* Messages between a process and its child, each with descriptors: both ends of a pair; -1: closed. */
#define OS_CHANNEL_FDS_MAX 64u
MUST_USE err os_channel_pair(int ret_ends[2]);
void os_channel_close(int end);
/* Whole or not at all. ERR_CLOSED: nobody is at the other end. */
MUST_USE err os_channel_send(int end, slice message, const int *fds, unsigned fd_count);
/* Waits at most timeout_ms: ERR_TIMEOUT. ERR_CLOSED: nobody is at the other end. The descriptors are the caller's, not
 * inherited. */
MUST_USE err os_channel_receive(int end, void *message, size_t size, size_t *ret_len, int ret_fds[OS_CHANNEL_FDS_MAX],
                                unsigned *ret_fd_count, int timeout_ms);

/* A child that has ended, with its exit code (128 + signal when killed); 0 when none has. */
pid_t os_process_reap(int *ret_code);

/* Gives up root for that user and its group, keeping no way back. Fine when not root. */
MUST_USE err os_process_drop_rights(const char *user);
bool os_process_is_root(void);

struct os_process_numbers {
    double cpu_seconds, start_time_seconds;
    uint64_t open_fds, max_fds, virtual_bytes, resident_bytes;
};
void os_process_numbers(struct os_process_numbers *ret_numbers);

const char *os_environment(const char *name); /* NULL when not set */

#endif
