#include "main/control_purges.h"

#include "base/log.h"
#include "os/os.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK       64u
#define SETTLE_MS   10000 /* a purge that no journal has confirmed by then is written down as it is */

/* ---- a line --------------------------------------------------------------------------------------------------------- */

static const char *durability_word(uint8_t durability)
{
    return durability == PURGE_SAFE ? "safe" : durability == PURGE_UNSAFE ? "unsafe" : "unsettled";
}

/* Texts are what clients sent: where they are no UTF-8 they are left out. */
static json_t *text_json(const char *text)
{
    json_t *string = json_string(text);

    return string != NULL ? string : json_string("");
}

static void line_print(FILE *out, const struct purge_record *record)
{
    const struct purge_entry *entry = &record->entry;
    json_t *line = json_pack("{s:I, s:I, s:o, s:s, s:i, s:s, s:o, s:b, s:I, s:b, s:s}", "number", (json_int_t)entry->seq, "time_ms",
                             (json_int_t)entry->wall_ms, "who", text_json(record->who), "source",
                             purge_source_word((enum purge_source)record->source), "tenant", (int)entry->tenant, "kind",
                             store_label_kind_word((enum store_label_kind)entry->kind), "what", text_json(record->what), "soft",
                             (int)entry->soft, "matched", (json_int_t)entry->matched, "matched_is_exact", (int)entry->matched_is_exact,
                             "durability", durability_word(record->durability));

    if (line != NULL && json_dumpf(line, out, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII) == 0)
        fputc('\n', out);
    json_decref(line);
}

static uint8_t word_find(const char *word, const char *(*name_of)(unsigned i), unsigned count)
{
    unsigned i = 0;

    while (i < count && strcmp(word, name_of(i)) != 0)
        i++;
    return (uint8_t)i;
}

static const char *source_name(unsigned i)
{
    return purge_source_word((enum purge_source)i);
}

static const char *kind_name(unsigned i)
{
    return store_label_kind_word((enum store_label_kind)i);
}

static const char *durability_name(unsigned i)
{
    return durability_word((uint8_t)i);
}

/* False: it is none that was written here. */
static bool line_parse(const char *text, size_t len, struct purge_record *ret_record)
{
    json_t *line = json_loadb(text, len, 0, NULL);
    const char *who, *source, *kind, *what, *durability;
    json_int_t number, time_ms, matched;
    int tenant, soft, is_exact;
    bool is_one = json_unpack(line, "{s:I, s:I, s:s, s:s, s:i, s:s, s:s, s:b, s:I, s:b, s:s}", "number", &number, "time_ms", &time_ms,
                              "who", &who, "source", &source, "tenant", &tenant, "kind", &kind, "what", &what, "soft", &soft, "matched",
                              &matched, "matched_is_exact", &is_exact, "durability", &durability) == 0;

    if (is_one) {
        *ret_record = (struct purge_record){
            .entry = {.seq = (uint64_t)number, .wall_ms = time_ms, .matched = (uint64_t)matched, .tenant = (uint16_t)tenant,
                      .kind = word_find(kind, kind_name, STORE_LABEL_GROUP + 1), .soft = soft != 0, .matched_is_exact = is_exact != 0},
            .source = word_find(source, source_name, PURGE_SOURCE_COUNT),
            .durability = word_find(durability, durability_name, PURGE_UNSAFE + 1)};
        snprintf(ret_record->who, sizeof(ret_record->who), "%s", who);
        snprintf(ret_record->what, sizeof(ret_record->what), "%s", what);
        is_one = number > 0 && ret_record->source < PURGE_SOURCE_COUNT && ret_record->entry.kind <= STORE_LABEL_GROUP &&
                 ret_record->durability <= PURGE_UNSAFE && tenant >= 0 && tenant <= UINT16_MAX;
    }
    json_decref(line);
    return is_one;
}

/* ---- at the start --------------------------------------------------------------------------------------------------- */

/* Sequences that are not above those before them are another log's (the disk was formatted anew): what comes before them
 * is no part of this one. */
static unsigned records_parse(const char *text, struct purge_record *ret_records)
{
    unsigned count = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (count < PURGE_RING_ENTRIES && line_parse(text, len, &ret_records[count])) {
            if (count > 0 && ret_records[count].entry.seq <= ret_records[count - 1].entry.seq) {
                ret_records[0] = ret_records[count];
                count = 0;
            }
            count++;
        }
        text += len + (text[len] == '\n');
    }
    return count;
}

static void recall(struct control_purges *purges, const char *text, bool is_alone)
{
    struct purge_record *records = malloc(PURGE_RING_ENTRIES * sizeof(*records));
    unsigned count = records != NULL ? records_parse(text, records) : 0;

    if (is_alone && count > 0)
        purge_log_begin_at(purges->log, records[count - 1].entry.seq + PURGE_RING_ENTRIES); /* some may not have been written */
    if (records == NULL || !purge_log_recall(purges->log, records, count))
        log_warn("what is written down of earlier purges is not shown: out of memory");
    free(records);
}

void control_purges_open(struct control_purges *purges, const struct state *state, struct purge_log *log, bool is_alone)
{
    char *text = NULL;
    size_t len;

    *purges = (struct control_purges){.log = log};
    state_log_open(&purges->file, state, STATE_PURGES);
    if (err_is_ok(state_log_newest(&purges->file, PURGE_RING_ENTRIES, &text, &len)))
        recall(purges, text, is_alone);
    free(text);
    purges->written = purge_log_seq(log);
}

/* ---- turns ---------------------------------------------------------------------------------------------------------- */

static bool is_ready(const struct purge_record *record)
{
    return record->durability != PURGE_UNSETTLED || os_wall_ms() - record->entry.wall_ms > SETTLE_MS;
}

/* The next ones that may be written; 0: none. */
static unsigned next_ready(const struct control_purges *purges, struct purge_record records[CHUNK])
{
    unsigned count = purge_log_above(purges->log, purges->written, records, CHUNK), ready = 0;

    while (ready < count && is_ready(&records[ready]))
        ready++;
    return ready;
}

MUST_USE static err records_write(struct control_purges *purges, const struct purge_record *records, unsigned count)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    err written = ERR(MEMORY);

    for (unsigned i = 0; out != NULL && i < count; i++)
        line_print(out, &records[i]);
    if (out != NULL && fclose(out) == 0)
        written = state_log_append(&purges->file, slice_of(text, len), records[count - 1].entry.seq);
    free(text);
    return written;
}

static void say_behind(struct control_purges *purges, err why)
{
    char problem[STATE_PROBLEM_BYTES];

    if (!purges->is_behind)
        log_warn("%s; who purges what is not written down until it can be", state_problem(purges->file.state, STATE_PURGES, why, problem, sizeof(problem)));
    purges->is_behind = true;
}

void control_purges_turn(struct control_purges *purges)
{
    struct purge_record *records;
    unsigned count;

    if (purge_log_seq(purges->log) == purges->written || (records = malloc(CHUNK * sizeof(*records))) == NULL)
        return;
    while ((count = next_ready(purges, records)) > 0) {
        err written = records_write(purges, records, count);
        if (!err_is_ok(written)) {
            say_behind(purges, written);
            break;
        }
        purges->written = records[count - 1].entry.seq;
        purges->is_behind = false;
    }
    free(records);
}
