/* pages: the paths whose answers change: with the query, the visitor, the time, the language. */
#include "demo/demo_internal.h"
#include "demo/query.h"
#include "http/token.h"

#include <time.h>

#define QUERY_SHOWN_BYTES 200u

/* "2026-01-05 08:00:00.123 UTC" */
static slice time_text(struct exchange *x)
{
    int64_t ms = loop_wall_ms(x->demo->loop);
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];

    if (gmtime_r(&s, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
        return SLICE("?");
    return arena_printf(&x->arena, "%s.%03u UTC", text, (unsigned)(ms % 1000));
}

err time_answer(struct exchange *x)
{
    slice now = time_text(x);

    ENSURE(now.data != NULL, MEMORY);
    return answer_text(x, 200, TYPE_TEXT,
                       arena_printf(&x->arena, "time " SLICE_FMT "\nhits %llu\n", SLICE_ARG(now),
                                    (unsigned long long)x->count));
}

err search_answer(struct exchange *x)
{
    slice asked = query_get(x->query, SLICE("q"), &x->arena), shown, now = time_text(x);

    if (asked.data == NULL)
        asked = SLICE("");
    asked.len = MIN(asked.len, QUERY_SHOWN_BYTES);
    shown = html_escape(asked, &x->arena);
    ENSURE(shown.data != NULL && now.data != NULL, MEMORY);
    return answer_page(
        x, 200, "Search",
        arena_printf(&x->arena,
                     "<form action=\"/search\"><input name=\"q\" value=\"" SLICE_FMT "\" aria-label=\"Search for\">"
                     "<button>Search</button></form>\n<p>You looked for <strong>" SLICE_FMT "</strong>. "
                     "Nothing was found, but it took the origin some trouble.</p>\n"
                     "<p class=\"facts\">search number <b>%llu</b> of this origin<br>answered at <b>" SLICE_FMT
                     "</b></p>\n<p>Every query is stored on its own for ten seconds: ask again, and neither line "
                     "changes.</p>",
                     SLICE_ARG(shown), SLICE_ARG(shown), (unsigned long long)x->count, SLICE_ARG(now)));
}

/* The number in the cookie "visits", else 0. */
static uint64_t cookie_visits(const struct fields *fields)
{
    uint64_t visits;

    for (int i = -1; (i = fields_next(fields, F_COOKIE, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i);
        while (rest.len > 0) {
            ptrdiff_t end = slice_find(rest, ';');
            slice pair = slice_trim(slice_of(rest.data, end >= 0 ? (size_t)end : rest.len));
            rest = slice_from(rest, end >= 0 ? (size_t)end + 1 : rest.len);
            if (slice_starts(pair, SLICE("visits=")) && slice_to_u64(slice_from(pair, 7), &visits))
                return visits;
        }
    }
    return 0;
}

err private_answer(struct exchange *x)
{
    /* The cookie is the visitor's to write: a number that cannot grow further begins again. */
    uint64_t visits = cookie_visits(&x->request.fields) % 1000000 + 1;
    slice html = arena_printf(&x->arena,
                              "<p>Hello. This is your visit number <b>%llu</b>, as your own cookie says.</p>\n"
                              "<p>The answer is marked <code>private</code>: a shared cache must not store it, so "
                              "every reload comes from the origin, and nobody sees your number but you.</p>",
                              (unsigned long long)visits);

    x->cookie = arena_printf(&x->arena, "visits=%llu; Path=/private; HttpOnly; SameSite=Lax", (unsigned long long)visits);
    ENSURE(x->cookie.data != NULL, MEMORY);
    return answer_page(x, 200, "Only for you", html);
}

struct language {
    slice tag;
    const char *title, *html;
};

static const struct language languages[] = {
    {{"en", 2}, "Good morning", "<p>This page has four languages and one address. The cache keeps each apart.</p>"},
    {{"de", 2}, "Guten Morgen", "<p>Diese Seite hat vier Sprachen und eine Adresse. Der Cache h&auml;lt sie auseinander.</p>"},
    {{"fr", 2}, "Bonjour", "<p>Cette page a quatre langues et une seule adresse. Le cache les distingue.</p>"},
    {{"es", 2}, "Buenos d&iacute;as", "<p>Esta p&aacute;gina tiene cuatro idiomas y una direcci&oacute;n. La cach&eacute; los separa.</p>"},
};

/* "de-AT;q=0.8" -> the language and its weight in thousandths; NULL: none of ours. */
static const struct language *language_of(slice item, unsigned *ret_weight)
{
    ptrdiff_t semicolon = slice_find(item, ';');
    slice range = slice_trim(slice_of(item.data, semicolon >= 0 ? (size_t)semicolon : item.len));
    slice weight = semicolon >= 0 ? slice_trim(slice_from(item, (size_t)semicolon + 1)) : SLICE("");

    *ret_weight = 1000;
    if (slice_starts(weight, SLICE("q=0"))) {
        *ret_weight = 0;
        for (unsigned i = 4, unit = 100; i < weight.len && unit > 0; i++, unit /= 10)
            *ret_weight += ascii_is_digit((unsigned char)weight.data[i]) ? unit * (unsigned)(weight.data[i] - '0') : 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(languages); i++)
        if (range.len >= 2 && slice_eq_nocase(slice_of(range.data, 2), languages[i].tag) &&
            (range.len == 2 || range.data[2] == '-'))
            return &languages[i];
    return NULL;
}

/* The first of the heaviest; English when nothing fits. */
static const struct language *language_choose(const struct fields *fields)
{
    const struct language *best = &languages[0];
    unsigned best_weight = 0;

    for (int i = -1; (i = fields_next(fields, F_ACCEPT_LANGUAGE, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), item;
        while (list_next(&rest, &item)) {
            unsigned weight;
            const struct language *language = language_of(item, &weight);
            if (language != NULL && weight > best_weight) {
                best = language;
                best_weight = weight;
            }
        }
    }
    return best;
}

err vary_answer(struct exchange *x)
{
    const struct language *language = language_choose(&x->request.fields);

    x->language = language->tag;
    return answer_page(x, 200, language->title, slice_str(language->html));
}
