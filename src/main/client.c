#include "main/client.h"

#include "base/log.h"
#include "os/process.h"
#include "proto/client.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define ADMIN_DEFAULT   "127.0.0.1:8080" /* as in the table of conf/config.h */
#define TOKEN_BYTES_MAX 4096u
#define TOKEN_FILE      "admin.token"
#define PATH_BYTES      512u
#define PEEK_SLICES     8u
#define HINT_TLS        " (where it has TLS, write --admin https://HOST:PORT)"
#define TOO_LATE        "no complete answer within 10 s"
#define MS              UINT64_C(1000000)

/* ---- the token
 * ------------------------------------------------------------------------------------------------ */

MUST_USE static err token_read(const char *path, char **ret_token)
{
    char *text = NULL;
    size_t len = 0;

    TRY(os_file_read(path, TOKEN_BYTES_MAX, &text, &len));
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    if (len == 0) {
        free(text);
        return ERR(INVALID);
    }
    *ret_token = text;
    return ERR_OK;
}

/* What is between the commas of list, one call an item; false at the end. */
static bool list_item(const char *list, unsigned index, slice *ret_item)
{
    slice rest = slice_str(list);

    for (;; index--) {
        ptrdiff_t comma = slice_find(rest, ',');
        if (index == 0) {
            *ret_item = slice_trim(comma >= 0 ? slice_of(rest.data, (size_t)comma) : rest);
            return rest.len > 0;
        }
        if (comma < 0)
            return false;
        rest = slice_from(rest, (size_t)comma + 1);
    }
}

/* The directories a server may have left its token in, in the order of likelihood. */
static unsigned token_dirs(const struct client_where *where, char dirs[][PATH_BYTES], unsigned max)
{
    const char *home = os_environment("HOME"), *runtime = os_environment("XDG_RUNTIME_DIR");
    const char *given = where->cache_dir != NULL ? where->cache_dir : os_environment("WARP_CACHE_DIR");
    unsigned count = 0;
    slice item;

    INVARIANT(max > 4);
    for (unsigned i = 0; given != NULL && count < max - 4 && list_item(given, i, &item); i++)
        if (item.len > 0 && item.len < PATH_BYTES && !slice_eq(item, SLICE("none")))
            snprintf(dirs[count++], PATH_BYTES, SLICE_FMT, SLICE_ARG(item));
    snprintf(dirs[count++], PATH_BYTES, "/var/cache/warp");
    if (home != NULL && home[0] == '/')
        snprintf(dirs[count++], PATH_BYTES, "%s/.cache/warp", home);
    if (runtime != NULL && runtime[0] == '/')
        snprintf(dirs[count++], PATH_BYTES, "%s", runtime);
    snprintf(dirs[count++], PATH_BYTES, "/run/warp");
    return count;
}

/* *ret_token stays NULL where there is none: reading may need none. */
MUST_USE static int token_find(const struct client_where *where, char **ret_token)
{
    char dirs[16][PATH_BYTES], path[PATH_BYTES + sizeof("/" TOKEN_FILE)];
    const char *file = where->admin_token_file, *token = os_environment("WARP_TOKEN");
    unsigned count;

    if (file == NULL && token != NULL && token[0] != '\0') {
        *ret_token = strdup(token);
        return *ret_token != NULL ? EXIT_DONE : EXIT_FAILED;
    }
    if (file == NULL)
        file = os_environment("WARP_ADMIN_TOKEN_FILE");
    if (file != NULL && file[0] != '\0') {
        err failed = token_read(file, ret_token);
        if (err_is_ok(failed))
            return EXIT_DONE;
        fprintf(stderr, "warp: the token in %s cannot be read: %s\n", file, err_text(failed));
        return EXIT_USAGE;
    }
    count = token_dirs(where, dirs, ARRAY_LEN(dirs));
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%.*s/" TOKEN_FILE, (int)PATH_BYTES - 1, dirs[i]);
        if (err_is_ok(token_read(path, ret_token)))
            break;
    }
    return EXIT_DONE;
}

