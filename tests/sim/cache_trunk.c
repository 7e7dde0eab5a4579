#include "tests/sim/cache_trunk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REFUSALS_MAX  2u /* of one client's requests; WARP repeats each up to 4 times */
#define CLIENTS_KNOWN 1024u
#define BROKEN_NS     (10 * NS_S) /* before the time-out of a request that is left open */

static struct list trunks = LIST_INIT(trunks);
static uint32_t posts_refused[CLIENTS_KNOWN];
static uint8_t refusals[CLIENTS_KNOWN];

static void branch_done(struct branch *branch);

/* ---- the connection ---------------------------------------------------------------------------------------------- */

/* A head now and then comes in two frames. */
static void trunk_send_frame(struct trunk *trunk, const uint8_t *bytes, size_t size)
{
    size_t payload = (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2], first;
    bool is_whole = bytes[3] == NGHTTP2_HEADERS && (bytes[4] & NGHTTP2_FLAG_END_HEADERS) && !(bytes[4] & NGHTTP2_FLAG_PADDED);
    uint8_t head[9];

    if (!is_whole || size != payload + 9 || payload < 2 || !chance(10)) {
        sim_send(&trunk->peer, bytes, size);
        return;
    }
    counts.origin_h2_continuations++;
    first = (size_t)between(chance(50) ? 0 : 1, payload - 1);
    memcpy(head, bytes, 9);
    head[0] = 0, head[1] = (uint8_t)(first >> 8), head[2] = (uint8_t)first;
    head[4] = (uint8_t)(bytes[4] & ~NGHTTP2_FLAG_END_HEADERS);
    sim_send(&trunk->peer, head, 9);
    sim_send(&trunk->peer, bytes + 9, first);
    head[1] = (uint8_t)((payload - first) >> 8), head[2] = (uint8_t)(payload - first);
    head[3] = NGHTTP2_CONTINUATION;
    head[4] = NGHTTP2_FLAG_END_HEADERS;
    sim_send(&trunk->peer, head, 9);
    sim_send(&trunk->peer, bytes + 9 + first, payload - first);
}

void trunk_flush(struct trunk *trunk)
{
    const uint8_t *bytes;
    ssize_t size;

    if (trunk->is_busy || trunk->is_muted || trunk->session == NULL)
        return;
    trunk->is_busy = true;
    while ((size = nghttp2_session_mem_send(trunk->session, &bytes)) > 0)
        trunk_send_frame(trunk, bytes, (size_t)size);
    trunk->is_busy = false;
    INVARIANT(size == 0);
    if (trunk->late != 0)
        trunk_late(trunk, (uint32_t)trunk->late);
    trunk->late = 0;
}

static void trunk_closed(struct trunk *trunk, bool reset)
{
    if (trunk->is_closed)
        return;
    trunk->is_closed = true;
    if (reset)
        sim_reset(&trunk->peer);
    else
        sim_close(&trunk->peer);
}

static void trunk_end_session(struct trunk *trunk, const char *why)
{
    nghttp2_session *session = trunk->session;

    run_trace("origin %u: a connection ends: %s", trunk->origin, why);
    trunk->session = NULL;
    sim_timer_stop(&trunk->whim);
    LIST_FOREACH (&trunk->branches, it)
        branch_done(container_of(it, struct branch, link));
    nghttp2_session_del(session);
}

/* A reset, or a close when WARP has something to say, takes away what was sent last: a crowd's answers come before a FIN. */
void trunk_down(struct trunk *trunk, const char *why)
{
    if (trunk->session == NULL)
        return;
    trunk_end_session(trunk, why);
    if (trunk->had_crowd || chance(40))
        sim_finish(&trunk->peer);
    else
        trunk_closed(trunk, chance(60));
}

/* By WARP, or at the end of the run. */
static void trunk_is_left(struct trunk *trunk, const char *why)
{
    if (trunk->session != NULL)
        trunk_end_session(trunk, why);
    trunk_closed(trunk, false);
}

bool trunk_has_crowd(const struct trunk *trunk)
{
    LIST_FOREACH (&trunk->branches, it) {
        const struct branch *branch = container_of(it, struct branch, link);
        if (branch->is_open && branch->is_crowd)
            return true;
    }
    return false;
}

void trunk_spoil(struct trunk *trunk, const char *what)
{
    run_trace("origin %u: harms the connection: %s", trunk->origin, what);
    trunk->is_spoiled = true;
    run.last_outage_ns = os_clock_ns(); /* requests on their way fail with it, and are not to be repeated */
    sim_timer_set(&trunk->whim, os_clock_ns() + BROKEN_NS);
}

