/* Calls of the kernel that its doors share; for os/ only. */
#ifndef WARP_OS_KERNEL_H
#define WARP_OS_KERNEL_H

#include "os/os.h"

#define ACCEPT_PAUSE_NS 100000000u /* where descriptors or memory are short */

/* A stream socket that does not block and does not delay. -1 with errno. */
MUST_USE int kernel_socket(sa_family_t family);
/* One attempt; -1 with errno (EAGAIN: nothing fits). */
ssize_t kernel_send(int fd, const struct os_send *op);
size_t kernel_send_bytes(const struct os_send *op);
int kernel_send_flags(const struct os_send *op);
/* Nothing lies in the socket's receive queue: no bytes, no FIN, no error. */
MUST_USE bool kernel_is_silent(int fd);
/* reset: the peer gets RST. */
void kernel_close(int fd, bool reset);
/* Accepted sockets inherit it from the listener: no call per connection. */
void kernel_listener_no_delay(int fd);
/* Errors of the one connection that would have been accepted, not of the listener (accept(2)). */
MUST_USE bool kernel_accept_error_passes(int error);
/* One call for what is left of an operation on a file: bytes, or -errno. */
ssize_t kernel_file_call(const struct os_file_op *op);
/* Such a call brought n bytes, or -errno. True: op's result is known; false: the rest is to be
 * asked for, from op->moved on. */
MUST_USE bool kernel_file_moved(struct os_file_op *op, ssize_t n);

#endif
