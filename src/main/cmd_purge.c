/* warp purge: asks a running WARP to make stored answers unusable. */
#include "http/uri.h"
#include "main/client.h"
#include "main/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct purge_wish {
    const char *url, *tag, *prefix, *host, *tenant;
    bool everything, soft, dry_run;
};

/* ---- what is asked for
 * --------------------------------------------------------------------------------------- */

/* A URL as clients ask for it, with or without a scheme. */
static bool url_is_valid(const char *url)
{
    struct arena arena;
    struct uri uri;
    slice full = slice_str(url);
    bool valid;

    arena_init(&arena, NULL, 0, 0);
    if (strstr(url, "://") == NULL)
        full = arena_printf(&arena, "http://%s", url);
    valid = full.data != NULL && err_is_ok(uri_parse(full, &arena, &uri));
    arena_done(&arena);
    return valid;
}

static bool host_is_valid(const char *host)
{
    struct arena arena;
    slice authority;
    bool valid;

    arena_init(&arena, NULL, 0, 0);
    valid = err_is_ok(authority_normalise(slice_str(host), false, true, &arena, &authority));
    arena_done(&arena);
    return valid;
}

/* EXIT_DONE when it is exactly one thing, well written. */
static int wish_check(const struct client_syntax *syntax, const struct purge_wish *wish)
{
    unsigned count = (wish->url != NULL) + (wish->tag != NULL) + (wish->prefix != NULL) +
                     (wish->host != NULL) + wish->everything;

    if (count != 1)
        return client_usage(syntax, "%s", count == 0 ? "what is to go?" : "one thing at a time");
    if (wish->url != NULL && !url_is_valid(wish->url))
        return client_usage(syntax, "this is no URL; write http://host[:port]/path?query");
    if (wish->prefix != NULL &&
        (!url_is_valid(wish->prefix) || !slice_ends(slice_str(wish->prefix), SLICE("/"))))
        return client_usage(syntax,
                            "this is no prefix; write http://host[:port]/path/ with the / at its end");
    if (wish->host != NULL && !host_is_valid(wish->host))
        return client_usage(syntax, "this is no host; write host or host:port");
    return EXIT_DONE;
}

/* The body of the request, to be freed. NULL: no memory, or text that is not UTF-8. */
static char *wish_json(const struct purge_wish *wish)
{
    json_t *body = json_object();
    char *text = NULL;
    int failed = 0;

#define MEMBER_TEXT(name)   \
    if (wish->name != NULL) \
        failed |= json_object_set_new(body, #name, json_string(wish->name));
#define MEMBER_TRUE(name) \
    if (wish->name)       \
        failed |= json_object_set_new(body, #name, json_true());
    MEMBER_TEXT(url)
    MEMBER_TEXT(tag)
    MEMBER_TEXT(prefix)
    MEMBER_TEXT(host)
    MEMBER_TEXT(tenant)
    MEMBER_TRUE(everything)
    MEMBER_TRUE(soft)
    MEMBER_TRUE(dry_run)
#undef MEMBER_TEXT
#undef MEMBER_TRUE
    if (failed == 0)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* ---- what came back
 * --------------------------------------------------------------------------------------------- */

static void result_print(const struct purge_wish *wish, const json_t *result)
{
    json_int_t matched = json_integer_value(json_object_get(result, "matched"));
    bool about = json_is_false(json_object_get(result, "matched_is_exact"));

    printf("%s %s%lld object%s",
           wish->dry_run ? "would purge"
           : wish->soft  ? "made stale:"
                         : "purged",
           about ? "about " : "", (long long)matched, matched == 1 ? "" : "s");
    if (!wish->dry_run)
        printf(" (purge %lld%s)", (long long)json_integer_value(json_object_get(result, "seq")),
               json_is_true(json_object_get(result, "durable")) ? ""
                                                                : "; not durable: it ends with the process");
    printf("\n");
}

static int purge_result(const struct client_where *where, const struct purge_wish *wish,
                        const struct client_answer *answer)
{
    json_t *result = json_loadb(answer->body, answer->len, 0, NULL);
    int code = EXIT_DONE;

    /* 503 with a result: it acts, but the journal could not take it (docs/reference) */
    if (json_is_integer(json_object_get(result, "matched"))) {
        result_print(wish, result);
        code = answer->status == 200 ? EXIT_DONE : EXIT_FAILED;
    } else {
        code = client_refusal(where, answer);
        if (code == EXIT_DONE) {
            fprintf(stderr, "warp: the answer is no result of a purge\n");
            code = EXIT_FAILED;
        }
    }
    json_decref(result);
    return code;
}

int cmd_purge(int argc, char **argv)
{
    struct purge_wish wish = {0};
    struct client_where where = {0};
    const struct client_flag flags[] = {
        {"tag", "T", &wish.tag, NULL},
        {"prefix", "P", &wish.prefix, NULL},
        {"host", "H", &wish.host, NULL},
        {"tenant", "NAME", &wish.tenant, NULL},
        {"everything", NULL, NULL, &wish.everything},
        {"soft", NULL, NULL, &wish.soft},
        {"dry-run", NULL, NULL, &wish.dry_run},
    };
    const struct client_syntax syntax = {"purge", flags, ARRAY_LEN(flags), &where, &wish.url, 1};
    struct client_question question = {.method = METHOD_POST, .path = "/api/v1/purge"};
    struct client_answer answer = {0};
    char *json;
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    code = wish_check(&syntax, &wish);
    if (code != EXIT_DONE)
        return code;
    json = wish_json(&wish);
    if (json == NULL)
        return client_usage(&syntax, "the text is not UTF-8");
    question.json = json;
    code = client_ask(&where, &question, &answer);
    if (code == EXIT_DONE)
        code = purge_result(&where, &wish, &answer);
    client_answer_done(&answer);
    free(json);
    return code;
}
