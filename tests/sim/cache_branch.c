/* An answer's text becomes frames. */
#include "tests/sim/cache_trunk.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX 24u

/* ---- text to frames -------------------------------------------------------------------------------------------------- */

static struct branch *branch_of(struct wire *wire)
{
    return container_of(wire, struct branch, wire);
}

static nghttp2_nv nv_of(const char *name, size_t name_len, const char *value, size_t value_len)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_len, value_len, NGHTTP2_NV_FLAG_NONE};
}

/* The fields of the head, without those of an HTTP/1 connection. */
static size_t nv_of_head(const struct wire *wire, const char *status, nghttp2_nv *nva)
{
    const char *at = strstr(wire->head, "\r\n") + 2;
    size_t count = 0;

    nva[count++] = nv_of(":status", 7, status, 3);
    while (strncmp(at, "\r\n", 2) != 0) {
        const char *colon = strchr(at, ':'), *end = strstr(at, "\r\n");
        INVARIANT(colon != NULL && end != NULL && count < FIELDS_MAX);
        if (strncasecmp(at, "connection:", 11) != 0 && strncasecmp(at, "transfer-encoding:", 18) != 0)
            nva[count++] = nv_of(at, (size_t)(colon - at), colon + 2, (size_t)(end - colon) - 2);
        at = end + 2;
    }
    return count;
}

static ssize_t answer_end(struct branch *branch, size_t n, uint32_t *flags)
{
    static const nghttp2_nv sum = {(uint8_t *)(uintptr_t)"x-sum", (uint8_t *)(uintptr_t)"1", 5, 1, NGHTTP2_NV_FLAG_NONE};

    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (branch->has_trailer) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        INVARIANT(nghttp2_submit_trailer(branch->trunk->session, branch->id, &sum, 1) == 0);
    }
    return (ssize_t)n;
}

static ssize_t answer_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct branch *branch = source->ptr;
    size_t n = chance(20) ? (size_t)between(1, 100) : size;

    (void)session, (void)id, (void)user;
    n = MIN(MIN(n, size), branch->body_bytes - branch->body_at);
    if (n > 0)
        memcpy(into, branch->body + branch->body_at, n);
    branch->body_at += n;
    if (branch->is_complete && branch->body_at == branch->body_bytes && (n == 0 || chance(60)))
        return answer_end(branch, n, flags);
    branch->is_waiting = n == 0;
    return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

void branch_resume(struct branch *branch)
{
    if (branch->is_waiting)
        (void)nghttp2_session_resume_data(branch->trunk->session, branch->id);
    branch->is_waiting = false;
}

static bool answer_is_bodiless(const struct branch *branch)
{
    return strcmp(branch->method, "HEAD") == 0 || branch->status == 204 || branch->status == 304;
}

static enum wire_body answer_head(struct wire *wire, uint64_t *ret_length)
{
    struct branch *branch = branch_of(wire);
    nghttp2_session *session = branch->trunk->session;
    nghttp2_data_provider body = {{.ptr = branch}, answer_read};
    nghttp2_nv nva[FIELDS_MAX];
    size_t count = nv_of_head(wire, strchr(wire->head, ' ') + 1, nva);
    const char *length = wire_field(wire, "Content-Length");
    bool ends;

    branch->status = (unsigned)atoi(strchr(wire->head, ' ') + 1);
    if (branch->status < 200) {
        INVARIANT(nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, branch->id, NULL, nva, count, NULL) == 0);
        return WIRE_NONE;
    }
    branch->has_head = true;
    branch->has_length = length != NULL;
    *ret_length = length != NULL ? strtoull(length, NULL, 10) : 0;
    ends = answer_is_bodiless(branch) && chance(70); /* else by an empty DATA */
    INVARIANT(nghttp2_submit_response(session, branch->id, nva, count, ends ? NULL : &body) == 0);
    if (answer_is_bodiless(branch))
        return WIRE_NONE;
    if (wire_field(wire, "Transfer-Encoding") != NULL)
        return WIRE_CHUNKED;
    return branch->has_length ? WIRE_LENGTH : WIRE_CLOSE;
}

static void answer_body(struct wire *wire, const char *bytes, size_t size)
{
    struct branch *branch = branch_of(wire);

    if (branch->body_bytes + size > branch->body_room) {
        branch->body_room = MAX(2 * branch->body_room, branch->body_bytes + size);
        branch->body = realloc(branch->body, branch->body_room);
        INVARIANT(branch->body != NULL);
    }
    memcpy(branch->body + branch->body_bytes, bytes, size);
    branch->body_bytes += size;
    branch_resume(branch);
}

static void answer_complete(struct wire *wire)
{
    struct branch *branch = branch_of(wire);

    if (!branch->has_head)
        return; /* a 103 */
    branch->is_complete = true;
    branch->has_trailer = wire->trailers > 0;
    branch_resume(branch);
}

void branch_send(struct branch *branch, const char *bytes, size_t size)
{
    static const struct wire_events events = {answer_head, answer_body, answer_complete};

    if (!branch->is_open)
        return;
    if (branch->wire.events == NULL)
        wire_init(&branch->wire, &events);
    INVARIANT(wire_feed(&branch->wire, bytes, size));
}

size_t branch_unsent(const struct branch *branch)
{
    return branch->body_bytes - branch->body_at + branch->trunk->peer.out_bytes;
}

void branch_flush(struct branch *branch)
{
    trunk_flush(branch->trunk);
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

void branch_reset(struct branch *branch, uint32_t error)
{
    if (branch->trunk->session != NULL && branch->is_open)
        INVARIANT(nghttp2_submit_rst_stream(branch->trunk->session, NGHTTP2_FLAG_NONE, branch->id, error) == 0);
}

void branch_is_harmed(struct branch *branch)
{
    sim_timer_set(&branch->held, os_clock_ns() + BRANCH_HARMED_NS);
}

void branch_finish(struct branch *branch)
{
    struct trunk *trunk = branch->trunk;

    if (!branch->is_open || trunk->session == NULL)
        return;
    if (branch->wire.events != NULL)
        (void)wire_fin(&branch->wire);
    if (!branch->is_complete)
        branch_cut(branch);
    else if (chance(20))
        trunk_goaway(trunk, NGHTTP2_NO_ERROR);
    trunk_flush(trunk);
}

void branch_over(struct branch *branch)
{
    branch->conn = NULL;
    if (!branch->is_open || branch->trunk->session == NULL || branch->is_complete)
        return;
    branch_cut(branch);
    trunk_flush(branch->trunk);
}
