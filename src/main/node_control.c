#include "main/node_control.h"

#include "base/list.h"
#include "base/log.h"
#include "conf/config_internal.h"
#include "main/node_owner.h"
#include "main/node_tenants.h"
#include "main/state_writes.h"
#include "os/process.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define IDLE_NS          UINT64_C(3600000000000)
#define ANSWER_MS        10000
#define NOTE_BYTES       512u
#define PATH_BYTES       1024u
#define VERSION_HEAD     "warp version "
#define VERSIONS_DIR     "versions"
#define AUDIT_BYTES_MAX  (64u << 20)

struct job {
    struct list link;
    struct mail mail;
    struct node_control *control;
    struct control_change *change; /* worker 0's; NULL: nobody asks any more */
    enum control_kind kind;
    char tenant[CONF_NAME_MAX + 1];
    char *text;
    size_t text_len;
    uint64_t version, expected_version;
    char who[sizeof(((struct control_version *)0)->who)];
    bool is_owner;
    /* what came of it */
    bool is_of_the_whole; /* the report: not for owners */
    enum control_result result;
    char *report;
    uint64_t in_force;
    uint16_t gone_id; /* a tenant's that was deleted: what is stored for it goes */
};

struct node_control {
    struct node_control_config config;
    struct state state;
    struct state_writes writes;
    struct os_event *event;
    struct os_thread *thread;
    _Atomic bool is_over;
    _Atomic uint64_t successes, failures, version;
    pthread_mutex_t lock; /* of the next */
    struct list jobs;
    struct control_version versions[CONTROL_VERSIONS]; /* the newest first */
    unsigned version_count;
    char note[NOTE_BYTES]; /* "": none */
    struct config_text text; /* in force */
    int audit_fd;          /* -1: not open */
    uint64_t audit_number;
    /* the thread's */
    bool is_rolled_back; /* a version is in force that the files do not say */
    struct tenants *tenants;
    struct config listeners; /* listen and listen_tls in force; their strings are those of the set's settings */
    char shown_note[NOTE_BYTES]; /* worker 0's copy of note */
};

/* ---- jobs ----------------------------------------------------------------------------------------------------------- */

static void job_free(struct job *job)
{
    free(job->text);
    free(job->report);
    free(job);
}

static enum control_result job_say(struct job *job, enum control_result result, const char *format, ...) PRINTF(3, 4);
static enum control_result job_say(struct job *job, enum control_result result, const char *format, ...)
{
    va_list args;

    free(job->report);
    va_start(args, format);
    if (vasprintf(&job->report, format, args) < 0)
        job->report = NULL;
    va_end(args);
    return result;
}

static void tenant_purged(struct store_op *op)
{
    free(container_of(op, struct store_purge, op));
}

/* A tenant that is deleted has nothing stored: not even for one of its name that comes later. */
static void tenant_purge(struct node_control *control, uint16_t id)
{
    struct store_purge *purge = calloc(1, sizeof(*purge));

    if (purge == NULL) {
        log_error("no memory to purge a tenant that was deleted: what it had stays until it is evicted");
        return;
    }
    purge->tenant = id;
    purge->kind = STORE_LABEL_TENANT;
    purge->label = store_label_of(id, STORE_LABEL_TENANT, SLICE(""));
    purge->op.loop = control->config.loop;
    purge->op.done = tenant_purged;
    purge->uncounted = true;
    if (storage_purge(control->config.storage, purge) == STORE_DONE)
        free(purge);
}

/* Worker 0. */
static void ops_audit(void *arg, slice who, const char *what, slice details);
static void job_what(const struct job *job, char *what, size_t size);

/* Whoever asked for it, and whether or not he still waits. */
static void job_audit(const struct job *job)
{
    static const char *const words[] = {"done", "unchanged", "invalid", "not found", "conflict", "failed", "forbidden"};
    char what[128], details[128];
    int len;

    if (job->kind == CONTROL_CHECK)
        return;
    job_what(job, what, sizeof(what));
    len = snprintf(details, sizeof(details), "\"result\":\"%s\",\"version\":%llu", words[job->result], (unsigned long long)job->in_force);
    ops_audit(job->control, slice_str(job->who), what, slice_of(details, (size_t)len));
}

static void job_finished(struct mail *mail)
{
    struct job *job = container_of(mail, struct job, mail);
    struct control_change *change = job->change;

    pthread_mutex_lock(&job->control->lock);
    memcpy(job->control->shown_note, job->control->note, sizeof(job->control->shown_note));
    pthread_mutex_unlock(&job->control->lock);
    if (job->gone_id != 0)
        tenant_purge(job->control, job->gone_id);
    job_audit(job);
    if (change != NULL) {
        change->result = job->result;
        change->report = job->report != NULL ? job->report : "";
        change->in_force = job->in_force;
        change->own = NULL;
        change->done(change);
    }
    job_free(job);
}

static void job_submit(struct node_control *control, struct job *job)
{
    pthread_mutex_lock(&control->lock);
    list_push_back(&control->jobs, &job->link);
    pthread_mutex_unlock(&control->lock);
    os_event_set(control->event);
}

static struct job *job_next(struct node_control *control)
{
    struct list *first;

    pthread_mutex_lock(&control->lock);
    first = list_first(&control->jobs);
    if (first != NULL)
        list_remove(first);
    pthread_mutex_unlock(&control->lock);
    return first != NULL ? container_of(first, struct job, link) : NULL;
}

