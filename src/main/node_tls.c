#include "main/node_tls.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* What a reload hands to a worker. */
struct tls_next {
    struct net_acceptor *acceptor, *admin_acceptor;
    struct net_identity *identity, *admin_identity; /* for worker 0's metrics */
    bool is_admin_lost;                             /* worker 0 */
};

struct tls_worker {
    _Alignas(64) struct node_tls *tls;
    struct loop *loop;
    struct tls_next now;
    _Atomic(struct tls_next *) next; /* not NULL: mail is on its way */
    struct mail mail;
};

struct node_tls {
    struct net_identity *identity, *admin_identity; /* in force */
    struct net_identity *next_identity, *next_admin_identity; /* prepared; handed, until they are settled: those before */
    struct tls_next **nexts; /* prepared: each worker's; NULL: nothing is */
    struct net_tickets *tickets, *admin_tickets;
    struct tls_worker *workers;
    unsigned worker_count;
    bool is_admin_lost; /* at the start */
};

/* ---- settings and files ------------------------------------------------------------------------------------------- */

static unsigned tenant_files_count(const struct settings *settings)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < settings->tenants.count; i++)
        count += settings->tenants.items[i].certificates.count;
    return count;
}

struct tls_problem {
    enum config_index option;
    const char *what; /* NULL: none */
};

static struct tls_problem settings_problem(const struct settings *settings)
{
    const struct config *config = &settings->config;
    bool has_any = config->cert != NULL || config->cert_dir != NULL;

    if (config->cert != NULL && config->key == NULL)
        return (struct tls_problem){CONFIG_cert, "needs --key FILE, its private key"};
    if (config->key != NULL && config->cert == NULL)
        return (struct tls_problem){CONFIG_key, "needs --cert FILE, the certificate that it belongs to"};
    if (config->listen_tls.count > 0 && !has_any && tenant_files_count(settings) == 0)
        return (struct tls_problem){CONFIG_listen_tls,
                                    "needs a certificate: --cert FILE with --key FILE, --cert-dir DIR, or certificates of tenants"};
    if (config->listen_tls.count == 0 && has_any)
        return (struct tls_problem){config->cert != NULL ? CONFIG_cert : CONFIG_cert_dir, "is for --listen-tls ADDR, which is not given"};
    if (config->admin_cert != NULL && config->admin_key == NULL)
        return (struct tls_problem){CONFIG_admin_cert, "needs --admin-key FILE, its private key"};
    if (config->admin_key != NULL && config->admin_cert == NULL)
        return (struct tls_problem){CONFIG_admin_key, "needs --admin-cert FILE, the certificate that it belongs to"};
    if (config->admin_client_ca != NULL && config->admin_cert == NULL)
        return (struct tls_problem){CONFIG_admin_client_ca,
                                    "needs TLS on the admin listener: --admin-cert FILE and --admin-key FILE"};
    return (struct tls_problem){0};
}

/* Each tenant's for its own hosts. */
static void tenant_files(const struct settings *settings, struct net_identity_file *files)
{
    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        const struct conf_tenant *tenant = &settings->tenants.items[i];
        for (uint32_t c = 0; c < tenant->certificates.count; c++)
            *files++ = (struct net_identity_file){.cert_file = tenant->certificates.items[c].cert.data,
                                                  .key_file = tenant->certificates.items[c].key.data,
                                                  .hosts = tenant->hosts.items,
                                                  .host_count = tenant->hosts.count};
    }
}

MUST_USE static err data_identity_read(const struct settings *settings, char *message, size_t message_size,
                                       struct net_identity **ret_identity)
{
    const struct config *config = &settings->config;
    unsigned count = tenant_files_count(settings);
    struct net_identity_file *files = calloc(count + 1u, sizeof(*files));
    const struct net_identity_options options = {.files = files,
                                                 .file_count = count,
                                                 .cert_file = config->cert,
                                                 .key_file = config->key,
                                                 .cert_dir = config->cert_dir,
                                                 .h2 = true};
    err result = ERR_OK;

