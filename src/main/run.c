/* warp run: the supervisor. It opens what needs opening once, starts the worker process, and starts it again
 * when it dies; it never touches a request. */
#include "main/commands.h"
#include "main/node.h"
#include "main/plan.h"
#include "main/supervisor_door.h"

#include "base/log.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKLOG           4096
#define RESPAWN_QUIET_MS  1000 /* a worker process that lived shorter is started again with a pause */
#define RESPAWN_PAUSE_MS  500
#define TURN_MS           1000
#define NS_PER_MS         UINT64_C(1000000)

struct supervisor {
    struct node_plan plan;
    struct os_listener demo_listener;
    pid_t worker, demo;
    int signals;
    int channel; /* to the worker process; -1: none */
    int64_t worker_started_ms;
    uint64_t respawn_ns; /* where there is no worker process: when the next is started */
    bool is_ready;       /* the worker process */
    bool was_ready;      /* any has been: what the process was started with can be served */
    bool has_reload;     /* asked for while there was none */
    bool stopping;
};

/* ---- children --------------------------------------------------------------------------------------------------- */

static void start_demo(struct supervisor *supervisor)
{
    pid_t child = os_process_fork();

    if (child == 0)
        os_process_exit(demo_serve(&supervisor->demo_listener));
    supervisor->demo = child > 0 ? child : 0;
}

_Noreturn static void worker_process(struct supervisor *supervisor, int channel)
{
    int code;

    supervisor->plan.channel = channel;
    if (supervisor->worker_started_ms != 0)
        plan_restore(&supervisor->plan);
    code = node_run(&supervisor->plan);
    fflush(NULL);
    os_process_exit(code);
}

static int start_worker(struct supervisor *supervisor)
{
    int ends[2];
    err paired = os_channel_pair(ends);
    pid_t child = err_is_ok(paired) ? os_process_fork() : -paired.sys;

    if (child < 0) {
        log_error("cannot start the worker process: %s", err_text(ERR_SYS(-child)));
        return 1;
    }
    if (child == 0) {
        os_channel_close(ends[0]);
        worker_process(supervisor, ends[1]);
    }
    os_channel_close(ends[1]);
    os_channel_close(supervisor->channel);
    supervisor->channel = ends[0];
    supervisor->worker = child;
    supervisor->is_ready = false;
    /* The next one reads what the files hold then; and keys stay in as few processes as need them. */
    supervisor->plan.identity = net_identity_unref(supervisor->plan.identity);
    supervisor->plan.admin_identity = net_identity_unref(supervisor->plan.admin_identity);
    supervisor->worker_started_ms = os_wall_ms();
    return 0;
}

/* ---- what the operator sees ---------------------------------------------------------------------------------------- */

/* Two of a kind: all that is printed has twelve lines at most. */
static void print_listeners(const struct node_plan *plan, bool is_tls)
{
    unsigned count = is_tls ? plan->config.listen_tls.count : plan->config.listen.count, shown = 0;

    for (unsigned i = 0; i < plan->listener_count && shown < 2; i++) {
        char text[160];

        if (plan->listeners[i].is_tls != is_tls)
            continue;
        shown++;
        os_address_text(&plan->listeners[i].shards[0].address, text, sizeof(text));
        printf("  serving   %s://%s%s\n", is_tls ? "https" : "http", text, shown == 2 && count > 2 ? " and more" : "");
    }
}

/* What curl is told of an address, with what stands before the URL. */
static void print_curl(const char *before, const char *scheme, const char *address, const char *behind)
{
    if (strncmp(address, "unix:", 5) == 0)
        printf("  curl %s --unix-socket %s http://localhost%s\n", before, address + 5, behind);
    else
        printf("  curl %s %s://%s%s\n", before, scheme, address, behind);
}

/* Who asks over a unix socket needs no token; over TCP, numbers are open only while there are no tenants. */
static void print_try(const struct node_plan *plan, const char *listen, const char *admin, const char *admin_scheme)
{
    bool is_unix = strncmp(admin, "unix:", 5) == 0;
    char before[600] = "-s";

    if (!is_unix && plan->token_path[0] != '\0')
        snprintf(before, sizeof(before), "-s -H \"Authorization: Bearer $(cat %s)\"", plan->token_path);
    else if (!is_unix && plan->token[0] != '\0')
        snprintf(before, sizeof(before), "-s -H \"Authorization: Bearer $WARP_TOKEN\"");
    printf("Try:\n");
    print_curl("-i", plan->listeners[0].is_tls ? "https" : "http", listen, "/");
    print_curl(before, admin_scheme, admin, "/stats");
    print_curl(plan->config.metrics_auth ? before : "-s", admin_scheme, admin, "/metrics | grep warp_requests");
}

