/* load: a closed loop of requests that costs less than what it measures. Each connection sends a request,
 * reads the whole answer, checks it, sends the next. It ends with exit 1 and a line on standard error at the
 * first answer whose status, length or content is wrong.
 *
 *   load -b BODY_BYTES [options] PORT
 *     -c CONNECTIONS   -s SECONDS   -n REQUESTS   -w REQUESTS to warm with (all bytes are checked then)
 *     -k KIND of path  -x STATUS expected         -i send If-None-Match
 *     -p one|zipf|cycle|fresh   -o OBJECTS   -f FIRST   -m run|drip|idle
 *
 * Objects are numbered from FIRST: `one` asks for that, `cycle` for OBJECTS one after the other, `zipf` for
 * OBJECTS by a fixed table of ranks, `fresh` for a new one each time.
 *
 * `run` connects, warms, prints "ready", waits for a line on standard input, measures, prints a line of JSON.
 * `drip` asks once on each connection, with the times to the first and last byte of the body. `idle` asks
 * once on each connection, a few at a time, then holds them until standard input ends.
 *
 * While measuring, long bodies are not copied out: the kernel drops them (MSG_TRUNC) between pieces that are
 * compared with what belongs at that place, so that a lost or doubled byte shows. */
#include "hist.h"

#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES  (64u << 10)
#define DROP_BYTES    (1u << 20)
#define DROP_LEFT_MIN (96u << 10) /* below this much of a body, its rest is read */
#define PROBE_BYTES   16u
#define ZIPF_DRAWS    (1u << 17)
#define SILENCE_MS    20000
#define HOLD_AT_ONCE  32

enum mode {
    MODE_RUN,
    MODE_DRIP,
    MODE_IDLE
};
enum pick {
    PICK_ONE,
    PICK_ZIPF,
    PICK_CYCLE,
    PICK_FRESH
};

struct conn {
    int fd;
    bool in_body, waiting;
    uint64_t number; /* of the object asked for */
    uint64_t got;    /* of its body */
    uint64_t sent_ns, first_ns;
    size_t held; /* of a head that comes in pieces */
    char head[4096];
};

static struct {
    int connections, status;
    double seconds;
    uint64_t requests, warming, objects, first, size;
    enum mode mode;
    enum pick pick;
    bool if_none_match;
    const char *kind, *port;
} opt = {.connections = 64, .status = 200, .seconds = 0, .objects = 1, .kind = "size"};

static struct conn *conns;
static char buffer[BUFFER_BYTES];
static char request[512];
static size_t request_len, number_at[2];
static uint32_t *ranks;
static struct hist latency, firsts;
static int epoll;
static uint64_t issued, answered, bytes, stop_issuing_ns, quota, clock_ns;
static bool warming;

_Noreturn __attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

/* ---- which object next */

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Rank r with probability 1/r, the same draws in every run. */
static void ranks_draw(void)
{
    double *below = calloc(opt.objects, sizeof(*below)), sum = 0;
    uint64_t state = 20260101;

    ranks = calloc(ZIPF_DRAWS, sizeof(*ranks));
    if (below == NULL || ranks == NULL)
        fail("out of memory");
    for (uint64_t i = 0; i < opt.objects; i++)
        below[i] = sum += 1.0 / (double)(i + 1);
    for (uint32_t i = 0; i < ZIPF_DRAWS; i++) {
        double wanted = sum * ((double)(random_next(&state) >> 11) / 9007199254740992.0);
        uint64_t low = 0, high = opt.objects - 1;
        while (low < high) {
            uint64_t middle = (low + high) / 2;
            if (below[middle] < wanted)
                low = middle + 1;
            else
                high = middle;
        }
        ranks[i] = (uint32_t)low;
    }
    free(below);
}

static uint64_t number_next(void)
{
    uint64_t i = issued;

    switch (opt.pick) {
    case PICK_ONE:
        return opt.first;
    case PICK_ZIPF: /* while warming, each object */
        return opt.first + (warming ? i % opt.objects : ranks[i % ZIPF_DRAWS]);
    case PICK_CYCLE:
        return opt.first + i % opt.objects;
    case PICK_FRESH:
        break;
    }
    return opt.first + i;
}

static void request_prepare(void)
{
    int len = snprintf(request, sizeof(request), "GET /%s/%llu/0000000000 HTTP/1.1\r\nHost: bench.test\r\n",
                       opt.kind, (unsigned long long)opt.size);

    number_at[0] = (size_t)(strstr(request, "/0000000000") + 1 - request);
    if (opt.if_none_match) {
        len += snprintf(request + len, sizeof(request) - (size_t)len,
                        "User-Agent: load of the benchmark\r\nIf-None-Match: \"%llu-",
                        (unsigned long long)opt.size);
        number_at[1] = (size_t)len;
        len += snprintf(request + len, sizeof(request) - (size_t)len, "0000000000\"\r\n");
    }
    len += snprintf(request + len, sizeof(request) - (size_t)len, "\r\n");
    request_len = (size_t)len;
    if (!opt.if_none_match && request_len > PLAIN_HEAD_MAX)
        fail("plain request head too long for the floors");
}

