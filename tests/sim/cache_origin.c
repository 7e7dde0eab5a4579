#include "tests/sim/cache_origin.h"

#include "http/date.h"
#include "tests/sim/cache_client.h"
#include "tests/sim/cache_trunk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const origin_addresses[ORIGINS] = {"10.1.0.1:80", "10.1.0.2:80"};

enum framing { FRAMED_LENGTH, FRAMED_CHUNKED, FRAMED_CLOSE };

/* One answer as it was drawn. */
struct answer {
    struct mark mark;
    uint64_t from, to; /* of the body */
    enum framing framing;
    uint64_t cut_at;   /* bytes of the body after which it ends; UINT64_MAX: it does not */
    bool cut_by_reset, is_bodiless, is_last, has_trailers, is_junk, has_date;
    uint32_t piece_bytes;
    uint64_t piece_ns;
    unsigned interims;
};

struct conn {
    struct sim_peer peer;  /* HTTP/1 */
    struct branch *branch; /* HTTP/2: a stream, for one request; NULL: HTTP/1 */
    struct sim_timer timer;
    struct list link;
    struct wire wire;
    /* the request */
    char method[12];
    uint32_t url, client, request, upload_bytes;
    uint64_t upload_at;
    bool is_upload_bad, is_resume, closed;
    bool is_early; /* answered before the upload is here */
    bool counts; /* in fetches_open */
    /* the answer */
    struct answer answer;
    char head[3000];
    unsigned head_bytes;
    uint64_t sent;
    enum { IDLE, READING, HANGING, ANSWERING, CLOSING_IDLE } state;
    bool head_sent;
};

static struct sim_server servers[ORIGINS];
static bool is_down[ORIGINS];
static struct list conns = LIST_INIT(conns);
static uint32_t posts_seen[1024];

/* ---- what it speaks over ------------------------------------------------------------------------------------- */

static void conn_send(struct conn *conn, const void *bytes, size_t size)
{
    if (conn->branch != NULL)
        branch_send(conn->branch, bytes, size);
    else
        sim_send(&conn->peer, bytes, size);
}

static void conn_finish(struct conn *conn)
{
    if (conn->branch != NULL)
        branch_finish(conn->branch);
    else
        sim_finish(&conn->peer);
}

static size_t conn_unsent(const struct conn *conn)
{
    return conn->branch != NULL ? branch_unsent(conn->branch) : conn->peer.out_bytes;
}

static void conn_over(struct conn *conn, bool reset)
{
    if (conn->closed)
        return;
    conn->closed = true;
    wire_stop(&conn->wire);
    if (conn->counts)
        model_urls[conn->url].fetches_open--;
    conn->counts = false;
    sim_timer_stop(&conn->timer);
    if (conn->branch != NULL)
        branch_over(conn->branch);
    else if (reset)
        sim_reset(&conn->peer);
    else
        sim_close(&conn->peer);
}

/* ---- what to answer ----------------------------------------------------------------------------------------- */

static void add(struct conn *conn, const char *format, ...) PRINTF(2, 3);
static void add(struct conn *conn, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    conn->head_bytes += (unsigned)vsnprintf(conn->head + conn->head_bytes, sizeof(conn->head) - conn->head_bytes, format, args);
    va_end(args);
    INVARIANT(conn->head_bytes < sizeof(conn->head));
}

static bool is_method(const struct conn *conn, const char *method)
{
    return strcmp(conn->method, method) == 0;
}

static uint32_t choose_owner(const struct conn *conn)
{
    switch (model_urls[conn->url].kind) {
    case MODEL_MIXED:
        return chance(50) ? conn->client : 0;
    case MODEL_SECRET:
        return wire_field(&conn->wire, "Authorization") != NULL ? conn->client : 0;
    case MODEL_COOKIE:
        return wire_field(&conn->wire, "Cookie") != NULL ? conn->client : 0;
    default:
        return 0;
    }
}

static uint32_t choose_status(const struct conn *conn)
{
    static const uint16_t statuses[] = {500, 502, 503, 504, 404, 410, 301, 403, 204};

    if (model_urls[conn->url].kind != MODEL_FAILING || chance(60))
        return 200;
    return statuses[sim_random(ARRAY_LEN(statuses))];
}

