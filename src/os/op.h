/* What the doors share about operations; not for users of os.h. */
#ifndef WARP_OS_OP_H
#define WARP_OS_OP_H

#include "os/os.h"

#include <errno.h>

enum op_kind {
    OP_RECV = 1,
    OP_SEND,
    OP_CONNECT,
    OP_FILE
};

#define OS_RECV_BUFFER_BYTES 65536u
#define OS_IOV_MAX           1024u /* IOV_MAX of Linux */

static inline void op_begin(struct os_op *op, enum op_kind kind)
{
    op->kind = (uint8_t)kind;
    op->result = 0;
}

static inline void op_file_begin(struct os *os, struct os_file_op *op)
{
    const struct os_file *file = op->file;

    INVARIANT(file->fd >= 0);
    if (op->what != OS_FILE_SYNC) {
        INVARIANT(op->size > 0 && op->size <= OS_FILE_OP_BYTES_MAX);
        INVARIANT((op->at | op->size) % file->align_bytes == 0);
        INVARIANT(!file->is_direct || (uintptr_t)op->bytes % OS_FILE_MEMORY_ALIGN == 0);
    }
    op_begin(&op->op, OP_FILE);
    op->os = os;
    op->moved = 0;
}

/* The door has gone, and with it what was under way on files. */
static inline void op_files_cancelled(struct list *ops)
{
    struct list *link;

    while ((link = list_pop_front(ops)) != NULL) {
        struct os_op *op = container_of(link, struct os_op, link);
        op->result = -ECANCELED;
        op->done(op);
    }
}

/* The socket is closed and nobody will touch what its operations point to: they end with -ECANCELED, then closed() is
 * called, after which its memory may be gone. Returns the number of callbacks. */
static inline unsigned op_end_all(struct os_socket *socket)
{
    struct os_op *ops[2] = {socket->send != NULL ? &socket->send->op : NULL,
                            socket->recv != NULL ? &socket->recv->op : NULL};
    unsigned ran = 1;

    list_remove(&socket->link);
    socket->send = NULL;
    socket->recv = NULL;
    for (unsigned i = 0; i < 2; i++) {
        if (ops[i] == NULL)
            continue;
        ops[i]->result = -ECANCELED;
        ops[i]->done(ops[i]);
        ran++;
    }
    socket->closed(socket);
    return ran;
}

#endif
