/* load: a closed loop of requests that costs less than what it measures. Each connection sends a request,
 * reads the whole answer, checks it, sends the next. It ends with exit 1 and a line on standard error at the
 * first answer whose status, length or content is wrong.
 *
 *   load -b BODY_BYTES [options] PORT
 *     -c CONNECTIONS   -s SECONDS   -n REQUESTS   -w REQUESTS to warm with (all bytes are checked then)
 *     -P h1|h2|handshake|resume     -t CERTIFICATE: over TLS, which has to show it   -S STREAMS at once (h2)
 *     -k KIND of path  -x STATUS expected         -i send If-None-Match
 *     -p one|zipf|cycle|fresh   -o OBJECTS   -f FIRST   -m run|drip|idle
 *
 * Objects are numbered from FIRST: `one` asks for that, `cycle` for OBJECTS one after the other, `zipf` for
 * OBJECTS by a fixed table of ranks, `fresh` for a new one each time.
 *
 * `run` connects, warms, prints "ready", waits for a line on standard input, measures, prints a line of JSON.
 * `drip` asks once on each connection, with the times to the first and last byte of the body. `idle` asks
 * once on each connection, a few at a time, then holds them until standard input ends. */
#include "load.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MS   20000
#define HOLD_AT_ONCE 32

struct options opt = {.connections = 64, .status = 200, .objects = 1, .streams = 1, .kind = "size"};
struct run run;
int load_epoll;

static const struct protocol *protocol;
static char *conns;

void fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

/* ---- the run */

static void *conn_at(int i)
{
    return conns + (size_t)i * protocol->conn_size;
}

static void connect_some(int from, int to)
{
    for (int i = from; i < to && protocol->open != NULL; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn_at(i)};
        protocol->open(conn_at(i));
        epoll_ctl(load_epoll, EPOLL_CTL_ADD, ((struct wire *)conn_at(i))->fd, &event);
    }
}

/* Until `requests` (0: no limit) are answered or `seconds` have passed, on the connections from..to. */
static void loop(int from, int to, uint64_t requests, double seconds)
{
    struct epoll_event events[256];

    run.answered = run.issued = run.bytes = 0;
    hist_reset(&run.latency);
    run.clock_ns = now_ns();
    run.quota = requests > 0 ? requests : UINT64_MAX;
    run.stop_issuing_ns = seconds > 0 ? run.clock_ns + (uint64_t)(seconds * 1e9) : 0;
    for (int i = from; i < to; i++)
        protocol->start(conn_at(i));
    while (run.answered < run.issued) {
        int n = epoll_wait(load_epoll, events, 256, SILENCE_MS);
        if (n == 0)
            fail("no answer in %d s: %llu of %llu", SILENCE_MS / 1000, (unsigned long long)run.answered,
                 (unsigned long long)run.issued);
        run.clock_ns = now_ns();
        for (int i = 0; i < n; i++)
            protocol->ready(events[i].data.ptr);
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
    run.warming = true;
    loop(0, opt.connections, opt.warming, 0);
    run.warming = false;
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

/* What this program itself took. */
static uint64_t own_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void report(double seconds, double cpu_ns)
{
    printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"load_us\": %.3f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f",
           (unsigned long long)run.answered, (unsigned long long)run.bytes, seconds,
           cpu_ns / 1e3 / (double)(run.answered > 0 ? run.answered : 1), hist_at(&run.latency, 0.5) / 1e3,
           hist_at(&run.latency, 0.99) / 1e3, hist_at(&run.latency, 1) / 1e3);
    if (opt.mode == MODE_DRIP)
        printf(", \"first_p50_us\": %.1f, \"first_p99_us\": %.1f, \"first_max_us\": %.1f",
               hist_at(&run.firsts, 0.5) / 1e3, hist_at(&run.firsts, 0.99) / 1e3,
               hist_at(&run.firsts, 1) / 1e3);
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
    static const char *const modes[] = {"run", "drip", "idle", NULL};
    static const char *const picks[] = {"one", "zipf", "cycle", "fresh", NULL};
    static const char *const spoken[] = {"h1", "h2", "handshake", "resume", NULL};
    int c;

    while ((c = getopt(argc, argv, "c:s:n:w:p:o:f:x:k:im:b:P:t:S:")) != -1) {
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
        case 'P':
            opt.spoken = (enum spoken)word(optarg, spoken);
            break;
        case 't':
            opt.certificate = optarg;
            break;
        case 'S':
            opt.streams = atoi(optarg);
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
    static const struct protocol *const protocols[] = {&protocol_h1, &protocol_h2, &protocol_handshake,
                                                       &protocol_handshake};
    uint64_t begun, cpu;

    options_read(argc, argv);
    raise_files();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    objects_prepare();
    protocol = protocols[opt.spoken];
    protocol->prepare();
    conns = calloc((size_t)opt.connections, protocol->conn_size);
    load_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (conns == NULL || load_epoll < 0)
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
    cpu = own_cpu_ns();
    loop(0, opt.connections, opt.mode == MODE_DRIP ? (uint64_t)opt.connections : opt.requests, opt.seconds);
    report((double)(now_ns() - begun) / 1e9, (double)(own_cpu_ns() - cpu));
    return 0;
}