static bool is_match(const struct conn *conn, const struct mark *mark)
{
    char etag[64];
    const char *field = wire_field(&conn->wire, "If-None-Match");

    model_etag(mark, etag, sizeof(etag));
    if (field != NULL)
        return etag[0] != '\0' && strstr(field, strchr(etag, '"')) != NULL;
    field = wire_field(&conn->wire, "If-Modified-Since");
    if (field != NULL && model_urls[mark->url].validator == MODEL_DATE) {
        int64_t date;
        return date_parse(slice_str(field), os_wall_ms() / 1000, &date) && date >= model_date_s(mark);
    }
    return false;
}

/* False: the whole. */
static bool choose_range(const struct conn *conn, struct answer *answer)
{
    const char *field = wire_field(&conn->wire, "If-Range");
    unsigned long long first, last;
    char etag[64], dash;

    model_etag(&answer->mark, etag, sizeof(etag));
    if (field != NULL && strcmp(field, etag) != 0 && !(conn->is_resume && chance(50))) /* some origins do not look */
        return false;
    field = wire_field(&conn->wire, "Range");
    if (field != NULL && sscanf(field, "bytes=-%llu", &last) == 1 && answer->mark.status == 200 && answer->mark.length > 0) {
        answer->from = answer->mark.length - MIN(last, (unsigned long long)answer->mark.length);
        counts.slice_suffixes++;
        return true;
    }
    if (field == NULL || strchr(field, ',') != NULL || answer->mark.status != 200 || answer->mark.length == 0)
        return false;
    if (sscanf(field, "bytes=%llu-%llu", &first, &last) == 2 && first <= last && first < answer->mark.length) {
        answer->from = first;
        answer->to = MIN(last + 1, (unsigned long long)answer->mark.length);
    } else if (sscanf(field, "bytes=%llu%c", &first, &dash) == 2 && dash == '-' && first < answer->mark.length &&
               field[strlen(field) - 1] == '-') {
        answer->from = first;
    } else {
        return false;
    }
    if (conn->is_resume && model_urls[conn->url].kind != MODEL_CROWD && chance(15)) /* or miscount */
        answer->from = sim_random(answer->from + 1);
    counts.ranges_at_origin++;
    return true;
}

static void add_dates(struct conn *conn, const struct mark *mark)
{
    char date[DATE_BYTES];

    if (conn->answer.has_date) {
        date_format(os_wall_ms() / 1000, date);
        add(conn, "Date: %.*s\r\n", (int)DATE_BYTES, date);
    }
    if (mark->status == 200 &&
        (model_urls[mark->url].validator == MODEL_DATE || model_urls[mark->url].kind == MODEL_COOKIE)) {
        date_format(model_date_s(mark), date);
        add(conn, "Last-Modified: %.*s\r\n", (int)DATE_BYTES, date);
    }
}

/* Freshness of what everybody may have. */
static void add_shared(struct conn *conn)
{
    static const char *const extras[] = {"", "", "", ", stale-while-revalidate=20", ", stale-if-error=30", ", must-revalidate",
                                         ", immutable", ", proxy-revalidate"};
    const char *extra = extras[sim_random(ARRAY_LEN(extras))];
    unsigned seconds = (unsigned)between(0, 20);

    switch (sim_random(7)) {
    case 0:
        add(conn, "Cache-Control: s-maxage=%u%s\r\n", seconds, extra);
        break;
    case 1:
        add(conn, "Cache-Control: public, max-age=%u%s\r\nSet-Cookie: seen=1\r\n", seconds, extra);
        break;
    case 2:
        add(conn, "Cache-Control: no-cache\r\n");
        break;
    case 3: /* only what the RFC guesses */
        break;
    default:
        add(conn, "Cache-Control: max-age=%u%s\r\n", seconds, extra);
        break;
    }
}

