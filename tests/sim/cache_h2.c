#include "tests/sim/cache_h2.h"

#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX 24u

/* A client's request and answer under way. */
struct h2_exchange {
    struct client *client;
    int32_t id;          /* 0: not sent yet */
    char *text;          /* the request's, so far */
    size_t text_bytes, body_at, body_left; /* body_left: of the text that is still to come and to go */
    bool is_waiting;     /* nghttp2 has asked for more of the text than there is, and is told when more comes */
    bool is_chunked, has_head, has_ended, is_paused;
    size_t unconsumed_bytes;
    char head[WIRE_HEAD_MAX]; /* of the answer, or its trailers */
    size_t head_bytes;
};

struct carrier {
    struct sim_peer peer;
    nghttp2_session *session;
    struct h2_exchange exchanges[CLIENTS_MAX];
    unsigned exchange_count;
    unsigned members_left;
    bool is_connecting, is_connected, is_over;
    bool is_busy; /* inside a call of nghttp2: its callbacks may not call it again, nor end it */
};

static struct carrier *carriers[CLIENTS_MAX];
static unsigned carrier_count;

/* ---- the answer, as text --------------------------------------------------------------------------------------- */

static void head_say(struct h2_exchange *exchange, const char *format, ...) PRINTF(2, 3);
static void head_say(struct h2_exchange *exchange, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(exchange->head + exchange->head_bytes, sizeof(exchange->head) - exchange->head_bytes, format, args);
    va_end(args);
    INVARIANT(n >= 0 && exchange->head_bytes + (size_t)n < sizeof(exchange->head));
    exchange->head_bytes += (size_t)n;
}

/* The client may end its exchange in here. */
static void say_to_client(struct h2_exchange *exchange, const char *bytes, size_t size)
{
    if (exchange->client != NULL)
        client_feed(exchange->client, bytes, size);
}

