#include "cache/forward.h"

#include "cache/freshness.h"
#include "cache/hop.h"
#include "cache/validate.h"
#include "http/sf.h"
#include "http/token.h"

static const struct {
    slice name;
    enum forward_reason reason;
} denied[] = {
#define X(name, reason) {{name, sizeof(name) - 1}, FORWARD_##reason},
    FORWARD_DENIED(X)
#undef X
};

static unsigned char fold(char c)
{
    return c == '_' ? '-' : ascii_lower((unsigned char)c);
}

static bool name_matches(slice pattern, slice name)
{
    bool is_prefix = pattern.data[pattern.len - 1] == '*';
    size_t len = is_prefix ? pattern.len - 1 : pattern.len;
    if (is_prefix ? name.len < len : name.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (fold(pattern.data[i]) != fold(name.data[i]))
            return false;
    return true;
}

enum forward_reason forward_reason_of(enum field_id id, slice name)
{
    switch (id) { /* the common ones, without the table */
    case F_ACCEPT: case F_ACCEPT_ENCODING: case F_ACCEPT_LANGUAGE: case F_COOKIE: case F_USER_AGENT: case F_REFERER:
        return FORWARD_ALLOWED;
    default:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(denied); i++)
        if (name_matches(denied[i].name, name))
            return denied[i].reason;
    return FORWARD_ALLOWED;
}

/* --- which fields --- */

static bool is_asked_for(const struct forward_options *options, slice name)
{
    for (const char *const *at = options->also_pass; at != NULL && *at != NULL; at++)
        if (slice_eq_nocase(slice_str(*at), name))
            return true;
    return false;
}

/* A fill's request is made for everybody: what one client tells caches or asks for a part of has no place in it. */
static bool is_fill_only(const struct forward_options *options, enum field_id id)
{
    if (!options->is_fill)
        return false;
    if (id == F_CACHE_CONTROL || id == F_PRAGMA)
        return true;
    return validate_is_stripped(id) && !(options->keep_range && (id == F_RANGE || id == F_IF_RANGE));
}

static bool passes(const struct forward_options *options, const struct hop_names *hop, const struct fields *fields, unsigned i)
{
    enum field_id id = (enum field_id)fields->list[i].id;
    slice name = field_name(fields, i);
    enum forward_reason reason = forward_reason_of(id, name);
    if (hop->count > 0 && hop_names_has(hop, name))
        return false;
    if (reason == FORWARD_UNKEYED || reason == FORWARD_SPOOFED)
        return is_asked_for(options, name);
    return reason == FORWARD_ALLOWED && !is_fill_only(options, id);
}

/* --- the rebuilt ones --- */

static err add_appended(struct fields *to, const struct fields *from, enum field_id id, slice ours)
{
    if (!fields_has(from, id))
        return fields_add(to, id, ours);
    slice before = fields_joined(from, id, to->arena);
    ENSURE(before.data != NULL, MEMORY);
    slice both = ARENA_CONCAT(to->arena, before, before.len > 0 ? SLICE(", ") : SLICE(""), ours);
    ENSURE(both.data != NULL, MEMORY);
    return fields_add(to, id, both);
}

static err add_loop(struct fields *to, const struct fields *from, uint32_t node)
{
    char ours[] = "warp; node=00000000";
    hex_write(ours + sizeof(ours) - 9, node, 8);
    return add_appended(to, from, F_CDN_LOOP, slice_of(ours, sizeof(ours) - 1));
}

static err add_forwarded_for(struct fields *to, const struct forward_options *options, slice client)
{
    if (options->trusted_for.len == 0)
        return fields_add(to, F_X_FORWARDED_FOR, client);
    slice all = ARENA_CONCAT(to->arena, options->trusted_for, SLICE(", "), client);
    ENSURE(all.data != NULL, MEMORY);
    return fields_add(to, F_X_FORWARDED_FOR, all);
}

/* RFC 7239 4, 6: a token as such, an IPv6 address in brackets and quotation marks. What is neither (somebody's
 * odd X-Forwarded-For) is "unknown" (6.3). */
static slice forwarded_node(struct arena *arena, slice address)
{
    if (slice_find(address, ':') >= 0) {
        for (size_t i = 0; i < address.len; i++)
            if (!char_is((unsigned char)address.data[i], CHAR_HEX) && address.data[i] != ':' && address.data[i] != '.')
                return SLICE("unknown");
        return ARENA_CONCAT(arena, SLICE("\"["), address, SLICE("]\""));
    }
    return token_is_valid(address) ? address : SLICE("unknown");
}

static err add_forwarded(struct fields *to, const struct request *request, const struct forward_options *options, slice client)
{
    slice text = SLICE(""), rest = options->trusted_for, address;
    while (list_next(&rest, &address)) {
        slice node = forwarded_node(to->arena, address);
        ENSURE(node.data != NULL, MEMORY);
        text = ARENA_CONCAT(to->arena, text, SLICE("for="), node, SLICE(", "));
        ENSURE(text.data != NULL, MEMORY);
    }
    slice node = forwarded_node(to->arena, client);
    slice host = token_is_valid(request->authority) ? request->authority : sf_string(to->arena, request->authority);
    ENSURE(node.data != NULL && host.data != NULL, MEMORY);
    text = ARENA_CONCAT(to->arena, text, SLICE("for="), node, SLICE(";host="), host, SLICE(";proto="),
                        options->https ? SLICE("https") : SLICE("http"));
    ENSURE(text.data != NULL, MEMORY);
    return fields_add(to, F_FORWARDED, text);
}

static bool hex_part(slice s, size_t at, size_t len, bool may_be_zero)
{
    bool zero = true;
    for (size_t i = at; i < at + len; i++) {
        char c = s.data[i];
        if (!ascii_is_digit((unsigned char)c) && !(c >= 'a' && c <= 'f'))
            return false;
        zero = zero && c == '0';
    }
    return !zero || may_be_zero;
}

/* W3C Trace Context 3.2: version-traceid-parentid-flags, lower case; later versions may be longer. */
static bool traceparent_is_valid(slice s)
{
    if (s.len < 55 || s.data[2] != '-' || s.data[35] != '-' || s.data[52] != '-')
        return false;
    if (!hex_part(s, 0, 2, true) || !hex_part(s, 3, 32, false) || !hex_part(s, 36, 16, false) || !hex_part(s, 53, 2, true))
        return false;
    if (slice_starts(s, SLICE("ff")))
        return false;
    return slice_starts(s, SLICE("00")) ? s.len == 55 : (s.len == 55 || s.data[55] == '-');
}

static bool trace_is_kept(const struct fields *request)
{
    return fields_count_of(request, F_TRACEPARENT) == 1 && traceparent_is_valid(fields_get(request, F_TRACEPARENT));
}

static err add_traceparent(struct fields *to, const struct fields *request, const uint8_t *random)
{
    static const char hex[] = "0123456789abcdef";
    char text[55] = "00-";
    size_t at = 3;
    if (trace_is_kept(request))
        return fields_add(to, F_TRACEPARENT, fields_get(request, F_TRACEPARENT));
    if (random == NULL)
        return ERR_OK;
    for (unsigned i = 0; i < 24; i++) {
        if (i == 16)
            text[at++] = '-';
        text[at++] = hex[random[i] >> 4];
        text[at++] = hex[random[i] & 15];
    }
    memcpy(text + at, "-00", 3); /* not sampled: nobody records it here */
    return fields_add(to, F_TRACEPARENT, slice_of(text, sizeof(text)));
}

static bool request_id_is_sane(slice id)
{
    if (id.len == 0 || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        unsigned char c = (unsigned char)id.data[i], lower = ascii_lower(c);
        if (!ascii_is_digit(c) && !(lower >= 'a' && lower <= 'z') && memchr("._=+/-", c, 6) == NULL)
            return false;
    }
    return true;
}

static err add_request_id(struct fields *to, const struct fields *request, slice ours)
{
    slice theirs = fields_get(request, F_X_REQUEST_ID);
    if (fields_count_of(request, F_X_REQUEST_ID) == 1 && request_id_is_sane(theirs))
        return fields_add(to, F_X_REQUEST_ID, theirs);
    return ours.len > 0 ? fields_add(to, F_X_REQUEST_ID, ours) : ERR_OK;
}

static err add_rebuilt(const struct request *request, const struct forward_options *options, struct fields *to)
{
    const struct fields *from = &request->fields;
    slice client = options->client_ip.len > 0 ? options->client_ip : SLICE("unknown");
    TRY(add_appended(to, from, F_VIA, request->h2 ? SLICE("2 warp") : SLICE("1.1 warp"))); /* what was received (RFC 9110 7.6.3) */
    TRY(add_loop(to, from, options->node));
    TRY(add_forwarded_for(to, options, client));
    TRY(fields_add(to, F_X_FORWARDED_PROTO, options->https ? SLICE("https") : SLICE("http")));
    TRY(fields_add(to, F_X_FORWARDED_HOST, request->authority));
    TRY(add_forwarded(to, request, options, client));
    TRY(add_traceparent(to, from, options->trace_random));
    TRY(add_request_id(to, from, options->request_id));
    return fields_add(to, F_SURROGATE_CAPABILITY, SLICE(FRESHNESS_DEVICE "=\"Surrogate/1.0\""));
}

static err add_upgrade(struct fields *to)
{
    TRY(fields_add(to, F_CONNECTION, SLICE("Upgrade")));
    return fields_add(to, F_UPGRADE, SLICE("websocket"));
}

err forward_build(const struct request *request, const struct forward_options *options, struct fields *ret_fields)
{
    const struct fields *from = &request->fields;
    struct hop_names hop;
    TRY(hop_names_read(from, &hop));
    TRY(fields_reserve(ret_fields, from->count + 12u, from->text_len + 512u));
    TRY(fields_add(ret_fields, F_HOST, options->origin_host.len > 0 ? options->origin_host : request->authority));
    bool drop_state = !trace_is_kept(from);
    for (unsigned i = 0; i < from->count; i++) {
        if (!passes(options, &hop, from, i))
            continue;
        /* Trace Context 3.3.1.1: tracestate means nothing without its traceparent. */
        if (drop_state && from->list[i].id == F_OTHER && slice_eq_nocase(field_name(from, i), SLICE("tracestate")))
            continue;
        TRY(fields_copy(ret_fields, from, i));
    }
    TRY(add_rebuilt(request, options, ret_fields));
    if (options->keep_trailers && fields_list_contains(from, F_TE, SLICE("trailers")))
        TRY(fields_add(ret_fields, F_TE, SLICE("trailers")));
    return options->keep_upgrade ? add_upgrade(ret_fields) : ERR_OK;
}

err forward_response(const struct response *response, struct fields *ret_fields)
{
    const struct fields *from = &response->fields;
    struct hop_names hop;
    TRY(hop_names_read(from, &hop));
    TRY(fields_reserve(ret_fields, from->count, from->text_len));
    for (unsigned i = 0; i < from->count; i++) {
        enum field_id id = (enum field_id)from->list[i].id;
        if (!hop_is_field(id) && !hop_is_consumed(id) && !hop_names_has(&hop, field_name(from, i)))
            TRY(fields_copy(ret_fields, from, i));
    }
    return ERR_OK;
}

/* --- loops --- */

static bool param_is_node(slice param, slice node)
{
    param = slice_trim(param);
    return param.len == 5 + node.len && slice_eq_nocase(slice_of(param.data, 5), SLICE("node=")) &&
           slice_eq_nocase(slice_from(param, 5), node);
}

/* RFC 8586 2: cdn-id *( OWS ";" OWS parameter ). Is it "warp" with our node? */
static bool hop_is_ours(slice hop, slice node)
{
    ptrdiff_t semicolon = slice_find(hop, ';');
    if (semicolon < 0 || !slice_eq_nocase(slice_trim(slice_of(hop.data, (size_t)semicolon)), SLICE("warp")))
        return false;
    while (semicolon >= 0) {
        hop = slice_from(hop, (size_t)semicolon + 1);
        semicolon = slice_find(hop, ';');
        if (param_is_node(slice_of(hop.data, semicolon >= 0 ? (size_t)semicolon : hop.len), node))
            return true;
    }
    return false;
}

static slice node_text(uint32_t node, char buffer[8])
{
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < 8; i++)
        buffer[i] = hex[(node >> (28 - 4 * i)) & 15];
    return slice_of(buffer, 8);
}

enum forward_loop forward_loop_check(const struct fields *request, uint32_t node)
{
    char buffer[8];
    slice ours = node_text(node, buffer);
    unsigned hops = 0;
    for (int i = -1; (i = fields_next(request, F_CDN_LOOP, i + 1)) >= 0;) {
        slice rest = field_value(request, (unsigned)i), hop;
        while (list_next(&rest, &hop)) {
            if (hop_is_ours(hop, ours))
                return FORWARD_LOOP_OWN_NODE;
            hops++;
        }
    }
    return hops > FORWARD_HOPS_MAX ? FORWARD_LOOP_HOPS : FORWARD_LOOP_NONE;
}