/* Only what can stand in a field: a line break in it would begin another one. */
static bool token_is_valid(const char *token)
{
    for (; *token != '\0'; token++)
        if (*token <= 0x20 || *token >= 0x7f)
            return false;
    return true;
}

/* ---- the exchange
 * ----------------------------------------------------------------------------------------------- */

struct exchange {
    struct loop *loop;
    struct client *client; /* NULL: gone */
    struct client_stream *stream;
    const struct client_question *question;
    struct arena arena;
    struct fields fields;
    struct client_request request;
    struct source_memory body;
    struct timer timer;
    struct client_answer answer;
    size_t room;
    const char *admin; /* as the user wrote it */
    char problem[256]; /* why there is no answer */
    bool complete;
};

static void exchange_end(struct exchange *exchange)
{
    exchange->stream = client_stream_finish(exchange->stream);
    if (exchange->client != NULL)
        client_close(exchange->client);
}

static void exchange_fail(struct exchange *exchange, const char *problem)
{
    if (exchange->problem[0] == '\0')
        snprintf(exchange->problem, sizeof(exchange->problem), "%s: %s", exchange->admin, problem);
    exchange_end(exchange);
}

static bool answer_add(struct exchange *exchange, slice bytes)
{
    struct client_answer *answer = &exchange->answer;

    if (bytes.len > CLIENT_ANSWER_BYTES_MAX - answer->len)
        return false;
    if (answer->len + bytes.len >= exchange->room) {
        size_t room = MAX(2 * exchange->room, answer->len + bytes.len + 1);
        char *body = realloc(answer->body, room);
        if (body == NULL)
            return false;
        answer->body = body;
        exchange->room = room;
    }
    memcpy(answer->body + answer->len, bytes.data, bytes.len);
    answer->len += bytes.len;
    answer->body[answer->len] = '\0';
    return true;
}

static void exchange_pump(void *user)
{
    struct exchange *exchange = user;
    slice slices[PEEK_SLICES];
    unsigned count = 0;

    for (;;) {
        switch (source_peek(exchange->stream->body, slices, PEEK_SLICES, &count)) {
        case SOURCE_READY:
            for (unsigned i = 0; i < count; i++) {
                if (!answer_add(exchange, slices[i])) {
                    exchange_fail(exchange, "the answer is longer than 16 MiB");
                    return;
                }
                source_consume(exchange->stream->body, slices[i].len);
            }
            break;
        case SOURCE_WAIT:
            return;
        case SOURCE_END:
            exchange->complete = true;
            exchange_end(exchange);
            return;
        case SOURCE_FAILED:
            exchange_fail(exchange, "the answer was cut short");
            return;
        }
    }
}

static void exchange_head(void *user, struct response *response)
{
    struct exchange *exchange = user;

    exchange->answer.status = response->status;
    if (exchange->stream->body == NULL) {
        exchange->complete = true;
        exchange_end(exchange);
        return;
    }
    source_set_reader(exchange->stream->body, exchange_pump, exchange);
    exchange_pump(exchange);
}

static void exchange_interim(void *user, struct response *response)
{
    (void)user;
    (void)response;
}

