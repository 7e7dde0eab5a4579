/* client: who asks. A peer that the configuration trusts may say on whose behalf (X-Forwarded-For, -Proto). */
#include "http/sf.h"
#include "txn/txn_internal.h"

static bool is_trusted(const struct txn *txn)
{
    const struct os_peer *peer = &txn->stream->net->peer;

    return peer->family != AF_UNIX && tenants_trusts(txn->view->tenants, peer->ip);
}

bool txn_trusts(void *context, const struct os_peer *peer)
{
    const struct txn_context *txns = context;

    return peer->family != AF_UNIX && tenants_trusts(txns->view->tenants, peer->ip);
}

/* The next hop of X-Forwarded-For from its end. */
static bool hop_before(slice *list, slice *ret_hop)
{
    size_t at = list->len;

    if (list->len == 0)
        return false;
    while (at > 0 && list->data[at - 1] != ',')
        at--;
    *ret_hop = slice_trim(slice_from(*list, at));
    list->len = at > 0 ? at - 1 : 0;
    return true;
}

static bool is_port(slice text)
{
    uint64_t port;

    return slice_to_u64(text, &port) && port <= UINT16_MAX;
}

/* 192.0.2.1:443, [2001:db8::1]:443, [2001:db8::1]. More than one colon and no brackets: an address of IPv6 alone. False: what is
 * behind the address is no port. */
static bool hop_without_port(slice *hop)
{
    ptrdiff_t end = slice_starts(*hop, SLICE("[")) ? slice_find(*hop, ']') : slice_find(*hop, ':');
    slice rest;

    if (!slice_starts(*hop, SLICE("["))) {
        if (end < 0 || slice_find(slice_from(*hop, (size_t)end + 1), ':') >= 0)
            return true;
        rest = slice_from(*hop, (size_t)end + 1);
        *hop = slice_of(hop->data, (size_t)end);
        return is_port(rest);
    }
    if (end < 0)
        return false;
    rest = slice_from(*hop, (size_t)end + 1);
    *hop = slice_of(hop->data + 1, (size_t)end - 1);
    return rest.len == 0 || (rest.data[0] == ':' && is_port(slice_from(rest, 1)));
}

/* Mapped IPv4 is IPv4: a balancer that listens for both writes ::ffff:192.0.2.1. */
static bool hop_address(slice hop, uint8_t ret_address[16])
{
    struct os_address address;
    struct os_peer peer;

    if (!hop_without_port(&hop) || !err_is_ok(os_address_from_ip(hop, 0, &address)))
        return false;
    peer = os_peer_of(&address);
    memcpy(ret_address, peer.ip, 16);
    return true;
}

slice txn_trusted_for(struct txn *txn)
{
    if (!fields_has(&txn->request.fields, F_X_FORWARDED_FOR) || !is_trusted(txn))
        return SLICE_NONE;
    return fields_joined(&txn->request.fields, F_X_FORWARDED_FOR, &txn->arena);
}

/* One line's hops from its end. False: the client is known now. */
static bool hops_walk(const struct txn *txn, slice line, struct tenant_client *client)
{
    slice hop;

    while (hop_before(&line, &hop)) {
        if (hop.len == 0)
            continue; /* RFC 9110 5.6.1.2 */
        if (!hop_address(hop, client->address)) { /* also "unknown" and "_hidden" (RFC 7239 6) */
            memset(client->address, 0, sizeof(client->address));
            client->is_unknown = true;
            return false;
        }
        if (!tenants_trusts(txn->view->tenants, client->address))
            return false;
    }
    return true;
}

/* From the last hop of the last line on (RFC 9110 5.3: lines are one list): the first that is not trusted itself. */
struct tenant_client txn_client(const struct txn *txn)
{
    const struct fields *fields = &txn->request.fields;
    const struct os_peer *peer = &txn->stream->net->peer;
    struct tenant_client client = {.is_local = peer->family == AF_UNIX, .now_ns = loop_now_ns(txn->context->loop)};

    memcpy(client.address, peer->ip, sizeof(client.address));
    if (fields->list == NULL || !fields_has(fields, F_X_FORWARDED_FOR) || !is_trusted(txn))
        return client;
    for (unsigned i = fields->count; i > 0; i--)
        if (fields->list[i - 1].id == F_X_FORWARDED_FOR && !hops_walk(txn, field_value(fields, i - 1), &client))
            break;
    return client;
}

void txn_client_scheme(struct txn *txn)
{
    const struct fields *fields = &txn->request.fields;
    slice proto;

    if (!fields_has(fields, F_X_FORWARDED_PROTO) || fields_count_of(fields, F_X_FORWARDED_PROTO) != 1 || !is_trusted(txn))
        return;
    proto = fields_get(fields, F_X_FORWARDED_PROTO);
    if (slice_eq_nocase(proto, SLICE("https")))
        txn->request.https = true;
    else if (slice_eq_nocase(proto, SLICE("http")))
        txn->request.https = false;
}
