/* The fields of a transaction's own requests to the origin. */
#include "cache/forward.h"
#include "tenant/edit.h"
#include "txn/txn_internal.h"

#define TRACE_BYTES 24u /* a trace id and a parent id */

err txn_forward_fields(struct txn *txn, bool is_fill, struct fields *ret_fields)
{
    uint8_t trace[TRACE_BYTES];
    char ip[64];
    struct forward_options options = {
        .client_ip = txn_client_ip(txn, ip, sizeof(ip)),
        .trusted_for = txn_trusted_for(txn),
        .https = txn->request.https,
        .node = txn->context->node,
        .request_id = txn_request_id(txn),
        .origin_host = slice_str(txn->policy->tenant->origins->host_override),
        .trace_random = trace,
        .is_fill = is_fill,
        .keep_trailers = !is_fill,
    };

    os_entropy(trace, sizeof(trace));
    fields_init(ret_fields, &txn->arena);
    TRY(forward_build(&txn->request, &options, ret_fields));
    return edit_request_fields(txn->policy, &txn->arena, ret_fields);
}
