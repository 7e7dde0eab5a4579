/* The demo on a loopback port, on a thread of its own; the client is a blocking socket. */
#include "demo/demo.h"
#include "os/os.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (4u << 20)

static struct demo *demo;
static struct os_address address;
static struct os_event *listening;
static char *answer; /* of the last exchange; NUL-terminated */
static size_t answer_len;
static bool answer_was_reset;

static void on_started(void *arg, struct demo *started, const struct os_address *bound)
{
    (void)arg;
    demo = started;
    address = *bound;
    os_event_set(listening);
}

static void serve(void *arg)
{
    struct os_address any;

    (void)arg;
    if (!err_is_ok(os_address_parse(SLICE("127.0.0.1:0"), &any)) || !err_is_ok(demo_run(&any, on_started, NULL)))
        abort();
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &address.any, address.len), 0);
    return fd;
}

static ssize_t read_some(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&ready, 1, 10000), 1);
    n = recv(fd, answer + answer_len, ANSWER_BYTES_MAX - answer_len, 0);
    answer_len += n > 0 ? (size_t)n : 0;
    return n;
}

/* Until the server closes. */
static void read_answer(int fd)
{
    ssize_t n;

    answer_len = 0;
    while ((n = read_some(fd)) > 0)
        ;
    answer_was_reset = n < 0 && errno == ECONNRESET;
    answer[answer_len] = '\0';
    close(fd);
}

/* Sends bytes as they are, and reads until the server closes. */
static void ask_raw(const char *bytes)
{
    int fd = dial();

    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
    read_answer(fd);
}

static void ask(const char *method, const char *target, const char *fields)
{
    char head[2048];

    snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n%s\r\n", method, target, fields);
    ask_raw(head);
}

static void get(const char *target)
{
    ask("GET", target, "");
}

static bool says(const char *text)
{
    return strstr(answer, text) != NULL;
}

static unsigned status(void)
{
    assert_true(answer_len > 12);
    return (unsigned)atoi(answer + 9);
}

static const char *body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static size_t body_len(void)
{
    return answer_len - (size_t)(body() - answer);
}

/* The value of a field, copied. */
static const char *field(const char *name)
{
    static char value[512];
    char line[64];
    const char *at;

    snprintf(line, sizeof(line), "\r\n%s: ", name);
    at = strstr(answer, line);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(line), "%500[^\r]", value), 1);
    return value;
}

static unsigned counted(const char *path)
{
    char name[64];
    const char *at;

    get("/stats");
    snprintf(name, sizeof(name), "\"%s\":", path);
    at = strstr(body(), name);
    assert_non_null(at);
    return (unsigned)atoi(at + strlen(name));
}

static void files_have_cache_fields(void **state)
{
    (void)state;
    char fields[700], etag[512];

    get("/");
    assert_int_equal(status(), 200);
    assert_true(says("Cache-Control: public, max-age=60\r\n") && says("\r\nDate: ") && says("<title>Stillwater"));
    get("/lake.svg");
    assert_int_equal(status(), 200);
    assert_true(says("max-age=3600, stale-while-revalidate=86400") && says("Surrogate-Key: site pictures\r\n"));
    assert_true(says("Content-Type: image/svg+xml\r\n") && says("Last-Modified: Mon, 05 Jan 2026 08:00:00 GMT\r\n"));
    snprintf(etag, sizeof(etag), "%s", field("ETag"));
    snprintf(fields, sizeof(fields), "If-None-Match: \"other\", %s\r\n", etag);
    ask("GET", "/lake.svg", fields);
    assert_int_equal(status(), 304);
    assert_true(body_len() == 0 && says("ETag: ") && says("Cache-Control: ") && !says("Content-Type"));
    ask("GET", "/lake.svg", "If-Modified-Since: Mon, 05 Jan 2026 08:00:00 GMT\r\n");
    assert_int_equal(status(), 304);
    ask("GET", "/lake.svg", "If-Match: \"other\"\r\n");
    assert_int_equal(status(), 412);
    snprintf(fields, sizeof(fields), "Range: bytes=1-3\r\nIf-Range: %s\r\n", etag);
    ask("GET", "/lake.svg", fields);
    assert_int_equal(status(), 206);
    assert_string_equal(body(), "svg");
    ask("GET", "/lake.svg", "Range: bytes=1-3\r\nIf-Range: \"other\"\r\n");
    assert_int_equal(status(), 200);
    ask("HEAD", "/lake.svg", "");
    assert_true(status() == 200 && body_len() == 0 && atoi(field("Content-Length")) > 1000);
}

