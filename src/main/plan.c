/* What a process is to be, from its settings: read, opened and made before anything runs. */
#include "main/commands.h"
#include "main/control_restart.h"
#include "main/control_versions.h"
#include "main/node_tenants.h"
#include "main/node_tls.h"
#include "main/plan.h"

#include "base/log.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKLOG     4096
#define MEMORY_DEFAULT (UINT64_C(1) << 30)
#define MEMORY_MIN  (UINT64_C(1) << 20)
#define USAGE       2

static int usage_error(const char *format, const char *a, const char *b)
{
    fprintf(stderr, "warp: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\n");
    return USAGE;
}

/* ---- settings ------------------------------------------------------------------------------------------------------- */

/* The text of a version that is kept; ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_USE static err version_text(struct node_plan *plan, uint64_t number, struct config_text *ret_text)
{
    struct conf_report *report = NULL;
    struct control_version version;
    char *text = NULL;
    slice bundle;
    err read = control_version_read(&plan->state, number, &text, &version, &bundle);

    if (err_is_ok(read))
        read = conf_report_new(&report);
    if (err_is_ok(read))
        read = config_text_of(bundle, report, ret_text);
    conf_report_free(report);
    free(text);
    return read;
}

/* 0: none was rolled back to. */
static uint64_t version_rolled_back_to(const struct node_plan *plan)
{
    uint64_t number = 0;
    char *text;
    size_t len;

    if (!err_is_ok(state_read(&plan->state, STATE_CURRENT, &text, &len)))
        return 0;
    while (len > 0 && text[len - 1] == '\n')
        len--;
    if (!slice_to_u64(slice_of(text, len), &number))
        log_warn("%s/" STATE_CURRENT ": is no number of a version: left out", plan->state.dir);
    free(text);
    return number;
}

/* Settings from texts that lie in the state directory beside the files. */
static int plan_settings_again(struct node_plan *plan)
{
    struct settings *settings = NULL;
    struct conf_report *report;
    char left_out[NODE_MESSAGE_BYTES];
    err read;

    if (!err_is_ok(conf_report_new(&report)))
        return 1;
    read = config_text_fit(&plan->text, &plan->start, &report, &settings);
    if (read.code == ERR_INVALID)
        command_problems_print(report);
    else if (!err_is_ok(read))
        fprintf(stderr, "warp: %s\n", err_text(read));
    conf_report_free(report);
    if (!err_is_ok(read))
        return USAGE;
    if (config_text_left_out(&plan->text, left_out, sizeof(left_out)))
        log_warn("%s", left_out);
    plan->settings = settings;
    plan->config = settings->config;
    return 0;
}

MUST_USE static err plan_text(struct node_plan *plan)
{
    uint64_t number = version_rolled_back_to(plan);

    if (number > 0 && err_is_ok(version_text(plan, number, &plan->text))) {
        log_warn("version %llu of the configuration is in force, which was rolled back to; warp reload takes the files",
                 (unsigned long long)number);
        plan->is_rolled_back = true;
        return ERR_OK;
    }
    if (number > 0)
        log_warn("version %llu of the configuration, which was rolled back to, cannot be read: the files count", (unsigned long long)number);
    if (plan->start.path != NULL)
        TRY(config_text_write(plan->settings, &plan->text.base, &plan->text.base_len));
    return config_text_read_state(&plan->text, &plan->state);
}

static int plan_settings(struct node_plan *plan, int argc, char **argv)
{
    extern char **environ;
    int code = command_settings(argc, argv, &plan->settings);

    if (code != 0)
        return code;
    plan->config = plan->settings->config;
    plan->start = (struct config_start){.argc = argc, .argv = argv, .environment = environ};
    if (plan->config.config_file != NULL)
        plan->start.path = strdup(plan->config.config_file);
    state_open(&plan->state, &plan->config);
    if (!err_is_ok(plan_text(plan)))
        return 1;
    if (plan->text.tenant_count == 0 && version_rolled_back_to(plan) == 0 && !plan->settings->is_lacking)
        return 0;
    struct settings *files_alone = plan->settings;
    code = plan_settings_again(plan);
    if (code == 0)
        settings_free(files_alone);
    return code;
}

/* ---- listeners ------------------------------------------------------------------------------------------------------ */

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

struct node_listener *plan_listener_add(struct node_plan *plan, const char *text, bool is_tls)
{
    struct node_listener *listener = &plan->listeners[plan->listener_count];

    *listener = (struct node_listener){.text = strdup(text), .is_tls = is_tls};
    listener->shards = calloc(plan->workers, sizeof(struct os_listener));
    if (listener->shards != NULL && listener->text != NULL)
        return listener;
    plan_listener_done(listener);
    return NULL;
}