static void add_private(struct conn *conn)
{
    switch (model_urls[conn->url].kind) {
    case MODEL_SECRET:
        add(conn, "Cache-Control: max-age=60\r\n"); /* sharing not allowed in so many words: RFC 9111 3.5 */
        return;
    case MODEL_COOKIE:
        return; /* a guess at most */
    default:
        break;
    }
    switch (sim_random(4)) {
    case 0:
        add(conn, "Cache-Control: private, max-age=60\r\n");
        break;
    case 1:
        add(conn, "Cache-Control: no-store\r\n");
        break;
    case 2:
        add(conn, "Cache-Control: max-age=60\r\nSet-Cookie: id=c%u\r\n", conn->client);
        break;
    default:
        add(conn, "Cache-Control: max-age=60\r\nVary: *\r\n");
        break;
    }
}

static void add_caching(struct conn *conn, const struct mark *mark)
{
    if (mark->owner != 0)
        add_private(conn);
    else if (model_urls[conn->url].kind == MODEL_CROWD)
        add(conn, "Cache-Control: max-age=1000\r\n");
    else if (mark->status == 200 || mark->status == 304 || chance(30))
        add_shared(conn);
    if (model_urls[conn->url].kind == MODEL_VARY)
        add(conn, "Vary: %s\r\n", chance(70) ? "Accept-Encoding" : "accept-encoding, X-Never-Sent");
}

static void add_framing(struct conn *conn)
{
    struct answer *answer = &conn->answer;

    if (answer->is_last)
        add(conn, "Connection: close\r\n");
    if (answer->mark.status == 204 || answer->mark.status == 304)
        return;
    if (answer->framing == FRAMED_LENGTH)
        add(conn, "Content-Length: %llu\r\n", (unsigned long long)(answer->to - answer->from));
    else if (answer->framing == FRAMED_CHUNKED)
        add(conn, "Transfer-Encoding: chunked\r\n%s", answer->has_trailers ? "Trailer: X-Sum\r\n" : "");
}

static void build_head(struct conn *conn, bool is_range)
{
    struct answer *answer = &conn->answer;
    unsigned status = is_range ? 206 : answer->mark.status;
    struct mark mark = answer->mark;
    char text[80];

    conn->head_bytes = 0;
    if (status == 304)
        mark = model_mark(conn->url, mark.variant, 0, 200); /* of what it confirms */
    add(conn, "HTTP/1.%u %u Fine\r\n", answer->framing == FRAMED_CLOSE && chance(30) ? 0u : 1u, status);
    model_mark_text(&mark, text, sizeof(text));
    add(conn, "X-Mark: %s\r\n", text);
    model_etag(&mark, text, sizeof(text));
    if (text[0] != '\0')
        add(conn, "ETag: %s\r\n", text);
    add_dates(conn, &mark);
    if (is_method(conn, "GET") || is_method(conn, "HEAD"))
        add_caching(conn, &mark);
    if (mark.variant != 0)
        add(conn, "Content-Encoding: %s\r\n", model_codings[mark.variant]);
    if (is_range)
        add(conn, "Content-Range: bytes %llu-%llu/%u\r\n", (unsigned long long)answer->from,
            (unsigned long long)answer->to - 1, mark.length);
    if (status == 301)
        add(conn, "Location: /elsewhere\r\n");
    add_framing(conn);
}

static void choose_manners(struct conn *conn)
{
    struct answer *answer = &conn->answer;
    bool is_good = model_urls[conn->url].kind == MODEL_CROWD;
    uint64_t size = answer->to - answer->from;

    answer->framing = (enum framing)sim_random(3);
    answer->is_last = answer->framing == FRAMED_CLOSE || chance(10);
    answer->has_trailers = answer->framing == FRAMED_CHUNKED && chance(25);
    answer->has_date = is_good || chance(80);
    answer->interims = chance(6) ? 1 + (unsigned)sim_random(2) : 0;
    answer->cut_at = UINT64_MAX;
    answer->piece_bytes = (uint32_t)between(1 + size / 100, 16384);
    answer->piece_ns = chance(50) ? between(0, 2 * NS_MS) : between(0, 40 * NS_MS);
    if (is_good)
        return;
    answer->is_junk = chance(conn->branch != NULL ? 4 : 2);
    if (chance(7) && size > 0 && !answer->is_bodiless) {
        answer->cut_at = sim_random(size);
        /* a FIN is the end of a body that says no length */
        answer->cut_by_reset = answer->framing == FRAMED_CLOSE || chance(50);
    }
}

