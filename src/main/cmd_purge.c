/* warp purge: asks a running WARP to make stored answers unusable. */
#include "base/log.h"
#include "http/uri.h"
#include "main/client.h"
#include "main/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define TAGS_MAX 256u

struct purge_wish {
    const char *url, *prefix, *host, *group, *tenant;
    struct client_list tags;
    bool everything, soft, refresh, dry_run, json;
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
    if (!slice_starts_nocase(full, SLICE("http://")) && !slice_starts_nocase(full, SLICE("https://")))
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

/* EXIT_DONE when it is exactly one thing; a group comes with whose it is. */
static int wish_check_subject(const struct client_syntax *syntax, const struct purge_wish *wish)
{
    unsigned count = (wish->url != NULL) + (wish->tags.count > 0) + (wish->prefix != NULL) + (wish->host != NULL) +
                     wish->everything;

    if (wish->group != NULL)
        return count == 1 && (wish->url != NULL || wish->host != NULL)
                   ? EXIT_DONE
                   : client_usage(syntax, "a group is one origin's: write URL or --host with it, and nothing else");
    if (count != 1)
        return client_usage(syntax, "%s", count == 0 ? "what is to go?" : "one thing at a time");
    return EXIT_DONE;
}

/* The same, well written. */
static int wish_check(const struct client_syntax *syntax, const struct purge_wish *wish)
{
    int code = wish_check_subject(syntax, wish);

    if (code != EXIT_DONE)
        return code;
    if (wish->url != NULL && !url_is_valid(wish->url))
        return client_usage(syntax, "this is no URL; write http://host[:port]/path?query");
    if (wish->url != NULL && wish->group == NULL && slice_ends(slice_str(wish->url), SLICE("*")))
        return client_usage(syntax, "a URL is one URL, in which * stands for itself; for all below a path write --prefix http://host/path/");
    if (wish->prefix != NULL &&
        (!url_is_valid(wish->prefix) || !slice_ends(slice_str(wish->prefix), SLICE("/"))))
        return client_usage(syntax,
                            "this is no prefix; write http://host[:port]/path/ with the / at its end");
    if (wish->host != NULL && !host_is_valid(wish->host))
        return client_usage(syntax, "this is no host; write host or host:port");
    if (wish->refresh && !wish->soft)
        return client_usage(syntax, "--refresh goes with --soft: what is purged hard is not there to be fetched again");
    return EXIT_DONE;
}

static json_t *tags_json(const struct client_list *tags)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < tags->count; i++) {
        if (json_array_append_new(list, json_string(tags->items[i])) == 0)
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
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
    MEMBER_TEXT(prefix)
    MEMBER_TEXT(host)
    MEMBER_TEXT(group)
    MEMBER_TEXT(tenant)
    MEMBER_TRUE(everything)
    MEMBER_TRUE(soft)
    MEMBER_TRUE(refresh)
    MEMBER_TRUE(dry_run)
#undef MEMBER_TEXT
#undef MEMBER_TRUE
    if (wish->tags.count == 1)
        failed |= json_object_set_new(body, "tag", json_string(wish->tags.items[0]));
    else if (wish->tags.count > 1)
        failed |= json_object_set_new(body, "tags", tags_json(&wish->tags));
    if (failed == 0)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* ---- what came back
 * --------------------------------------------------------------------------------------------- */

static void sample_print(const json_t *sample)
{
    char safe[1024];
    size_t index;
    json_t *url;

    json_array_foreach(sample, index, url)
    {
        printf("  %s\n", log_text(slice_of(json_string_value(url), json_string_length(url)), safe, sizeof(safe)));
    }
}

static void result_print(const struct purge_wish *wish, const json_t *result)
{
    json_int_t matched = json_integer_value(json_object_get(result, "matched"));
    bool is_least = json_is_true(json_object_get(result, "matched_is_least"));
    bool about = json_is_false(json_object_get(result, "matched_is_exact"));

    printf("%s %s%lld object%s",
           wish->dry_run ? "would purge"
           : wish->soft  ? "made stale:"
                         : "purged",
           is_least ? "at least " : about ? "about " : "", (long long)matched, matched == 1 ? "" : "s");
    if (!wish->dry_run)
        printf(" (purge %lld%s)", (long long)json_integer_value(json_object_get(result, "seq")),
               json_is_true(json_object_get(result, "durable")) ? ""
                                                                : "; not durable: it ends with the process");
    printf("\n");
    sample_print(json_object_get(result, "sample"));
}

static int purge_result(const struct client_where *where, const struct purge_wish *wish,
                        const struct client_answer *answer)
{
    json_t *result = json_loadb(answer->body, answer->len, 0, NULL);
    int code = EXIT_DONE;

    /* 503 with a result: it acts, but the journal could not take it (docs/reference) */
    if (json_is_integer(json_object_get(result, "matched"))) {
        if (wish->json)
            printf("%s", answer->body);
        else
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
    const char *tags[TAGS_MAX];
    struct purge_wish wish = {.tags = {tags, 0, TAGS_MAX}};
    struct client_where where = {0};
    const struct client_flag flags[] = {
        {.name = "tag", .placeholder = "T", .list = &wish.tags},
        {"prefix", "P", &wish.prefix, NULL},
        {"host", "H", &wish.host, NULL},
        {"group", "G", &wish.group, NULL},
        {"tenant", "NAME", &wish.tenant, NULL},
        {"everything", NULL, NULL, &wish.everything},
        {"soft", NULL, NULL, &wish.soft},
        {"refresh", NULL, NULL, &wish.refresh},
        {"dry-run", NULL, NULL, &wish.dry_run},
        {"json", NULL, NULL, &wish.json},
    };
    const struct client_syntax syntax = {.command = "purge", .flags = flags, .flag_count = ARRAY_LEN(flags), .where = &where, .word = &wish.url};
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
