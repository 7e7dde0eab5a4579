/* tools: paths that say what the origin sees and does; for tests and for curious people. */
#include "demo/demo_internal.h"
#include "demo/query.h"
#include "http/h1_write.h"

#include <stdarg.h>
#include <stdio.h>

/* The head as it came, framing included. Plain text: nothing in it can be taken for a page. */
err headers_answer(struct exchange *x)
{
    return answer_text(x, 200, TYPE_TEXT,
                       arena_printf(&x->arena, SLICE_FMT " " SLICE_FMT " HTTP/1.%u\r\n" SLICE_FMT,
                                    SLICE_ARG(x->request.method_name), SLICE_ARG(x->request.target),
                                    (unsigned)x->request.minor, (int)x->request.fields.text_len,
                                    x->request.fields.text));
}

/* ---- /stats ---------------------------------------------------------------------------------------------- */

struct text {
    char *at, *end;
};

PRINTF(2, 3) static void text_add(struct text *text, const char *format, ...)
{
    size_t room = (size_t)(text->end - text->at);
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text->at, room, format, args);
    va_end(args);
    INVARIANT(len >= 0);
    INVARIANT((size_t)len < room); /* names and numbers of our own: STATS_BYTES fits them */
    text->at += len;
}

static slice counted_path(unsigned index)
{
    if (index < routes_count)
        return routes[index].path;
    return index < routes_count + site_files_count ? site_files[index - routes_count].path : SLICE("other");
}

enum { STATS_BYTES = 4096 };

err stats_answer(struct exchange *x)
{
    const struct demo *demo = x->demo;
    char *bytes = arena_alloc(&x->arena, STATS_BYTES);
    struct text text = {bytes, bytes + STATS_BYTES};
    const char *separator = "";

    ENSURE(bytes != NULL, MEMORY);
    text_add(&text, "{\"requests\":%llu,\"not_modified\":%llu,\"connections\":%u,\"uptime_ms\":%llu,\"flaky\":\"%s\",\"paths\":{",
             (unsigned long long)demo->requests, (unsigned long long)demo->not_modified,
             server_connections(demo->server),
             (unsigned long long)((loop_now_ns(demo->loop) - demo->begun_ns) / 1000000), demo->flaky_off ? "off" : "on");
    for (unsigned i = 0; i < demo_counts_len(); i++) {
        slice path = counted_path(i);
        text_add(&text, "%s\"" SLICE_FMT "\":%llu", separator, SLICE_ARG(path), (unsigned long long)demo->counts[i]);
        separator = ",";
    }
    text_add(&text, "}}\n");
    return answer_text(x, 200, TYPE_JSON, slice_of(bytes, (size_t)(text.at - bytes)));
}

/* ---- /status/NNN, /redirect --------------------------------------------------------------------------- */

err status_answer(struct exchange *x)
{
    uint64_t status;
    slice reason;

    if (!slice_to_u64(slice_from(x->path, sizeof("/status/") - 1), &status) || status < 200 || status > 599)
        return answer_bad_request(x, "A status is a number from 200 to 599, as in /status/404.");
    reason = http_reason((uint16_t)status);
    return answer_text(x, (uint16_t)status, TYPE_TEXT,
                       arena_printf(&x->arena, "%u " SLICE_FMT "\n", (unsigned)status, SLICE_ARG(reason)));
}

/* Only to this site's front page: an address from the query would make it anybody's redirect. */
err redirect_answer(struct exchange *x)
{
    uint64_t status;

    if (!query_get_number(x->query, SLICE("status"), &x->arena, 301, 308, 302, &status) ||
        (status > 303 && status < 307))
        return answer_bad_request(x, "status is 301, 302, 303, 307 or 308.");
    x->location = SLICE("/");
    return answer_page(x, (uint16_t)status, "Elsewhere", SLICE("<p>It is <a href=\"/\">at the front page</a>.</p>"));
}

/* ---- /echo ------------------------------------------------------------------------------------------------ */

static struct echo *echo_of(struct source *source)
{
    return container_of(source, struct echo, source);
}

static enum source_state echo_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    return source_peek(echo_of(source)->from, ret_slices, max, ret_count);
}

static void echo_consume(struct source *source, size_t n)
{
    source_consume(echo_of(source)->from, n);
}

static void echo_close(struct source *source)
{
    echo_of(source)->from = source_close(echo_of(source)->from);
}

static void echo_more(void *reader)
{
    struct echo *echo = reader;

    if (echo->source.on_ready != NULL)
        echo->source.on_ready(echo->source.reader);
}

MUST_USE static err echo_begin(struct exchange *x)
{
    static const struct source_ops ops = {echo_peek, echo_consume, echo_close, NULL};
    struct source *from = x->stream->body;

    x->body.echo = (struct echo){.source.ops = &ops, .from = from};
    source_set_reader(from, echo_more, &x->body.echo);
    /* Never the type it came with: a page of somebody else's must not run here. */
    TRY(answer_begin(x, 200, SLICE("application/octet-stream")));
    return answer_source(x, 200, &x->body.echo.source,
                         x->request.body == BODY_LENGTH ? (int64_t)x->request.length_bytes : -1);
}

/* The first bytes of the body are here, or it failed. */
static void echo_first(void *reader)
{
    struct exchange *x = reader;

    if (!err_is_ok(echo_begin(x)))
        stream_abort(x->stream);
}

err echo_answer(struct exchange *x)
{
    slice shown[1];
    unsigned count;

    if (x->stream->body == NULL)
        return answer_text(x, 200, SLICE("application/octet-stream"), SLICE(""));
    if (x->request.length_bytes > INT64_MAX)
        return answer_bad_request(x, "That is too long to echo.");
    /* Asked for before the answer begins: a client that waits for 100 (Continue) gets it only until then. */
    source_set_reader(x->stream->body, echo_first, x);
    if (source_peek(x->stream->body, shown, 1, &count) == SOURCE_WAIT)
        return ERR_OK;
    return echo_begin(x);
}
