#include "http/h1_chunked.h"

#include "http/token.h"

enum state {
    STATE_SIZE,       /* hex digits */
    STATE_EXTENSION,  /* behind ';', up to CR */
    STATE_SIZE_LF,    /* behind the CR of the size line */
    STATE_DATA,
    STATE_DATA_CR,    /* behind the data */
    STATE_DATA_LF,
    STATE_TRAILER,    /* in a trailer line, or at its first byte */
    STATE_TRAILER_LF,
    STATE_DONE,
    STATE_ERROR,
};

void h1_chunked_init(struct h1_chunked *chunked, struct arena *arena)
{
    *chunked = (struct h1_chunked){.arena = arena};
}

bool trailer_is_allowed(enum field_id id, slice name)
{
    static const bool forbidden[F_COUNT] = {
        /* framing and the connection */
        [F_CONNECTION] = true, [F_CONTENT_LENGTH] = true, [F_TRANSFER_ENCODING] = true, [F_TRAILER] = true,
        [F_UPGRADE] = true, [F_KEEP_ALIVE] = true, [F_PROXY_CONNECTION] = true, [F_TE] = true,
        [F_HTTP2_SETTINGS] = true,
        /* routing and request modifiers */
        [F_HOST] = true, [F_EXPECT] = true, [F_MAX_FORWARDS] = true, [F_RANGE] = true, [F_FORWARDED] = true,
        [F_VIA] = true, [F_CDN_LOOP] = true, [F_X_FORWARDED_FOR] = true, [F_X_FORWARDED_HOST] = true,
        [F_X_FORWARDED_PORT] = true, [F_X_FORWARDED_PROTO] = true, [F_ORIGIN] = true, [F_REFERER] = true,
        [F_ACCEPT] = true, [F_ACCEPT_CHARSET] = true, [F_ACCEPT_ENCODING] = true, [F_ACCEPT_LANGUAGE] = true,
        [F_IF_MATCH] = true, [F_IF_NONE_MATCH] = true, [F_IF_MODIFIED_SINCE] = true,
        [F_IF_UNMODIFIED_SINCE] = true, [F_IF_RANGE] = true,
        /* authentication and cookies */
        [F_AUTHORIZATION] = true, [F_PROXY_AUTHORIZATION] = true, [F_PROXY_AUTHENTICATE] = true,
        [F_PROXY_AUTHENTICATION_INFO] = true, [F_COOKIE] = true, [F_SET_COOKIE] = true,
        [F_SEC_WEBSOCKET_ACCEPT] = true, [F_SEC_WEBSOCKET_KEY] = true,
        /* control of caches and answers */
        [F_AGE] = true, [F_CACHE_CONTROL] = true, [F_CDN_CACHE_CONTROL] = true, [F_WARP_CACHE_CONTROL] = true,
        [F_SURROGATE_CONTROL] = true, [F_SURROGATE_KEY] = true, [F_SURROGATE_CAPABILITY] = true,
        [F_CACHE_GROUPS] = true, [F_CACHE_GROUP_INVALIDATION] = true, [F_CACHE_TAG] = true, [F_EXPIRES] = true,
        [F_DATE] = true, [F_LOCATION] = true, [F_PRAGMA] = true, [F_RETRY_AFTER] = true, [F_VARY] = true,
        [F_WARNING] = true, [F_NO_VARY_SEARCH] = true, [F_ETAG] = true, [F_LAST_MODIFIED] = true,
        [F_ACCEPT_RANGES] = true, [F_ALT_SVC] = true,
    };
    static const slice auth[] = {
        {"WWW-Authenticate", 16}, {"Authentication-Info", 19}, {"Sec-WebSocket-Version", 21}, {"Clear-Site-Data", 15}};

    if (id != F_OTHER && forbidden[id])
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(auth); i++)
        if (slice_eq_nocase(name, auth[i]))
            return false;
    return !(name.len >= 8 && slice_eq_nocase(slice_of(name.data, 8), SLICE("content-")));
}

/* --- decoding --- */

static enum chunked_result refuse(struct h1_chunked *chunked, enum h1_error error)
{
    chunked->error = (uint16_t)error;
    chunked->state = STATE_ERROR;
    return CHUNKED_ERROR;
}

static enum h1_error size_byte(struct h1_chunked *chunked, unsigned char c)
{
    if (char_is(c, CHAR_HEX)) {
        unsigned digit = ascii_is_digit(c) ? c - (unsigned)'0' : ascii_lower(c) - (unsigned)'a' + 10;
        if (++chunked->digits > 16 || chunked->left > (uint64_t)INT64_MAX >> 4)
            return H1_CHUNK_SIZE;
        chunked->left = chunked->left << 4 | digit;
        return H1_OK;
    }
    if (c == '\n')
        return H1_BARE_LF;
    if (chunked->digits == 0 || (c != ';' && c != '\r'))
        return H1_CHUNK_SIZE; /* also white space: the grammar has it only before ';', and nobody sends it */
    chunked->line_bytes = 0;
    chunked->state = c == ';' ? STATE_EXTENSION : STATE_SIZE_LF;
    return H1_OK;
}

/* Extensions are dropped, so only their bytes and their size matter. */
static enum h1_error extension_byte(struct h1_chunked *chunked, unsigned char c)
{
    if (c == '\r') {
        chunked->state = STATE_SIZE_LF;
        return H1_OK;
    }
    if (!char_is(c, CHAR_FIELD))
        return c == '\n' ? H1_BARE_LF : H1_CHUNK_EXTENSION;
    if (++chunked->line_bytes > CHUNK_EXTENSION_BYTES_MAX ||
        ++chunked->extensions_bytes > CHUNK_EXTENSIONS_BYTES_MAX)
        return H1_CHUNK_EXTENSION_LIMIT;
    return H1_OK;
}