static void request_number(uint64_t number)
{
    for (int i = 0; i < 2 && number_at[i] != 0; i++) {
        uint64_t left = number;
        for (size_t at = number_at[i] + 9; at >= number_at[i]; at--, left /= 10)
            request[at] = (char)('0' + left % 10);
    }
}

/* ---- one connection */

static void conn_send(struct conn *conn)
{
    conn->waiting = issued < quota && (stop_issuing_ns == 0 || clock_ns < stop_issuing_ns);
    if (!conn->waiting)
        return;
    conn->number = number_next();
    if (issued == 0 || opt.pick != PICK_ONE)
        request_number(conn->number);
    issued++;
    conn->in_body = false;
    conn->held = 0;
    conn->got = 0;
    conn->sent_ns = clock_ns;
    if (send(conn->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        fail("send: %s", strerror(errno));
}

static void conn_answered(struct conn *conn)
{
    answered++;
    hist_add(&latency, clock_ns - conn->sent_ns);
    if (opt.mode == MODE_DRIP)
        hist_add(&firsts, conn->first_ns - conn->sent_ns);
    if (opt.mode == MODE_RUN)
        conn_send(conn);
    else
        conn->waiting = false;
}

/* A field's value in a head whose lines end in CR LF, or NULL. */
static const char *field(const char *head, const char *name, size_t name_len)
{
    for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if ((line[0] | 0x20) == name[0] && strncasecmp(line, name, name_len) == 0 && line[name_len] == ':')
            return line + name_len + 1;
    }
    return NULL;
}

static void head_check(const char *head)
{
    const char *length;
    int status = strncmp(head, "HTTP/1.1 ", 9) == 0 ? atoi(head + 9) : 0;

    if (status != opt.status)
        fail("status %d, not %d", status, opt.status);
    if (status == 304)
        return;
    length = field(head, "content-length", 14);
    if (length == NULL)
        fail("an answer without Content-Length");
    if (strtoull(length, NULL, 10) != opt.size)
        fail("Content-Length %llu, not %llu", strtoull(length, NULL, 10), (unsigned long long)opt.size);
}

static void piece_check(const struct conn *conn, const char *data, size_t len)
{
    const char *right = pattern_of(conn->number) + conn->got;
    size_t probe = len < PROBE_BYTES ? len : PROBE_BYTES;
    bool same =
        warming || opt.mode == MODE_DRIP || opt.size <= 2 * PROBE_BYTES
            ? memcmp(data, right, len) == 0
            : memcmp(data, right, probe) == 0 && memcmp(data + len - probe, right + len - probe, probe) == 0;
    if (!same)
        fail("object %llu: wrong bytes in %zu at %llu", (unsigned long long)conn->number, len,
             (unsigned long long)conn->got);
}

/* Takes what belongs to the head; returns how much that was. */
static size_t conn_head(struct conn *conn, const char *data, size_t len)
{
    size_t room = sizeof(conn->head) - 1 - conn->held, n = len < room ? len : room, before = conn->held;
    const char *end;

    memcpy(conn->head + conn->held, data, n);
    conn->held += n;
    conn->head[conn->held] = '\0';
    end = strstr(conn->head, "\r\n\r\n");
    if (end == NULL) {
        if (n == room)
            fail("an answer's head of more than %zu bytes", sizeof(conn->head));
        return n;
    }
    conn->held = (size_t)(end + 4 - conn->head);
    conn->head[conn->held] = '\0';
    head_check(conn->head);
    conn->in_body = true;
    return conn->held - before;
}

static uint64_t body_size(void)
{
    return opt.status == 304 ? 0 : opt.size;
}

static void conn_data(struct conn *conn, const char *data, size_t len)
{
    if (!conn->waiting)
        fail("bytes that nobody asked for");
    if (!conn->in_body) {
        size_t n = conn_head(conn, data, len);
        data += n;
        len -= n;
        if (!conn->in_body)
            return;
    }
    if (len > body_size() - conn->got)
        fail("more bytes than Content-Length");
    if (len > 0) {
        if (conn->got == 0)
            conn->first_ns = clock_ns;
        piece_check(conn, data, len);
        conn->got += len;
        bytes += len;
    }
    if (conn->got == body_size())
        conn_answered(conn);
}

static ssize_t conn_recv(struct conn *conn, void *into, size_t len, int flags)
{
    ssize_t n = recv(conn->fd, into, len, MSG_DONTWAIT | flags);

    if (n == 0)
        fail("closed by the server after %llu of %llu bytes", (unsigned long long)conn->got,
             (unsigned long long)opt.size);
    if (n < 0 && errno != EAGAIN)
        fail("recv: %s", strerror(errno));
    return n;
}

static void conn_ready(struct conn *conn)
{
    ssize_t n = conn_recv(conn, buffer, sizeof(buffer), 0);

    if (n < 0)
        return;
    conn_data(conn, buffer, (size_t)n);
    if (n < (ssize_t)sizeof(buffer) || warming || !conn->waiting || !conn->in_body || opt.mode != MODE_RUN)
        return;
    if (body_size() - conn->got >= DROP_LEFT_MIN) {
        uint64_t most = body_size() - conn->got - BUFFER_BYTES;
        n = conn_recv(conn, NULL, most < DROP_BYTES ? most : DROP_BYTES, MSG_TRUNC);
        if (n > 0) {
            conn->got += (uint64_t)n;
            bytes += (uint64_t)n;
        }
    }
}

/* ---- the run */

static void connect_some(int from, int to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(opt.port))};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = from; i < to; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        conns[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (conns[i].fd < 0 || connect(conns[i].fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            fail("connection %d: %s", i, strerror(errno));
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event);
    }
}

