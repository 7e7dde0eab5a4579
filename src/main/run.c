/* warp run: the supervisor. It opens what needs opening once, starts the worker process, and starts it again
 * when it dies; it never touches a request. */
#include "main/commands.h"
#include "main/node.h"
#include "main/node_tenants.h"
#include "main/node_tls.h"

#include "base/log.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKLOG           4096
#define MEMORY_DEFAULT    (UINT64_C(1) << 30)
#define MEMORY_MIN        (UINT64_C(1) << 20)
#define RESPAWN_QUIET_MS  1000 /* a worker process that lived shorter is started again with a pause */
#define RESPAWN_PAUSE_MS  500
#define USAGE             2

struct supervisor {
    struct node_plan plan;
    struct os_listener demo_listener;
    pid_t worker, demo;
    int signals;
    int64_t worker_started_ms;
    bool stopping;
};

/* ---- before anything runs ------------------------------------------------------------------------------------ */

static int usage_error(const char *format, const char *a, const char *b)
{
    fprintf(stderr, "warp: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\n");
    return USAGE;
}

static int open_listener(const char *text, unsigned shards, const char *flag, struct os_listener *ret_listeners)
{
    struct os_address address;
    err result = os_address_parse(slice_str(text), &address);

    if (!err_is_ok(result))
        return usage_error("--%s %s: not an address; write 127.0.0.1:8000, [::1]:8000, :8000 or unix:/path", flag, text);
    result = os_listen_patiently(&address, shards, BACKLOG, ret_listeners);
    if (err_is_ok(result))
        return 0;
    fprintf(stderr, "warp: cannot listen on %s: %s (--%s names another address)\n", text, err_text(result), flag);
    return 1;
}

static int plan_list(struct node_plan *plan, const struct config_list *list, bool is_tls)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct node_listener *listener = &plan->listeners[plan->listener_count];
        int code;

        listener->shards = calloc(plan->workers, sizeof(struct os_listener));
        if (listener->shards == NULL)
            return 1;
        code = open_listener(list->items[i], plan->workers, is_tls ? "listen-tls" : "listen", listener->shards);
        if (code != 0)
            return code;
        listener->is_tls = is_tls;
        plan->listener_count++;
    }
    return 0;
}

static int plan_listeners(struct node_plan *plan)
{
    const struct config *config = &plan->config;
    int code;

    if (config->listen.count + config->listen_tls.count > NODE_LISTENERS_MAX)
        return usage_error("--listen, --listen-tls: at most 16 addresses%s%s", "", "");
    code = plan_list(plan, &config->listen, false);
    if (code == 0)
        code = plan_list(plan, &config->listen_tls, true);
    return code == 0 ? open_listener(config->admin, 1, "admin", &plan->admin) : code;
}

/* Certificates are read by the supervisor for the first worker process: what is wrong is said before anything runs. */
static int plan_identities(struct node_plan *plan)
{
    char message[NODE_TLS_MESSAGE_BYTES];

    if (err_is_ok(node_identity_read(&plan->config, message, sizeof(message), &plan->identity, &plan->admin_identity)))
        return 0;
    return usage_error("%s%s", message, "");
}

/* What is wrong with them now would be wrong in every worker process. */
static int plan_tenants(struct node_plan *plan)
{
    struct node_tenants_config config = {.settings = plan->settings, .demo_url = slice_str(plan->demo_url), .wall_s = os_wall_ms() / 1000};
    char message[NODE_TENANTS_MESSAGE_BYTES];
    unsigned bad_lines;

    if (!err_is_ok(tenant_registry_new(SLICE(""), &bad_lines, &plan->registry)))
        return 1;
    config.registry = plan->registry;
    if (!err_is_ok(node_tenants_new(&config, message, sizeof(message), &plan->tenants)))
        return usage_error("%s%s", message, "");
    if (plan->config.origin_insecure)
        log_warn("--origin-insecure: certificates of https origins are NOT verified: anybody between here and there can "
                 "read and change everything");
    return 0;
}