static void print_start(const struct supervisor *supervisor)
{
    const struct node_plan *plan = &supervisor->plan;
    const char *admin_scheme = plan->config.admin_cert != NULL ? "https" : "http";
    char listen[160], admin[160];

    os_address_text(&plan->listeners[0].shards[0].address, listen, sizeof(listen));
    os_address_text(&plan->admin.address, admin, sizeof(admin));
    bool is_unix = strncmp(admin, "unix:", 5) == 0;
    printf("WARP %s: %u worker%s, %llu MiB of RAM for the cache\n", WARP_VERSION, plan->workers,
           plan->workers == 1 ? "" : "s", (unsigned long long)(plan->memory_bytes >> 20));
    print_listeners(plan, false);
    print_listeners(plan, true);
    printf("  admin     %s%s%s   (token: %s)\n", is_unix ? "" : admin_scheme, is_unix ? "" : "://", admin,
           plan->token_path[0] != '\0' ? plan->token_path : "as given");
    if (plan->has_demo)
        printf("  origin    the built-in demo site (--origin URL for yours)\n");
    else if (plan->settings->tenants.count > 0)
        printf("  tenants   %u\n", plan->settings->tenants.count);
    else
        printf("  origin    %s%s\n", plan->config.origin.items[0], plan->config.origin.count > 1 ? " and others" : "");
    print_try(plan, listen, admin, admin_scheme);
    fflush(stdout);
}

/* ---- what the worker process asks for -------------------------------------------------------------------------------- */

static void answer_send(struct supervisor *supervisor, const struct supervisor_answer *answer, const int *fds, unsigned count)
{
    err sent = os_channel_send(supervisor->channel, slice_of(answer, sizeof(*answer)), fds, count);

    if (!err_is_ok(sent))
        log_warn("the worker process cannot be answered: %s", err_text(sent));
}

static void answer_listener(struct supervisor *supervisor, uint64_t number, const struct node_listener *listener)
{
    struct supervisor_answer answer = {.number = number, .left = supervisor->plan.workers, .address = listener->shards[0].address};

    for (unsigned at = 0; at < supervisor->plan.workers;) {
        unsigned count = MIN(answer.left, OS_CHANNEL_FDS_MAX);
        int fds[OS_CHANNEL_FDS_MAX];
        for (unsigned i = 0; i < count; i++)
            fds[i] = listener->shards[at + i].fd;
        at += count;
        answer.left -= count;
        answer_send(supervisor, &answer, fds, count);
    }
}

static err listener_open(struct supervisor *supervisor, const struct supervisor_ask *ask)
{
    struct node_plan *plan = &supervisor->plan;
    struct node_listener *listener;
    struct os_address address;

    ENSURE(plan->listener_count < NODE_LISTENERS_ROOM, LIMIT);
    TRY(os_address_parse(slice_str(ask->text), &address));
    listener = plan_listener_add(plan, ask->text, ask->is_tls != 0);
    ENSURE(listener != NULL, MEMORY);
    err opened = os_listen(&address, plan->workers, BACKLOG, listener->shards);
    if (!err_is_ok(opened)) {
        plan_listener_done(listener);
        return opened;
    }
    plan->listener_count++;
    answer_listener(supervisor, ask->number, listener);
    return ERR_OK;
}

static void listener_close(struct node_plan *plan, const struct supervisor_ask *ask)
{
    for (unsigned i = 0; i < plan->listener_count; i++) {
        struct node_listener *listener = &plan->listeners[i];
        if (listener->is_tls != (ask->is_tls != 0) || strcmp(listener->text, ask->text) != 0)
            continue;
        for (unsigned shard = 0; shard < plan->workers; shard++)
            os_listener_close(&listener->shards[shard]);
        plan_listener_done(listener);
        *listener = plan->listeners[--plan->listener_count];
        return;
    }
}

static void supervisor_serve(struct supervisor *supervisor)
{
    struct supervisor_ask ask;
    int fds[OS_CHANNEL_FDS_MAX];
    unsigned fd_count;
    size_t len;
    err received = os_channel_receive(supervisor->channel, &ask, sizeof(ask), &len, fds, &fd_count, 0);

    if (!err_is_ok(received) || len != sizeof(ask)) {
        os_channel_close(supervisor->channel); /* it ends, or has */
        supervisor->channel = -1;
        return;
    }
    ask.text[sizeof(ask.text) - 1] = '\0';
    if (ask.kind == ASK_CLOSE)
        listener_close(&supervisor->plan, &ask);
    if (ask.kind == ASK_VERSION)
        supervisor->plan.version = ask.version;
    if (ask.kind == ASK_READY)
        supervisor->is_ready = supervisor->was_ready = true;
    if (ask.kind != ASK_OPEN || supervisor->worker == 0)
        return;
    struct supervisor_answer answer = {.number = ask.number, .result = listener_open(supervisor, &ask)};
    if (!err_is_ok(answer.result))
        answer_send(supervisor, &answer, NULL, 0);
}