/* Until `requests` (0: no limit) are answered or `seconds` have passed, on the connections from..to. */
static void loop(int from, int to, uint64_t requests, double seconds)
{
    struct epoll_event events[256];

    answered = issued = bytes = 0;
    hist_reset(&latency);
    clock_ns = now_ns();
    quota = requests > 0 ? requests : UINT64_MAX;
    stop_issuing_ns = seconds > 0 ? clock_ns + (uint64_t)(seconds * 1e9) : 0;
    for (int i = from; i < to; i++)
        conn_send(&conns[i]);
    while (answered < issued) {
        int n = epoll_wait(epoll, events, 256, SILENCE_MS);
        if (n == 0)
            fail("no answer in %d s: %llu of %llu", SILENCE_MS / 1000, (unsigned long long)answered,
                 (unsigned long long)issued);
        clock_ns = now_ns();
        for (int i = 0; i < n; i++)
            conn_ready(events[i].data.ptr);
    }
}

static void wait_for_line(void)
{
    char line[8];

    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL && opt.mode == MODE_IDLE)
        ;
}

static void warm(void)
{
    if (opt.warming == 0)
        return;
    warming = true;
    loop(0, opt.connections, opt.warming, 0);
    warming = false;
    if (opt.pick == PICK_FRESH)
        opt.first += opt.warming;
}

/* A few at a time: the memory of requests under way is not the question. */
static void hold(void)
{
    for (int from = 0; from < opt.connections; from += HOLD_AT_ONCE) {
        int to = from + HOLD_AT_ONCE < opt.connections ? from + HOLD_AT_ONCE : opt.connections;
        connect_some(from, to);
        loop(from, to, (uint64_t)(to - from), 0);
    }
    wait_for_line();
}

static void report(double seconds)
{
    printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f",
           (unsigned long long)answered, (unsigned long long)bytes, seconds, hist_at(&latency, 0.5) / 1e3,
           hist_at(&latency, 0.99) / 1e3, hist_at(&latency, 1) / 1e3);
    if (opt.mode == MODE_DRIP)
        printf(", \"first_p50_us\": %.1f, \"first_p99_us\": %.1f, \"first_max_us\": %.1f",
               hist_at(&firsts, 0.5) / 1e3, hist_at(&firsts, 0.99) / 1e3, hist_at(&firsts, 1) / 1e3);
    printf("}\n");
}

static int word(const char *given, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(given, words[i]) == 0)
            return i;
    fail("unknown word: %s", given);
}

static void options_read(int argc, char **argv)
{
    static const char *const modes[] = {"run", "drip", "idle", NULL}, *const picks[] = {"one", "zipf",
                                                                                        "cycle", "fresh",
                                                                                        NULL};
    int c;

    while ((c = getopt(argc, argv, "c:s:n:w:p:o:f:x:k:im:b:")) != -1) {
        switch (c) {
        case 'c':
            opt.connections = atoi(optarg);
            break;
        case 's':
            opt.seconds = atof(optarg);
            break;
        case 'n':
            opt.requests = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            opt.warming = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            opt.pick = (enum pick)word(optarg, picks);
            break;
        case 'o':
            opt.objects = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            opt.first = strtoull(optarg, NULL, 10);
            break;
        case 'x':
            opt.status = atoi(optarg);
            break;
        case 'k':
            opt.kind = optarg;
            break;
        case 'i':
            opt.if_none_match = true;
            break;
        case 'm':
            opt.mode = (enum mode)word(optarg, modes);
            break;
        case 'b':
            opt.size = strtoull(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (argc - optind != 1 || opt.size == 0 || opt.size > OBJECT_SIZE_MAX || opt.connections < 1 ||
        opt.objects < 1)
        fail("see the head of load.c for its options");
    opt.port = argv[optind];
}

int main(int argc, char **argv)
{
    uint64_t begun;

    options_read(argc, argv);
    raise_files();
    pattern_init(opt.size);
    request_prepare();
    if (opt.pick == PICK_ZIPF)
        ranks_draw();
    conns = calloc((size_t)opt.connections, sizeof(*conns));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (conns == NULL || epoll < 0)
        fail("out of memory");
    if (opt.mode == MODE_IDLE) {
        hold();
        return 0;
    }
    connect_some(0, opt.connections);
    if (opt.mode == MODE_RUN)
        warm();
    wait_for_line();
    begun = now_ns();
    loop(0, opt.connections, opt.mode == MODE_DRIP ? (uint64_t)opt.connections : opt.requests, opt.seconds);
    report((double)(now_ns() - begun) / 1e9);
    return 0;
}
