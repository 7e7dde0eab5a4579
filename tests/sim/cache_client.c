/* What clients ask, and how they behave while they do. */
#include "tests/sim/cache_client.h"
#include "tests/sim/cache_h2.h"

#include "http/date.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_NS (120 * NS_S)

struct client clients[CLIENTS_MAX];
const char *const client_codings[5] = {"", "gzip", "br", "gzip, br", "deflate;q=0.5"};

/* ---- ends ----------------------------------------------------------------------------------------------------- */

void client_over(struct client *client, const char *why, bool reset)
{
    if (client->done)
        return;
    client->done = true;
    run_trace("client %u: %s after %u of %u answers", client->id, why, client->answered, client->asked_count);
    wire_stop(&client->wire);
    sim_timer_stop(&client->step);
    sim_timer_stop(&client->watch);
    sim_timer_stop(&client->leave);
    sim_timer_stop(&client->unpause);
    if (client->carrier != NULL)
        carrier_leave(client);
    else if (reset)
        sim_reset(&client->peer);
    else
        sim_close(&client->peer);
}

void client_free(struct client *client)
{
    client_over(client, "the run is over", true);
    free(client->text);
    free(client->got.parts);
    client->text = client->got.parts = NULL;
}

static void watch_fire(struct sim_timer *timer)
{
    struct client *client = container_of(timer, struct client, watch);
    const struct asked *asked = &client->asked[MIN(client->answered, CLIENT_REQUESTS_MAX - 1)];

    run_failed((int)asked->url, client->id, "I6: 120 s without an answer or an end (request %u of %u, got %llu bytes of %llu)",
               client->answered, client->asked_count, (unsigned long long)client->got.at,
               (unsigned long long)client->got.to);
}

static void client_watch(struct client *client)
{
    sim_timer_set(&client->watch, os_clock_ns() + WATCH_NS);
}

static void leave_fire(struct sim_timer *timer)
{
    struct client *client = container_of(timer, struct client, leave);

    counts.left++;
    client_over(client, "leaves", chance(50));
}

static void client_pause(struct client *client, bool paused)
{
    if (client->carrier != NULL)
        carrier_pause(client, paused);
    else
        sim_pause(&client->peer, paused);
}

static void unpause_fire(struct sim_timer *timer)
{
    struct client *client = container_of(timer, struct client, unpause);

    client_watch(client);
    client_pause(client, false);
}

static void client_maybe_pause(struct client *client)
{
    bool stops = client->stops_reading && chance(20);

    if (client->done || !(stops || (client->pauses && chance(5))))
        return;
    client->stops_reading = client->stops_reading && !stops; /* once is enough */
    counts.stopped_reading += stops;
    run_trace("client %u: stops reading%s", client->id, stops ? " for long" : "");
    sim_timer_stop(&client->watch);
    client_pause(client, true);
    sim_timer_set(&client->unpause, os_clock_ns() + (stops ? between(40 * NS_S, 90 * NS_S) : between(0, 2 * NS_S)));
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* How far the text may go out now. */
static size_t client_limit(const struct client *client)
{
    if (client->is_pipelined)
        return client->text_bytes;
    return client->answered < client->asked_count ? client->asked[client->answered].end : client->text_bytes;
}

static void asked_begins(struct asked *asked)
{
    if (asked->method == ASKED_PURGE) {
        model_moved(asked->url); /* what is stored shows from now on */
        asked->purge_version = model_urls[asked->url].version;
    }
    asked->version_min = model_urls[asked->url].version_min;
}

static void client_send(struct client *client)
{
    size_t limit = client_limit(client), n, most;

    if (client->done || !client->connected || client->text_at >= limit)
        return;
    n = limit - client->text_at;
    most = chance(70) ? between(1, 60) : between(1, 4000);
    if (client->is_splitting)
        n = MIN(n, most);
    for (unsigned i = 0; i < client->asked_count; i++) {
        struct asked *asked = &client->asked[i];
        if (asked->begin >= client->text_at && asked->begin < client->text_at + n)
            asked_begins(asked);
    }
    if (client->carrier != NULL)
        carrier_send(client, client->text + client->text_at, n);
    else
        sim_send(&client->peer, client->text + client->text_at, n);
    if (client->done)
        return; /* its connection takes no more requests */
    client->text_at += n;
    if (client->text_at < limit)
        sim_timer_set(&client->step, os_clock_ns() + between(0, 15 * NS_MS));
    else if (client->half_closes && client->text_at == client->text_bytes && !client->fin_sent) {
        client->fin_sent = true;
        counts.half_closed++;
        sim_finish(&client->peer);
    }
}

void client_answered(struct client *client)
{
    client->answered++;
    client_watch(client);
    if (client->answered < client->asked_count) {
        if (client->carrier != NULL) /* the rest of a request that was answered early is not sent: its stream is over */
            client->text_at = client->asked[client->answered].begin;
        client_send(client);
        return;
    }
    if (client->lingers || client->half_closes)
        return; /* waits for WARP's FIN */
    client_over(client, "has all answers", false);
}

static void step_fire(struct sim_timer *timer);

void client_connected(struct client *client, int32_t result)
{
    if (client->done)
        return;
    if (result != 0) {
        client_over(client, "cannot connect", false);
        return;
    }
    client->connected = true;
    client_watch(client);
    client_send(client);
}

/* Its slices have gone, and what the origin has now is another version. */
static bool may_be_cut(const struct client *client)
{
    return run.slice_bytes > 0 && client->got.has_mark && client->got.mark.version != model_urls[client->asked[0].url].version;
}

void client_ended(struct client *client, const char *why)
{
    if (client->is_crowd && client->answered == 0 && os_clock_ns() > run.last_outage_ns + 10 * NS_S && !may_be_cut(client))
        run_failed((int)client->asked[0].url, client->id, "%s before the answer of a good origin was complete", why);
    if (client->got.has_mark && client->got.at < client->got.to)
        counts.cut_answers++;
    client_over(client, why, false);
}

void client_feed(struct client *client, const char *data, size_t size)
{
    if (client->done)
        return;
    if (!wire_feed(&client->wire, data, size))
        run_failed((int)client->asked[MIN(client->answered, CLIENT_REQUESTS_MAX - 1)].url, client->id,
                   "an answer is no HTTP: %.60s", client->wire.head);
    client_maybe_pause(client);
}

static void peer_connected(struct sim_peer *peer, int32_t result)
{
    client_connected(container_of(peer, struct client, peer), result);
}

static void peer_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct client *client = container_of(peer, struct client, peer);

    if (size > 0) {
        client_feed(client, data, size);
    } else if (!client->done) {
        (void)wire_fin(&client->wire); /* in the middle: a visible end */
        client_ended(client, "FIN");
    }
}