static void large_has_ranges(void **state)
{
    (void)state;
    get("/large?size=1m");
    assert_int_equal(status(), 200);
    assert_int_equal(body_len(), 1 << 20);
    assert_string_equal(field("ETag"), "\"large-1-1048576\"");
    ask("GET", "/large", "Range: bytes=64-76\r\n");
    assert_int_equal(status(), 206);
    assert_string_equal(field("Content-Range"), "bytes 64-76/104857600");
    assert_string_equal(body(), "000000000040 ");
    ask("GET", "/large?size=100", "Range: bytes=-1\r\n");
    assert_true(status() == 206 && body_len() == 1);
    ask("GET", "/large?size=100", "Range: bytes=100-\r\n");
    assert_int_equal(status(), 416);
    assert_string_equal(field("Content-Range"), "bytes */100");
    ask("GET", "/large?size=100", "Range: bytes=0-1,5-6\r\n");
    assert_true(status() == 200 && body_len() == 100);
    ask("HEAD", "/large?size=1g", "");
    assert_string_equal(field("Content-Length"), "1073741824");
    get("/large?size=0");
    assert_true(status() == 200 && body_len() == 0);
    get("/large?size=2g");
    assert_int_equal(status(), 400);
    get("/large?size=18446744073709551615k");
    assert_int_equal(status(), 400);
    get("/large?size=m");
    assert_int_equal(status(), 400);
}

static void slow_drips(void **state)
{
    (void)state;
    uint64_t begun = os_clock_ns();

    get("/slow?ms=300");
    assert_true(os_clock_ns() - begun >= 290000000);
    assert_true(status() == 200 && says("Transfer-Encoding: chunked") && says("max-age=30"));
    assert_true(says("The tripod goes up.") && says("</html>\n\r\n0\r\n\r\n"));
    /* without framing the end of the body ends the exchange, from inside the timer */
    ask_raw("GET /slow?ms=50 HTTP/1.0\r\n\r\n");
    assert_true(status() == 200 && !says("chunked") && says("The picture is written."));
    assert_string_equal(answer + answer_len - 8, "</html>\n");
}

static void dynamic_pages(void **state)
{
    (void)state;
    get("/search?q=%3Cscript%3E%22+%26");
    assert_true(status() == 200 && says("&lt;script&gt;&quot; &amp;") && !says("<script") && says("max-age=10"));
    get("/search");
    assert_int_equal(status(), 200);
    ask("GET", "/private", "Cookie: a=b; visits=41\r\n");
    assert_true(says("Cache-Control: private\r\n") && says("visit number <b>42</b>") && says("Set-Cookie: visits=42; "));
    ask("GET", "/private", "Cookie: visits=99999999999999999999999\r\n");
    assert_true(says("visit number <b>1</b>"));
    get("/time");
    assert_true(says("max-age=5, stale-while-revalidate=30") && strncmp(body(), "time 2", 6) == 0 && says("\nhits "));
    ask("GET", "/vary", "Accept-Language: it, de-AT;q=0.7, fr;q=0.71, en;q=0\r\n");
    assert_true(says("Content-Language: fr\r\n") && says("Vary: Accept-Language\r\n") && says("Bonjour"));
    get("/vary");
    assert_true(says("Content-Language: en\r\n"));
}