    ENSURE(files != NULL, MEMORY);
    tenant_files(settings, files);
    if (config->listen_tls.count > 0)
        result = net_identity_new(&options, message, message_size, ret_identity);
    free(files);
    return result;
}

MUST_USE static err admin_identity_read(const struct config *config, char *message, size_t message_size,
                                        struct net_identity **ret_identity)
{
    const struct net_identity_options options = {
        .cert_file = config->admin_cert, .key_file = config->admin_key, .client_ca_file = config->admin_client_ca};

    if (config->admin_cert == NULL)
        return ERR_OK;
    return net_identity_new(&options, message, message_size, ret_identity);
}

err node_identity_read(const struct settings *settings, char *message, size_t message_size, struct net_identity **ret_identity,
                       struct net_identity **ret_admin)
{
    const struct config *config = &settings->config;
    struct net_identity *identity = NULL, *admin = NULL;
    const struct tls_problem problem = settings_problem(settings);
    err result;

    if (problem.what != NULL) {
        snprintf(message, message_size, "--%s %s", config_flag(problem.option), problem.what);
        return ERR(INVALID);
    }
    result = data_identity_read(settings, message, message_size, &identity);
    if (err_is_ok(result))
        result = admin_identity_read(config, message, message_size, &admin);
    if (!err_is_ok(result)) {
        net_identity_unref(identity);
        return result;
    }
    *ret_identity = identity;
    *ret_admin = admin;
    return ERR_OK;
}

/* ---- which of them is wrong ---------------------------------------------------------------------------------------------- */

MUST_USE static bool is_readable(const struct net_identity_options *options, char *message, size_t size)
{
    struct net_identity *identity = NULL;
    bool is_read = err_is_ok(net_identity_new(options, message, size, &identity));

    net_identity_unref(identity);
    return is_read;
}

static void options_check(const struct config *config, struct settings_places *places)
{
    const struct {
        enum config_index option;
        struct net_identity_options options;
    } all[] = {{CONFIG_cert, {.cert_file = config->cert, .key_file = config->key, .h2 = true}},
               {CONFIG_cert_dir, {.cert_dir = config->cert_dir, .h2 = true}}};
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";
    struct net_identity *admin = NULL;

    for (size_t i = 0; i < ARRAY_LEN(all) && config->listen_tls.count > 0; i++)
        if ((all[i].options.cert_file != NULL || all[i].options.cert_dir != NULL) && !is_readable(&all[i].options, message, sizeof(message)))
            settings_option_problem(places, all[i].option, message);
    if (!err_is_ok(admin_identity_read(config, message, sizeof(message), &admin)))
        settings_option_problem(places, CONFIG_admin_cert, message);
    net_identity_unref(admin);
}

static void tenant_check(const struct conf_tenant *tenant, struct settings_places *places)
{
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";

    for (uint32_t i = 0; i < tenant->certificates.count; i++) {
        const struct net_identity_file file = {.cert_file = tenant->certificates.items[i].cert.data,
                                               .key_file = tenant->certificates.items[i].key.data,
                                               .hosts = tenant->hosts.items,
                                               .host_count = tenant->hosts.count};
        if (!is_readable(&(struct net_identity_options){.files = &file, .file_count = 1, .h2 = true}, message, sizeof(message)))
            settings_tenant_problem(places, tenant, "certificates", i, "cert", message);
    }
}

void node_identity_check(const struct settings *settings, struct settings_places *places)
{
    const struct tls_problem problem = settings_problem(settings);

    if (problem.what != NULL) {
        settings_option_problem(places, problem.option, problem.what);
        return;
    }
    options_check(&settings->config, places);
    for (uint32_t i = 0; i < settings->tenants.count && settings->config.listen_tls.count > 0; i++)
        tenant_check(&settings->tenants.items[i], places);
}

/* ---- what is left after a crash ---------------------------------------------------------------------------------------- */

