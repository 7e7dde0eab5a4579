/* PURGE <url> on the data listener, as users of other caches know it: for a bearer of the purge right.
 *
 *   PURGE /path                           the URL, all its variants
 *   Surrogate-Key: a b                    these tags of the tenant instead
 *   Cache-Tag: a, b                       the same
 *   Soft-Purge: 1, Fastly-Soft-Purge: 1   makes stale
 *
 * It acts when it arrives; the answer waits until it is durable. */
#include "http/bearer.h"
#include "http/token.h"
#include "txn/purge_url.h"
#include "txn/txn_internal.h"

#define TAGS_MAX 256u /* of one request */

/* ---- what is asked for ------------------------------------------------------------------------------------------ */

static bool is_on(const struct fields *fields, slice name)
{
    int at = fields_find_named(fields, name);

    return at >= 0 && slice_eq(field_value(fields, (unsigned)at), SLICE("1"));
}

static bool is_soft(const struct fields *fields)
{
    return is_on(fields, SLICE("Soft-Purge")) || is_on(fields, SLICE("Fastly-Soft-Purge"));
}

static bool has_tags(const struct fields *fields)
{
    return fields_has(fields, F_SURROGATE_KEY) || fields_has(fields, F_CACHE_TAG);
}

static bool tag_next(slice *rest, char separator, slice *ret_tag)
{
    *ret_tag = SLICE_NONE;
    while (rest->len > 0 && ret_tag->len == 0) {
        ptrdiff_t end = slice_find(*rest, separator);
        *ret_tag = slice_trim(end >= 0 ? slice_of(rest->data, (size_t)end) : *rest);
        *rest = slice_from(*rest, end >= 0 ? (size_t)end + 1 : rest->len);
    }
    return ret_tag->len > 0;
}

/* Calls for every tag, with the batch NULL only counted. */
static unsigned tags_add_of(struct txn *txn, const struct tenant *tenant, enum field_id id, char separator, struct purge_batch *batch)
{
    const struct fields *fields = &txn->request.fields;
    unsigned count = 0;
    slice rest, tag;

    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;) {
        rest = field_value(fields, (unsigned)i);
        while (tag_next(&rest, separator, &tag)) {
            count++;
            if (batch != NULL)
                purge_batch_add(batch, tenant->id, STORE_LABEL_TAG, tag, is_soft(fields));
        }
    }
    return count;
}

/* As they are told apart in answers. */
static unsigned tags_add(struct txn *txn, const struct tenant *tenant, struct purge_batch *batch)
{
    return tags_add_of(txn, tenant, F_SURROGATE_KEY, ' ', batch) + tags_add_of(txn, tenant, F_CACHE_TAG, ',', batch);
}

/* ---- doing it --------------------------------------------------------------------------------------------------- */

static void purge_done(void *arg, const struct purge_batch_result *result)
{
    struct txn *txn = arg;

    txn->purge.batch = NULL;
    txn->purge.result = *result;
    metric_purge(txn->context->metrics, os_clock_ns() - txn->purge.begun_ns);
    if (txn->waiting_on == WAIT_PURGE)
        txn_resume(txn, WAIT_PURGE);
}

static enum step_result no_memory(struct txn *txn)
{
    return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
}

/* The batch is done before this returns, or resumes the transaction. */
static enum step_result purge_start(struct txn *txn, struct purge_batch *batch)
{
    txn->purge.batch = batch;
    txn->is_purging = true;
    txn_goto(txn, STEP_PURGE);
    purge_batch_start(batch, purge_done, txn);
    return txn->purge.batch == NULL ? STEP_NEXT : txn_wait(txn, WAIT_PURGE);
}

static enum step_result purge_tags(struct txn *txn, const struct tenant *tenant, slice who)
{
    unsigned count = tags_add(txn, tenant, NULL);
    struct purge_batch *batch;

    if (count == 0 || count > TAGS_MAX)
        return txn_synth(txn, 400, "purge-tags", "Surrogate-Key and Cache-Tag name 1 to 256 tags.");
    batch = purge_batch_new(txn->context->storage, txn->context->loop, count, who, PURGE_BY_METHOD);
    if (batch == NULL)
        return no_memory(txn);
    tags_add(txn, tenant, batch);
    return purge_start(txn, batch);
}

/* Both schemes: whoever asks here over one of them means the page. */
static enum step_result purge_target(struct txn *txn, const struct tenant *tenant, slice who)
{
    struct purge_url url = {.authority = txn->request.authority, .target = txn->request.target, .http = true, .https = true};
    struct purge_url_forms forms;
    struct purge_batch *batch = NULL;

    if (txn->request.form == TARGET_ASTERISK)
        return txn_synth(txn, 400, "purge-target", "PURGE wants a URL.");
    if (err_is_ok(purge_url_forms(txn->context->storage, txn->context->loop, &txn->arena, tenant, &url, &forms)))
        batch = purge_batch_new(txn->context->storage, txn->context->loop, forms.count, who, PURGE_BY_METHOD);
    if (batch == NULL)
        return no_memory(txn);
    purge_url_add(batch, tenant, &forms, is_soft(&txn->request.fields));
    return purge_start(txn, batch);
}

enum step_result txn_purge(struct txn *txn, const struct tenant *tenant)
{
    const struct txn_context *context = txn->context;
    const struct tenant_client client = txn_client(txn);
    char who[PURGE_WHO_BYTES + 1];
    uint16_t refused = 403;

    if (context->may_purge != NULL)
        refused = context->may_purge(context->may_purge_arg, bearer_of(&txn->request.fields), &client, tenant, who,
                                     &txn->synth.retry_after_s);
    if (refused == 429)
        return txn_synth(txn, 429, "purge-throttled", "Too many wrong tokens came from this address: wait as long as Retry-After says.");
    if (refused != 0)
        return txn_synth(txn, 403, "purge-forbidden", "PURGE needs a bearer token with the purge right.");
    txn->purge.begun_ns = os_clock_ns();
    if (has_tags(&txn->request.fields))
        return purge_tags(txn, tenant, slice_str(who));
    return purge_target(txn, tenant, slice_str(who));
}

static const char *matched_text(struct txn *txn)
{
    const struct purge_batch_result *result = &txn->purge.result;
    slice text = arena_printf(&txn->arena, "Purged: %s%llu %s in RAM matched.", result->matched_is_exact ? "" : result->matched_is_least ? "at least " : "about ",
                              (unsigned long long)result->matched, result->matched == 1 ? "object" : "objects");

    return text.data != NULL ? text.data : "Purged.";
}

/* It is done. */
enum step_result txn_step_purge(struct txn *txn)
{
    if (txn->purge.result.durable)
        return txn_synth(txn, 200, "purged", matched_text(txn));
    return txn_synth(txn, 503, "purge-not-durable",
                     "Purged, but the disk did not take it: what is stored there comes back with a restart. Purge again then.");
}
