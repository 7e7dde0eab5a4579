/* warp stats: what a running WARP says of itself, as a table. */
#include "base/log.h"
#include "main/client.h"
#include "main/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define NAME_BYTES  160u
#define VALUE_BYTES 256u
#define DEPTH_MAX   8u

static const char usage[] = "usage: warp stats [--json]\n"
                            CLIENT_WHERE_USAGE;

/* The table is walked twice: for the width of its first column, and to be printed. */
struct table {
    int width;
    bool print;
};

static void value_text(const json_t *value, char text[VALUE_BYTES])
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        /* names come from outside: nothing of them may steer the terminal */
        log_safe(slice_of(json_string_value(value), json_string_length(value)), text, VALUE_BYTES);
        break;
    case JSON_INTEGER:
        snprintf(text, VALUE_BYTES, "%" PRId64, (int64_t)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(text, VALUE_BYTES, "%.6g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(text, VALUE_BYTES, "%s", json_is_true(value) ? "yes" : "no");
        break;
    default:
        snprintf(text, VALUE_BYTES, "-");
    }
}

static void table_walk(struct table *table, const char *name, const json_t *value, unsigned depth);

static void table_member(struct table *table, const char *name, const char *member, const json_t *value,
                         unsigned depth)
{
    char path[NAME_BYTES], safe[NAME_BYTES / 2];

    log_safe(slice_str(member), safe, sizeof(safe));
    snprintf(path, sizeof(path), "%s%s%s", name, name[0] != '\0' ? "." : "", safe);
    table_walk(table, path, value, depth + 1);
}

/* A line a value; what is inside another is named path.of.it. */
static void table_walk(struct table *table, const char *name, const json_t *value, unsigned depth)
{
    char text[VALUE_BYTES], index[24];

    if (depth < DEPTH_MAX && json_is_object(value)) {
        json_t *object = (json_t *)(uintptr_t)value; /* jansson's iterators want it without const */
        for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at))
            table_member(table, name, json_object_iter_key(at), json_object_iter_value(at), depth);
    } else if (depth < DEPTH_MAX && json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            snprintf(index, sizeof(index), "%zu", i);
            table_member(table, name, index, json_array_get(value, i), depth);
        }
    } else if (table->print) {
        value_text(value, text);
        printf("%-*s  %s\n", table->width, name, text);
    } else {
        table->width = MAX(table->width, (int)strlen(name));
    }
}

static int stats_print(const struct client_answer *answer)
{
    struct table table = {0};
    json_t *stats = json_loadb(answer->body, answer->len, 0, NULL);

    if (!json_is_object(stats)) {
        fprintf(stderr, "warp: the answer is no JSON object\n");
        json_decref(stats);
        return EXIT_FAILED;
    }
    table_walk(&table, "", stats, 0);
    table.print = true;
    table_walk(&table, "", stats, 0);
    json_decref(stats);
    return EXIT_DONE;
}

int cmd_stats(int argc, char **argv)
{
    bool raw = false;
    struct client_where where = {0};
    const struct client_flag flags[] = {{"json", NULL, NULL, &raw}};
    const struct client_syntax syntax = {"stats", usage, flags, ARRAY_LEN(flags), &where, NULL};
    const struct client_question question = {METHOD_GET, "/stats", NULL};
    struct client_answer answer = {0};
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    code = client_ask(&where, &question, &answer);
    if (code == EXIT_DONE)
        code = client_refusal(&where, &answer);
    if (code == EXIT_DONE && raw)
        printf("%s%s", answer.body, answer.len > 0 && answer.body[answer.len - 1] == '\n' ? "" : "\n");
    else if (code == EXIT_DONE)
        code = stats_print(&answer);
    client_answer_done(&answer);
    return code;
}