/* What was found while others were left out. */
struct saving {
    struct node_plan *plan;
    unsigned lost;
};

static void lost_add(struct saving *saving, const char *message)
{
    char *note = saving->plan->lost;

    log_error("%s: left out until it can be read by a reload", message);
    if (saving->lost++ == 0)
        snprintf(note, sizeof(saving->plan->lost), "%s: left out until it can be read by a reload", message);
}

MUST_USE static bool can_be_read(struct saving *saving, const struct net_identity_options *options)
{
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";
    bool is_read = is_readable(options, message, sizeof(message));

    if (!is_read)
        lost_add(saving, message);
    return is_read;
}

/* Leaves in options only what can be read; false: that is nothing. */
MUST_USE static bool readable_keep(struct saving *saving, struct net_identity_options *options, struct net_identity_file *files)
{
    unsigned count = 0;

    for (unsigned i = 0; i < options->file_count; i++)
        if (can_be_read(saving, &(struct net_identity_options){.files = &files[i], .file_count = 1, .h2 = true}))
            files[count++] = files[i];
    options->file_count = count;
    if (options->cert_file != NULL &&
        !can_be_read(saving, &(struct net_identity_options){.cert_file = options->cert_file, .key_file = options->key_file, .h2 = true}))
        options->cert_file = options->key_file = NULL;
    if (options->cert_dir != NULL && !can_be_read(saving, &(struct net_identity_options){.cert_dir = options->cert_dir, .h2 = true}))
        options->cert_dir = NULL;
    return count > 0 || options->cert_file != NULL || options->cert_dir != NULL;
}

static void data_identity_save(struct saving *saving)
{
    const struct config *config = &saving->plan->settings->config;
    unsigned count = tenant_files_count(saving->plan->settings);
    struct net_identity_file *files = calloc(count + 1u, sizeof(*files));
    struct net_identity_options options = {.files = files,
                                           .file_count = count,
                                           .cert_file = config->cert,
                                           .key_file = config->key,
                                           .cert_dir = config->cert_dir,
                                           .h2 = true};
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";

    if (files != NULL && config->listen_tls.count > 0) {
        tenant_files(saving->plan->settings, files);
        if (readable_keep(saving, &options, files) &&
            !err_is_ok(net_identity_new(&options, message, sizeof(message), &saving->plan->identity)))
            lost_add(saving, message);
    }
    free(files);
}

/* After a crash: what was in force, without what has become unreadable since. */
static void identities_save(struct node_plan *plan)
{
    struct saving saving = {.plan = plan};
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";
    size_t len;

    data_identity_save(&saving);
    if (!err_is_ok(admin_identity_read(&plan->settings->config, message, sizeof(message), &plan->admin_identity)))
        lost_add(&saving, message);
    len = strlen(plan->lost);
    if (saving.lost > 1)
        snprintf(plan->lost + len, sizeof(plan->lost) - len, " (and %u more)", saving.lost - 1);
}

/* ---- acceptors ------------------------------------------------------------------------------------------------------ */

static struct tls_next *next_done(struct tls_next *next)
{
    next->acceptor = net_acceptor_free(next->acceptor);
    next->admin_acceptor = net_acceptor_free(next->admin_acceptor);
    next->identity = net_identity_unref(next->identity);
    next->admin_identity = net_identity_unref(next->admin_identity);
    return NULL;
}

/* identities may be NULL. */
MUST_USE static err next_init(struct node_tls *tls, unsigned worker, struct net_identity *identity, struct net_identity *admin,
                              struct tls_next *ret_next)
{
    *ret_next = (struct tls_next){0};
    if (identity != NULL)
        TRY(net_acceptor_new(identity, tls->tickets, &ret_next->acceptor));
    if (worker > 0)
        return ERR_OK;
    if (admin != NULL)
        TRY(net_acceptor_new(admin, tls->admin_tickets, &ret_next->admin_acceptor));
    ret_next->identity = identity != NULL ? net_identity_ref(identity) : NULL;
    ret_next->admin_identity = admin != NULL ? net_identity_ref(admin) : NULL;
    return ERR_OK;
}