static void trunk_peer_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct trunk *trunk = container_of(peer, struct trunk, peer);
    ssize_t taken;

    if (size == 0)
        trunk_is_left(trunk, "WARP closes it");
    if (trunk->session == NULL)
        return;
    trunk->is_busy = true;
    taken = nghttp2_session_mem_recv(trunk->session, (const uint8_t *)data, size);
    trunk->is_busy = false;
    if (taken != (ssize_t)size && !trunk->is_spoiled)
        run_failed(-1, 0, "what an origin got is no HTTP/2: %s", nghttp2_strerror((int)taken));
    trunk_flush(trunk);
}

static void trunk_peer_reset(struct sim_peer *peer)
{
    trunk_is_left(container_of(peer, struct trunk, peer), "WARP resets it");
}

/* ---- requests: refused, held, told ------------------------------------------------------------------------------- */

static bool branch_identity(const struct branch *branch, unsigned *ret_client, unsigned *ret_request)
{
    const char *field = branch->text != NULL ? strcasestr(branch->text, "\r\nx-client: ") : NULL;
    return field != NULL && sscanf(field + 12, "%u.%u", ret_client, ret_request) == 2;
}

/* The script must not have acted on it. */
static void branch_drop(struct branch *branch)
{
    unsigned client, request;

    sim_timer_stop(&branch->held);
    if (branch->is_held && branch_identity(branch, &client, &request)) {
        refusals[client % CLIENTS_KNOWN]++;
        if (strcmp(branch->method, "POST") == 0 && request < 32)
            posts_refused[client % CLIENTS_KNOWN] |= 1u << request;
    }
    branch->is_held = false;
    free(branch->text);
    branch->text = NULL;
    branch->text_bytes = 0;
}

/* nghttp2, or the connection, is no more. */
static void branch_done(struct branch *branch)
{
    struct conn *conn = branch->conn;

    branch->is_open = false;
    branch->conn = NULL;
    counts.origin_h2_above += branch->is_held && branch->trunk->has_goaway && branch->id > branch->trunk->last_told;
    branch_drop(branch);
    free(branch->body);
    branch->body = NULL;
    branch->body_bytes = branch->body_at = branch->body_room = 0;
    if (conn != NULL)
        origin_conn_lost(conn);
}

static void branch_text(struct branch *branch, const char *bytes, size_t size)
{
    branch->text = realloc(branch->text, branch->text_bytes + size + 1);
    INVARIANT(branch->text != NULL);
    memcpy(branch->text + branch->text_bytes, bytes, size);
    branch->text_bytes += size;
    branch->text[branch->text_bytes] = '\0';
}

static void branch_say(struct branch *branch, const char *format, ...) PRINTF(2, 3);
static void branch_say(struct branch *branch, const char *format, ...)
{
    char line[1200];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    INVARIANT(n >= 0 && n < (int)sizeof(line));
    branch_text(branch, line, (size_t)n);
}

static void branch_tell(struct branch *branch)
{
    char *text = branch->text;
    unsigned client, request;

    sim_timer_stop(&branch->held);
    branch->is_held = false;
    if (branch_identity(branch, &client, &request) && request < 32 && (posts_refused[client % CLIENTS_KNOWN] >> request & 1)) {
        posts_refused[client % CLIENTS_KNOWN] &= ~(1u << request);
        counts.origin_h2_posts_again++;
    }
    branch->trunk->last_told = MAX(branch->trunk->last_told, branch->id);
    branch->conn = origin_conn_open(branch);
    branch->text = NULL;
    origin_conn_feed(branch->conn, text, branch->text_bytes);
    branch->text_bytes = 0;
    free(text);
}

/* What has come of the request goes on to the script, or waits with the rest. */
static void branch_heard(struct branch *branch)
{
    if (branch->conn != NULL && branch->text_bytes > 0) {
        origin_conn_feed(branch->conn, branch->text, branch->text_bytes);
        branch->text_bytes = 0;
    }
}

static bool branch_may_be_refused(const struct branch *branch)
{
    unsigned client, request;
    return branch_identity(branch, &client, &request) && refusals[client % CLIENTS_KNOWN] < REFUSALS_MAX;
}

static void branch_refuse(struct branch *branch)
{
    counts.origin_h2_refused++;
    run_trace("origin %u: refuses stream %d: %s %s", branch->trunk->origin, branch->id, branch->method, branch->path);
    branch_drop(branch);
    branch_reset(branch, NGHTTP2_REFUSED_STREAM);
}