static enum h1_error trailer_store(struct h1_chunked *chunked, unsigned char c)
{
    if (chunked->trailer_len >= TRAILER_BYTES_MAX)
        return H1_TRAILERS_TOO_LARGE;
    if (chunked->arena != NULL && chunked->trailer_len == chunked->trailer_cap) {
        uint32_t cap = chunked->trailer_cap != 0 ? chunked->trailer_cap * 2 : 256;
        char *text = arena_grow(chunked->arena, chunked->trailer_text, chunked->trailer_cap, cap);
        if (text == NULL)
            return H1_MEMORY;
        chunked->trailer_text = text;
        chunked->trailer_cap = cap;
    }
    if (chunked->arena != NULL)
        chunked->trailer_text[chunked->trailer_len] = (char)c;
    chunked->trailer_len++;
    return H1_OK;
}

/* The section is complete: parsed as strictly as a head, then what may not stand there is left out. */
static enum h1_error trailers_finish(struct h1_chunked *chunked)
{
    struct fields all, *kept;
    enum h1_error error;

    chunked->state = STATE_DONE;
    if (chunked->trailer_len == 0 || chunked->arena == NULL)
        return H1_OK;
    error = h1_parse_fields(slice_of(chunked->trailer_text, chunked->trailer_len), TRAILER_FIELDS_MAX,
                            chunked->arena, &all);
    if (error != H1_OK)
        return error == H1_TOO_MANY_FIELDS ? H1_TRAILERS_TOO_LARGE : error;
    kept = arena_alloc(chunked->arena, sizeof(*kept));
    if (kept == NULL)
        return H1_MEMORY;
    fields_init(kept, chunked->arena);
    for (unsigned i = 0; i < all.count; i++)
        if (trailer_is_allowed(all.list[i].id, field_name(&all, i)) && !err_is_ok(fields_copy(kept, &all, i)))
            return H1_MEMORY;
    chunked->trailers = kept;
    return H1_OK;
}

static enum h1_error trailer_byte(struct h1_chunked *chunked, unsigned char c)
{
    if (chunked->state == STATE_TRAILER_LF) {
        if (c != '\n')
            return H1_BARE_CR;
        if (chunked->line_bytes == 0) {
            chunked->trailer_len -= chunked->trailer_len != 0; /* the CR of the empty line */
            return trailers_finish(chunked);
        }
        chunked->line_bytes = 0;
        chunked->state = STATE_TRAILER;
        return trailer_store(chunked, c);
    }
    if (c == '\n')
        return H1_BARE_LF;
    if (c == '\r')
        chunked->state = STATE_TRAILER_LF;
    else
        chunked->line_bytes++; /* bounded by TRAILER_BYTES_MAX */
    if (c == '\r' && chunked->line_bytes == 0 && chunked->trailer_len == 0)
        return H1_OK; /* no trailers at all: nothing to keep */
    return trailer_store(chunked, c);
}

/* Everything but data. */
static enum h1_error control_byte(struct h1_chunked *chunked, unsigned char c)
{
    switch ((enum state)chunked->state) {
    case STATE_SIZE:
        return size_byte(chunked, c);
    case STATE_EXTENSION:
        return extension_byte(chunked, c);
    case STATE_SIZE_LF:
        chunked->state = chunked->left > 0 ? STATE_DATA : STATE_TRAILER;
        chunked->line_bytes = 0;
        return c == '\n' ? H1_OK : H1_BARE_CR;
    case STATE_DATA_CR:
        chunked->state = STATE_DATA_LF;
        return c == '\r' ? H1_OK : c == '\n' ? H1_BARE_LF : H1_CHUNK_END;
    case STATE_DATA_LF:
        chunked->state = STATE_SIZE;
        chunked->digits = 0;
        return c == '\n' ? H1_OK : H1_CHUNK_END;
    default:
        return trailer_byte(chunked, c);
    }
}

enum chunked_result h1_chunked_next(struct h1_chunked *chunked, slice input, size_t *ret_consumed, slice *ret_data)
{
    size_t at = 0;

    *ret_consumed = 0;
    *ret_data = SLICE_NONE;
    while (chunked->state < STATE_DONE && at < input.len) {
        enum h1_error error;

        if (chunked->state == STATE_DATA) {
            size_t n = (size_t)MIN(chunked->left, (uint64_t)(input.len - at));
            *ret_data = slice_of(input.data + at, n);
            *ret_consumed = at + n;
            chunked->left -= n;
            if (chunked->left == 0)
                chunked->state = STATE_DATA_CR;
            return CHUNKED_DATA;
        }
        error = control_byte(chunked, (unsigned char)input.data[at]);
        if (error != H1_OK)
            return refuse(chunked, error);
        at++;
    }
    *ret_consumed = at;
    if (chunked->state == STATE_ERROR)
        return CHUNKED_ERROR;
    return chunked->state == STATE_DONE ? CHUNKED_DONE : CHUNKED_MORE;
}

size_t h1_chunk_head_write(uint64_t size_bytes, char *ret_text)
{
    unsigned digits = (67u - (unsigned)__builtin_clzll(size_bytes | 1)) / 4;

    INVARIANT(size_bytes != 0);
    for (unsigned i = 0; i < digits; i++)
        ret_text[i] = "0123456789abcdef"[size_bytes >> (4 * (digits - 1 - i)) & 15];
    memcpy(ret_text + digits, "\r\n", 2);
    return digits + 2;
}