static void worker_take(struct mail *mail)
{
    struct tls_worker *worker = container_of(mail, struct tls_worker, mail);
    struct tls_next *next = atomic_exchange(&worker->next, NULL);

    next_done(&worker->now);
    worker->now = *next;
    free(next);
}

/* What an earlier reload brought and the worker has not taken yet goes. */
static void worker_hand(struct tls_worker *worker, struct tls_next *next)
{
    struct tls_next *old = atomic_exchange(&worker->next, next);

    if (old == NULL) {
        loop_post(worker->loop, &worker->mail);
        return;
    }
    next_done(old);
    free(old);
}

err node_tls_enter(struct node_tls *tls, unsigned worker, struct loop *loop)
{
    struct tls_worker *own = &tls->workers[worker];

    own->tls = tls;
    own->loop = loop;
    own->mail.run = worker_take;
    TRY(next_init(tls, worker, tls->identity, tls->admin_identity, &own->now));
    own->now.is_admin_lost = tls->is_admin_lost;
    return ERR_OK;
}

void node_tls_leave(struct node_tls *tls, unsigned worker)
{
    struct tls_worker *own = &tls->workers[worker];
    struct tls_next *next = atomic_exchange(&own->next, NULL);

    if (next != NULL) /* the loop ended before its mail */
        next_done(next);
    free(next);
    next_done(&own->now);
}

struct net_acceptor *node_tls_acceptor(struct node_tls *tls, unsigned worker)
{
    return tls->workers[worker].now.acceptor;
}

struct net_acceptor *node_tls_admin_acceptor(struct node_tls *tls)
{
    return tls->workers[0].now.admin_acceptor;
}

bool node_tls_admin_is_lost(struct node_tls *tls)
{
    return tls->workers[0].now.is_admin_lost;
}

/* ---- new ones -------------------------------------------------------------------------------------------------- */

static struct net_identity *identity_hold(struct net_identity *identity)
{
    return identity != NULL ? net_identity_ref(identity) : NULL;
}

MUST_USE static err nexts_fill(struct node_tls *tls, struct net_identity *identity, struct net_identity *admin)
{
    tls->nexts = calloc(tls->worker_count, sizeof(struct tls_next *));
    ENSURE(tls->nexts != NULL, MEMORY);
    for (unsigned i = 0; i < tls->worker_count; i++) {
        tls->nexts[i] = calloc(1, sizeof(struct tls_next));
        ENSURE(tls->nexts[i] != NULL, MEMORY);
        TRY(next_init(tls, i, identity, admin, tls->nexts[i]));
    }
    return ERR_OK;
}

err node_tls_prepare(struct node_tls *tls, struct net_identity *identity, struct net_identity *admin)
{
    INVARIANT(tls->nexts == NULL);
    tls->next_identity = identity_hold(identity);
    tls->next_admin_identity = identity_hold(admin);
    err prepared = nexts_fill(tls, identity, admin);
    if (!err_is_ok(prepared))
        node_tls_drop(tls);
    return prepared;
}

void node_tls_drop(struct node_tls *tls)
{
    for (unsigned i = 0; tls->nexts != NULL && i < tls->worker_count; i++) {
        if (tls->nexts[i] != NULL)
            next_done(tls->nexts[i]);
        free(tls->nexts[i]);
    }
    free(tls->nexts);
    tls->nexts = NULL;
    node_tls_settle(tls);
}

void node_tls_hand(struct node_tls *tls)
{
    struct net_identity *identity = tls->identity, *admin = tls->admin_identity;

    for (unsigned i = 0; i < tls->worker_count; i++)
        worker_hand(&tls->workers[i], tls->nexts[i]);
    free(tls->nexts);
    tls->nexts = NULL;
    tls->identity = tls->next_identity;
    tls->admin_identity = tls->next_admin_identity;
    tls->next_identity = identity;
    tls->next_admin_identity = admin;
}