static void peer_reset(struct sim_peer *peer)
{
    struct client *client = container_of(peer, struct client, peer);

    if (!client->done)
        client_ended(client, "RST");
}

static void step_fire(struct sim_timer *timer)
{
    struct client *client = container_of(timer, struct client, step);
    struct os_address to;

    if (client->connected) {
        client_send(client);
        return;
    }
    if (client->carrier != NULL) {
        carrier_join(client);
        return;
    }
    INVARIANT(err_is_ok(os_address_parse(SLICE("10.9.9.9:8080"), &to)));
    sim_connect(&client->peer, &to, NULL);
}

/* ---- the text of requests ------------------------------------------------------------------------------------------ */

static void append(struct client *client, const void *bytes, size_t size)
{
    client->text = realloc(client->text, client->text_bytes + size);
    INVARIANT(client->text != NULL);
    memcpy(client->text + client->text_bytes, bytes, size);
    client->text_bytes += size;
}

static void say(struct client *client, const char *format, ...) PRINTF(2, 3);
static void say(struct client *client, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    append(client, line, strlen(line));
}

static void say_condition(struct client *client, struct asked *asked)
{
    struct mark mark = model_mark(asked->url, model_variant(asked->url, asked->coding), 0, 200);
    char date[DATE_BYTES];

    mark.version -= mark.version > 0 && chance(40);
    asked->condition_version = mark.version;
    model_etag(&mark, asked->condition, sizeof(asked->condition));
    if (asked->condition[0] != '\0') {
        say(client, "If-None-Match: \"other\", %s\r\n", asked->condition);
    } else if (model_urls[asked->url].validator == MODEL_DATE) {
        strcpy(asked->condition, "date");
        date_format(model_date_s(&mark), date);
        say(client, "If-Modified-Since: %.*s\r\n", (int)DATE_BYTES, date);
    }
}

static void say_range(struct client *client, struct asked *asked)
{
    struct mark mark = model_mark(asked->url, model_variant(asked->url, asked->coding), 0, 200);
    unsigned length = MAX(mark.length, 1u), a = (unsigned)sim_random(length), b = a + (unsigned)sim_random(length);

    switch (sim_random(6)) {
    case 0:
        snprintf(asked->range, sizeof(asked->range), "bytes=%u-", a);
        break;
    case 1:
        snprintf(asked->range, sizeof(asked->range), "bytes=-%u", 1 + a);
        break;
    case 2:
        snprintf(asked->range, sizeof(asked->range), "bytes=0-%u,%u-%u", a / 4, a / 2 + 1, a / 2 + 1 + b / 4);
        break;
    case 3:
        snprintf(asked->range, sizeof(asked->range), "bytes=99999999-");
        break;
    default:
        snprintf(asked->range, sizeof(asked->range), "bytes=%u-%u", a, b);
        break;
    }
    say(client, "Range: %s\r\n", asked->range);
    if (chance(30) && model_urls[asked->url].validator == MODEL_STRONG) {
        mark.version -= mark.version > 0 && chance(30);
        model_etag(&mark, asked->if_range, sizeof(asked->if_range));
        say(client, "If-Range: %s\r\n", asked->if_range);
    }
}

