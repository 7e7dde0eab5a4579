/* client: who asks. A peer that the configuration trusts may say on whose behalf (X-Forwarded-For, -Proto). */
#include "http/token.h"
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

static bool hop_address(slice hop, uint8_t ret_address[16])
{
    struct os_address address;
    struct os_peer peer;

    if (hop.len > 2 && hop.data[0] == '[' && hop.data[hop.len - 1] == ']')
        hop = slice_of(hop.data + 1, hop.len - 2);
    if (!err_is_ok(os_address_from_ip(hop, 0, &address)))
        return false;
    peer = os_peer_of(&address);
    memcpy(ret_address, peer.ip, 16);
    return true;
}

slice txn_trusted_for(const struct txn *txn)
{
    const struct fields *fields = &txn->request.fields;

    /* several lines are one list only where they are joined: a proxy that is trusted writes one */
    return fields_has(fields, F_X_FORWARDED_FOR) && fields_count_of(fields, F_X_FORWARDED_FOR) == 1 && is_trusted(txn)
               ? fields_get(fields, F_X_FORWARDED_FOR)
               : SLICE_NONE;
}

/* From the last hop on: the first that is not trusted itself. What is no address is nobody's word for one. */
struct tenant_client txn_client(const struct txn *txn)
{
    const struct os_peer *peer = &txn->stream->net->peer;
    struct tenant_client client = {.is_local = peer->family == AF_UNIX, .now_ns = loop_now_ns(txn->context->loop)};
    slice list = txn_trusted_for(txn), hop;
    uint8_t address[16];

    memcpy(client.address, peer->ip, sizeof(client.address));
    while (hop_before(&list, &hop) && hop_address(hop, address)) {
        memcpy(client.address, address, sizeof(address));
        if (!tenants_trusts(txn->view->tenants, address))
            break;
    }
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