MUST_USE static struct job *job_new(struct node_control *control, const struct control_change *change)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->control = control;
    job->mail.run = job_finished;
    job->kind = change->kind;
    job->version = change->version;
    job->expected_version = change->expected_version;
    job->is_owner = change->is_owner;
    snprintf(job->who, sizeof(job->who), SLICE_FMT, (int)MIN(change->who.len, sizeof(job->who) - 1), change->who.data);
    if (change->tenant.len >= sizeof(job->tenant)) {
        free(job);
        return NULL;
    }
    memcpy(job->tenant, change->tenant.data != NULL ? change->tenant.data : "", change->tenant.len);
    job->text = malloc(change->text.len + 1);
    if (job->text == NULL) {
        free(job);
        return NULL;
    }
    memcpy(job->text, change->text.data != NULL ? change->text.data : "", change->text.len);
    job->text_len = change->text.len;
    return job;
}

/* ---- versions ------------------------------------------------------------------------------------------------------- */

static void version_file(char file[PATH_BYTES], uint64_t number)
{
    snprintf(file, PATH_BYTES, VERSIONS_DIR "/%08llu", (unsigned long long)number);
}

/* The first line: "warp version NUMBER WALL_MS TENANTS", then who and what, each a line. *ret_bundle: behind them. */
static bool version_parse(slice text, struct control_version *ret_version, slice *ret_bundle)
{
    unsigned long long number;
    long long wall_ms;
    unsigned tenants;
    slice lines[3];

    for (unsigned i = 0; i < 3; i++) {
        ptrdiff_t end = slice_find(text, '\n');
        if (end < 0)
            return false;
        lines[i] = slice_of(text.data, (size_t)end);
        text = slice_from(text, (size_t)end + 1);
    }
    if (!slice_starts(lines[0], SLICE(VERSION_HEAD)) ||
        sscanf(lines[0].data, VERSION_HEAD "%20llu %20lld %10u", &number, &wall_ms, &tenants) != 3)
        return false;
    *ret_version = (struct control_version){.number = number, .wall_ms = wall_ms, .tenants = tenants};
    snprintf(ret_version->who, sizeof(ret_version->who), SLICE_FMT, (int)MIN(lines[1].len, sizeof(ret_version->who) - 1), lines[1].data);
    snprintf(ret_version->what, sizeof(ret_version->what), SLICE_FMT, (int)MIN(lines[2].len, sizeof(ret_version->what) - 1), lines[2].data);
    *ret_bundle = text;
    return true;
}

/* text is malloc's, *ret_bundle lies in it. */
err node_control_version_read(const struct state *state, uint64_t number, char **ret_text, struct control_version *ret_version,
                              slice *ret_bundle)
{
    char file[PATH_BYTES], *text;
    size_t len;

    version_file(file, number);
    TRY(state_read(state, file, &text, &len));
    if (!version_parse(slice_of(text, len), ret_version, ret_bundle)) {
        free(text);
        return ERR(CORRUPT);
    }
    *ret_text = text;
    return ERR_OK;
}

/* In front, and the oldest goes. Under the lock. */
static void version_enter(struct node_control *control, const struct control_version *version)
{
    char file[PATH_BYTES];

    if (control->version_count == CONTROL_VERSIONS) {
        control->version_count--;
        version_file(file, control->versions[control->version_count].number);
        state_remove(&control->state, file);
    }
    memmove(&control->versions[1], &control->versions[0], control->version_count * sizeof(*version));
    control->versions[0] = *version;
    control->version_count++;
}

static void versions_load(struct node_control *control)
{
    struct control_version version;
    char **names, *text;
    unsigned count;
    slice bundle;

    if (!err_is_ok(state_names(&control->state, VERSIONS_DIR, &names, &count)))
        return;
    for (unsigned i = 0; i < count; i++) {
        uint64_t number;
        if (!slice_to_u64(slice_str(names[i]), &number) || !err_is_ok(node_control_version_read(&control->state, number, &text, &version, &bundle)))
            continue;
        free(text);
        version_enter(control, &version);
    }
    os_dir_names_free(names, count);
}

/* Only written: whether it can be has no bearing on what is in force. */
static void version_write(struct node_control *control, const struct control_version *version, const struct settings *settings)
{
    char file[PATH_BYTES], *bundle = NULL, *text = NULL;
    size_t len = 0, text_len = 0;
    FILE *out = open_memstream(&text, &text_len);

    if (out == NULL || !err_is_ok(config_text_write(settings, &bundle, &len))) {
        log_warn("version %llu of the configuration is not kept: out of memory", (unsigned long long)version->number);
    } else {
        fprintf(out, VERSION_HEAD "%llu %lld %u\n%s\n%s\n", (unsigned long long)version->number, (long long)version->wall_ms, version->tenants,
                version->who, version->what);
        fwrite(bundle, 1, len, out);
    }
    if (out != NULL)
        fclose(out);
    version_file(file, version->number);
    if (bundle != NULL && text != NULL) {
        err written = state_write(&control->state, file, slice_of(text, text_len));
        (void)written; /* it has said so */
    }
    free(bundle);
    free(text);
}

static void job_what(const struct job *job, char *what, size_t size)
{
    switch (job->kind) {
    case CONTROL_TENANT_PUT:
        snprintf(what, size, "tenant %s changed", job->tenant);
        break;
    case CONTROL_TENANT_DELETE:
        snprintf(what, size, "tenant %s deleted", job->tenant);
        break;
    case CONTROL_ROLL_BACK:
        snprintf(what, size, "rolled back to %llu", (unsigned long long)job->version);
        break;
    default:
        snprintf(what, size, "reload");
        break;
    }
}

