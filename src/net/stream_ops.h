/* What a byte stream implements; for net/ only. */
#ifndef WARP_NET_STREAM_OPS_H
#define WARP_NET_STREAM_OPS_H

#include "net/net.h"

struct net_stream_ops {
    void (*recv)(struct net_stream *stream, void *into, uint32_t into_bytes);
    bool (*recv_cancel)(struct net_stream *stream);
    bool (*is_silent)(struct net_stream *stream);
    void (*send)(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more);
    uint32_t (*unsent_bytes)(const struct net_stream *stream);
    void (*shutdown)(struct net_stream *stream);
    void (*close)(struct net_stream *stream, bool reset);
};

#endif