/* Another URL that the answer to a POST names, and thereby makes invalid. */
static void add_content_location(struct conn *conn)
{
    const struct model_url *url = &model_urls[conn->url];
    uint32_t other = (uint32_t)sim_random(MODEL_URLS);

    if (!chance(25) || strcmp(model_urls[other].host, url->host) != 0 || model_urls[other].kind == MODEL_CROWD)
        return;
    model_moved(other);
    model_urls[other].purged_ns = os_clock_ns();
    add(conn, "Content-Location: %s\r\nX-Other: %u.%u\r\n", model_urls[other].target, other, model_urls[other].version);
}

static void answer_post(struct conn *conn)
{
    struct answer *answer = &conn->answer;

    if (chance(85)) {
        model_moved(conn->url);
        model_urls[conn->url].purged_ns = os_clock_ns();
        answer->mark = model_mark(conn->url, 0, conn->client, 200);
    } else {
        answer->mark = model_mark(conn->url, 0, conn->client, chance(50) ? 403 : 500);
    }
    answer->to = answer->mark.length;
    choose_manners(conn);
    build_head(conn, false);
    if (answer->mark.status == 200)
        add_content_location(conn);
}

/* The precondition of who has parts of another version; some origins do not look at it. */
static bool is_precondition_failed(struct conn *conn, const struct mark *mark)
{
    const char *field = wire_field(&conn->wire, "If-Match");
    char etag[64];

    if (field == NULL)
        return false;
    model_etag(mark, etag, sizeof(etag));
    counts.slice_asks++;
    if (strcmp(field, etag) == 0)
        return model_urls[conn->url].kind != MODEL_CROWD && chance(1);
    counts.slice_changes++;
    return chance(70);
}

static void answer_get(struct conn *conn)
{
    struct answer *answer = &conn->answer;
    const char *coding = wire_field(&conn->wire, "Accept-Encoding");
    uint32_t owner = choose_owner(conn), status = choose_status(conn);
    bool is_range;

    if (conn->is_resume && chance(30))
        model_moved(conn->url);
    answer->mark = model_mark(conn->url, model_variant(conn->url, coding != NULL ? coding : ""), owner, status);
    if (status == 200 && is_precondition_failed(conn, &answer->mark))
        answer->mark = model_mark(conn->url, answer->mark.variant, owner, 412);
    if (owner == 0 && answer->mark.status == 200 && is_match(conn, &answer->mark) && chance(85)) {
        answer->mark.status = 304;
        counts.origin_304++;
    }
    if (model_urls[conn->url].kind != MODEL_CROWD && chance(answer->mark.status == 304 ? 12 : 2))
        run_purge_soon(conn->url);
    answer->to = answer->mark.length;
    is_range = answer->mark.status == 200 && is_method(conn, "GET") && chance(90) && choose_range(conn, answer);
    answer->is_bodiless = is_method(conn, "HEAD") || answer->mark.status == 304 || answer->mark.status == 204;
    choose_manners(conn);
    build_head(conn, is_range);
}

/* ---- sending it ------------------------------------------------------------------------------------------------ */

static void conn_answered(struct conn *conn)
{
    run_trace("origin: answer to client %u request %u is out", conn->client, conn->request);
    if (conn->counts)
        model_urls[conn->url].fetches_open--;
    conn->counts = false;
    conn->state = IDLE;
    if (conn->answer.is_last) {
        conn_finish(conn);
        conn->state = CLOSING_IDLE;
    } else if (conn->branch != NULL) {
        conn->state = CLOSING_IDLE; /* what else it may do is up to its trunk */
    } else if (chance(25)) { /* lost interest, perhaps just when the next request comes */
        conn->state = CLOSING_IDLE;
        sim_timer_set(&conn->timer, os_clock_ns() + (chance(50) ? between(0, 200 * NS_MS) : between(0, 3 * NS_S)));
    }
}

