#include "conf/config_internal.h"
#include "conf/listen_clash.h"
#include "conf/walk.h"

#include <stdio.h>

#define WORKERS_MAX    1024u
#define WORD_BYTES_MAX 64u

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits and the name of a unit; false when it is none of them or the product is above max. */
MUST_USE static bool scaled_parse(slice text, const struct unit *units, size_t count, uint64_t max,
                                  uint64_t *ret_value)
{
    uint64_t number;
    size_t digits = 0;

    while (digits < text.len && ascii_is_digit((unsigned char)text.data[digits]))
        digits++;
    if (!slice_to_u64(slice_of(text.data, digits), &number))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!slice_eq_nocase(slice_from(text, digits), slice_str(units[i].name)))
            continue;
        if (number > max / units[i].factor)
            return false;
        *ret_value = number * units[i].factor;
        return true;
    }
    return false;
}

bool config_parse_size(slice text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1}, {"k", 1u << 10}, {"m", 1u << 20}, {"g", 1u << 30}, {"t", UINT64_C(1) << 40},
    };
    return scaled_parse(text, units, ARRAY_LEN(units), INT64_MAX, ret_bytes);
}

bool config_parse_duration(slice text, uint64_t *ret_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000},
    };
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 'A' && text.data[i] <= 'Z') /* "5M" would be a month elsewhere */
            return false;
    return scaled_parse(text, units, ARRAY_LEN(units), CONFIG_DURATION_MS_MAX, ret_ms);
}

/* ---- a value and what may be written instead
 * ---------------------------------------------------------------- */

MUST_USE static bool count_parse(enum config_index option, slice text, char *why, uint64_t *ret_number)
{
    uint64_t min = option == CONFIG_workers ? 1 : 0,
             max = option == CONFIG_workers ? WORKERS_MAX : UINT32_MAX;
    uint64_t number;

    if (slice_to_u64(text, &number) && number >= min && number <= max) {
        *ret_number = number;
        return true;
    }
    snprintf(why, CONFIG_WHY_BYTES, "is not such a number; write digits only, from %llu to %llu",
             (unsigned long long)min, (unsigned long long)max);
    return false;
}

/* The position of text in words, counted from 0; false when it is none of them. */
MUST_USE static bool word_parse(slice text, const char *const *words, size_t count, uint64_t *ret_number)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(text, slice_str(words[i]))) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

MUST_USE static bool because(char *why, const char *text)
{
    snprintf(why, CONFIG_WHY_BYTES, "%s", text);
    return false;
}

MUST_USE static bool size_parse(enum config_index option, slice text, char *why, uint64_t *ret_bytes)
{
    uint64_t bytes;

    if (!config_parse_size(text, &bytes))
        return because(why, "is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t");
    if (option == CONFIG_cache_size && bytes < CONFIG_CACHE_SIZE_MIN)
        return because(why, "is too small; write 16m or more (--cache-dir none is without a disk, --memory caps RAM)");
    *ret_bytes = bytes;
    return true;
}

MUST_USE static bool text_check(enum config_index option, slice text, char *why)
{
    struct conf_scalar scalar = {.text = text};

    switch (option) {
    case CONFIG_listen:
    case CONFIG_listen_tls:
    case CONFIG_admin:
        return listen_text_is_address(text) ||
               because(why, "is not an address; write 127.0.0.1:8000, [::1]:8000, :8000 or unix:/path");
    case CONFIG_origin:
        return conf_origin_check(&scalar) || because(why, scalar.why);
    default:
        return true;
    }
}

MUST_USE static bool kind_parse(enum config_index option, slice text, char *why, uint64_t *ret_number)
{
    static const char *const switches[] = {"false", "true"};
    static const char *const ios[] = {"auto", "uring", "epoll"}; /* enum config_io */
    enum log_level level;

    switch (config_options[option].kind) {
    case KIND_STRING:
    case KIND_LIST:
        return text_check(option, text, why);
    case KIND_SIZE:
        return size_parse(option, text, why, ret_number);
    case KIND_DURATION:
        return config_parse_duration(text, ret_number) ||
               because(why,
                       "is not a time; write a number with ms, s, m, h, d or w: 250ms, 30s, 5m, 2h, 7d, 1w");
    case KIND_COUNT:
        return count_parse(option, text, why, ret_number);
    case KIND_SWITCH:
        return word_parse(text, switches, ARRAY_LEN(switches), ret_number) ||
               because(why, "is neither; write true or false");
    case KIND_IO:
        return word_parse(text, ios, ARRAY_LEN(ios), ret_number) ||
               because(why, "is not an I/O backend; write auto, uring or epoll");
    case KIND_LEVEL:
        if (!log_level_parse(text, &level))
            return because(why, "is not a level; write error, warn, info or debug");
        *ret_number = level;
        return true;
    }
    INVARIANT(!"a kind without a parser");
}

bool config_value_parse(enum config_index option, slice text, char why[CONFIG_WHY_BYTES],
                        uint64_t *ret_number)
{
    if (text.len == 0) {
        snprintf(why, CONFIG_WHY_BYTES, "is no value; write %s, or leave the setting out for its default",
                 config_options[option].kind == KIND_SWITCH ? "true or false"
                                                            : config_options[option].placeholder);
        return false;
    }
    for (size_t i = 0; i < text.len; i++)
        /* none of the settings means anything with them, and a NUL would cut the string short */
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return because(why, "holds a control character; write it without");
    return kind_parse(option, text, why, ret_number);
}

/* ---- misspelled words
 * ----------------------------------------------------------------------------------------- */

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
static unsigned edit_distance(const char *a, unsigned a_len, const char *b, unsigned b_len)
{
    unsigned rows[3][WORD_BYTES_MAX + 1]; /* of i - 2, i - 1 and i, in turn */

    INVARIANT(a_len <= WORD_BYTES_MAX && b_len <= WORD_BYTES_MAX);
    for (unsigned j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned *before = rows[(i - 1) % 3], *row = rows[i % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned change = before[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = MIN(change, MIN(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

/* How far; a word that was cut short ("max-connections") is near whatever is missing. */
static unsigned word_distance(const char *word, unsigned len, const char *known)
{
    unsigned known_len = (unsigned)strlen(known);

    if (known_len > WORD_BYTES_MAX)
        return WORD_BYTES_MAX;
    if (len >= 3 && len < known_len && memcmp(word, known, len) == 0)
        return 1;
    return edit_distance(word, len, known, known_len);
}

const char *config_nearest_of(const char *word, const char *const *words, unsigned count)
{
    size_t len = strnlen(word, WORD_BYTES_MAX + 1);
    unsigned best = len < 5 ? 2 : (unsigned)len / 3 + 1; /* as far as this is not near any more */
    const char *nearest = NULL;

    if (len > WORD_BYTES_MAX)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        unsigned distance = word_distance(word, (unsigned)len, words[i]);
        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

const char *config_nearest(const char *flag)
{
    const char *flags[CONFIG_OPTION_COUNT];

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        flags[i] = config_options[i].flag;
    return config_nearest_of(flag, flags, CONFIG_OPTION_COUNT);
}
