#include "tenant/pattern.h"

/* A comparison of bytes is one step for each of these: they are compared many at a time. */
#define STEP_BYTES 64u

bool pattern_step(struct pattern_steps *steps, size_t count)
{
    if (steps->left < count) {
        steps->left = 0;
        steps->are_over = true;
    } else {
        steps->left -= (uint32_t)count;
    }
    return !steps->are_over;
}

bool pattern_step_bytes(struct pattern_steps *steps, size_t bytes)
{
    return pattern_step(steps, 2 + bytes / STEP_BYTES);
}

bool pattern_matches(slice pattern, slice text, struct pattern_steps *steps)
{
    size_t p = 0, t = 0, star = SIZE_MAX, taken = 0; /* behind the last star; what it takes ends there */

    if (!pattern_step(steps, 1))
        return false;
    while (t < text.len) {
        if (!pattern_step(steps, 1))
            return false;
        if (p < pattern.len && pattern.data[p] == '*') {
            star = ++p;
            taken = t;
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++taken;
        } else {
            return false;
        }
        if (star == pattern.len)
            return true; /* it takes all the rest */
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

/* The places in a pattern that the path so far may have come to: all at once, so that no path costs more than its length
 * times the pattern's. */
struct places {
    uint8_t list[CONF_PATTERN_MAX + 1];
    unsigned count;
    uint64_t seen[CONF_PATTERN_MAX / 64 + 1];
};

/* With those that stars let through to, taking nothing. */
static void places_add(struct places *places, slice pattern, unsigned place)
{
    for (;;) {
        if ((places->seen[place / 64] >> (place % 64)) & 1)
            return;
        places->seen[place / 64] |= (uint64_t)1 << (place % 64);
        places->list[places->count++] = (uint8_t)place;
        if (place == pattern.len || pattern.data[place] != '*')
            return;
        place++;
    }
}

static bool is_second_star(slice pattern, unsigned place)
{
    return place > 0 && pattern.data[place - 1] == '*';
}

/* "**" is two stars: the second one takes slashes too. */
static void places_step(const struct places *from, slice pattern, char c, struct places *to)
{
    for (unsigned i = 0; i < from->count; i++) {
        unsigned place = from->list[i];
        if (place == pattern.len)
            continue;
        if (pattern.data[place] != '*') {
            if (pattern.data[place] == c)
                places_add(to, pattern, place + 1);
        } else if (c != '/' || is_second_star(pattern, place)) {
            places_add(to, pattern, place);
        }
    }
}

/* pattern begins with a star and ends with one. */
static bool places_match(slice pattern, slice path, struct pattern_steps *steps)
{
    struct places places[2];
    unsigned now = 0;

    places[0].count = 0;
    memset(places[0].seen, 0, sizeof(places[0].seen));
    places_add(&places[0], pattern, 0);
    for (size_t t = 0; t < path.len && places[now].count > 0; t++) {
        struct places *next = &places[1 - now];
        if (!pattern_step(steps, 1 + places[now].count))
            return false;
        next->count = 0;
        memset(next->seen, 0, sizeof(next->seen));
        places_step(&places[now], pattern, path.data[t], next);
        now = 1 - now;
    }
    return (places[now].seen[pattern.len / 64] >> (pattern.len % 64)) & 1;
}

static bool is_of_stars(slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.data[i] != '*')
            return false;
    return true;
}

/* What is before the first star and behind the last one decides of nearly all paths. */
bool path_matches(slice pattern, slice path, struct pattern_steps *steps)
{
    ptrdiff_t star = slice_find(pattern, '*');
    size_t head, tail = 0;

    INVARIANT(pattern.len <= CONF_PATTERN_MAX);
    if (!pattern_step_bytes(steps, pattern.len))
        return false;
    if (star < 0)
        return slice_eq(pattern, path);
    head = (size_t)star;
    while (pattern.data[pattern.len - 1 - tail] != '*')
        tail++;
    if (path.len < head + tail || !slice_starts(path, slice_of(pattern.data, head)) || !slice_ends(path, slice_from(pattern, pattern.len - tail)))
        return false;
    pattern = slice_of(pattern.data + head, pattern.len - head - tail);
    path = slice_of(path.data + head, path.len - head - tail);
    if (!is_of_stars(pattern))
        return places_match(pattern, path, steps);
    return pattern.len > 1 || (pattern_step_bytes(steps, path.len) && slice_find(path, '/') < 0);
}

/* ---- paths as rules see them -------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)ascii_lower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Also what is reserved: many origins take "%2F" for a slash, and a rule that a spelling gets around is none. */
static bool is_visible(int c)
{
    return c > 0x20 && c < 0x7f;
}

static bool is_odd(slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] == '%')
            return true;
        if (path.data[i] == '/' && i + 1 < path.len && (path.data[i + 1] == '/' || path.data[i + 1] == '.'))
            return true;
    }
    return false;
}

/* Writes path with what its %XX stand for, where that is visible; returns the length. */
static size_t resolve_escapes(slice path, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < path.len; i++) {
        int high = path.data[i] == '%' && i + 2 < path.len ? hex_digit(path.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(path.data[i + 2]) : -1;
        if (low < 0) {
            out[len++] = path.data[i];
        } else if (is_visible(high * 16 + low)) {
            out[len++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[len++] = '%';
            out[len++] = "0123456789ABCDEF"[high];
            out[len++] = "0123456789ABCDEF"[low];
            i += 2;
        }
    }
    return len;
}

/* Back to the slash that begins the last segment of out. */
static size_t segment_back(const char *out, size_t len)
{
    while (len > 0 && out[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

/* In place: segment after segment, each with its slash before it. */
static size_t resolve_segments(char *path, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len;) {
        size_t end = i + 1;
        bool is_last;
        slice segment;

        while (end < len && path[end] != '/')
            end++;
        segment = slice_of(path + i + 1, end - i - 1);
        is_last = end == len;
        if (slice_eq(segment, SLICE("..")))
            out = segment_back(path, out);
        if (slice_eq(segment, SLICE(".")) || slice_eq(segment, SLICE("..")) || segment.len == 0) {
            if (is_last)
                path[out++] = '/';
        } else {
            memmove(path + out, path + i, end - i);
            out += end - i;
        }
        i = end;
    }
    return out;
}

slice path_of_target(struct arena *arena, slice target)
{
    ptrdiff_t query = slice_find(target, '?');
    slice path = query >= 0 ? slice_of(target.data, (size_t)query) : target;
    size_t len;
    char *out;

    if (path.len == 0 || path.data[0] != '/' || !is_odd(path))
        return path;
    out = arena_alloc(arena, path.len);
    if (out == NULL)
        return SLICE_NONE;
    len = resolve_escapes(path, out);
    return slice_of(out, resolve_segments(out, len));
}

bool range_holds(const struct conf_range *range, const uint8_t address[16])
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;

    if (memcmp(range->address, address, whole) != 0)
        return false;
    return rest == 0 || ((range->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}