static void send_junk(struct conn *conn)
{
    static const char *const junk[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 20 OK\r\n\r\n", "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Field: 1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n folded: 1\r\n\r\n", "HTTP/1.1 999999 OK\r\n\r\n", ""};
    const char *text = junk[sim_random(ARRAY_LEN(junk))];

    counts.origin_junk++;
    if (conn->branch != NULL) {
        branch_junk(conn->branch);
        conn->state = CLOSING_IDLE;
        return;
    }
    run_trace("origin: junk to client %u request %u: %.40s", conn->client, conn->request, text);
    if (text[0] != '\0')
        conn_send(conn, text, strlen(text));
    if (chance(50))
        conn_over(conn, chance(50));
    else
        conn_finish(conn);
    conn->state = CLOSING_IDLE;
}

static void send_head(struct conn *conn)
{
    conn->head_sent = true;
    for (unsigned i = 0; i < conn->answer.interims; i++) {
        char early[80];
        int n = snprintf(early, sizeof(early), "HTTP/1.1 103 Early\r\nX-Early: %u\r\n\r\n", conn->answer.mark.owner);
        conn_send(conn, early, (size_t)n);
    }
    add(conn, "\r\n");
    run_trace("origin: client %u request %u (%s %s): %.*s cut %lld", conn->client, conn->request, conn->method,
              model_urls[conn->url].target, (int)MIN(conn->head_bytes, 400u), conn->head, (long long)conn->answer.cut_at);
    conn_send(conn, conn->head, conn->head_bytes);
}

static void send_piece(struct conn *conn, size_t n)
{
    struct answer *answer = &conn->answer;
    char bytes[16384 + 32];
    int before = 0;

    if (answer->framing == FRAMED_CHUNKED)
        before = snprintf(bytes, 20, "%zx\r\n", n);
    model_body(&answer->mark, answer->from + conn->sent, bytes + before, n);
    if (answer->framing == FRAMED_CHUNKED)
        memcpy(bytes + before + n, "\r\n", 2);
    conn_send(conn, bytes, (size_t)before + n + (answer->framing == FRAMED_CHUNKED ? 2 : 0));
    conn->sent += n;
}

static void send_end(struct conn *conn)
{
    struct answer *answer = &conn->answer;

    if (answer->framing == FRAMED_CHUNKED && !answer->is_bodiless) {
        const char *end = answer->has_trailers ? "0\r\nX-Sum: 1\r\n\r\n" : "0\r\n\r\n";
        counts.trailers += answer->has_trailers;
        conn_send(conn, end, strlen(end));
    }
    conn_answered(conn);
}

static void conn_cut(struct conn *conn)
{
    counts.origin_cuts++;
    run_trace("origin: cuts client %u request %u by %s", conn->client, conn->request, conn->answer.cut_by_reset ? "RST" : "FIN");
    if (conn->answer.cut_by_reset) {
        conn_over(conn, true);
        return;
    }
    conn_finish(conn);
    conn->state = CLOSING_IDLE;
}

static void conn_step(struct conn *conn)
{
    struct answer *answer = &conn->answer;
    uint64_t size = answer->is_bodiless ? 0 : answer->to - answer->from, stop = MIN(size, answer->cut_at);
    size_t n;

    if (answer->is_junk) {
        send_junk(conn);
        return;
    }
    if (!conn->head_sent)
        send_head(conn);
    n = (size_t)between(1, answer->piece_bytes);
    n = MIN((size_t)(stop - conn->sent), n);
    if (conn_unsent(conn) < 32768 && n > 0)
        send_piece(conn, n);
    if (conn->sent < stop || (answer->cut_at != UINT64_MAX && conn_unsent(conn) > 0))
        sim_timer_set(&conn->timer, os_clock_ns() + answer->piece_ns + (n == 0 || conn_unsent(conn) > 0 ? NS_MS : 0));
    else if (stop < size)
        conn_cut(conn);
    else
        send_end(conn);
}

static void conn_timer(struct sim_timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);

    switch (conn->state) {
    case ANSWERING:
        conn_step(conn);
        break;
    case CLOSING_IDLE:
    case HANGING:
        if (model_urls[conn->url].kind == MODEL_CROWD || chance(30))
            conn_finish(conn);
        else
            conn_over(conn, chance(30)); /* with what is still under way */
        break;
    case IDLE:
    case READING:
        break;
    }
    if (conn->branch != NULL)
        branch_flush(conn->branch);
}