void plan_listener_done(struct node_listener *listener)
{
    free(listener->shards);
    free((char *)(uintptr_t)listener->text);
    *listener = (struct node_listener){0};
}

static int plan_list(struct node_plan *plan, const struct config_list *list, bool is_tls)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct node_listener *listener = plan_listener_add(plan, list->items[i], is_tls);
        int code;

        if (listener == NULL)
            return 1;
        code = open_listener(list->items[i], plan->workers, is_tls ? "listen-tls" : "listen", listener->shards);
        if (code != 0)
            return code;
        plan->listener_count++;
    }
    return 0;
}

static int plan_listeners(struct node_plan *plan)
{
    const struct config *config = &plan->config;
    int code;

    code = plan_list(plan, &config->listen, false);
    if (code == 0)
        code = plan_list(plan, &config->listen_tls, true);
    return code == 0 ? open_listener(config->admin, 1, "admin", &plan->admin) : code;
}

/* ---- certificates, tenants ------------------------------------------------------------------------------------------ */

/* What is wrong is said at its place; message: where none is found. */
static int settings_refused(const struct node_plan *plan, unsigned what, const char *message)
{
    struct conf_report *report;

    if (!err_is_ok(conf_report_new(&report)))
        return 1;
    if (!err_is_ok(plan_check(plan->settings, what, report)))
        command_problems_print(report);
    else
        fprintf(stderr, "warp: %s\n", message);
    conf_report_free(report);
    return USAGE;
}

/* What costs nothing to look at. */
static int plan_rest(const struct node_plan *plan)
{
    struct conf_report *report;
    err checked = conf_report_new(&report);

    if (!err_is_ok(checked))
        return 1;
    checked = plan_check(plan->settings, PLAN_CHECK_REST, report);
    command_problems_print(report);
    conf_report_free(report);
    return err_is_ok(checked) ? 0 : USAGE;
}

/* Certificates are read by the supervisor for the first worker process: what is wrong is said before anything runs. */
static int plan_identities(struct node_plan *plan)
{
    char message[NODE_TLS_MESSAGE_BYTES];

    if (err_is_ok(node_identity_read(plan->settings, message, sizeof(message), &plan->identity, &plan->admin_identity)))
        return 0;
    return settings_refused(plan, PLAN_CHECK_CERTIFICATES, message);
}

/* Ids that were given out are never given out again. */
MUST_USE static err plan_registry(struct node_plan *plan)
{
    char *text = NULL;
    size_t len = 0;
    unsigned bad_lines;
    err read = state_read(&plan->state, STATE_REGISTRY, &text, &len);

    if (!err_is_ok(read) && read.code != ERR_NOT_FOUND)
        log_warn("%s/" STATE_REGISTRY ": %s: what is stored for tenants is not found again", plan->state.dir, err_text(read));
    read = tenant_registry_new(slice_of(text, len), &bad_lines, &plan->registry);
    free(text);
    if (err_is_ok(read) && bad_lines > 0)
        log_warn("%s/" STATE_REGISTRY ": %u lines are not understood: what is stored for these tenants is not found again",
                 plan->state.dir, bad_lines);
    return read;
}

/* Written before anything is stored under new ids. Where it cannot be, generations keep apart what ids do not. */
static void plan_registry_keep(struct node_plan *plan)
{
    char *text, problem[STATE_PROBLEM_BYTES];
    size_t len;
    err written;

    if (!tenant_registry_is_changed(plan->registry) || !err_is_ok(tenant_registry_write(plan->registry, &text, &len)))
        return;
    written = state_write(&plan->state, STATE_REGISTRY, slice_of(text, len));
    free(text);
    plan->is_registry_owed = !err_is_ok(written);
    if (plan->is_registry_owed)
        log_warn("%s; it is not kept across a restart",
                 state_problem(&plan->state, STATE_REGISTRY, written, problem, sizeof(problem)));
}

/* What is wrong with them now would be wrong in every worker process. */
static int plan_tenants(struct node_plan *plan)
{
    struct node_tenants_config config = {.settings = plan->settings, .demo_url = slice_str(plan->demo_url), .wall_s = os_wall_ms() / 1000};
    char message[NODE_TENANTS_MESSAGE_BYTES];

    if (!err_is_ok(plan_registry(plan)))
        return 1;
    config.registry = plan->registry;
    if (!err_is_ok(node_tenants_new(&config, message, sizeof(message), &plan->tenants)))
        return settings_refused(plan, PLAN_CHECK_TENANTS, message);
    plan_registry_keep(plan);
    if (plan->config.origin_insecure)
        log_warn("--origin-insecure: certificates of https origins are NOT verified: anybody between here and there can "
                 "read and change everything");
    return 0;
}

