#include "cache/cache_status.h"

static const slice fwd_words[] = {
#define X(name, word) {word, sizeof(word) - 1},
    CACHE_STATUS_FWDS(X)
#undef X
};

/* A cursor that never passes end. */
struct cursor {
    char *at, *end;
};

static void put(struct cursor *to, slice s)
{
    size_t len = MIN(s.len, (size_t)(to->end - to->at));
    if (len > 0)
        memcpy(to->at, s.data, len);
    to->at += len;
}

static size_t digits(uint32_t value, char *buffer)
{
    char reversed[10];
    size_t len = 0;
    do {
        reversed[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < len; i++)
        buffer[i] = reversed[len - 1 - i];
    return len;
}

size_t age_write(int32_t age_s, char *buffer)
{
    return digits(age_s > 0 ? (uint32_t)age_s : 0, buffer);
}

static void put_number(struct cursor *to, int32_t value)
{
    char text[12];
    size_t len = 0;
    if (value < 0)
        text[len++] = '-';
    len += digits(value < 0 ? 0u - (uint32_t)value : (uint32_t)value, text + len);
    put(to, slice_of(text, len));
}

static bool is_token(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i], lower = ascii_lower(c);
        bool is_letter = lower >= 'a' && lower <= 'z';
        if (!is_letter && (i == 0 || (!ascii_is_digit(c) && c != '-' && c != '_' && c != '.')))
            return false;
    }
    return s.len > 0;
}

/* An sf-string; what may not stand in one (a client chose the key) is written as %XX. Always closed. */
static void put_string(struct cursor *to, slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    struct cursor inner = {to->at, to->end - 1}; /* room for the closing mark */
    put(&inner, SLICE("\""));
    for (size_t i = 0; i < s.len && inner.end - inner.at >= 3; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c < 0x20 || c > 0x7e)
            put(&inner, slice_of((char[3]){'%', hex[c >> 4], hex[c & 15]}, 3));
        else if (c == '"' || c == '\\')
            put(&inner, slice_of((char[2]){'\\', (char)c}, 2));
        else
            *inner.at++ = (char)c;
    }
    to->at = inner.at;
    put(to, SLICE("\""));
}

#define CACHE_STATUS_PART_BYTES 16u /* "; detail=" and two quotation marks */

static void put_text(struct cursor *to, slice name, slice text)
{
    if (text.len == 0 || (size_t)(to->end - to->at) < name.len + CACHE_STATUS_PART_BYTES)
        return;
    put(to, name);
    if (is_token(text) && text.len <= (size_t)(to->end - to->at))
        put(to, text);
    else
        put_string(to, text);
}

size_t cache_status_write(const struct cache_status *status, char *buffer)
{
    struct cursor to = {buffer, buffer + CACHE_STATUS_BYTES_MAX};
    put(&to, SLICE("warp"));
    if (status->hit)
        put(&to, SLICE("; hit"));
    if (status->fwd != CACHE_STATUS_NONE && (unsigned)status->fwd < CACHE_STATUS_FWD_COUNT) {
        put(&to, SLICE("; fwd="));
        put(&to, fwd_words[status->fwd]);
    }
    if (status->fwd_status != 0) {
        put(&to, SLICE("; fwd-status="));
        put_number(&to, status->fwd_status);
    }
    if (status->has_ttl) {
        put(&to, SLICE("; ttl="));
        put_number(&to, status->ttl_s);
    }
    if (status->stored)
        put(&to, SLICE("; stored"));
    if (status->collapsed)
        put(&to, SLICE("; collapsed"));
    if (status->detail.len > 0) /* before the key, which may need all the room */
        put_text(&to, SLICE("; detail="), slice_of(status->detail.data, MIN(status->detail.len, 256)));
    if (status->key.len > 0 && to.end - to.at > 16) {
        put(&to, SLICE("; key="));
        put_string(&to, status->key);
    }
    return (size_t)(to.at - buffer);
}

err cache_status_add(struct fields *added, const struct cache_status *status, int32_t age_s)
{
    char text[CACHE_STATUS_BYTES_MAX];
    if (age_s >= 0)
        TRY(fields_add(added, F_AGE, slice_of(text, age_write(age_s, text))));
    TRY(fields_add(added, F_VIA, SLICE("1.1 warp")));
    return fields_add(added, F_CACHE_STATUS, slice_of(text, cache_status_write(status, text)));
}