/* ---- reading requests -------------------------------------------------------------------------------------------- */

/* One fetch for all who ask for a cold object at once; a purge lets a new one in beside the old. */
static void check_crowd(struct conn *conn)
{
    struct model_url *url = &model_urls[conn->url];
    bool is_calm = url->purged_ns == 0 || os_clock_ns() - url->purged_ns > 10 * NS_S;

    if (url->kind != MODEL_CROWD || !is_method(conn, "GET") || wire_field(&conn->wire, "Range") != NULL)
        return;
    conn->counts = true;
    if (++url->fetches_open > 1 && is_calm && !run.late_lookups && !run.late_writes)
        run_failed((int)conn->url, conn->client, "I5: %u fetches at once of one shareable URL", url->fetches_open);
}

static void begin_answer(struct conn *conn)
{
    uint64_t delay = chance(60) ? between(0, 5 * NS_MS) : chance(95) ? between(0, 200 * NS_MS) : between(NS_S, 8 * NS_S);

    conn->answer = (struct answer){.mark = {0}};
    conn->sent = 0;
    conn->head_sent = false;
    conn->state = ANSWERING;
    if (is_method(conn, "POST"))
        answer_post(conn);
    else
        answer_get(conn);
    if (model_urls[conn->url].kind != MODEL_CROWD && chance(2)) {
        conn->state = HANGING;
        counts.origin_hangs++;
        run_trace("origin: client %u request %u gets nothing", conn->client, conn->request);
        delay = 100 * NS_S;
    }
    sim_timer_set(&conn->timer, os_clock_ns() + delay);
}

static bool read_identity(struct conn *conn)
{
    const char *field = wire_field(&conn->wire, "X-Client");
    char host[64] = "", target[128] = "";

    if (sscanf(conn->wire.head, "%11s %127s HTTP/1.1\r\n", conn->method, target) != 2)
        return false;
    if (field == NULL || sscanf(field, "%u.%u", &conn->client, &conn->request) != 2)
        return false;
    field = wire_field(&conn->wire, "Host");
    if (field == NULL || sscanf(field, "%63s", host) != 1 || model_find(host, target) < 0)
        return false;
    conn->url = (uint32_t)model_find(host, target);
    return true;
}

static enum wire_body request_head(struct wire *wire, uint64_t *ret_length)
{
    struct conn *conn = container_of(wire, struct conn, wire);
    const char *field;

    if (!read_identity(conn))
        run_failed(-1, 0, "an origin got a strange request: %s", wire->head);
    if (conn->state == CLOSING_IDLE) /* FIN sent: whatever comes now came too late */
        return WIRE_STOP;
    if (conn->state != IDLE)
        run_failed((int)conn->url, conn->client, "an origin got a request before its answer was out");
    run_trace("origin: has client %u request %u: %s %s", conn->client, conn->request, conn->method, model_urls[conn->url].target);
    conn->state = READING;
    if (is_method(conn, "POST") && conn->request < 32) {
        if (posts_seen[conn->client % ARRAY_LEN(posts_seen)] >> conn->request & 1)
            run_failed((int)conn->url, conn->client, "a POST was sent twice");
        posts_seen[conn->client % ARRAY_LEN(posts_seen)] |= 1u << conn->request;
    }
    conn->is_resume = wire_field(wire, "If-Match") != NULL;
    if (wire_field(wire, "Range") != NULL && clients[conn->client - 1 - run.clients_before].asked[conn->request].range[0] == '\0')
        conn->is_resume = true;
    counts.resumes += conn->is_resume;
    conn->upload_at = 0;
    field = wire_field(wire, "X-Upload");
    conn->upload_bytes = field != NULL ? (uint32_t)strtoul(field, NULL, 10) : 0;
    conn->is_upload_bad = wire_field(wire, "X-Bad") != NULL;
    conn->is_early = conn->branch != NULL && conn->upload_bytes > 0 && !conn->is_upload_bad && chance(10);
    if (conn->is_early)
        begin_answer(conn);
    field = wire_field(wire, "Transfer-Encoding");
    if (field != NULL)
        return WIRE_CHUNKED;
    field = wire_field(wire, "Content-Length");
    *ret_length = field != NULL ? strtoull(field, NULL, 10) : 0;
    return field != NULL ? WIRE_LENGTH : WIRE_NONE;
}

