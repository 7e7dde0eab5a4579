/* The oracle: what an answer may be. */
#include "tests/sim/cache_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX (4u << 20)

static struct client *client_of(struct wire *wire)
{
    return container_of(wire, struct client, wire);
}

static struct asked *asked_of(struct client *client)
{
    return &client->asked[client->answered];
}

#define REQUIRE(cond, ...)                                                                                  \
    do {                                                                                                    \
        if (!(cond))                                                                                        \
            run_failed((int)asked->url, client->id, __VA_ARGS__);                                           \
    } while (0)

/* ---- heads ------------------------------------------------------------------------------------------------------ */

static void check_mark(struct client *client, const struct asked *asked, const struct mark *mark)
{
    const struct model_url *url = &model_urls[asked->url];
    unsigned status = client->got.status;

    REQUIRE(mark->url == asked->url, "I1: has the answer of %s%s", model_urls[mark->url].host, model_urls[mark->url].target);
    REQUIRE(mark->owner == 0 || mark->owner == client->id, "I3: has an answer made for client %u (version %u)", mark->owner,
            mark->version);
    REQUIRE(mark->version <= url->version, "I1: version %u does not exist yet", mark->version);
    REQUIRE(mark->version >= asked->version_min, "I2: has version %u, purged before it asked: at least %u is owed", mark->version,
            asked->version_min);
    REQUIRE(asked->method == ASKED_POST || mark->variant == model_variant(asked->url, asked->coding),
            "I1: variant %u for a client that accepts '%s'", mark->variant, asked->coding);
    REQUIRE(asked->method != ASKED_POST || mark->owner == client->id, "I3: a POST was answered with what is another's");
    if (status == 200 || status == 206 || status == 304)
        REQUIRE(mark->status == 200, "I1: status %u for an answer that had %u", status, mark->status);
    else
        REQUIRE(mark->status == status, "I1: status %u for an answer that had %u", status, mark->status);
}

static void check_fields(struct client *client, const struct asked *asked, const struct mark *mark)
{
    char etag[64];
    const char *field = wire_field(&client->wire, "ETag");

    model_etag(mark, etag, sizeof(etag));
    REQUIRE(strcmp(field != NULL ? field : "", etag) == 0, "I1: ETag %s on an answer that had '%s'", field, etag);
    field = wire_field(&client->wire, "Content-Encoding");
    if (client->got.status != 304)
        REQUIRE(strcmp(field != NULL ? field : "identity", model_codings[mark->variant]) == 0, "I1: coding %s", field);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const once[4] = {"X-Mark", "ETag", "Date", "Content-Length"};
        REQUIRE(wire_field_count(&client->wire, once[i]) <= 1, "I1: %s twice", once[i]);
    }
}

static void check_304(struct client *client, const struct asked *asked, const struct mark *mark)
{
    char etag[64];

    REQUIRE(asked->condition[0] != '\0', "I1: a 304 that nobody asked for");
    model_etag(mark, etag, sizeof(etag));
    if (strcmp(asked->condition, "date") == 0)
        REQUIRE(mark->version <= asked->condition_version, "I1: a 304 for version %u, but %u is there", asked->condition_version,
                mark->version);
    else
        REQUIRE(strcmp(etag, asked->condition) == 0, "I1: a 304 for %s, but %s is there", asked->condition, etag);
    counts.not_modified++;
}

static void check_206(struct client *client, const struct asked *asked, const struct mark *mark)
{
    unsigned long long first, last, length;
    const char *field;
    char etag[64];

    REQUIRE(asked->range[0] != '\0', "I1: a 206 that nobody asked for");
    model_etag(mark, etag, sizeof(etag));
    REQUIRE(asked->if_range[0] == '\0' || strcmp(etag, asked->if_range) == 0, "I1: a 206 of %s, for If-Range: %s", etag,
            asked->if_range);
    field = wire_field(&client->wire, "Content-Range");
    if (field != NULL) {
        REQUIRE(sscanf(field, "bytes %llu-%llu/%llu", &first, &last, &length) == 3 && first <= last && last < length,
                "I1: Content-Range: %s", field);
        REQUIRE(length == mark->length, "I1: Content-Range: %s, of %u bytes", field, mark->length);
        client->got.from = first;
        client->got.to = last + 1;
        counts.parts++;
        return;
    }
    field = wire_field(&client->wire, "Content-Type");
    REQUIRE(field != NULL && sscanf(field, "multipart/byteranges; boundary=%79s", client->got.boundary) == 1,
            "I1: a 206 without range: %s", field);
    counts.multiparts++;
}

