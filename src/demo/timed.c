/* timed: /slow and /events, bodies that take their time. */
#include "demo/demo_internal.h"
#include "demo/query.h"

#include <stdio.h>

#define SLOW_PIECES     8u
#define SLOW_MS         2000u
#define SLOW_MS_MAX     60000u
#define EVENT_PERIOD_NS UINT64_C(1000000000)

static slice slow_piece(struct drip *drip, unsigned index)
{
    static const char head[] = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Slow &middot; Stillwater</title>\n"
                               "<link rel=\"icon\" href=\"/favicon.svg\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n"
                               "<body class=\"note\">\n<header class=\"bar\"><a class=\"brand\" href=\"/\">Stillwater</a>"
                               "<span>the demo origin</span></header>\n<main>\n<h1>A long exposure</h1>\n<ol class=\"drip\">\n";
    static const char *const lines[SLOW_PIECES] = {
        "The tripod goes up.", "The light meter thinks.", "The shutter opens.", "A cloud moves over.",
        "The water turns to milk.", "A gull leaves no trace.", "The shutter closes.", "The picture is written."};
    struct exchange *x = drip->user;

    if (index == 0)
        return slice_of(head, sizeof(head) - 1);
    if (index <= SLOW_PIECES)
        return arena_printf(&x->arena, "<li>%s</li>\n", lines[index - 1]);
    if (index == SLOW_PIECES + 1)
        return SLICE("</ol>\n<p>The origin took its time; a cache that holds this page takes none. Many visitors at "
                     "once wait for one fetch.</p>\n<p class=\"back\"><a href=\"/\">&larr; back to the journal</a></p>\n"
                     "</main>\n</body>\n</html>\n");
    return SLICE_NONE;
}

err slow_answer(struct exchange *x)
{
    uint64_t ms;

    if (!query_get_number(x->query, SLICE("ms"), &x->arena, 1, SLOW_MS_MAX, SLOW_MS, &ms))
        return answer_bad_request(x, "ms is a number of milliseconds from 1 to 60000.");
    TRY(answer_begin(x, 200, TYPE_HTML));
    /* head at once, then a period before each line and before the end */
    drip_init(&x->body.drip, x->demo->loop, ms * 1000000 / (SLOW_PIECES + 1), slow_piece, x);
    return answer_source(x, 200, &x->body.drip.source, -1);
}

/* One buffer for all events of a request: each is gone before the next is asked for. */
static slice event_piece(struct drip *drip, unsigned index)
{
    struct exchange *x = drip->user;
    int len;

    if (index == x->events_max)
        return SLICE_NONE;
    len = snprintf(x->event, sizeof(x->event), "%sid: %u\nevent: tick\ndata: {\"n\":%u,\"time_ms\":%lld,\"requests\":%llu}\n\n",
                   index == 0 ? "retry: 2000\n" : "", index + 1, index + 1, (long long)loop_wall_ms(x->demo->loop),
                   (unsigned long long)x->demo->requests);
    return slice_of(x->event, MIN((size_t)len, sizeof(x->event) - 1));
}

err events_answer(struct exchange *x)
{
    uint64_t n;

    if (!query_get_number(x->query, SLICE("n"), &x->arena, 1, UINT32_MAX, UINT32_MAX, &n))
        return answer_bad_request(x, "n is how many events there shall be.");
    x->events_max = (unsigned)n;
    x->stream->leave_on_fin = true;
    TRY(answer_begin(x, 200, SLICE("text/event-stream")));
    drip_init(&x->body.drip, x->demo->loop, EVENT_PERIOD_NS, event_piece, x);
    return answer_source(x, 200, &x->body.drip.source, -1);
}