/* ---- supervising ------------------------------------------------------------------------------------------------------ */

/* The worker process closes its own; only when all are closed are connections refused. */
static void close_listeners(struct node_plan *plan)
{
    for (unsigned i = 0; i < plan->listener_count; i++)
        for (unsigned shard = 0; shard < plan->workers; shard++)
            os_listener_close(&plan->listeners[i].shards[shard]);
    os_listener_close(&plan->admin);
}

/* One that hangs before it is ready heeds no signal: the second one ends it. */
static int stop_signal(const struct supervisor *supervisor)
{
    return supervisor->stopping && !supervisor->is_ready ? SIGKILL : SIGTERM;
}

static void pass_signal(struct supervisor *supervisor, int signal)
{
    if (signal == SIGTERM || signal == SIGINT) {
        signal = stop_signal(supervisor);
        if (supervisor->stopping && supervisor->demo > 0)
            os_process_kill(supervisor->demo, SIGKILL);
        supervisor->stopping = true;
        close_listeners(&supervisor->plan);
    }
    if (supervisor->worker > 0)
        os_process_kill(supervisor->worker, signal);
    else if (signal == SIGHUP)
        supervisor->has_reload = true;
}

/* Returns the exit code where it has ended for good, else -1. */
static int worker_ended(struct supervisor *supervisor, int code)
{
    bool was_short = os_wall_ms() - supervisor->worker_started_ms < RESPAWN_QUIET_MS;

    supervisor->worker = 0;
    while (supervisor->channel >= 0) /* what it said last */
        supervisor_serve(supervisor);
    if (supervisor->stopping || code == 0) /* 0: it was told to end directly */
        return code;
    if (!supervisor->was_ready) {
        log_error("the worker process ended with code %d before it was ready", code);
        return code;
    }
    log_error("the worker process ended with code %d; starting another", code);
    supervisor->respawn_ns = os_clock_ns() + (was_short ? RESPAWN_PAUSE_MS * NS_PER_MS : 0);
    return -1;
}

/* Returns the exit code once the worker process has ended for good, else -1. */
static int reap(struct supervisor *supervisor)
{
    int code, end = -1;
    pid_t child;

    while (end < 0 && (child = os_process_reap(&code)) > 0) {
        if (child == supervisor->demo) {
            supervisor->demo = 0;
            if (!supervisor->stopping)
                start_demo(supervisor);
        }
        if (child == supervisor->worker)
            end = worker_ended(supervisor, code);
    }
    return end;
}

static int respawn_wait_ms(const struct supervisor *supervisor)
{
    uint64_t now_ns = os_clock_ns();

    if (supervisor->worker > 0)
        return TURN_MS;
    return supervisor->respawn_ns > now_ns ? (int)((supervisor->respawn_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

/* Returns an exit code, or -1: there is a worker process, or will be. */
static int respawn(struct supervisor *supervisor)
{
    if (supervisor->worker > 0)
        return -1;
    if (supervisor->stopping)
        return 0;
    if (os_clock_ns() < supervisor->respawn_ns)
        return -1;
    if (start_worker(supervisor) != 0)
        return 1;
    if (supervisor->has_reload)
        os_process_kill(supervisor->worker, SIGHUP); /* held until it listens to signals */
    supervisor->has_reload = false;
    return -1;
}

static int supervise(struct supervisor *supervisor)
{
    int code = -1;

    while (code < 0) {
        bool is_asked;
        int signal = os_signals_wait_or(supervisor->signals, supervisor->channel, respawn_wait_ms(supervisor), &is_asked);

        if (is_asked)
            supervisor_serve(supervisor);
        if (signal != 0 && signal != SIGCHLD)
            pass_signal(supervisor, signal);
        code = reap(supervisor);
        if (code < 0)
            code = respawn(supervisor);
    }
    if (supervisor->demo > 0)
        os_process_kill(supervisor->demo, SIGKILL);
    return code;
}

int cmd_run(int argc, char **argv)
{
    static struct supervisor supervisor;
    int code = plan_make(&supervisor.plan, argc, argv, &supervisor.demo_listener);

    supervisor.channel = -1;
    if (code != 0)
        return code;
    if (!err_is_ok(os_signals_take()) || (supervisor.signals = os_signals_open()) < 0) {
        log_error("cannot take signals");
        return 1;
    }
    if (supervisor.plan.has_demo)
        start_demo(&supervisor);
    code = start_worker(&supervisor);
    if (code != 0)
        return code;
    print_start(&supervisor);
    return supervise(&supervisor);
}