static void version_tell(struct node_control *control, uint64_t number)
{
    struct supervisor_ask ask = {.kind = ASK_VERSION, .version = number};
    err sent = os_channel_send(control->config.plan->channel, slice_of(&ask, sizeof(ask)), NULL, 0);

    if (!err_is_ok(sent))
        log_warn("the supervisor cannot be told what configuration is in force: %s", err_text(sent));
}

/* What has come into force is the next version. */
static void version_take(struct node_control *control, const struct job *job, const char *what, const struct settings *settings)
{
    struct control_version version = {.wall_ms = os_wall_ms(), .tenants = MAX(settings->tenants.count, 1u)};

    snprintf(version.who, sizeof(version.who), "%s", job != NULL ? job->who : "start");
    snprintf(version.what, sizeof(version.what), "%s", what);
    pthread_mutex_lock(&control->lock);
    version.number = control->version_count > 0 ? control->versions[0].number + 1 : 1;
    version_enter(control, &version);
    pthread_mutex_unlock(&control->lock);
    version_write(control, &version, settings);
    atomic_store(&control->version, version.number);
    version_tell(control, version.number);
}

/* ---- candidates ----------------------------------------------------------------------------------------------------- */

static enum control_result candidate_of_version(struct node_control *control, struct job *job, struct conf_report *report,
                                                struct config_text *candidate)
{
    struct control_version version;
    char *text;
    slice bundle;
    err read = node_control_version_read(&control->state, job->version, &text, &version, &bundle);

    if (read.code == ERR_NOT_FOUND)
        return job_say(job, CONTROL_NOT_FOUND, "there is no version %llu; the last %u are kept", (unsigned long long)job->version,
                       CONTROL_VERSIONS);
    if (!err_is_ok(read))
        return job_say(job, CONTROL_FAILED, "version %llu cannot be read: %s", (unsigned long long)job->version, err_text(read));
    config_text_done(candidate);
    read = config_text_of(bundle, report, candidate);
    free(text);
    return err_is_ok(read) ? CONTROL_DONE
                           : job_say(job, CONTROL_FAILED, "version %llu: %s", (unsigned long long)job->version, err_text(read));
}

/* A tenant that stands in a file is the file's: the next reload would bring it back as it was. */
static bool is_of_a_file(const struct node_control *control, slice name)
{
    return !tenants_is_default_only(control->tenants) && tenants_named(control->tenants, name) != NULL &&
           config_text_tenant(&control->text, name) == NULL;
}

static enum control_result candidate_tenant(struct node_control *control, struct job *job, struct config_text *candidate)
{
    slice name = slice_str(job->tenant);

    if (is_of_a_file(control, name))
        return job_say(job, CONTROL_CONFLICT, "tenant %s stands in a file of the configuration: change it there, and reload", job->tenant);
    if (job->kind == CONTROL_TENANT_DELETE)
        return config_text_remove(candidate, name) ? CONTROL_DONE
                                                   : job_say(job, CONTROL_NOT_FOUND, "there is no tenant %s", job->tenant);
    err put = config_text_put(candidate, name, slice_of(job->text, job->text_len));
    return err_is_ok(put) ? CONTROL_DONE : job_say(job, CONTROL_FAILED, "%s", err_text(put));
}

static enum control_result candidate_make(struct node_control *control, struct job *job, struct conf_report *report,
                                          struct config_text *candidate)
{
    err made;

    switch (job->kind) {
    case CONTROL_RELOAD:
        made = config_text_read_files(candidate, control->config.plan->start.path, report);
        if (made.code == ERR_INVALID)
            return CONTROL_INVALID;
        return err_is_ok(made) ? CONTROL_DONE : job_say(job, CONTROL_FAILED, "%s", err_text(made));
    case CONTROL_ROLL_BACK:
        return candidate_of_version(control, job, report, candidate);
    case CONTROL_TENANT_PUT:
    case CONTROL_TENANT_DELETE:
    case CONTROL_CHECK:
        break;
    }
    return candidate_tenant(control, job, candidate);
}

/* ---- listeners ------------------------------------------------------------------------------------------------------ */