/* What is not explicitly fresh must be asked for anew where the request has a Cookie, and is then its own. */
static void check_cookie(struct client *client, const struct asked *asked, const struct mark *mark)
{
    const char *field = wire_field(&client->wire, "Cache-Control"), *status;
    bool is_vague = field == NULL || strstr(field, "no-cache") != NULL;

    if (model_urls[asked->url].kind != MODEL_COOKIE || !asked->has_cookie || mark->owner != 0 || !is_vague)
        return;
    status = wire_field(&client->wire, "Cache-Status");
    /* a hit although it was forwarded: the origin failed, and something is better than nothing */
    REQUIRE(status != NULL && strstr(status, "; hit; fwd=") != NULL, "I4: everybody's answer for a request with a Cookie: %s",
            status);
}

/* One of WARP's own: no mark. */
static void check_own(struct client *client, const struct asked *asked)
{
    unsigned status = client->got.status;

    if (asked->method == ASKED_PURGE) {
        REQUIRE(status == 200 || status == 403 || status == 503, "PURGE was answered by %u", status);
        return;
    }
    REQUIRE(status >= 400, "an answer %u of nobody: %.300s", status, client->wire.head);
    REQUIRE(status != 416 || asked->range[0] != '\0', "a 416 without Range");
    REQUIRE(!client->is_crowd || os_clock_ns() < run.last_outage_ns + 10 * NS_S, "%u in place of a good answer", status);
    counts.own_answers++;
}

static void count_status(const struct client *client, const struct asked *asked)
{
    const char *field = wire_field(&client->wire, "Cache-Status");

    counts.answers++;
    counts.heads += asked->method == ASKED_HEAD;
    counts.private_answers += client->got.has_mark && client->got.mark.owner != 0;
    if (field == NULL)
        return;
    counts.hits += strstr(field, "; hit") != NULL;
    counts.collapsed += strstr(field, "collapsed") != NULL;
    counts.stale += strstr(field, "ttl=-") != NULL;
    counts.revalidated += strstr(field, "fwd-status=304") != NULL;
}

static enum wire_body answer_framing(struct client *client, const struct asked *asked, uint64_t *ret_length)
{
    const char *field;
    unsigned status = client->got.status;
    bool is_chunked = wire_field(&client->wire, "Transfer-Encoding") != NULL;

    field = wire_field(&client->wire, "Content-Length");
    REQUIRE(!is_chunked || field == NULL, "both lengths");
    if (client->got.has_mark && field != NULL && (status == 200 || status >= 400) && asked->method != ASKED_HEAD)
        REQUIRE(strtoull(field, NULL, 10) == client->got.mark.length, "I1: Content-Length %s, of %u bytes", field,
                client->got.mark.length);
    if (asked->method == ASKED_HEAD || status == 204 || status == 304)
        return WIRE_NONE;
    if (is_chunked) {
        REQUIRE(!asked->is_http10, "chunked to an HTTP/1.0 client");
        return WIRE_CHUNKED;
    }
    if (field == NULL)
        return WIRE_CLOSE;
    *ret_length = strtoull(field, NULL, 10);
    return WIRE_LENGTH;
}

static void note_post(struct client *client)
{
    const char *field = wire_field(&client->wire, "X-Other");
    struct got *got = &client->got;

    if (field != NULL && sscanf(field, "%u.%u", &got->other_url, &got->other_version) != 2)
        got->other_version = 0;
    if (got->status != 200)
        return;
    counts.invalidations++;
    model_purged(got->mark.url, got->mark.version);
    if (got->other_version > 0)
        model_purged(got->other_url, got->other_version);
}

static enum wire_body answer_head(struct wire *wire, uint64_t *ret_length)
{
    struct client *client = client_of(wire);
    struct asked *asked = asked_of(client);
    struct got *got = &client->got;
    const char *field;
    char *parts = got->parts;

    if (client->answered >= client->asked_count)
        run_failed(-1, client->id, "I6: one answer more than requests: %.200s", wire->head);
    *got = (struct got){.parts = parts};
    REQUIRE(sscanf(wire->head, "HTTP/1.1 %3u", &got->status) == 1, "no status line: %.40s", wire->head);
    run_trace("client %u: answer %u (%s): %.*s", client->id, client->answered, model_urls[asked->url].target,
              (int)wire->head_bytes, wire->head);
    if (got->status < 200) {
        REQUIRE(got->status != 101 && !asked->is_http10, "a %u", got->status);
        field = wire_field(wire, "X-Early");
        REQUIRE(field == NULL || atoi(field) == 0 || (unsigned)atoi(field) == client->id, "I3: a 103 made for client %s", field);
        got->is_interim = true;
        counts.interims++;
        return WIRE_NONE;
    }
    field = wire_field(wire, "X-Mark");
    got->has_mark = field != NULL;
    if (got->has_mark) {
        REQUIRE(model_mark_read(field, &got->mark), "I1: no such answer: %s", field);
        got->to = got->mark.length;
        check_mark(client, asked, &got->mark);
        check_fields(client, asked, &got->mark);
        REQUIRE(!asked->is_malformed && !asked->upload_is_bad, "an origin's answer to a malformed request");
        check_cookie(client, asked, &got->mark);
        if (got->status == 304)
            check_304(client, asked, &got->mark);
        if (got->status == 206)
            check_206(client, asked, &got->mark);
    } else {
        check_own(client, asked);
    }
    count_status(client, asked);
    field = wire_field(wire, "Connection");
    got->ends_all = field != NULL && strstr(field, "close") != NULL;
    run_note((uint64_t)got->status << 32 ^ got->mark.version << 8 ^ client->id);
    if (asked->method == ASKED_POST && got->has_mark)
        note_post(client);
    return answer_framing(client, asked, ret_length);
}