static void say_chunks(struct client *client, const char *bytes, size_t size, bool breaks)
{
    for (size_t at = 0; at < size;) {
        size_t n = (size_t)between(1, MIN(size - at, (size_t)7000));
        say(client, "%zx%s\r\n", n, chance(10) ? ";ext=1" : "");
        append(client, bytes + at, n);
        say(client, breaks && at + n >= size ? "oops" : "\r\n");
        at += n;
    }
    say(client, "0\r\n%s\r\n", chance(20) ? "X-Trailer: 1\r\n" : "");
}

static void say_upload(struct client *client, struct asked *asked, unsigned index)
{
    bool no_length = chance(50) || asked->upload_is_bad, chunked = no_length && client->carrier == NULL;
    char *bytes = malloc(asked->upload_bytes + 1u);

    INVARIANT(bytes != NULL);
    model_upload(client->id, index, bytes, asked->upload_bytes);
    say(client, "X-Upload: %u\r\n%s%s", asked->upload_bytes, asked->upload_is_bad ? "X-Bad: 1\r\n" : "",
        chance(20) ? "Expect: 100-continue\r\n" : "");
    if (chunked) {
        say(client, "Transfer-Encoding: chunked\r\n\r\n");
        say_chunks(client, bytes, asked->upload_bytes, asked->upload_is_bad);
    } else {
        if (no_length)
            say(client, "\r\n");
        else
            say(client, "Content-Length: %u\r\n\r\n", asked->upload_bytes);
        append(client, bytes, asked->upload_bytes);
    }
    free(bytes);
    counts.uploads++;
}

static void say_malformed(struct client *client)
{
    static const char *const junk[] = {
        "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", "GET /\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nBad Name: 1\r\n\r\n", "GET / HTTP/1.1\nHost: a.test\n\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5, 6\r\n\r\nhello", "GET / HTTP/1.1\r\nHost: a.test\r\nX: 1\r\n y\r\n\r\n",
        "GET / HTTP/3.1\r\nHost: a.test\r\n\r\n", "GET http://[::1/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nNever" /* ends */};
    unsigned which = (unsigned)sim_random(ARRAY_LEN(junk));

    append(client, junk[which], strlen(junk[which]));
    if (which == ARRAY_LEN(junk) - 1 && chance(50))
        for (unsigned i = 0; i < 200; i++)
            append(client, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 100);
    counts.malformed++;
}

static void say_get(struct client *client, struct asked *asked)
{
    static const char *const controls[] = {"no-cache", "max-age=0", "no-store", "max-stale=5", "only-if-cached"};

    if (asked->method == ASKED_GET && chance(25))
        say_range(client, asked);
    if (chance(20))
        say_condition(client, asked);
    if (chance(10)) {
        const char *control = controls[sim_random(ARRAY_LEN(controls))];
        asked->only_if_cached = strcmp(control, "only-if-cached") == 0;
        say(client, "Cache-Control: %s\r\n", control);
    }
    say(client, "\r\n");
}

static void say_request(struct client *client, struct asked *asked, unsigned index)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PURGE"};
    const struct model_url *url = &model_urls[asked->url];

    say(client, "%s %s HTTP/1.%u\r\nHost: %s\r\nX-Client: %u.%u\r\n", methods[asked->method], url->target,
        asked->is_http10 ? 0u : 1u, url->host, client->id, index);
    if (asked->is_http10 && chance(50))
        say(client, "Connection: keep-alive\r\n");
    else if (chance(3))
        say(client, "Connection: close\r\n");
    if (asked->coding[0] != '\0')
        say(client, "Accept-Encoding: %s\r\n", asked->coding);
    if (asked->has_cookie)
        say(client, "Cookie: id=c%u\r\n", client->id);
    if (asked->method == ASKED_PURGE)
        say(client, "Authorization: Bearer %s\r\n", chance(80) ? CLIENT_TOKEN : "wrong");
    else if (asked->is_authorized)
        say(client, "Authorization: Bearer c%u\r\n", client->id);
    if (asked->method == ASKED_POST)
        say_upload(client, asked, index);
    else if (asked->method == ASKED_PURGE)
        say(client, "\r\n");
    else
        say_get(client, asked);
}