static bool list_has(const struct config_list *list, const char *text)
{
    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

static void shards_free(struct os_listener *shards, unsigned count)
{
    for (unsigned i = 0; shards != NULL && i < count; i++)
        os_listener_close(&shards[i]);
    free(shards);
}

/* The descriptors of an opened listener, in as many messages as it takes. */
MUST_USE static err shards_receive(int channel, struct os_listener *shards, unsigned count)
{
    struct supervisor_answer answer = {.left = 1};
    unsigned got = 0;

    while (got < count) {
        int fds[OS_CHANNEL_FDS_MAX];
        unsigned fd_count;
        size_t len;

        TRY(os_channel_receive(channel, &answer, sizeof(answer), &len, fds, &fd_count, ANSWER_MS));
        ENSURE(len == sizeof(answer) && fd_count <= count - got, PROTOCOL);
        TRY(answer.result);
        ENSURE(fd_count > 0, PROTOCOL);
        for (unsigned i = 0; i < fd_count; i++)
            shards[got++] = (struct os_listener){.fd = fds[i], .address = answer.address};
    }
    return ERR_OK;
}

MUST_USE static err listener_open(struct node_control *control, struct listener_change *change)
{
    unsigned count = control->config.plan->workers;
    struct supervisor_ask ask = {.kind = ASK_OPEN, .is_tls = change->is_tls};
    err opened;

    change->shards = calloc(count, sizeof(*change->shards));
    ENSURE(change->shards != NULL, MEMORY);
    for (unsigned i = 0; i < count; i++)
        change->shards[i].fd = -1;
    memcpy(ask.text, change->text, sizeof(ask.text));
    opened = os_channel_send(control->config.plan->channel, slice_of(&ask, sizeof(ask)), NULL, 0);
    return err_is_ok(opened) ? shards_receive(control->config.plan->channel, change->shards, count) : opened;
}

static void listener_close(struct node_control *control, const struct listener_change *change)
{
    struct supervisor_ask ask = {.kind = ASK_CLOSE, .is_tls = change->is_tls};
    err sent;

    memcpy(ask.text, change->text, sizeof(ask.text));
    sent = os_channel_send(control->config.plan->channel, slice_of(&ask, sizeof(ask)), NULL, 0);
    if (!err_is_ok(sent))
        log_warn("%s: the supervisor does not close it: %s", change->text, err_text(sent));
}

static void listeners_differ(const struct config_list *from, const struct config_list *to, bool is_tls, bool is_opened,
                             struct node_change *change)
{
    for (unsigned i = 0; i < to->count; i++) {
        struct listener_change *one = &change->listeners[change->listener_count];
        if (list_has(from, to->items[i]) || change->listener_count == ARRAY_LEN(change->listeners))
            continue;
        *one = (struct listener_change){.is_tls = is_tls, .is_opened = is_opened};
        snprintf(one->text, sizeof(one->text), "%s", to->items[i]);
        change->listener_count++;
    }
}

/* Opened now; those that go are closed when nobody accepts on them any more. */
static enum control_result listeners_prepare(struct node_control *control, struct job *job, const struct config *config,
                                             struct node_change *change)
{
    const struct config *now = &control->listeners;

    if (config->listen.count + config->listen_tls.count > NODE_LISTENERS_MAX)
        return job_say(job, CONTROL_INVALID, "listen, listen-tls: at most %u addresses", NODE_LISTENERS_MAX);
    listeners_differ(&config->listen, &now->listen, false, false, change);
    listeners_differ(&config->listen_tls, &now->listen_tls, true, false, change);
    listeners_differ(&now->listen, &config->listen, false, true, change);
    listeners_differ(&now->listen_tls, &config->listen_tls, true, true, change);
    for (unsigned i = 0; i < change->listener_count; i++) {
        if (!change->listeners[i].is_opened)
            continue;
        err opened = listener_open(control, &change->listeners[i]);
        if (!err_is_ok(opened))
            return job_say(job, CONTROL_INVALID, "%s: %s: cannot listen there: %s", change->listeners[i].is_tls ? "listen-tls" : "listen",
                           change->listeners[i].text, err_text(opened));
    }
    return CONTROL_DONE;
}

/* taken: the workers have what was opened. */
static void listeners_settle(struct node_control *control, struct node_change *change, bool taken)
{
    for (unsigned i = 0; i < change->listener_count; i++) {
        struct listener_change *one = &change->listeners[i];
        if (one->is_opened != taken)
            listener_close(control, one);
        if (one->shards != NULL && !taken)
            shards_free(one->shards, control->config.plan->workers);
        else
            free(one->shards);
        one->shards = NULL;
    }
}

/* ---- what only a restart changes ------------------------------------------------------------------------------------ */

static bool is_changed_at_run_time(unsigned option)
{
    switch (option) {
    case CONFIG_listen:
    case CONFIG_listen_tls:
    case CONFIG_cert:
    case CONFIG_key:
    case CONFIG_cert_dir:
    case CONFIG_admin_cert:
    case CONFIG_admin_key:
    case CONFIG_admin_client_ca:
    case CONFIG_origin:
    case CONFIG_origin_ca:
    case CONFIG_origin_cert:
    case CONFIG_origin_key:
    case CONFIG_origin_name:
    case CONFIG_origin_insecure:
    case CONFIG_origin_http1:
    case CONFIG_origin_host:
    case CONFIG_log_level:
    case CONFIG_metrics_auth:
        return true;
    default:
        return false;
    }
}

static bool texts_differ(const char *a, const char *b)
{
    return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}

static bool lists_differ(const struct config_list *a, const struct config_list *b)
{
    if (a->count != b->count)
        return true;
    for (unsigned i = 0; i < a->count; i++)
        if (texts_differ(a->items[i], b->items[i]))
            return true;
    return false;
}

static bool option_differs(unsigned i, const struct config *a, const struct config *b)
{
    const struct config_option *option = &config_options[i];
    const char *one = (const char *)a + option->offset, *other = (const char *)b + option->offset;

    switch (option->kind) {
    case KIND_STRING:
        return texts_differ(*(const char *const *)(const void *)one, *(const char *const *)(const void *)other);
    case KIND_LIST:
        return lists_differ((const void *)one, (const void *)other);
    case KIND_SIZE:
    case KIND_DURATION:
        return memcmp(one, other, sizeof(uint64_t)) != 0;
    case KIND_SWITCH:
        return *(const bool *)(const void *)one != *(const bool *)(const void *)other;
    case KIND_COUNT:
    case KIND_IO:
    case KIND_LEVEL:
        return memcmp(one, other, sizeof(uint32_t)) != 0;
    }
    return false;
}

static void note_write(struct node_control *control, const struct config *config)
{
    char note[NOTE_BYTES] = "";
    size_t len = 0;

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (!is_changed_at_run_time(i) && option_differs(i, &control->config.plan->config, config) && len < sizeof(note) - 64)
            len += (size_t)snprintf(note + len, sizeof(note) - len, "%s%s", len > 0 ? ", " : "", config_options[i].flag);
    if (len > 0)
        snprintf(note + len, sizeof(note) - len, ": changed in the configuration, in force after a restart");
    pthread_mutex_lock(&control->lock);
    memcpy(control->note, note, sizeof(note));
    pthread_mutex_unlock(&control->lock);
    if (len > 0)
        log_warn("%s", note);
}

/* ---- putting into force --------------------------------------------------------------------------------------------- */

/* What a change is made of on its way. */
struct making {
    struct config_text text;
    struct settings *settings; /* the tenants' once these are made */
    struct tenants *tenants;
    struct net_identity *identity, *admin_identity;
    struct node_change change;
};

static void making_done(struct making *making)
{
    config_text_done(&making->text);
    if (making->tenants == NULL)
        settings_free(making->settings);
    tenants_unref(making->tenants);
    net_identity_unref(making->identity);
    net_identity_unref(making->admin_identity);
}

static void settings_release(void *settings)
{
    settings_free(settings);
}

static enum control_result tenants_make(struct node_control *control, struct job *job, struct making *making)
{
    const struct node_plan *plan = control->config.plan;
    struct node_tenants_config config = {.settings = making->settings,
                                         .release = settings_release,
                                         .demo_url = slice_str(plan->demo_url),
                                         .registry = plan->registry,
                                         .before = control->tenants,
                                         .wall_s = os_wall_ms() / 1000};
    char message[NODE_TENANTS_MESSAGE_BYTES];
    err made = node_tenants_new(&config, message, sizeof(message), &making->tenants);

    if (!err_is_ok(made))
        return job_say(job, made.code == ERR_MEMORY ? CONTROL_FAILED : CONTROL_INVALID, "%s", message);
    made = node_tenants_metrics(making->tenants, control->config.metrics);
    return err_is_ok(made) ? CONTROL_DONE : job_say(job, CONTROL_FAILED, "%s", err_text(made));
}

static enum control_result identities_make(struct job *job, struct making *making)
{
    char message[NODE_TLS_MESSAGE_BYTES];
    err read = node_identity_read(making->settings, message, sizeof(message), &making->identity, &making->admin_identity);

    return err_is_ok(read) ? CONTROL_DONE : job_say(job, CONTROL_INVALID, "%s", message);
}

/* What an owner asks for, by itself; from here on it is about the whole. */
static enum control_result candidate_owner(struct node_control *control, struct job *job)
{
    enum control_result result = CONTROL_DONE;

    if (!job->is_owner)
        return CONTROL_DONE;
    if (job->kind != CONTROL_TENANT_DELETE)
        result = node_owner_check(tenants_settings(control->tenants), slice_str(job->tenant), slice_of(job->text, job->text_len),
                                  &job->report);
    job->is_of_the_whole = result == CONTROL_DONE;
    return result;
}

/* Everything up to what others can see. */
static enum control_result making_prepare(struct node_control *control, struct job *job, struct conf_report *report, struct making *making)
{
    enum control_result result;
    err made = config_text_copy(&control->text, &making->text);

    if (!err_is_ok(made))
        return job_say(job, CONTROL_FAILED, "%s", err_text(made));
    result = candidate_make(control, job, report, &making->text);
    if (result == CONTROL_DONE)
        result = candidate_owner(control, job);
    if (result != CONTROL_DONE)
        return result;
    made = config_text_settings(&making->text, &control->config.plan->start, report, &making->settings);
    if (!err_is_ok(made))
        return made.code == ERR_INVALID ? CONTROL_INVALID : job_say(job, CONTROL_FAILED, "%s", err_text(made));
    result = tenants_make(control, job, making);
    if (result == CONTROL_DONE)
        result = identities_make(job, making);
    return result;
}

/* Ids are written down before anything can be stored under them. */
static void registry_keep(struct node_control *control)
{
    struct tenant_registry *registry = control->config.plan->registry;
    char *text;
    size_t len;

    if (!tenant_registry_is_changed(registry) || !err_is_ok(tenant_registry_write(registry, &text, &len)))
        return;
    err written = state_write(&control->state, STATE_REGISTRY, slice_of(text, len));
    (void)written; /* generations keep apart what ids no longer do */
    free(text);
}

/* The old set's view of what the API made is kept as texts; what is in force is the new one's. */
static void making_settle(struct node_control *control, struct job *job, struct making *making)
{
    struct config_text before;

    pthread_mutex_lock(&control->lock);
    before = control->text;
    control->text = making->text;
    pthread_mutex_unlock(&control->lock);
    making->text = before;
    if (job->kind == CONTROL_TENANT_DELETE) {
        const struct tenant *gone = tenants_named(control->tenants, slice_str(job->tenant));
        job->gone_id = gone != NULL ? gone->id : 0;
        tenant_registry_forget(control->config.plan->registry, slice_str(job->tenant));
        registry_keep(control); /* before the tenant's text goes: what is stored for it is nobody's already */
    }
    config_text_write_state(&control->text, &making->text, &control->state);
    node_tenants_quotas(making->tenants, control->tenants, control->config.storage);
    tenants_unref(control->tenants);
    control->tenants = tenants_ref(making->tenants);
    control->listeners = making->settings->config;
    log_level_max = making->settings->config.log_level;
    note_write(control, &making->settings->config);
}

static bool is_unchanged(struct node_control *control, const struct making *making)
{
    const struct config_text *a = &control->text, *b = &making->text;
    bool same = a->tenant_count == b->tenant_count && slice_eq(slice_of(a->base, a->base_len), slice_of(b->base, b->base_len));

    for (unsigned i = 0; same && i < a->tenant_count; i++)
        same = strcmp(a->tenants[i].name, b->tenants[i].name) == 0 &&
               slice_eq(slice_of(a->tenants[i].text, a->tenants[i].len), slice_of(b->tenants[i].text, b->tenants[i].len));
    return same;
}

static enum control_result making_publish(struct node_control *control, struct job *job, struct making *making)
{
    enum control_result result = listeners_prepare(control, job, &making->settings->config, &making->change);
    err taken;

    if (result != CONTROL_DONE) {
        listeners_settle(control, &making->change, false);
        return result;
    }
    registry_keep(control);
    making->change.tenants = making->tenants;
    taken = node_tls_hand(control->config.tls, making->identity, making->admin_identity);
    if (err_is_ok(taken))
        taken = node_take(control->config.node, &making->change);
    listeners_settle(control, &making->change, err_is_ok(taken));
    return err_is_ok(taken) ? CONTROL_DONE : job_say(job, CONTROL_FAILED, "%s", err_text(taken));
}

/* A version that was rolled back to stays, with what was changed since, also across restarts, until the files are asked for
 * again. */
static void current_keep(struct node_control *control, const struct job *job)
{
    char text[32];

    control->is_rolled_back = job->kind == CONTROL_ROLL_BACK || (control->is_rolled_back && job->kind != CONTROL_RELOAD);
    if (control->is_rolled_back) {
        snprintf(text, sizeof(text), "%llu\n", (unsigned long long)atomic_load(&control->version));
        err written = state_write(&control->state, STATE_CURRENT, slice_str(text));
        (void)written;
    } else {
        state_remove(&control->state, STATE_CURRENT);
    }
}

/* What was taken of it for what does not come into force was never taken: text is how it was before. */
static void registry_undo(struct node_control *control, slice text)
{
    struct tenant_registry *before;
    unsigned bad_lines;

    if (!tenant_registry_is_changed(control->config.plan->registry) ||
        !err_is_ok(tenant_registry_new(text, &bad_lines, &before)))
        return; /* without memory: generations that are too late cost misses */
    tenant_registry_free(control->config.plan->registry);
    control->config.plan->registry = before;
}

static enum control_result job_put_into_force(struct node_control *control, struct job *job, struct conf_report *report)
{
    struct making making = {0};
    char *registry = NULL;
    size_t registry_len = 0;
    enum control_result result;
    bool unchanged;
    char what[128];

    if (job->expected_version != 0 && job->expected_version != atomic_load(&control->version))
        return job_say(job, CONTROL_CONFLICT, "version %llu is in force, not %llu", (unsigned long long)atomic_load(&control->version),
                       (unsigned long long)job->expected_version);
    if (!err_is_ok(tenant_registry_write(control->config.plan->registry, &registry, &registry_len)))
        return job_say(job, CONTROL_FAILED, "out of memory");
    result = making_prepare(control, job, report, &making);
    unchanged = result == CONTROL_DONE && is_unchanged(control, &making);
    if (result == CONTROL_DONE && job->kind != CONTROL_CHECK)
        result = making_publish(control, job, &making);
    if (result == CONTROL_DONE && job->kind != CONTROL_CHECK) {
        job_what(job, what, sizeof(what));
        making_settle(control, job, &making);
        if (unchanged)
            result = CONTROL_UNCHANGED;
        else
            version_take(control, job, what, making.settings);
        current_keep(control, job);
    } else {
        registry_undo(control, slice_of(registry, registry_len));
    }
    free(registry);
    making_done(&making);
    os_memory_trim(); /* what reading took, and the settings before */
    return result;
}

static void report_take(struct job *job, struct conf_report *report)
{
    if (job->report == NULL && report->count > 0)
        job->report = strdup(conf_report_text(report));
}

static void lines_log(const char *text)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, "\n");
        log_error("%.*s", len, text);
        text += len + (text[len] == '\n');
    }
}