/* Here and not on a worker: one of many certificates takes its time. */
void node_tls_settle(struct node_tls *tls)
{
    tls->next_identity = net_identity_unref(tls->next_identity);
    tls->next_admin_identity = net_identity_unref(tls->next_admin_identity);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

static bool is_listed(const struct net_identity *identity, const char *name)
{
    const char *other;
    int64_t expires_s;

    for (unsigned i = 0; identity != NULL && net_identity_certificate(identity, i, &other, &expires_s); i++)
        if (strcmp(name, other) == 0)
            return true;
    return false;
}

/* unless: where the same file may be listed already. */
static void collect_expiry(const struct net_identity *identity, const struct net_identity *unless,
                           struct metrics_writer *writer)
{
    const char *name;
    int64_t expires_s;

    for (unsigned i = 0; identity != NULL && net_identity_certificate(identity, i, &name, &expires_s); i++)
        if (!is_listed(unless, name))
            metrics_emit(writer, (slice[]){slice_str(name)}, (double)expires_s);
}

void node_tls_collect(void *arg, enum metric metric, struct metrics_writer *writer)
{
    struct node_tls *tls = arg;
    const struct tls_next *now = &tls->workers[0].now;

    if (metric != METRIC_warp_certificate_expiry_timestamp_seconds)
        return;
    collect_expiry(now->identity, NULL, writer);
    collect_expiry(now->admin_identity, now->identity, writer);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

MUST_USE static err tls_init(struct node_tls *tls, struct node_plan *plan)
{
    tls->worker_count = plan->workers;
    tls->workers = aligned_alloc(64, plan->workers * sizeof(*tls->workers));
    ENSURE(tls->workers != NULL, MEMORY);
    memset(tls->workers, 0, plan->workers * sizeof(*tls->workers));
    TRY(net_tickets_new(&tls->tickets));
    return net_tickets_new(&tls->admin_tickets);
}

MUST_USE static err identities_take(struct node_plan *plan, struct net_identity **ret_identity, struct net_identity **ret_admin)
{
    char message[NODE_TLS_MESSAGE_BYTES] = "out of memory";
    err result = ERR_OK;

    if (plan->identity == NULL && plan->admin_identity == NULL)
        result = node_identity_read(plan->settings, message, sizeof(message), &plan->identity, &plan->admin_identity);
    if (!err_is_ok(result) && plan->is_restarted) {
        identities_save(plan);
        result = ERR_OK;
    }
    if (!err_is_ok(result))
        log_error("%s", message);
    *ret_identity = plan->identity;
    *ret_admin = plan->admin_identity;
    plan->identity = plan->admin_identity = NULL;
    return result;
}

err node_tls_new(struct node_plan *plan, struct node_tls **ret_tls)
{
    struct net_identity *identity, *admin;
    struct node_tls *tls;
    err result;

    TRY(identities_take(plan, &identity, &admin));
    tls = calloc(1, sizeof(*tls));
    result = tls != NULL ? tls_init(tls, plan) : ERR(MEMORY);
    if (!err_is_ok(result)) {
        node_tls_free(tls);
        net_identity_unref(identity);
        net_identity_unref(admin);
        return result;
    }
    tls->identity = identity;
    tls->admin_identity = admin;
    tls->is_admin_lost = admin == NULL && plan->settings->config.admin_cert != NULL;
    *ret_tls = tls;
    return ERR_OK;
}

struct node_tls *node_tls_free(struct node_tls *tls)
{
    if (tls == NULL)
        return NULL;
    node_tls_drop(tls);
    net_identity_unref(tls->identity);
    net_identity_unref(tls->admin_identity);
    net_tickets_free(tls->tickets);
    net_tickets_free(tls->admin_tickets);
    free(tls->workers);
    free(tls);
    return NULL;
}
