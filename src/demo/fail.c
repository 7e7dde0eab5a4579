/* fail: an origin in trouble, on request. */
#include "base/hash.h"
#include "demo/demo_internal.h"
#include "demo/query.h"

#define CUT_ANNOUNCED_BYTES 100000
#define CUT_PAUSE_NS        UINT64_C(200000000) /* so that the client has the bytes before the reset */

MUST_USE static err trouble(struct exchange *x, uint16_t status)
{
    x->cache_control = SLICE("no-store");
    return answer_page(x, status, "The origin is in trouble",
                       SLICE("<p>It fails because it was asked to. A cache that holds an older copy may show that instead "
                             "(<code>stale-if-error</code>).</p>"));
}

static slice cut_piece(struct drip *drip, unsigned index)
{
    (void)drip;
    return index == 0 ? SLICE("The first of many bytes, and then the line goes de") : SLICE_NONE;
}

/* A length, some bytes, a reset. It may be stored as far as its fields go, so that a cache must notice. */
MUST_USE static err cut_answer(struct exchange *x)
{
    x->cache_control = SLICE("public, max-age=60");
    TRY(answer_begin(x, 200, TYPE_TEXT));
    drip_init(&x->body.drip, x->demo->loop, CUT_PAUSE_NS, cut_piece, x);
    x->body.drip.ends_badly = true;
    return answer_source(x, 200, &x->body.drip.source, CUT_ANNOUNCED_BYTES);
}

/* The slot of this query; a new one takes the place of the oldest. */
static struct after_slot *after_slot_of(struct demo *demo, slice query)
{
    uint64_t hash = hash64(query, 1) | 1; /* 0: an empty slot */
    struct after_slot *slot;

    for (unsigned i = 0; i < AFTER_SLOTS; i++)
        if (demo->after[i].query_hash == hash)
            return &demo->after[i];
    slot = &demo->after[demo->after_next];
    demo->after_next = (demo->after_next + 1) % AFTER_SLOTS;
    *slot = (struct after_slot){.query_hash = hash};
    return slot;
}

MUST_USE static err after_answer(struct exchange *x, uint64_t good)
{
    struct after_slot *slot = after_slot_of(x->demo, x->query);

    if (slot->given >= good)
        return trouble(x, 503);
    if (!exchange_is_head(x))
        slot->given++;
    x->cache_control = SLICE("public, max-age=1, stale-if-error=600");
    return answer_page(x, 200, "Still good",
                       arena_printf(&x->arena, "<p>Good answer <b>%llu</b> of %llu; after that this address says 503.</p>",
                                    (unsigned long long)slot->given, (unsigned long long)good));
}

err fail_answer(struct exchange *x)
{
    slice cut = query_get(x->query, SLICE("cut"), &x->arena);
    slice after = query_get(x->query, SLICE("after"), &x->arena);
    uint64_t status, good;

    if (cut.data != NULL && !slice_eq(cut, SLICE("0")))
        return cut_answer(x);
    if (after.data != NULL) {
        if (!slice_to_u64(after, &good))
            return answer_bad_request(x, "after is how many good answers there shall be.");
        return after_answer(x, good);
    }
    if (!query_get_number(x->query, SLICE("status"), &x->arena, 400, 599, 500, &status))
        return answer_bad_request(x, "status is a number from 400 to 599.");
    return trouble(x, (uint16_t)status);
}

err flaky_answer(struct exchange *x)
{
    if (x->demo->flaky_off)
        return trouble(x, 503);
    return answer_page(x, 200, "All is well",
                       arena_printf(&x->arena,
                                    "<p>Answer number <b>%llu</b>. It is fresh for two seconds. Switch the origin "
                                    "<a href=\"/flaky/off\">off</a>, come back, and the cache shows this copy for up to an "
                                    "hour. <a href=\"/flaky/on\">On</a> again.</p>",
                                    (unsigned long long)x->count));
}

MUST_USE static err flaky_switch(struct exchange *x, bool off)
{
    if (!exchange_is_head(x))
        x->demo->flaky_off = off;
    return answer_page(x, 200, off ? "Switched off" : "Switched on",
                       SLICE("<p>Now look at <a href=\"/flaky\">/flaky</a>.</p>"));
}

err flaky_on_answer(struct exchange *x)
{
    return flaky_switch(x, false);
}

err flaky_off_answer(struct exchange *x)
{
    return flaky_switch(x, true);
}