static void job_tell(struct node_control *control, const struct job *job)
{
    bool is_good = job->result == CONTROL_DONE || job->result == CONTROL_UNCHANGED;
    char what[128];

    if (job->kind == CONTROL_CHECK)
        return;
    job_what(job, what, sizeof(what));
    atomic_fetch_add(is_good ? &control->successes : &control->failures, 1);
    if (job->result == CONTROL_UNCHANGED)
        log_info("%s, by %s: nothing has changed; certificates were read again", what, job->who);
    else if (is_good)
        log_info("%s, by %s: version %llu of the configuration is in force", what, job->who, (unsigned long long)job->in_force);
    if (is_good)
        return;
    log_error("%s, by %s: refused; everything stays as it was", what, job->who);
    lines_log(job->report != NULL ? job->report : "out of memory");
}

/* An owner learns nothing of other tenants by what is wrong with them. */
static void job_hush(struct job *job)
{
    if (job->is_owner && job->is_of_the_whole && job->result != CONTROL_DONE && job->result != CONTROL_UNCHANGED)
        job->result = job_say(job, job->result, NODE_OWNER_HUSHED);
}

static void job_run(struct node_control *control, struct job *job)
{
    struct conf_report *report = NULL;

    if (err_is_ok(conf_report_new(&report))) {
        job->result = job_put_into_force(control, job, report);
        report_take(job, report);
        conf_report_free(report);
    } else {
        job->result = CONTROL_FAILED;
    }
    job->in_force = atomic_load(&control->version);
    job_tell(control, job);
    job_hush(job);
    loop_post(control->config.loop, &job->mail);
}