static void exchange_failed(void *user, enum client_failure failure, bool sent, const char *detail)
{
    struct exchange *exchange = user;
    const char *what = failure == CLIENT_FAILURE_CLOSED    ? "the connection was closed without an answer" HINT_TLS
                       : failure == CLIENT_FAILURE_TIMEOUT ? TOO_LATE
                       : failure == CLIENT_FAILURE_INVALID ? "what answers there is not WARP" HINT_TLS
                                                           : "no answer";
    char text[160];

    (void)sent;
    snprintf(text, sizeof(text), "%s%s%s", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
    exchange->stream = NULL;
    exchange_fail(exchange, text);
}

static void exchange_connected(void *owner, int32_t result, const char *detail)
{
    static const struct client_events events = {exchange_interim, exchange_head, exchange_failed};
    struct exchange *exchange = owner;

    if (result == -ECONNREFUSED || result == -ENOENT || result == -ETIMEDOUT) {
        snprintf(exchange->problem, sizeof(exchange->problem),
                 "no WARP answers at %s: is it running? (--admin or WARP_ADMIN says where)", exchange->admin);
        return;
    }
    if (result != 0) {
        exchange_fail(exchange, detail != NULL ? detail : err_text(ERR_SYS(-result)));
        return;
    }
    exchange->stream = client_begin(exchange->client, &exchange->request, &events, exchange);
    if (exchange->stream == NULL)
        exchange_fail(exchange, "the connection was closed at once");
}

static void exchange_changed(void *owner)
{
    (void)owner; /* exchange_end closes */
}

static void exchange_gone(void *owner)
{
    struct exchange *exchange = owner;

    exchange->client = NULL;
    loop_stop(exchange->loop);
}

static void exchange_timeout(struct timer *timer)
{
    exchange_fail(container_of(timer, struct exchange, timer), TOO_LATE);
}

static slice method_word(enum method method)
{
    switch (method) {
    case METHOD_POST:
        return SLICE("POST");
    case METHOD_PUT:
        return SLICE("PUT");
    case METHOD_DELETE:
        return SLICE("DELETE");
    default:
        return SLICE("GET");
    }
}

MUST_USE static err exchange_prepare(struct exchange *exchange, const struct os_address *address,
                                     const char *token)
{
    const struct client_question *question = exchange->question;
    char host[128];

    fields_init(&exchange->fields, &exchange->arena);
    TRY(fields_add(&exchange->fields, F_HOST,
                   slice_str(address->any.sa_family == AF_UNIX
                                 ? "localhost"
                                 : os_address_text(address, host, sizeof(host)))));
    if (token != NULL)
        TRY(fields_add(&exchange->fields, F_AUTHORIZATION,
                       arena_printf(&exchange->arena, "Bearer %s", token)));
    TRY(fields_add(&exchange->fields, F_ACCEPT, SLICE("application/json")));
    if (question->if_match != NULL)
        TRY(fields_add(&exchange->fields, F_IF_MATCH, slice_str(question->if_match)));
    if (question->if_none)
        TRY(fields_add(&exchange->fields, F_IF_NONE_MATCH, SLICE("*")));
    exchange->request = (struct client_request){
        .method = question->method,
        .method_name = method_word(question->method),
        .target = slice_str(question->path),
        .fields = &exchange->fields,
        .arena = &exchange->arena,
    };
    if (question->json != NULL) {
        TRY(fields_add(&exchange->fields, F_CONTENT_TYPE, slice_str(question->type != NULL ? question->type : "application/json")));
        source_memory_init(&exchange->body, slice_str(question->json));
        exchange->request.body = &exchange->body.source;
        exchange->request.body_bytes = (int64_t)strlen(question->json);
    }
    return ERR_OK;
}

MUST_USE static err exchange_run(struct exchange *exchange, const struct client_target *target, const char *token)
{
    static const struct client_owner owner = {exchange_connected, exchange_changed, exchange_gone};
    const struct client_config config = {
        .loop = exchange->loop,
        .address = &target->address,
        .tls = target->tls,
        .name = target->name,
        .connect_ms = CLIENT_TIMEOUT_MS,
        .first_byte_ms = CLIENT_TIMEOUT_MS,
        .between_ms = CLIENT_TIMEOUT_MS,
        .idle_ms = CLIENT_TIMEOUT_MS,
        .events = &owner,
        .owner = exchange,
    };

    TRY(exchange_prepare(exchange, &target->address, token));
    TRY(client_new(&config, &exchange->client));
    timer_init(&exchange->timer, exchange_timeout);
    loop_timer_set(exchange->loop, &exchange->timer, loop_now_ns(exchange->loop) + CLIENT_TIMEOUT_MS * MS);
    loop_run(exchange->loop);
    loop_timer_stop(exchange->loop, &exchange->timer);
    return ERR_OK;
}

/* ---- asking
 * ----------------------------------------------------------------------------------------------------- */

static const char *admin_of(const struct client_where *where)
{
    const char *admin = where->admin != NULL ? where->admin : os_environment("WARP_ADMIN");

    return admin != NULL && admin[0] != '\0' ? admin : ADMIN_DEFAULT;
}

MUST_USE static int ask_at(const struct client_target *target, const char *token, struct exchange *exchange)
{
    const struct loop_config config = {.os.io = OS_IO_EPOLL};
    err result = loop_new(&config, &exchange->loop);

    arena_init(&exchange->arena, NULL, 0, 0);
    if (err_is_ok(result))
        result = exchange_run(exchange, target, token);
    arena_done(&exchange->arena);
    exchange->loop = loop_free(exchange->loop);
    if (err_is_ok(result) && exchange->complete)
        return EXIT_DONE;
    fprintf(stderr, "warp: %s\n", err_is_ok(result) ? exchange->problem : err_text(result));
    return EXIT_FAILED;
}

int client_ask(const struct client_where *where, const struct client_question *question,
               struct client_answer *ret_answer)
{
    struct exchange exchange = {.question = question, .admin = admin_of(where)};
    struct client_target target = {0};
    char *token = NULL;
    int code = token_find(where, &token);

    if (code == EXIT_DONE && token != NULL && !token_is_valid(token)) {
        fprintf(stderr, "warp: the admin token holds something else than visible ASCII characters\n");
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = client_target_find(where, exchange.admin, &target);
    if (code == EXIT_DONE) {
        exchange.answer.had_token = token != NULL;
        code = ask_at(&target, token, &exchange);
    }
    client_target_done(&target);
    if (code == EXIT_DONE && exchange.answer.body == NULL && !answer_add(&exchange, SLICE("")))
        code = EXIT_FAILED;
    free(token);
    if (code == EXIT_DONE)
        *ret_answer = exchange.answer;
    else
        client_answer_done(&exchange.answer);
    return code;
}

void client_answer_done(struct client_answer *answer)
{
    free(answer->body);
    *answer = (struct client_answer){0};
}

/* ---- refusals
 * ----------------------------------------------------------------------------------------------------- */

static void refusal_token(const struct client_where *where, const struct client_answer *answer)
{
    char dirs[16][PATH_BYTES];
    unsigned count = token_dirs(where, dirs, ARRAY_LEN(dirs));

    fprintf(stderr, "warp: %s wants its admin token and %s.\n", admin_of(where),
            answer->had_token ? "the one sent is not it" : "none was found");
    fprintf(stderr,
            "It is looked for in --admin-token-file, WARP_TOKEN, WARP_ADMIN_TOKEN_FILE, then as %s in",
            TOKEN_FILE);
    for (unsigned i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", dirs[i]);
    fprintf(
        stderr,
        ".\nThe server prints the path of its token when it starts; --cache-dir names another directory.\n");
}

/* What is wrong with a configuration; question: NULL, or whose file it may be. */
static void refusal_lines(const json_t *lines, const struct client_question *question)
{
    char safe[2048];
    slice named = slice_str(question != NULL && question->named != NULL ? question->named : "");
    json_t *line;
    size_t i;

    json_array_foreach(lines, i, line)
    {
        slice text = slice_of(json_string_value(line), json_string_length(line));
        bool is_own = named.len > 0 && slice_starts(text, named);
        fprintf(stderr, "%s%s\n", is_own ? question->file : "", log_text(is_own ? slice_from(text, named.len) : text, safe, sizeof(safe)));
    }
}

static int refuse(const struct client_where *where, const struct client_question *question, const struct client_answer *answer)
{
    char safe[512];
    const char *text;
    json_t *problem;

    if (answer->status >= 200 && answer->status < 300)
        return EXIT_DONE;
    if (answer->status == 401) {
        refusal_token(where, answer);
        return EXIT_FAILED;
    }
    problem = json_loadb(answer->body, answer->len, 0, NULL);
    text = json_string_value(json_object_get(problem, "detail"));
    if (text == NULL)
        text = json_string_value(json_object_get(problem, "title"));
    fprintf(stderr, "warp: %s answers %u%s%s\n", admin_of(where), answer->status, text != NULL ? ": " : "",
            text != NULL ? log_text(slice_str(text), safe, sizeof(safe)) : "");
    refusal_lines(json_object_get(problem, "errors"), question);
    json_decref(problem);
    return answer->status == 422 ? EXIT_USAGE : EXIT_FAILED;
}

int client_refusal(const struct client_where *where, const struct client_answer *answer)
{
    return refuse(where, NULL, answer);
}

/* ---- whole questions
 * ---------------------------------------------------------------------------------------------- */

/* The answer as JSON, to be let go of, and as it came. */
MUST_USE static int ask_json(const struct client_where *where, const struct client_question *question, struct client_answer *ret_answer,
                             json_t **ret_root)
{
    int code = client_ask(where, question, ret_answer);

    if (code == EXIT_DONE)
        code = refuse(where, question, ret_answer);
    if (code != EXIT_DONE)
        return code;
    *ret_root = json_loadb(ret_answer->body, ret_answer->len, 0, NULL);
    if (json_is_object(*ret_root))
        return EXIT_DONE;
    json_decref(*ret_root);
    *ret_root = NULL;
    fprintf(stderr, "warp: the answer is no JSON object\n");
    return EXIT_FAILED;
}

int client_show(const struct client_where *where, const struct client_question *question, bool is_raw, int (*show)(const json_t *root))
{
    struct client_answer answer = {0};
    json_t *root = NULL;
    int code = ask_json(where, question, &answer, &root);

    if (code == EXIT_DONE && is_raw)
        printf("%s%s", answer.body, answer.len > 0 && answer.body[answer.len - 1] == '\n' ? "" : "\n");
    else if (code == EXIT_DONE)
        code = show(root);
    json_decref(root);
    client_answer_done(&answer);
    return code;
}

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

char *client_path(const char *path, const char *word, const char *behind)
{
    size_t room = strlen(path) + 3 * strlen(word) + strlen(behind) + 1;
    char *made = malloc(room), *at = made;

    if (made == NULL)
        return NULL;
    at += snprintf(at, room, "%s", path);
    for (; *word != '\0'; word++)
        at += snprintf(at, room - (size_t)(at - made), is_plain((unsigned char)*word) ? "%c" : "%%%02X", (unsigned char)*word);
    snprintf(at, room - (size_t)(at - made), "%s", behind);
    return made;
}

/* The next page behind the cursor *next, which becomes that of the one after it. */
MUST_USE static int page_add(const struct client_where *where, const char *path, const char *list, json_t *all, char **next)
{
    char *query = client_path((*next)[0] != '\0' ? "?limit=1000&cursor=" : "?limit=1000", *next, "");
    char *target = query != NULL ? client_path(path, "", query) : NULL;
    struct client_answer answer = {0};
    json_t *root = NULL;
    int code = EXIT_FAILED;

    if (target != NULL)
        code = ask_json(where, &(struct client_question){.method = METHOD_GET, .path = target}, &answer, &root);
    free(query);
    free(target);
    free(*next);
    *next = NULL;
    if (code == EXIT_DONE) {
        const char *cursor = json_string_value(json_object_get(root, "next"));
        *next = strdup(cursor != NULL ? cursor : "");
        if (json_array_extend(all, json_object_get(root, list)) != 0 || *next == NULL)
            code = EXIT_FAILED;
    }
    json_decref(root);
    client_answer_done(&answer);
    return code;
}

int client_pages(const struct client_where *where, const char *path, const char *list, json_t **ret_array)
{
    json_t *all = json_array();
    char *next = strdup("");
    int code = all != NULL && next != NULL ? EXIT_DONE : EXIT_FAILED;

    do {
        if (code == EXIT_DONE)
            code = page_add(where, path, list, all, &next);
    } while (code == EXIT_DONE && next[0] != '\0');
    free(next);
    if (code == EXIT_DONE)
        *ret_array = all;
    else
        json_decref(all);
    return code;
}