/* ---- planning ---------------------------------------------------------------------------------------------------------- */

/* A few URLs get most of the requests, so that they meet. */
static uint32_t draw_url(void)
{
    static const uint32_t hot[] = {0, 5, 8, 13, 16, 20, 24, 28, 32};
    uint32_t url;

    if (chance(60))
        return hot[sim_random(ARRAY_LEN(hot))];
    do {
        url = (uint32_t)sim_random(MODEL_URLS);
    } while (model_urls[url].kind == MODEL_CROWD);
    return url;
}

static void draw_request(struct asked *asked, int herd_url)
{
    enum model_kind kind;

    *asked = (struct asked){.url = herd_url >= 0 ? (uint32_t)herd_url : draw_url(), .method = ASKED_GET};
    kind = model_urls[asked->url].kind;
    asked->is_malformed = herd_url < 0 && chance(3);
    if (chance(herd_url >= 0 ? 3 : 25) && !asked->is_malformed)
        asked->method = chance(40) ? ASKED_HEAD : chance(80) ? ASKED_POST : ASKED_PURGE;
    asked->coding = client_codings[sim_random(ARRAY_LEN(client_codings))];
    asked->is_http10 = chance(6);
    asked->is_authorized = kind == MODEL_SECRET ? chance(50) : chance(3);
    asked->has_cookie = kind == MODEL_COOKIE ? chance(50) : chance(10);
    if (asked->method == ASKED_POST) {
        asked->upload_bytes = chance(30) ? 0 : (uint32_t)between(1, chance(20) ? 60000 : 3000);
        asked->is_http10 = false;
        asked->upload_is_bad = asked->upload_bytes > 0 && chance(6);
    }
}

static void client_init(struct client *client, struct carrier *carrier, unsigned id, uint64_t at_ns)
{
    *client = (struct client){
        .peer = {.connected = peer_connected, .received = peer_received, .reset = peer_reset},
        .carrier = carrier,
        .step = {.fire = step_fire},
        .watch = {.fire = watch_fire},
        .leave = {.fire = leave_fire},
        .unpause = {.fire = unpause_fire},
        .id = id,
    };
    wire_init(&client->wire, &client_events);
    sim_timer_set(&client->step, at_ns);
}

void client_plan(struct client *client, struct carrier *carrier, unsigned id, uint64_t at_ns, int herd_url)
{
    client_init(client, carrier, id, at_ns);
    client->asked_count = (unsigned)between(1, 6);
    client->is_pipelined = carrier == NULL && chance(30);
    client->is_splitting = chance(30);
    client->half_closes = carrier == NULL && chance(15);
    client->pauses = chance(herd_url >= 0 ? 50 : 20);
    client->stops_reading = chance(4);
    client->lingers = carrier == NULL && chance(15);
    if (chance(20))
        sim_timer_set(&client->leave, at_ns + (chance(50) ? between(0, 400 * NS_MS) : between(0, 6 * NS_S)));
    for (unsigned i = 0; i < client->asked_count; i++) {
        struct asked *asked = &client->asked[i];
        draw_request(asked, i == 0 ? herd_url : -1);
        asked->begin = client->text_bytes;
        asked->is_http10 = asked->is_http10 && carrier == NULL;
        if (asked->is_malformed && carrier == NULL)
            say_malformed(client);
        else
            say_request(client, asked, i);
        asked->end = client->text_bytes;
        if (asked->is_malformed || asked->upload_is_bad)
            client->asked_count = i + 1; /* nothing is owed behind it */
    }
}

void client_plan_crowd(struct client *client, struct carrier *carrier, unsigned id, uint64_t at_ns, uint32_t url)
{
    struct asked *asked = &client->asked[0];

    client_init(client, carrier, id, at_ns);
    client->asked_count = 1;
    *asked = (struct asked){.url = url, .method = ASKED_GET, .coding = client_codings[sim_random(ARRAY_LEN(client_codings))]};
    client->is_splitting = chance(20);
    client->pauses = chance(20);
    say(client, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Client: %u.0\r\n%s%s%s\r\n", model_urls[url].target, model_urls[url].host, id,
        asked->coding[0] != '\0' ? "Accept-Encoding: " : "", asked->coding, asked->coding[0] != '\0' ? "\r\n" : "");
    asked->end = client->text_bytes;
    if (chance(20)) /* late enough for the others to have come */
        sim_timer_set(&client->leave, at_ns + between(1500 * NS_MS, 4 * NS_S));
    client->is_crowd = true;
}