static void control_thread(void *arg)
{
    struct node_control *control = arg;

    while (!atomic_load(&control->is_over)) {
        struct job *job;
        if (state_writes_run(&control->writes))
            continue;
        job = job_next(control);
        if (job != NULL)
            job_run(control, job);
        else
            os_event_wait(control->event, IDLE_NS);
    }
}

/* ---- what is asked of it -------------------------------------------------------------------------------------------- */

static void change_refused(struct control_change *change, const char *report)
{
    change->result = CONTROL_FAILED;
    change->report = report;
    change->done(change);
}

static void ops_submit(void *arg, struct control_change *change)
{
    struct node_control *control = arg;
    struct job *job = job_new(control, change);

    change->own = job;
    if (job == NULL) {
        change_refused(change, "out of memory");
        return;
    }
    job->change = change;
    job_submit(control, job);
}

static void ops_forget(void *arg, struct control_change *change)
{
    struct job *job = change->own;

    (void)arg;
    if (job != NULL)
        job->change = NULL;
}

static uint64_t ops_in_force(void *arg)
{
    struct node_control *control = arg;

    return atomic_load(&control->version);
}

static const char *ops_note(void *arg)
{
    struct node_control *control = arg;

    return control->shown_note[0] != '\0' ? control->shown_note : NULL;
}