static void answer_head_complete(struct h2_exchange *exchange)
{
    unsigned status = (unsigned)atoi(exchange->head + 9);
    bool is_head = strncmp(exchange->text, "HEAD ", 5) == 0;

    exchange->has_head = status >= 200;
    exchange->is_chunked = exchange->has_head && status != 204 && status != 304 && !is_head &&
                           strcasestr(exchange->head, "\r\ncontent-length:") == NULL;
    head_say(exchange, exchange->is_chunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n");
    say_to_client(exchange, exchange->head, exchange->head_bytes);
    exchange->head_bytes = 0;
}

static void answer_end(struct h2_exchange *exchange)
{
    exchange->has_ended = true;
    if (exchange->client == NULL)
        return;
    if (exchange->is_chunked) {
        head_say(exchange, "\r\n");
        say_to_client(exchange, "0\r\n", 3);
        say_to_client(exchange, exchange->head, exchange->head_bytes);
    }
    exchange->head_bytes = 0;
    if (exchange->client != NULL && !wire_is_between(&exchange->client->wire))
        run_failed((int)exchange->client->asked[exchange->client->answered].url, exchange->client->id,
                   "I1: END_STREAM in the middle of an answer");
}

static void answer_data(struct h2_exchange *exchange, const char *bytes, size_t size)
{
    char mark[24];

    if (exchange->is_chunked && size > 0) {
        snprintf(mark, sizeof(mark), "%zx\r\n", size);
        say_to_client(exchange, mark, strlen(mark));
    }
    say_to_client(exchange, bytes, size);
    if (exchange->is_chunked && size > 0)
        say_to_client(exchange, "\r\n", 2);
}

/* ---- nghttp2's events ------------------------------------------------------------------------------------------- */

static struct h2_exchange *exchange_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2_exchange *exchange = exchange_at(session, frame->hd.stream_id);

    (void)flags, (void)user;
    if (exchange == NULL)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        exchange->head_bytes = 0;
        head_say(exchange, "HTTP/1.1 %.*s \r\n", (int)value_len, (const char *)value);
    } else {
        head_say(exchange, "%.*s: %.*s\r\n", (int)name_len, (const char *)name, (int)value_len, (const char *)value);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_exchange *exchange = exchange_at(session, frame->hd.stream_id);

    (void)user;
    if (exchange == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !exchange->has_head)
        answer_head_complete(exchange);
    else if (frame->hd.type == NGHTTP2_HEADERS)
        counts.trailers++;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        answer_end(exchange);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *user)
{
    struct h2_exchange *exchange = exchange_at(session, id);

    (void)flags, (void)user;
    nghttp2_session_consume_connection(session, size); /* one that pauses is not in the way of the others */
    if (exchange == NULL || !exchange->is_paused)
        nghttp2_session_consume_stream(session, id, size);
    else
        exchange->unconsumed_bytes += size;
    if (exchange != NULL)
        answer_data(exchange, (const char *)bytes, size);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct h2_exchange *exchange = exchange_at(session, id);

    (void)user;
    if (exchange == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    exchange->id = 0;
    if (exchange->client != NULL && !exchange->has_ended) {
        run_trace("client %u: its stream ends with %s", exchange->client->id, nghttp2_http2_strerror(error));
        client_ended(exchange->client, "RST_STREAM");
    }
    return 0;
}

/* After GOAWAY: the stream was never opened. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct carrier *carrier = user;

    (void)session, (void)error;
    for (unsigned i = 0; i < carrier->exchange_count && frame->hd.type == NGHTTP2_HEADERS; i++) {
        struct h2_exchange *exchange = &carrier->exchanges[i];
        if (exchange->id != frame->hd.stream_id)
            continue;
        exchange->id = 0;
        if (exchange->client != NULL)
            client_ended(exchange->client, "GOAWAY");
    }
    return 0;
}

static nghttp2_session *session_new(struct carrier *carrier)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, chance(50) ? 65535 : (uint32_t)between(1000, 200000)}};

    INVARIANT(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    nghttp2_option_set_no_auto_window_update(option, 1);
    INVARIANT(nghttp2_session_client_new2(&session, callbacks, carrier, option) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    INVARIANT(nghttp2_submit_settings(session, 0, settings, ARRAY_LEN(settings)) == 0);
    return session;
}

/* ---- the connection ------------------------------------------------------------------------------------------------ */

static void carrier_flush(struct carrier *carrier)
{
    const uint8_t *bytes;
    ssize_t size;

    if (carrier->is_busy || !carrier->is_connected)
        return;
    carrier->is_busy = true;
    while ((size = nghttp2_session_mem_send(carrier->session, &bytes)) > 0)
        sim_send(&carrier->peer, bytes, (size_t)size);
    carrier->is_busy = false;
    INVARIANT(size == 0);
}

/* The connection is gone: who has not ended yet sees it; who comes later begins another one. */
static void carrier_down(struct carrier *carrier, const char *why)
{
    nghttp2_session *session = carrier->session;

    carrier->session = NULL;
    carrier->is_connected = carrier->is_connecting = false;
    for (unsigned i = 0; i < carrier->exchange_count; i++) {
        struct client *client = carrier->exchanges[i].client;
        carrier->exchanges[i].id = 0;
        if (client != NULL && !client->done && client->connected)
            client_ended(client, why);
    }
    nghttp2_session_del(session);
}

static void carrier_close(struct carrier *carrier)
{
    if (carrier->is_over || carrier->members_left > 0 || carrier->is_busy)
        return;
    carrier->is_over = true;
    if (carrier->is_connected && chance(70)) {
        (void)nghttp2_session_terminate_session(carrier->session, NGHTTP2_NO_ERROR);
        carrier_flush(carrier);
    }
    if (carrier->is_connected || carrier->is_connecting) {
        if (chance(20))
            sim_reset(&carrier->peer);
        else
            sim_close(&carrier->peer);
    }
    carrier_down(carrier, "its connection is over");
}

static void carrier_connected(struct sim_peer *peer, int32_t result)
{
    struct carrier *carrier = container_of(peer, struct carrier, peer);

    carrier->is_connecting = false;
    carrier->is_connected = result == 0;
    counts.h2_connections += result == 0;
    for (unsigned i = 0; i < carrier->exchange_count; i++) {
        struct client *client = carrier->exchanges[i].client;
        if (client != NULL && !client->done && !client->connected && client->has_joined)
            client_connected(client, result);
    }
    if (result != 0)
        return;
    carrier_flush(carrier);
    carrier_close(carrier);
}

static void carrier_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct carrier *carrier = container_of(peer, struct carrier, peer);
    ssize_t taken;

    if (carrier->is_over)
        return;
    if (size == 0) {
        sim_close(peer);
        carrier_down(carrier, "FIN");
        return;
    }
    carrier->is_busy = true;
    taken = nghttp2_session_mem_recv(carrier->session, (const uint8_t *)data, size);
    carrier->is_busy = false;
    if (taken != (ssize_t)size)
        run_failed(-1, carrier->exchange_count > 0 && carrier->exchanges[0].client != NULL ? carrier->exchanges[0].client->id : 0,
                   "what a client got is no HTTP/2: %s", nghttp2_strerror((int)taken));
    carrier_flush(carrier);
    carrier_close(carrier);
}