void trunk_goaway(struct trunk *trunk, uint32_t error)
{
    if (trunk->has_goaway || trunk->session == NULL)
        return;
    counts.origin_h2_goaways++;
    run_trace("origin %u: GOAWAY, last stream %d: %s", trunk->origin, trunk->last_told, nghttp2_http2_strerror(error));
    INVARIANT(nghttp2_submit_goaway(trunk->session, NGHTTP2_FLAG_NONE, trunk->last_told, error, NULL, 0) == 0);
    trunk->has_goaway = true;
}

static uint32_t draw_goaway(void)
{
    static const uint32_t errors[] = {NGHTTP2_NO_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_ENHANCE_YOUR_CALM};
    return errors[sim_random(ARRAY_LEN(errors))];
}

static void held_fire(struct sim_timer *timer)
{
    struct branch *branch = container_of(timer, struct branch, held);
    struct trunk *trunk = branch->trunk;
    bool may_refuse = branch_may_be_refused(branch);

    if (!branch->is_held)
        run_failed(-1, 0, "a stream whose answer is malformed is still open after %llu s", (unsigned long long)(BRANCH_HARMED_NS / NS_S));
    if (may_refuse && chance(25))
        branch_refuse(branch);
    else if (may_refuse && branch->id > trunk->last_told && chance(35))
        trunk_goaway(trunk, draw_goaway());
    else
        branch_tell(branch);
    trunk_flush(trunk);
}

/* The head is here. */
static void branch_begins(struct branch *branch)
{
    struct trunk *trunk = branch->trunk;

    branch->is_held = true;
    if (trunk->has_goaway)
        return; /* it is about to be closed with the other ones above */
    if (branch_may_be_refused(branch)) {
        if (chance(3)) {
            branch_refuse(branch);
            return;
        }
        if (chance(2)) {
            trunk_goaway(trunk, draw_goaway());
            return;
        }
    }
    if (chance(10))
        sim_timer_set(&branch->held, os_clock_ns() + between(0, 60 * NS_MS));
    else
        branch_tell(branch);
}

/* ---- nghttp2's events -------------------------------------------------------------------------------------------- */

static struct branch *branch_at(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct trunk *trunk = user;
    struct branch *branch = branch_at(session, frame->hd.stream_id);

    if (branch != NULL && branch->is_chunked)
        branch_text(branch, "0\r\n", 3); /* trailers follow */
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    branch = calloc(1, sizeof(*branch));
    INVARIANT(branch != NULL);
    branch->trunk = trunk;
    branch->id = frame->hd.stream_id;
    branch->is_open = true;
    branch->held.fire = held_fire;
    list_push_back(&trunk->branches, &branch->link);
    counts.origin_h2_streams++;
    return nghttp2_session_set_stream_user_data(session, branch->id, branch);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct branch *branch = branch_at(session, frame->hd.stream_id);
    const char *text = (const char *)value;
    int length = (int)value_len;

    (void)flags, (void)user;
    if (branch == NULL || (frame->headers.cat != NGHTTP2_HCAT_REQUEST && !branch->is_chunked))
        return 0;
    if (name[0] != ':')
        branch_say(branch, "%.*s: %.*s\r\n", (int)name_len, (const char *)name, length, text);
    else if (strcmp((const char *)name, ":method") == 0)
        snprintf(branch->method, sizeof(branch->method), "%.*s", length, text);
    else if (strcmp((const char *)name, ":path") == 0)
        snprintf(branch->path, sizeof(branch->path), "%.*s", length, text);
    else if (strcmp((const char *)name, ":authority") == 0)
        snprintf(branch->authority, sizeof(branch->authority), "%.*s", length, text);
    else if (strcmp((const char *)name, ":scheme") != 0 || strcmp(text, "http") != 0)
        run_failed(-1, 0, "an origin got %s: %s", (const char *)name, text);
    return 0;
}