static void failures_on_request(void **state)
{
    (void)state;
    get("/fail");
    assert_int_equal(status(), 500);
    get("/fail?status=503");
    assert_true(status() == 503 && says("no-store"));
    get("/fail?status=200");
    assert_int_equal(status(), 400);
    get("/fail?cut=1");
    assert_true(status() == 200 && says("Content-Length: 100000") && answer_was_reset && body_len() < 100);
    get("/fail?after=2&key=a");
    assert_true(status() == 200 && says("max-age=1, stale-if-error=600"));
    get("/fail?after=2&key=b");
    assert_int_equal(status(), 200);
    get("/fail?after=2&key=a");
    assert_int_equal(status(), 200);
    get("/fail?after=2&key=a");
    assert_int_equal(status(), 503);
    get("/flaky/off");
    assert_true(status() == 200 && says("no-store"));
    get("/flaky");
    assert_int_equal(status(), 503);
    ask("HEAD", "/flaky/on", ""); /* safe: switches nothing */
    get("/flaky");
    assert_int_equal(status(), 503);
    get("/flaky/on");
    get("/flaky");
    assert_true(status() == 200 && says("max-age=2, stale-if-error=3600"));
}

static void methods_and_statuses(void **state)
{
    (void)state;
    ask("POST", "/time", "Content-Length: 0\r\n");
    assert_int_equal(status(), 405);
    assert_string_equal(field("Allow"), "GET, HEAD, OPTIONS");
    ask("GET", "/echo", "");
    assert_int_equal(status(), 405);
    assert_string_equal(field("Allow"), "POST, PUT, OPTIONS");
    ask("BREW", "/", "");
    assert_int_equal(status(), 405);
    ask("OPTIONS", "/", "");
    assert_int_equal(status(), 204);
    ask("OPTIONS", "*", "");
    assert_int_equal(status(), 204);
    get("/nowhere?<");
    assert_int_equal(status(), 404);
    assert_true(says("Cache-Control: public, max-age=5\r\n"));
    for (unsigned i = 200; i < 600; i += 1) {
        char target[32];
        snprintf(target, sizeof(target), "/status/%u", i);
        get(target);
        assert_int_equal(status(), i);
    }
    get("/status/600");
    assert_int_equal(status(), 400);
    get("/status/");
    assert_int_equal(status(), 400);
    get("/redirect");
    assert_true(status() == 302 && says("Location: /\r\n"));
    get("/redirect?status=308");
    assert_int_equal(status(), 308);
    ask_raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_int_equal(status(), 400);
}

static void tools(void **state)
{
    (void)state;
    unsigned before = counted("/time");

    get("/time");
    ask("HEAD", "/time", "");
    assert_int_equal(counted("/time"), before + 2);
    assert_true(counted("other") > 0 && counted("/status/*") > 0 && counted("/") > 0);
    ask("GET", "/headers?<b>", "X-Seen: <script>\r\n");
    assert_true(says("Content-Type: text/plain") && says("nosniff") && says("\r\n\r\nGET /headers?<b> HTTP/1.1\r\nHost: demo\r\n"));
    assert_true(says("\r\nX-Seen: <script>\r\n"));
}