static void request_body(struct wire *wire, const char *bytes, size_t size)
{
    struct conn *conn = container_of(wire, struct conn, wire);
    char *right = malloc(conn->upload_bytes + 1u);

    INVARIANT(right != NULL);
    model_upload(conn->client, conn->request, right, conn->upload_bytes);
    if (conn->upload_at + size > conn->upload_bytes || memcmp(right + conn->upload_at, bytes, size) != 0)
        run_failed((int)conn->url, conn->client, "an upload arrived changed near byte %llu",
                   (unsigned long long)conn->upload_at);
    free(right);
    conn->upload_at += size;
}

static void request_end(struct wire *wire)
{
    struct conn *conn = container_of(wire, struct conn, wire);

    if (conn->upload_at != conn->upload_bytes || conn->is_upload_bad)
        run_failed((int)conn->url, conn->client, "an upload of %u bytes ended as if complete after %llu",
                   conn->upload_bytes, (unsigned long long)conn->upload_at);
    if (conn->is_early)
        return;
    check_crowd(conn);
    begin_answer(conn);
}

void origin_conn_lost(struct conn *conn)
{
    counts.aborted_fetches += conn->state == ANSWERING;
    conn_over(conn, false);
}

void origin_conn_feed(struct conn *conn, const char *bytes, size_t size)
{
    if (!conn->closed && !wire_feed(&conn->wire, bytes, size))
        run_failed((int)conn->url, conn->client, "an origin cannot read what it was sent");
}

static void conn_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct conn *conn = container_of(peer, struct conn, peer);

    if (conn->closed)
        return;
    if (size == 0)
        origin_conn_lost(conn);
    else
        origin_conn_feed(conn, data, size);
}

static void conn_reset(struct sim_peer *peer)
{
    origin_conn_lost(container_of(peer, struct conn, peer));
}

/* ---- the servers ---------------------------------------------------------------------------------------------------- */

struct conn *origin_conn_open(struct branch *branch)
{
    static const struct wire_events events = {request_head, request_body, request_end};
    struct conn *conn = calloc(1, sizeof(*conn));

    INVARIANT(conn != NULL);
    conn->peer = (struct sim_peer){.received = conn_received, .reset = conn_reset};
    conn->branch = branch;
    conn->timer.fire = conn_timer;
    wire_init(&conn->wire, &events);
    list_push_back(&conns, &conn->link);
    return conn;
}

static struct sim_peer *server_accepted(struct sim_server *server)
{
    unsigned index = (unsigned)(server - servers);

    if (run.has_outages && chance(5)) {
        run.last_outage_ns = os_clock_ns();
        counts.refusals++;
        return NULL;
    }
    return run.h2_origins >> index & 1 ? trunk_accepted(index) : &origin_conn_open(NULL)->peer;
}

void origins_begin(void)
{
    list_init(&conns);
    trunks_begin();
    memset(posts_seen, 0, sizeof(posts_seen));
    for (unsigned i = 0; i < ORIGINS; i++) {
        is_down[i] = true;
        servers[i] = (struct sim_server){.accepted = server_accepted};
        INVARIANT(err_is_ok(os_address_parse(slice_str(origin_addresses[i]), &servers[i].address)));
        origin_set_down(i, false);
    }
}

void origin_set_down(unsigned index, bool down)
{
    if (down == is_down[index])
        return;
    is_down[index] = down;
    if (down)
        sim_unlisten(&servers[index]);
    else
        sim_listen(&servers[index], &servers[index].address);
}

unsigned origins_open(void)
{
    unsigned open = 0;

    LIST_FOREACH (&conns, it)
        open += !container_of(it, struct conn, link)->closed;
    return open;
}

void origins_end(void)
{
    trunks_end();
    while (!list_is_empty(&conns)) {
        struct conn *conn = container_of(list_first(&conns), struct conn, link);
        conn_over(conn, false);
        list_remove(&conn->link);
        free(conn);
    }
}