static void request_head(struct branch *branch, bool end_stream)
{
    char *fields = branch->text;
    int url = model_find(branch->authority, branch->path);

    branch->text = NULL;
    branch->text_bytes = 0;
    branch_say(branch, "%s %s HTTP/1.1\r\nHost: %s\r\n", branch->method, branch->path, branch->authority);
    branch_text(branch, fields, strlen(fields));
    free(fields);
    branch->is_chunked = !end_stream && strcasestr(branch->text, "\r\ncontent-length:") == NULL;
    branch_say(branch, branch->is_chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    branch->is_crowd = url >= 0 && model_urls[url].kind == MODEL_CROWD;
    branch->trunk->had_crowd |= branch->is_crowd;
    branch_begins(branch);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct branch *branch = branch_at(session, frame->hd.stream_id);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    (void)user;
    if (branch == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        request_head(branch, end_stream);
    branch->is_asked |= end_stream;
    if (!branch->is_held && branch->conn == NULL)
        return 0;
    if (branch->is_chunked && end_stream)
        branch_say(branch, frame->hd.type == NGHTTP2_DATA ? "0\r\n\r\n" : "\r\n");
    branch_heard(branch);
    return 0;
}

/* Windows are opened again at once, or by a whim. */
static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *user)
{
    struct branch *branch = branch_at(session, id);

    (void)flags, (void)user;
    nghttp2_session_consume_connection(session, size);
    if (branch == NULL || chance(70))
        nghttp2_session_consume_stream(session, id, size);
    else
        branch->unconsumed_bytes += size;
    if (branch == NULL || (!branch->is_held && branch->conn == NULL) || size == 0)
        return 0;
    if (branch->is_chunked)
        branch_say(branch, "%zx\r\n", size);
    branch_text(branch, (const char *)bytes, size);
    if (branch->is_chunked)
        branch_text(branch, "\r\n", 2);
    branch_heard(branch);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct branch *branch = branch_at(session, id);
    struct trunk *trunk = user;

    if (branch == NULL)
        return 0;
    if (error != NGHTTP2_NO_ERROR)
        run_trace("origin %u: stream %d ends with %s", trunk->origin, id, nghttp2_http2_strerror(error));
    counts.origin_h2_below += branch->has_ended && trunk->has_goaway;
    if (branch->has_ended && chance(2) && !trunk_has_crowd(trunk))
        trunk->late = id;
    branch_done(branch);
    return 0;
}

/* WARP's messages are well formed; what it opened before it knew of a limit is refused. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct trunk *trunk = user;

    (void)session;
    if (error == NGHTTP2_ERR_REFUSED_STREAM)
        counts.origin_h2_over_limit++;
    else if (!trunk->is_spoiled)
        run_failed(-1, 0, "what an origin got is no HTTP/2: a frame of type %u on stream %d: %s", frame->hd.type,
                   frame->hd.stream_id, nghttp2_strerror(error));
    return 0;
}

static ssize_t select_padding(nghttp2_session *session, const nghttp2_frame *frame, size_t max, void *user)
{
    size_t more = chance(4) ? (size_t)between(1, 255) : 0;

    (void)session, (void)user;
    return (ssize_t)MIN(max, frame->hd.length + more);
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct branch *branch = branch_at(session, frame->hd.stream_id);

    (void)user;
    if (branch == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    branch->has_ended = true;
    if (branch->is_asked)
        return 0;
    counts.origin_h2_early++;
    if (chance(50)) /* RFC 9113 8.1: the rest of the upload is not wanted */
        branch_reset(branch, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- whims ------------------------------------------------------------------------------------------------------- */

static void whim_settings(struct trunk *trunk)
{
    static const uint32_t windows[] = {0, 1, 300, 16384, 65535, 200000, 1u << 20}, tables[] = {0, 64, 4096, 65536};
    nghttp2_settings_entry entries[4];
    size_t count = 0;

    if (chance(50))
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, windows[sim_random(ARRAY_LEN(windows))]};
    if (chance(50)) {
        uint32_t streams = chance(40) ? 100 : (uint32_t)between(chance(20) ? 0 : 1, 6);
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams};
        counts.origin_h2_limits++;
    }
    if (chance(20)) /* RFC 9113 6.5.2: to be ignored */
        entries[count++] = (nghttp2_settings_entry){0xf00d, 1};
    if (chance(20))
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, tables[sim_random(ARRAY_LEN(tables))]};
    counts.origin_h2_settings++;
    INVARIANT(nghttp2_submit_settings(trunk->session, NGHTTP2_FLAG_NONE, entries, count) == 0);
}

static void whim_windows(struct trunk *trunk)
{
    LIST_FOREACH (&trunk->branches, it) {
        struct branch *branch = container_of(it, struct branch, link);
        if (branch->is_open && branch->unconsumed_bytes > 0) {
            counts.origin_h2_windows++;
            (void)nghttp2_session_consume_stream(trunk->session, branch->id, branch->unconsumed_bytes);
        }
        branch->unconsumed_bytes = 0;
    }
    if (chance(20))
        (void)nghttp2_session_set_local_window_size(trunk->session, NGHTTP2_FLAG_NONE, 0, (int32_t)between(1000, 1u << 20));
}