/* ---- bodies ------------------------------------------------------------------------------------------------------------ */

static void answer_body(struct wire *wire, const char *bytes, size_t size)
{
    struct client *client = client_of(wire);
    struct asked *asked = asked_of(client);
    struct got *got = &client->got;
    size_t same;

    if (!got->has_mark)
        return;
    if (got->boundary[0] != '\0') {
        REQUIRE(got->parts_bytes + size < PARTS_MAX, "a multipart answer without end");
        got->parts = realloc(got->parts, got->parts_bytes + size + 1);
        INVARIANT(got->parts != NULL);
        memcpy(got->parts + got->parts_bytes, bytes, size);
        got->parts_bytes += size;
        got->parts[got->parts_bytes] = '\0';
        return;
    }
    REQUIRE(got->from + got->at + size <= got->to, "I1: %llu bytes too many",
            (unsigned long long)(got->from + got->at + size - got->to));
    same = model_compare(&got->mark, got->from + got->at, bytes, size);
    REQUIRE(same == size, "I1: byte %llu of %u is not version %u's", (unsigned long long)(got->from + got->at + same),
            got->mark.length, got->mark.version);
    got->at += size;
}

/* "\r\n--b\r\nContent-Type..\r\nContent-Range: bytes a-b/n\r\n\r\n<bytes>" ... "\r\n--b--\r\n" */
static void check_parts(struct client *client, const struct asked *asked)
{
    struct got *got = &client->got;
    size_t boundary_bytes = strlen(got->boundary);
    const char *at = got->parts, *end = got->parts + got->parts_bytes;
    unsigned count = 0;

    for (;;) {
        unsigned long long first, last, length;
        const char *range, *body;
        if (count > 0 && end - at >= 2 && memcmp(at, "\r\n", 2) == 0)
            at += 2;
        REQUIRE((size_t)(end - at) >= boundary_bytes + 4 && memcmp(at, "--", 2) == 0 &&
                    memcmp(at + 2, got->boundary, boundary_bytes) == 0,
                "I1: a multipart answer without its boundary");
        at += 2 + boundary_bytes;
        if (memcmp(at, "--", 2) == 0)
            break;
        range = strstr(at, "Content-Range: bytes ");
        body = strstr(at, "\r\n\r\n");
        REQUIRE(range != NULL && body != NULL && range < body &&
                    sscanf(range, "Content-Range: bytes %llu-%llu/%llu", &first, &last, &length) == 3,
                "I1: a part without range");
        body += 4;
        REQUIRE(length == got->mark.length && first <= last && last < length && (size_t)(end - body) > last - first,
                "I1: a part %llu-%llu/%llu of %u", first, last, length, got->mark.length);
        REQUIRE(model_compare(&got->mark, first, body, last - first + 1) == last - first + 1, "I1: a part of another answer");
        at = body + (last - first + 1);
        count++;
    }
    REQUIRE(count >= 2, "I1: a multipart answer of %u parts", count);
}

static void answer_end(struct wire *wire)
{
    struct client *client = client_of(wire);
    struct asked *asked = asked_of(client);
    struct got *got = &client->got;
    bool has_body = asked->method != ASKED_HEAD && got->status != 204 && got->status != 304;

    if (got->is_interim)
        return;
    if (got->boundary[0] != '\0')
        check_parts(client, asked);
    else if (got->has_mark && has_body)
        REQUIRE(got->from + got->at == got->to, "I1: ended cleanly after %llu of %llu bytes", (unsigned long long)got->at,
                (unsigned long long)(got->to - got->from));
    if (asked->method == ASKED_PURGE && got->status == 200) {
        counts.purge_requests++;
        model_purged(asked->url, asked->purge_version);
    }
    run_note(got->at);
    free(got->parts);
    got->parts = NULL;
    got->has_mark = false;
    if (asked->is_malformed || got->ends_all) {
        client->asked_count = client->answered + 1; /* the connection ends here */
        client->lingers = client->lingers || (client->carrier == NULL && chance(50));
    }
    client_answered(client);
}

const struct wire_events client_events = {answer_head, answer_body, answer_end};