static void echo_streams(void **state)
{
    (void)state;
    enum { BYTES = 2000000 };
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: demo\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n";
    char *sent = malloc(BYTES);
    size_t out = 0;
    int fd;

    ask_raw("POST /echo HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    assert_true(status() == 200 && says("no-store") && says("application/octet-stream"));
    assert_string_equal(body(), "hello");
    ask_raw("PUT /echo HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_string_equal(body(), "3\r\nabc\r\n0\r\n\r\n");
    ask_raw("POST /echo HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_true(status() == 200 && body_len() == 0);
    ask_raw("POST /echo HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_true(answer_was_reset || !says("0\r\n\r\n"));

    /* 100 (Continue) comes before the body does; then both directions move at once */
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (char)(i * 31 + i / 251);
    fd = dial();
    assert_int_equal(send(fd, head, sizeof(head) - 1, 0), sizeof(head) - 1);
    assert_int_equal(recv(fd, answer, 25, MSG_WAITALL), 25);
    assert_memory_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    answer_len = 0;
    while (out < BYTES) {
        struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
        ssize_t n = 0;
        assert_int_equal(poll(&ready, 1, 10000), 1);
        if (ready.revents & POLLOUT)
            n = send(fd, sent + out, BYTES - out, MSG_DONTWAIT | MSG_NOSIGNAL);
        out += n > 0 ? (size_t)n : 0;
        if (ready.revents & POLLIN)
            read_some(fd);
    }
    while (read_some(fd) > 0)
        ;
    answer[answer_len] = '\0';
    close(fd);
    assert_int_equal(status(), 200);
    assert_int_equal(body_len(), BYTES);
    assert_memory_equal(body(), sent, BYTES);
    free(sent);
}

static void events_come(void **state)
{
    (void)state;
    get("/events?n=2");
    assert_true(status() == 200 && says("text/event-stream") && says("no-store"));
    assert_true(says("retry: 2000\nid: 1\nevent: tick\ndata: {\"n\":1,") && says("id: 2\n") && !says("id: 3\n"));
    ask("HEAD", "/events", "");
    assert_true(status() == 200 && body_len() == 0);
}

/* Answers one after the other on one connection, asked for all at once. */
static void pipelined(void **state)
{
    (void)state;
    ask_raw("GET /time HTTP/1.1\r\nHost: a\r\n\r\nHEAD /large HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /slow?ms=20 HTTP/1.1\r\nHost: a\r\n\r\nGET /status/204 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_true(says("\nhits ") && says("Content-Length: 104857600") && says("The shutter opens.") && says("204 No Content"));
}

static void clients_leave(void **state)
{
    (void)state;
    static const char *const targets[] = {"/events", "/slow?ms=60000", "/large?size=1g", "/fail?cut=1"};

    for (unsigned i = 0; i < ARRAY_LEN(targets) * 5; i++) {
        char head[128];
        int fd = dial(), len = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[i % ARRAY_LEN(targets)]);
        assert_int_equal(send(fd, head, (size_t)len, 0), len);
        assert_true(recv(fd, answer, 100, 0) > 0);
        close(fd);
    }
    for (uint64_t until = os_clock_ns() + 10000000000u;; usleep(10000)) {
        get("/stats");
        if (says("\"connections\":1,"))
            break;
        assert_true(os_clock_ns() < until);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_have_cache_fields), cmocka_unit_test(large_has_ranges),
        cmocka_unit_test(slow_drips),              cmocka_unit_test(dynamic_pages),
        cmocka_unit_test(failures_on_request),     cmocka_unit_test(methods_and_statuses),
        cmocka_unit_test(tools),                   cmocka_unit_test(echo_streams),
        cmocka_unit_test(events_come),             cmocka_unit_test(pipelined),
        cmocka_unit_test(clients_leave),
    };
    struct os_thread *thread;
    int failed, endless;

    answer = malloc(ANSWER_BYTES_MAX + 1);
    listening = os_event_new();
    if (answer == NULL || listening == NULL || !err_is_ok(os_thread_start("demo", serve, NULL, &thread)))
        return 1;
    os_event_wait(listening, 10000000000u);
    failed = cmocka_run_group_tests(tests, NULL, NULL);

    endless = dial(); /* an answer without end does not keep it from stopping */
    if (send(endless, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n", 34, 0) != 34 || recv(endless, answer, 100, 0) <= 0)
        failed++;
    demo_stop(demo);
    demo_stop(demo);
    os_thread_join(thread);
    close(endless);
    os_event_free(listening);
    free(answer);
    return failed;
}