/* Of the whole, in the middle of whatever runs: not without a word to a crowd. */
static void whim_end(struct trunk *trunk)
{
    if (trunk_has_crowd(trunk))
        return;
    counts.origin_h2_ends++;
    trunk_down(trunk, "a whim of the origin's");
}

static void whim_goaway(struct trunk *trunk)
{
    if (!trunk->has_notice && chance(50)) {
        trunk->has_notice = true; /* RFC 9113 6.8: in two steps */
        INVARIANT(nghttp2_submit_shutdown_notice(trunk->session) == 0);
    } else {
        trunk_goaway(trunk, draw_goaway());
    }
}

static void whim_fire(struct sim_timer *timer)
{
    struct trunk *trunk = container_of(timer, struct trunk, whim);
    unsigned which = (unsigned)sim_random(100);

    if (trunk->is_spoiled)
        run_failed(-1, 0, "a broken connection to an origin is still open after %llu s", (unsigned long long)(BROKEN_NS / NS_S));
    if (trunk->is_muted)
        which = 99;
    trunk->is_muted = false;
    sim_timer_set(timer, os_clock_ns() + between(0, chance(50) ? 100 * NS_MS : 2 * NS_S));
    whim_windows(trunk);
    if (which < 20) {
        counts.origin_h2_pings++;
        INVARIANT(nghttp2_submit_ping(trunk->session, NGHTTP2_FLAG_NONE, NULL) == 0);
    } else if (which < 40) {
        whim_settings(trunk);
    } else if (which < 60) {
        trunk_chatter(trunk);
    } else if (which < 65) {
        whim_goaway(trunk);
    } else if (which < 67) {
        whim_end(trunk);
        return;
    }
    trunk_flush(trunk);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void trunk_greet(struct trunk *trunk)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, chance(40) ? (uint32_t)between(1, 4) : 100},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, chance(50) ? 65535 : (uint32_t)between(100, 100000)},
    };

    INVARIANT(nghttp2_submit_settings(trunk->session, 0, entries, chance(20) ? 0 : ARRAY_LEN(entries)) == 0);
}

static void trunk_open(struct trunk *trunk)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    INVARIANT(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, select_padding);
    nghttp2_option_set_no_auto_window_update(option, 1);
    INVARIANT(nghttp2_session_server_new2(&trunk->session, callbacks, trunk, option) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    trunk_greet(trunk);
}

static bool has_other_trunk(unsigned origin)
{
    LIST_FOREACH (&trunks, it) {
        const struct trunk *trunk = container_of(it, struct trunk, link);
        if (trunk->origin == origin && trunk->session != NULL && !trunk->has_goaway)
            return true;
    }
    return false;
}

struct sim_peer *trunk_accepted(unsigned origin)
{
    struct trunk *trunk = calloc(1, sizeof(*trunk));

    INVARIANT(trunk != NULL);
    counts.origin_h2_connections++;
    counts.origin_h2_several += has_other_trunk(origin);
    trunk->peer = (struct sim_peer){.received = trunk_peer_received, .reset = trunk_peer_reset};
    trunk->origin = origin;
    trunk->whim.fire = whim_fire;
    list_init(&trunk->branches);
    list_push_back(&trunks, &trunk->link);
    trunk_open(trunk);
    trunk->is_muted = chance(30); /* the first SETTINGS take a while */
    sim_timer_set(&trunk->whim, os_clock_ns() + between(0, trunk->is_muted ? 30 * NS_MS : NS_S));
    return &trunk->peer;
}

void trunks_begin(void)
{
    list_init(&trunks);
    memset(posts_refused, 0, sizeof(posts_refused));
    memset(refusals, 0, sizeof(refusals));
}

void trunks_end(void)
{
    while (!list_is_empty(&trunks)) {
        struct trunk *trunk = container_of(list_first(&trunks), struct trunk, link);
        trunk_is_left(trunk, "the run is over");
        while (!list_is_empty(&trunk->branches)) {
            struct branch *branch = container_of(list_first(&trunk->branches), struct branch, link);
            list_remove(&branch->link);
            free(branch->text);
            free(branch);
        }
        list_remove(&trunk->link);
        free(trunk);
    }
}
