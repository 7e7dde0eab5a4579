/* What the doors share about operations; not for users of os.h. */
#ifndef WARP_OS_OP_H
#define WARP_OS_OP_H

#include "os/os.h"

enum op_kind {
    OP_RECV = 1,
    OP_SEND,
    OP_CONNECT
};

#define OS_RECV_BUFFER_BYTES 65536u
#define OS_IOV_MAX           1024u /* IOV_MAX of Linux */

/* A connect lies where a socket keeps its send: both begin with their os_op. */
static inline struct os_connect *op_connect_of(struct os_send *send)
{
    return (struct os_connect *)(void *)send;
}

static inline void op_begin(struct os_op *op, enum op_kind kind)
{
    op->kind = (uint8_t)kind;
    op->result = 0;
}

#endif