unsigned plan_workers(const struct config *config)
{
    unsigned workers = config_is_given(config, CONFIG_workers) ? config->workers : os_cpu_count();

    return MAX(1u, MIN(workers, NODE_WORKERS_MAX));
}

uint64_t plan_memory_bytes(const struct config *config)
{
    uint64_t bytes = config_is_given(config, CONFIG_memory) ? config->memory
                                                            : MIN(MIN(os_memory_bytes() / 4, MEMORY_DEFAULT), config->cache_size);

    return bytes > 0 ? MAX(bytes, MEMORY_MIN) : 0;
}

/* ---- children --------------------------------------------------------------------------------------------------- */

static void start_demo(struct supervisor *supervisor)
{
    pid_t child = os_process_fork();

    if (child == 0)
        os_process_exit(demo_serve(&supervisor->demo_listener));
    supervisor->demo = child > 0 ? child : 0;
}

static int start_worker(struct supervisor *supervisor)
{
    pid_t child = os_process_fork();

    if (child < 0) {
        log_error("cannot start the worker process: %s", err_text(ERR_SYS(-child)));
        return 1;
    }
    if (child == 0) {
        int code = node_run(&supervisor->plan);
        fflush(NULL);
        os_process_exit(code);
    }
    supervisor->worker = child;
    /* The next one reads what the files hold then; and keys stay in as few processes as need them. */
    supervisor->plan.identity = net_identity_unref(supervisor->plan.identity);
    supervisor->plan.admin_identity = net_identity_unref(supervisor->plan.admin_identity);
    supervisor->worker_started_ms = os_wall_ms();
    return 0;
}

