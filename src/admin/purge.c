/* POST /api/v1/purge: what a tenant's owner says must not be served any more.
 *
 * One request is one or several purges (both schemes of a URL, each of several tags). Each acts when it is asked for;
 * the answer waits until all of them are durable. */
#include "admin/purge_internal.h"

#include <stdlib.h>

struct purge_run {
    struct admin_request *request;
    struct purge_batch *batch; /* NULL: a dry run */
    struct purge_walk *walk;   /* of a dry run */
    uint64_t begun_ns;
};

static void purge_done(void *arg, const struct purge_batch_result *result)
{
    struct purge_run *run = arg;
    struct admin_request *request = run->request;

    metric_purge(request->context->block, os_clock_ns() - run->begun_ns);
    request->purge = NULL;
    free(run);
    admin_answer_json(request, result->durable ? 200 : 503,
                      json_pack("{s:I, s:I, s:b, s:b, s:b}", "seq", (json_int_t)result->seq, "matched", (json_int_t)result->matched,
                                "matched_is_exact", (int)result->matched_is_exact, "matched_is_least", (int)result->matched_is_least,
                                "durable", (int)result->durable));
}

/* The wish as purges that act together. */
static struct purge_batch *batch_of(const struct purge_wish *wish)
{
    struct admin_context *context = wish->request->context;
    struct purge_batch *batch =
        purge_batch_new(context->storage, context->loop, wish->count + wish->forms.count, wish->request->who, PURGE_BY_API);

    if (batch == NULL)
        return NULL;
    if (wish->forms.count > 0)
        purge_url_add(batch, wish->tenant, &wish->forms, wish->soft);
    for (unsigned i = 0; i < wish->count; i++)
        if (wish->parts[i].form == NULL)
            purge_batch_add(batch, purge_wish_tenant(wish), wish->parts[i].kind, wish->parts[i].text, wish->soft);
    return batch;
}

static void purge_start(struct purge_run *run, const struct purge_wish *wish)
{
    struct purge_batch *batch = batch_of(wish);

    if (batch == NULL) {
        run->request->purge = NULL;
        free(run);
        admin_problem(wish->request, 503, "no memory");
        return;
    }
    if (wish->refresh)
        purge_walk_refresh(wish); /* it walks in later turns: what is still stale then is fetched */
    run->batch = batch;
    purge_batch_start(batch, purge_done, run);
}

void admin_purge(struct admin_request *request)
{
    struct purge_wish *wish = purge_wish_read(request);
    struct purge_run *run = wish != NULL ? calloc(1, sizeof(*run)) : NULL;

    if (wish == NULL)
        return;
    if (run == NULL) {
        admin_problem(request, 503, "no memory");
        return;
    }
    run->request = request;
    run->begun_ns = os_clock_ns();
    request->purge = run;
    if (!wish->dry_run)
        purge_start(run, wish);
    else if ((run->walk = purge_walk_dry(wish)) == NULL)
        admin_purge_abandon(request);
}

void admin_purge_abandon(struct admin_request *request)
{
    struct purge_run *run = request->purge;

    if (run == NULL)
        return;
    purge_batch_abandon(run->batch);
    purge_walk_abandon(run->walk);
    free(run);
    request->purge = NULL;
}
