/* fake_net: a stream whose other side is the test: it takes as many bytes of a send as it likes, and gives
 * those of a receive one by one. */
#ifndef WARP_TESTS_FAKE_NET_H
#define WARP_TESTS_FAKE_NET_H

#include "net/stream_ops.h"
#include "tests/support/sim_net.h"

#include <stdlib.h>

struct fake_net {
    struct net_stream stream;
    const struct iovec *iov; /* of the send under way */
    unsigned iov_count;
    char *into; /* of the receive under way */
    uint32_t into_bytes;
    char out[1 << 17]; /* all that was taken */
    size_t out_bytes;
    unsigned sends, receives;
};

static inline struct fake_net *fake_of(struct net_stream *stream)
{
    return container_of(stream, struct fake_net, stream);
}

static inline void fake_recv_(struct net_stream *stream, void *into, uint32_t into_bytes)
{
    struct fake_net *fake = fake_of(stream);

    assert_null(fake->into); /* one at a time */
    assert_non_null(into);
    assert_true(into_bytes > 0);
    fake->into = into;
    fake->into_bytes = into_bytes;
    fake->receives++;
}

static inline void fake_send_(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more)
{
    struct fake_net *fake = fake_of(stream);

    (void)more;
    assert_null(fake->iov); /* one at a time */
    assert_true(iov_count > 0);
    for (unsigned i = 0; i < iov_count; i++)
        assert_true(iov[i].iov_len > 0);
    fake->iov = iov;
    fake->iov_count = iov_count;
    fake->sends++;
}

static inline void fake_net_init(struct fake_net *fake)
{
    static const struct net_stream_ops ops = {.recv = fake_recv_, .send = fake_send_};

    memset(fake, 0, sizeof(*fake));
    fake->stream.ops = &ops;
    fake->stream.loop = sim_net.loops[0];
}

/* Takes at most n bytes of the send under way; how many it took. */
static inline size_t fake_take(struct fake_net *fake, size_t n)
{
    size_t taken = 0;

    assert_non_null(fake->iov);
    for (unsigned i = 0; i < fake->iov_count && taken < n; i++) {
        size_t len = MIN(fake->iov[i].iov_len, n - taken);
        assert_true(fake->out_bytes + len <= sizeof(fake->out));
        memcpy(fake->out + fake->out_bytes, fake->iov[i].iov_base, len);
        fake->out_bytes += len;
        taken += len;
    }
    fake->iov = NULL;
    return taken;
}

static inline void fake_expect_out(const struct fake_net *fake, const char *text)
{
    if (fake->out_bytes != strlen(text) || memcmp(fake->out, text, fake->out_bytes) != 0)
        fail_msg("expected: %s\n     got: %.*s", text, (int)fake->out_bytes, fake->out);
}

#endif