static unsigned ops_versions(void *arg, struct control_version *ret_versions, unsigned max)
{
    struct node_control *control = arg;
    uint64_t in_force = atomic_load(&control->version);
    unsigned count;

    pthread_mutex_lock(&control->lock);
    count = MIN(max, control->version_count);
    memcpy(ret_versions, control->versions, count * sizeof(*ret_versions));
    pthread_mutex_unlock(&control->lock);
    for (unsigned i = 0; i < count; i++)
        ret_versions[i].is_in_force = ret_versions[i].number == in_force;
    return count;
}

MUST_USE static err document_text(const struct conf_document *document, char **ret_text, size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    ENSURE(out != NULL, MEMORY);
    for (uint32_t i = 0; i < document->file_count; i++) {
        const struct conf_file *file = &document->files[i];
        if (file->path[0] == '\0' && file->text.len == 0)
            continue;
        fprintf(out, "# %s\n", file->path);
        fwrite(file->text.data, 1, file->text.len, out);
        if (!slice_ends(file->text, SLICE("\n")))
            fputc('\n', out);
    }
    return fclose(out) == 0 ? ERR_OK : ERR(MEMORY);
}

static err ops_version_text(void *arg, uint64_t number, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;
    struct conf_document *document = NULL;
    struct conf_report *report;
    struct control_version version;
    char *text;
    slice bundle;
    err read;

    TRY(node_control_version_read(&control->state, number, &text, &version, &bundle));
    read = conf_report_new(&report);
    if (err_is_ok(read)) {
        read = conf_bundle_read(bundle, report, &document);
        conf_report_free(report);
    }
    free(text);
    if (err_is_ok(read))
        read = document_text(document, ret_text, ret_len);
    conf_document_free(document);
    return read;
}

static err ops_tenant_text(void *arg, slice name, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;
    const struct api_tenant *tenant;

    pthread_mutex_lock(&control->lock);
    tenant = config_text_tenant(&control->text, name);
    *ret_text = tenant != NULL ? strndup(tenant->text, tenant->len) : NULL;
    *ret_len = tenant != NULL ? tenant->len : 0;
    pthread_mutex_unlock(&control->lock);
    ENSURE(tenant != NULL, NOT_FOUND);
    return *ret_text != NULL ? ERR_OK : ERR(MEMORY);
}

static err ops_state_read(void *arg, const char *name, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;

    return state_read(&control->state, name, ret_text, ret_len);
}

static void ops_state_write(void *arg, struct control_write *write)
{
    struct node_control *control = arg;

    state_writes_add(&control->writes, write);
    os_event_set(control->event);
}

/* ---- the audit log -------------------------------------------------------------------------------------------------- */

static bool audit_open(struct node_control *control)
{
    char path[PATH_BYTES];

    if (control->audit_fd < 0 && err_is_ok(state_path(&control->state, "audit.log", path, sizeof(path)))) {
        err opened = os_dir_make(control->state.dir, 0700);
        if (err_is_ok(opened))
            opened = os_append_open(path, &control->audit_fd);
        if (!err_is_ok(opened)) {
            control->audit_fd = -1;
            log_warn("%s: %s: changes are not written down", path, err_text(opened));
        }
    }
    return control->audit_fd >= 0;
}

/* details: members of a JSON object without its braces, or nothing. */
static void ops_audit(void *arg, slice who, const char *what, slice details)
{
    struct node_control *control = arg;
    char line[2048], safe[160];
    int len;

    log_safe(who, safe, sizeof(safe));
    len = snprintf(line, sizeof(line), "{\"number\":%llu,\"time_ms\":%lld,\"who\":\"%s\",\"what\":\"%s\"%s" SLICE_FMT "}\n",
                   (unsigned long long)++control->audit_number, (long long)os_wall_ms(), safe, what, details.len > 0 ? "," : "",
                   SLICE_ARG(details));
    if (len < 0 || (size_t)len >= sizeof(line)) {
        log_warn("a line of the audit log is too long: %s by %s", what, safe);
        return;
    }
    if (audit_open(control) && !err_is_ok(os_append_write(control->audit_fd, slice_of(line, (size_t)len))))
        log_warn("%s/audit.log cannot be written", control->state.dir);
}

/* The number that a line begins with; 0: it is none of ours. */
static uint64_t audit_number_of(slice line)
{
    unsigned long long number = 0;

    return line.len > 11 && sscanf(line.data, "{\"number\":%20llu", &number) == 1 ? number : 0;
}