/* ---- the rest ------------------------------------------------------------------------------------------------------- */

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

static int plan_demo(struct node_plan *plan, struct os_listener *ret_demo)
{
    struct os_address address;
    char text[64];

    if (plan->config.origin.count > 0 || plan->settings->tenants.count > 0)
        return 0;
    if (!err_is_ok(os_address_parse(SLICE("127.0.0.1:0"), &address)) ||
        !err_is_ok(os_listen(&address, 1, BACKLOG, ret_demo))) {
        fprintf(stderr, "warp: cannot open an address for the demo origin\n");
        return 1;
    }
    plan->has_demo = true;
    snprintf(plan->demo_url, sizeof(plan->demo_url), "http://%s",
             os_address_text(&ret_demo->address, text, sizeof(text)));
    return 0;
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

int plan_make(struct node_plan *plan, int argc, char **argv, struct os_listener *ret_demo)
{
    int code = plan_settings(plan, argc, argv);

    if (code != 0)
        return code;
    plan->channel = -1;
    log_level_max = plan->config.log_level;
    warn_of_acme_dir(plan->config.acme_dir);
    plan->workers = plan_workers(&plan->config);
    plan->memory_bytes = plan_memory_bytes(&plan->config);
    plan->descriptors = os_descriptor_limit_raise();
    code = check_io(&plan->config);
    if (code == 0)
        code = plan_rest(plan);
    if (code == 0)
        code = plan_identities(plan);
    if (code == 0)
        code = plan_listeners(plan);
    if (code == 0)
        code = plan_demo(plan, ret_demo);
    if (code == 0)
        code = plan_tenants(plan);
    if (code == 0)
        code = token_prepare(&plan->config, plan->token, sizeof(plan->token), plan->token_path, sizeof(plan->token_path));
    if (code != 0)
        return code;
    os_memory_trim(); /* what reading took; else each process keeps it */
    os_entropy(&plan->node_id, sizeof(plan->node_id));
    plan->started_ms = os_wall_ms();
    return 0;
}

/* ---- of a worker process that comes after another ------------------------------------------------------------------- */

/* text: taken over. */
MUST_USE static err plan_restore_text(struct node_plan *plan, struct config_text text)
{
    const struct config_text before = plan->text;

    plan->text = text;
    TRY(config_text_keep_left_out(&plan->text, &before, &plan->state));
    ENSURE(plan_settings_again(plan) == 0, INVALID);
    plan->registry = NULL;
    plan->tenants = NULL;
    return plan_tenants(plan) == 0 ? ERR_OK : ERR(INVALID);
}

MUST_USE static err plan_restore_version(struct node_plan *plan)
{
    struct config_text text = {0};

    TRY(version_text(plan, plan->version, &text));
    return plan_restore_text(plan, text);
}

/* What a version came from that could not be written down. */
MUST_USE static err plan_restore_files(struct node_plan *plan)
{
    struct config_text text = {0};
    struct conf_report *report;
    err read;

    TRY(conf_report_new(&report));
    read = config_text_read_files(&text, plan->start.path, report);
    if (read.code == ERR_INVALID)
        command_problems_print(report);
    conf_report_free(report);
    if (err_is_ok(read))
        read = config_text_read_state(&text, &plan->state);
    if (err_is_ok(read))
        return plan_restore_text(plan, text);
    config_text_done(&text);
    return read;
}

MUST_USE static err restore(struct node_plan *plan)
{
    struct node_plan before = *plan;
    err restored;

    restored = plan_restore_version(plan);
    if (err_is_ok(restored))
        return ERR_OK;
    log_error("version %llu of the configuration, which was in force, cannot be taken again (%s): the files are read again",
              (unsigned long long)plan->version, err_text(restored));
    *plan = before;
    restored = plan_restore_files(plan);
    if (err_is_ok(restored))
        return ERR_OK;
    log_error("they cannot be taken either (%s): what WARP was started with is in force", err_text(restored));
    *plan = before;
    return restored;
}

/* The process is a copy of the supervisor: what it does not use of that goes with it. */
void plan_restore(struct node_plan *plan)
{
    const struct config started = plan->config;

    plan->is_restarted = true;
    plan->is_rolled_back = version_rolled_back_to(plan) != 0;
    if (plan->version != 0 && err_is_ok(restore(plan)))
        control_restart_keep(&started, &plan->config);
}