static int prepare_demo(struct supervisor *supervisor)
{
    struct node_plan *plan = &supervisor->plan;
    struct os_address address;
    char text[64];

    if (plan->config.origin.count > 0)
        return 0;
    if (!err_is_ok(os_address_parse(SLICE("127.0.0.1:0"), &address)) ||
        !err_is_ok(os_listen(&address, 1, BACKLOG, &supervisor->demo_listener))) {
        fprintf(stderr, "warp: cannot open an address for the demo origin\n");
        return 1;
    }
    plan->has_demo = true;
    snprintf(plan->demo_url, sizeof(plan->demo_url), "http://%s",
             os_address_text(&supervisor->demo_listener.address, text, sizeof(text)));
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

static void print_start(const struct supervisor *supervisor)
{
    const struct node_plan *plan = &supervisor->plan;
    const char *admin_scheme = plan->config.admin_cert != NULL ? "https" : "http";
    char listen[160], admin[160];

    os_address_text(&plan->listeners[0].shards[0].address, listen, sizeof(listen));
    os_address_text(&plan->admin.address, admin, sizeof(admin));
    printf("WARP %s: %u worker%s, %llu MiB of RAM for the cache\n", WARP_VERSION, plan->workers,
           plan->workers == 1 ? "" : "s", (unsigned long long)(plan->memory_bytes >> 20));
    print_listeners(plan, false);
    print_listeners(plan, true);
    printf("  admin     %s://%s   (token: %s)\n", admin_scheme, admin,
           plan->token_path[0] != '\0' ? plan->token_path : "as given");
    if (plan->has_demo)
        printf("  origin    the built-in demo site (--origin URL for yours)\n");
    else
        printf("  origin    %s%s\n", plan->config.origin.items[0], plan->config.origin.count > 1 ? " and others" : "");
    printf("Try:\n  curl -i http://%s/\n  curl -s %s://%s/stats\n  curl -s %s://%s/metrics | grep warp_requests\n", listen,
           admin_scheme, admin, admin_scheme, admin);
    fflush(stdout);
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

static void pass_signal(struct supervisor *supervisor, int signal)
{
    if (signal == SIGTERM || signal == SIGINT) {
        if (supervisor->stopping && supervisor->demo > 0)
            os_process_kill(supervisor->demo, SIGKILL);
        supervisor->stopping = true;
        close_listeners(&supervisor->plan);
        signal = SIGTERM;
    }
    if (supervisor->worker > 0)
        os_process_kill(supervisor->worker, signal);
}

/* Returns the exit code once the worker process has ended for good, else -1. */
static int reap(struct supervisor *supervisor)
{
    int code;
    pid_t child;

    while ((child = os_process_reap(&code)) > 0) {
        if (child == supervisor->demo) {
            supervisor->demo = 0;
            if (!supervisor->stopping)
                start_demo(supervisor);
        }
        if (child != supervisor->worker)
            continue;
        supervisor->worker = 0;
        if (supervisor->stopping)
            return code;
        if (code == 0)
            return 0; /* it was told to end directly */
        log_error("the worker process ended with code %d; starting another", code);
        if (os_wall_ms() - supervisor->worker_started_ms < RESPAWN_QUIET_MS)
            os_signals_wait(supervisor->signals, RESPAWN_PAUSE_MS);
        if (start_worker(supervisor) != 0)
            return 1;
    }
    return -1;
}

static int supervise(struct supervisor *supervisor)
{
    int code = -1;

    while (code < 0) {
        int signal = os_signals_wait(supervisor->signals, 1000);

        if (signal != 0 && signal != SIGCHLD)
            pass_signal(supervisor, signal);
        code = reap(supervisor);
    }
    if (supervisor->demo > 0)
        os_process_kill(supervisor->demo, SIGKILL);
    return code;
}

/* An ACME client may make it later; a name that is misspelled shows here. */
static void warn_of_acme_dir(const char *path)
{
    char **names;
    unsigned count;
    err found;

    if (path == NULL)
        return;
    found = os_dir_names(path, &names, &count);
    if (err_is_ok(found))
        os_dir_names_free(names, count);
    else
        log_warn("--acme-dir: %s: %s; until it is there challenges are passed to the origin", path, err_file_text(found));
}

/* Asked for by name: better no start than another one than was meant. */
static int check_io(const struct config *config)
{
    struct os *os = NULL;

    if (config->io != CONFIG_IO_URING)
        return 0;
    err opened = os_new(&(struct os_config){.io = OS_IO_URING}, &os);
    os_free(os);
    if (err_is_ok(opened))
        return 0;
    fprintf(stderr, "warp: --io uring: this kernel or container has no io_uring for us (%s); --io auto takes epoll then\n",
            err_text(opened));
    return 1;
}

static int prepare(struct supervisor *supervisor, int argc, char **argv)
{
    struct node_plan *plan = &supervisor->plan;
    int code = command_settings(argc, argv, &plan->settings);

    if (code != 0)
        return code;
    plan->config = plan->settings->config;
    log_level_max = plan->config.log_level;
    warn_of_acme_dir(plan->config.acme_dir);
    plan->workers = plan_workers(&plan->config);
    plan->memory_bytes = plan_memory_bytes(&plan->config);
    plan->descriptors = os_descriptor_limit_raise();
    code = check_io(&plan->config);
    if (code == 0)
        code = plan_identities(plan);
    if (code == 0)
        code = plan_listeners(plan);
    if (code == 0)
        code = prepare_demo(supervisor);
    if (code == 0)
        code = plan_tenants(plan);
    if (code == 0)
        code = token_prepare(&plan->config, plan->token, sizeof(plan->token), plan->token_path, sizeof(plan->token_path));
    if (code != 0)
        return code;
    os_entropy(&plan->node_id, sizeof(plan->node_id));
    plan->started_ms = os_wall_ms();
    return 0;
}

int cmd_run(int argc, char **argv)
{
    static struct supervisor supervisor;
    int code = prepare(&supervisor, argc, argv);

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