static void audit_load(struct node_control *control)
{
    char *text;
    size_t len;

    if (!err_is_ok(state_read(&control->state, "audit.log", &text, &len)))
        return;
    for (slice rest = slice_of(text, len); rest.len > 0;) {
        ptrdiff_t end = slice_find(rest, '\n');
        slice line = end >= 0 ? slice_of(rest.data, (size_t)end) : rest;
        control->audit_number = MAX(control->audit_number, audit_number_of(line));
        rest = slice_from(rest, end >= 0 ? (size_t)end + 1 : rest.len);
    }
    free(text);
}

static err ops_audit_read(void *arg, uint64_t since, unsigned max, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;
    char *text = NULL;
    size_t len = 0;
    err read = state_read(&control->state, "audit.log", &text, &len);
    FILE *out;

    if (!err_is_ok(read) && read.code != ERR_NOT_FOUND)
        return read;
    out = open_memstream(ret_text, ret_len);
    for (slice rest = slice_of(text, len); out != NULL && rest.len > 0 && max > 0;) {
        ptrdiff_t end = slice_find(rest, '\n');
        slice line = end >= 0 ? slice_of(rest.data, (size_t)end) : rest;
        if (audit_number_of(line) > since) {
            fprintf(out, SLICE_FMT "\n", SLICE_ARG(line));
            max--;
        }
        rest = slice_from(rest, end >= 0 ? (size_t)end + 1 : rest.len);
    }
    free(text);
    return out != NULL && fclose(out) == 0 ? ERR_OK : ERR(MEMORY);
}

const struct control_ops node_control_ops = {
    .submit = ops_submit,
    .forget = ops_forget,
    .in_force = ops_in_force,
    .note = ops_note,
    .versions = ops_versions,
    .version_text = ops_version_text,
    .tenant_text = ops_tenant_text,
    .audit = ops_audit,
    .audit_read = ops_audit_read,
    .state_read = ops_state_read,
    .state_write = ops_state_write,
};

void node_control_reload(struct node_control *control, const char *who)
{
    const struct control_change change = {.kind = CONTROL_RELOAD, .who = slice_str(who)};
    struct job *job = job_new(control, &change);

    if (job != NULL)
        job_submit(control, job);
    else
        log_error("reload, by %s: out of memory", who);
}

void node_control_collect(void *arg, enum metric metric, struct metrics_writer *writer)
{
    struct node_control *control = arg;

    if (metric != METRIC_warp_reloads)
        return;
    metrics_emit(writer, (slice[]){SLICE("success")}, (double)atomic_load(&control->successes));
    metrics_emit(writer, (slice[]){SLICE("failure")}, (double)atomic_load(&control->failures));
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

/* What the process begins with is a version, unless it is the last one again. */
static void version_begin(struct node_control *control)
{
    const struct node_plan *plan = control->config.plan;
    struct control_version last;
    char *text = NULL, *bundle = NULL;
    slice kept = SLICE_NONE;
    size_t len = 0;

    if (control->version_count > 0 && err_is_ok(node_control_version_read(&control->state, control->versions[0].number, &text, &last, &kept)) &&
        err_is_ok(config_text_write(plan->settings, &bundle, &len)) && slice_eq(kept, slice_of(bundle, len))) {
        atomic_store(&control->version, last.number);
        version_tell(control, last.number);
    } else {
        version_take(control, NULL, "start", plan->settings);
    }
    free(text);
    free(bundle);
}

static err control_init(struct node_control *control)
{
    struct node_plan *plan = control->config.plan;

    control->event = os_event_new();
    ENSURE(control->event != NULL, MEMORY);
    TRY(config_text_copy(&plan->text, &control->text));
    control->listeners = plan->config;
    control->tenants = tenants_ref(control->config.tenants);
    control->is_rolled_back = plan->is_rolled_back;
    audit_load(control);
    versions_load(control);
    if (plan->text.base == NULL && plan->text.tenant_count == 0 && !plan->is_restarted)
        return ERR_OK; /* flags alone: nothing is written before something is changed */
    version_begin(control);
    return ERR_OK;
}

err node_control_new(const struct node_control_config *config, struct node_control **ret_control)
{
    struct node_control *control = calloc(1, sizeof(*control));
    err made;

    ENSURE(control != NULL, MEMORY);
    control->config = *config;
    control->state = config->plan->state;
    control->audit_fd = -1;
    list_init(&control->jobs);
    pthread_mutex_init(&control->lock, NULL);
    state_writes_init(&control->writes, &control->state, config->loop);
    made = control_init(control);
    if (!err_is_ok(made)) {
        node_control_free(control);
        return made;
    }
    *ret_control = control;
    return ERR_OK;
}

err node_control_start(struct node_control *control)
{
    return os_thread_start("warp-config", control_thread, control, &control->thread);
}

void node_control_stop(struct node_control *control)
{
    atomic_store(&control->is_over, true);
    os_event_set(control->event);
    if (control->thread != NULL)
        os_thread_join(control->thread);
    control->thread = NULL;
}

struct node_control *node_control_free(struct node_control *control)
{
    struct job *job;

    if (control == NULL)
        return NULL;
    while ((job = job_next(control)) != NULL)
        job_free(job);
    config_text_done(&control->text);
    tenants_unref(control->tenants);
    os_append_close(control->audit_fd);
    os_event_free(control->event);
    pthread_mutex_destroy(&control->lock);
    state_writes_done(&control->writes);
    free(control);
    return NULL;
}