static void carrier_reset(struct sim_peer *peer)
{
    struct carrier *carrier = container_of(peer, struct carrier, peer);

    if (!carrier->is_over)
        carrier_down(carrier, "RST");
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static struct h2_exchange *exchange_of(struct client *client)
{
    struct carrier *carrier = client->carrier;

    for (unsigned i = 0; i < carrier->exchange_count; i++)
        if (carrier->exchanges[i].client == client)
            return &carrier->exchanges[i];
    return NULL;
}

static ssize_t upload_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct h2_exchange *exchange = source->ptr;
    size_t n = MIN(size, exchange->text_bytes - exchange->body_at);

    (void)session, (void)id, (void)user;
    n = MIN(n, (size_t)between(1, 5000));
    n = MIN(n, exchange->text_bytes - exchange->body_at);
    if (n == 0 && exchange->body_left > 0) {
        exchange->is_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    memcpy(into, exchange->text + exchange->body_at, n);
    exchange->body_at += n;
    exchange->body_left -= n;
    if (exchange->body_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv_of(const char *name, const char *value, size_t value_len)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), value_len, NGHTTP2_NV_FLAG_NONE};
}

/* "Name: value" lines of the text's head; names become small. Returns how many there are now. */
static unsigned fields_of(char *at, nghttp2_nv *nva, unsigned count)
{
    while (strncmp(at, "\r\n", 2) != 0) {
        char *colon = strchr(at, ':'), *end = strstr(at, "\r\n");
        INVARIANT(colon != NULL && end != NULL && count < FIELDS_MAX);
        *colon = '\0';
        for (char *c = at; *c != '\0'; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        if (strcmp(at, "host") == 0)
            nva[3] = nv_of(":authority", colon + 2, (size_t)(end - colon) - 2);
        else if (strcmp(at, "connection") != 0)
            nva[count++] = nv_of(at, colon + 2, (size_t)(end - colon) - 2);
        at = end + 2;
    }
    return count;
}

/* What HTTP/1 knows as well, and what only HTTP/2 has; all are malformed (RFC 9113 8.1.1, 8.2). */
static unsigned fields_spoil(nghttp2_nv *nva, unsigned count)
{
    static const char *const junk[][2] = {{"x", "a\rb"},            {"connection", "close"},     {"transfer-encoding", "chunked"},
                                          {"te", "gzip"},         {"x y", "1"},                {"x", "1\r\ny: 2"},
                                          {":late", "1"},         {"content-length", "5, 6"},  {"host", "other.test"},
                                          {"upgrade", "h2c"},     {"x", "a\nb"},               {"", "nameless"}};
    unsigned which = (unsigned)sim_random(ARRAY_LEN(junk) + 2);

    if (which < ARRAY_LEN(junk))
        nva[count++] = nv_of(junk[which][0], junk[which][1], strlen(junk[which][1]));
    else if (which == ARRAY_LEN(junk))
        nva[2] = nv_of(":path", "no-slash", 8);
    else
        nva[1] = nv_of(":scheme", "https", 5);
    counts.malformed++;
    return count;
}

static void exchange_begin(struct h2_exchange *exchange, size_t head_bytes)
{
    struct client *client = exchange->client;
    struct asked *asked = &client->asked[client->answered];
    char head[WIRE_HEAD_MAX], *target, *end;
    nghttp2_nv nva[FIELDS_MAX + 1];
    nghttp2_data_provider upload = {{.ptr = exchange}, upload_read};
    unsigned count;

    INVARIANT(head_bytes < sizeof(head));
    memcpy(head, exchange->text, head_bytes);
    head[head_bytes] = '\0';
    target = strchr(head, ' ');
    *target++ = '\0';
    end = strchr(target, ' ');
    *end = '\0';
    nva[0] = nv_of(":method", head, strlen(head));
    nva[1] = nv_of(":scheme", "http", 4);
    nva[2] = nv_of(":path", target, strlen(target));
    count = fields_of(strstr(end + 1, "\r\n") + 2, nva, 4);
    if (asked->is_malformed)
        count = fields_spoil(nva, count);
    exchange->body_at = head_bytes;
    exchange->body_left = asked->end - asked->begin - head_bytes;
    exchange->has_head = exchange->has_ended = exchange->is_chunked = exchange->is_waiting = false;
    exchange->head_bytes = 0;
    exchange->id = nghttp2_submit_request(client->carrier->session, NULL, nva, count, exchange->body_left > 0 ? &upload : NULL,
                                          exchange);
    INVARIANT(exchange->id > 0 || exchange->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE);
    counts.h2_streams++;
}

static void exchange_forget(struct h2_exchange *exchange, struct carrier *carrier)
{
    if (exchange->id > 0 && carrier->session != NULL) {
        (void)nghttp2_session_set_stream_user_data(carrier->session, exchange->id, NULL);
        if (!exchange->has_ended || exchange->body_left > 0)
            (void)nghttp2_submit_rst_stream(carrier->session, NGHTTP2_FLAG_NONE, exchange->id, NGHTTP2_CANCEL);
    }
    exchange->id = 0;
    exchange->body_left = 0;
    exchange->unconsumed_bytes = 0;
}

void carrier_send(struct client *client, const char *bytes, size_t size)
{
    struct carrier *carrier = client->carrier;
    struct h2_exchange *exchange = exchange_of(client);
    struct asked *asked = &client->asked[client->answered];
    char *end;

    if (exchange->text == NULL || client->text_at == asked->begin) { /* another request */
        free(exchange->text);
        exchange->text = calloc(1, asked->end - asked->begin + 1);
        INVARIANT(exchange->text != NULL);
        exchange->text_bytes = 0;
        exchange_forget(exchange, carrier); /* one that was answered before it was asked in full */
    }
    memcpy(exchange->text + exchange->text_bytes, bytes, size);
    exchange->text_bytes += size;
    end = strstr(exchange->text, "\r\n\r\n");
    if (exchange->id == 0 && end != NULL)
        exchange_begin(exchange, (size_t)(end + 4 - exchange->text));
    else if (exchange->is_waiting)
        (void)nghttp2_session_resume_data(carrier->session, exchange->id);
    exchange->is_waiting = false;
    if (exchange->id > 0 && asked->upload_is_bad && exchange->text_bytes > (asked->end - asked->begin) / 2)
        (void)nghttp2_submit_rst_stream(carrier->session, NGHTTP2_FLAG_NONE, exchange->id, NGHTTP2_CANCEL);
    carrier_flush(carrier);
}

/* ---- members --------------------------------------------------------------------------------------------------------- */

void carrier_join(struct client *client)
{
    static const struct sim_peer peer = {.connected = carrier_connected, .received = carrier_received, .reset = carrier_reset};
    struct carrier *carrier = client->carrier;
    struct os_address to;

    INVARIANT(carrier->exchange_count < CLIENTS_MAX);
    carrier->exchanges[carrier->exchange_count++] = (struct h2_exchange){.client = client};
    client->has_joined = true;
    if (carrier->is_connected) {
        client_connected(client, 0);
        return;
    }
    if (carrier->is_connecting)
        return;
    carrier->session = session_new(carrier);
    carrier->peer = peer;
    carrier->is_connecting = true;
    INVARIANT(err_is_ok(os_address_parse(SLICE("10.9.9.9:8080"), &to)));
    sim_connect(&carrier->peer, &to, NULL);
}

void carrier_leave(struct client *client)
{
    struct carrier *carrier = client->carrier;
    struct h2_exchange *exchange = exchange_of(client);

    carrier->members_left--;
    if (exchange != NULL) {
        exchange->client = NULL;
        exchange_forget(exchange, carrier);
        if (carrier->session != NULL)
            carrier_flush(carrier);
    }
    carrier_close(carrier);
}

void carrier_pause(struct client *client, bool paused)
{
    struct h2_exchange *exchange = exchange_of(client);

    if (exchange == NULL)
        return;
    exchange->is_paused = paused;
    if (paused || exchange->unconsumed_bytes == 0 || client->carrier->session == NULL)
        return;
    if (exchange->id > 0)
        (void)nghttp2_session_consume_stream(client->carrier->session, exchange->id, exchange->unconsumed_bytes);
    exchange->unconsumed_bytes = 0;
    carrier_flush(client->carrier);
}

struct carrier *carrier_new(unsigned members)
{
    struct carrier *carrier = calloc(1, sizeof(*carrier));

    INVARIANT(carrier != NULL && carrier_count < CLIENTS_MAX);
    carrier->members_left = members;
    carriers[carrier_count++] = carrier;
    return carrier;
}

void carriers_begin(void)
{
    carrier_count = 0;
}

void carriers_end(void)
{
    for (unsigned i = 0; i < carrier_count; i++) {
        for (unsigned k = 0; k < carriers[i]->exchange_count; k++)
            free(carriers[i]->exchanges[k].text);
        free(carriers[i]);
    }
    carrier_count = 0;
}
