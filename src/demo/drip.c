#include "demo/drip.h"

static void drip_fire(struct timer *timer)
{
    struct drip *drip = container_of(timer, struct drip, timer);

    drip->due = true;
    if (drip->source.on_ready != NULL)
        drip->source.on_ready(drip->source.reader); /* the drip may be gone after this */
}

/* Takes the next piece when its time has come. */
static void drip_advance(struct drip *drip)
{
    slice piece;

    if (!drip->due || drip->next == NULL)
        return;
    piece = drip->next(drip, drip->index++);
    if (piece.data == NULL) {
        drip->next = NULL;
        return;
    }
    drip->left = piece;
    drip->due = false;
    loop_timer_set(drip->loop, &drip->timer, loop_now_ns(drip->loop) + drip->period_ns);
}

static enum source_state drip_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct drip *drip = container_of(source, struct drip, source);

    INVARIANT(max > 0);
    if (drip->left.len == 0)
        drip_advance(drip);
    if (drip->left.len > 0) {
        ret_slices[0] = drip->left;
        *ret_count = 1;
        return SOURCE_READY;
    }
    if (drip->next != NULL)
        return SOURCE_WAIT;
    return drip->ends_badly ? SOURCE_FAILED : SOURCE_END;
}

static void drip_consume(struct source *source, size_t n)
{
    struct drip *drip = container_of(source, struct drip, source);
    drip->left = slice_from(drip->left, n);
}

static void drip_close(struct source *source)
{
    struct drip *drip = container_of(source, struct drip, source);
    loop_timer_stop(drip->loop, &drip->timer);
}

void drip_init(struct drip *drip, struct loop *loop, uint64_t period_ns,
               slice (*next)(struct drip *drip, unsigned index), void *user)
{
    static const struct source_ops ops = {drip_peek, drip_consume, drip_close, NULL};

    *drip = (struct drip){.source.ops = &ops, .loop = loop, .next = next, .user = user, .period_ns = period_ns, .due = true};
    timer_init(&drip->timer, drip_fire);
}
