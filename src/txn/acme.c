/* /.well-known/acme-challenge/TOKEN (RFC 8555 8.3), for any host: a file that an ACME client has just written. Where there
 * is none the request goes on to the origin, which may run a client of its own.
 *
 * The file is read on the loop's thread: it is one small read, once in weeks, of a directory that the operator named. */
#include "http/date.h"
#include "txn/txn_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX           "/.well-known/acme-challenge/"
#define TOKEN_BYTES_MAX  128u /* RFC 8555 8.1 has 22 at least; authorities make some forty */
#define ANSWER_BYTES_MAX 1024u
#define PATH_BYTES       4096u

/* RFC 8555 8.3: base64url characters only. Nothing else comes near a path. */
static bool token_of(slice target, slice *ret_token)
{
    slice token;

    if (!slice_starts(target, SLICE(PREFIX)))
        return false;
    token = slice_from(target, sizeof(PREFIX) - 1);
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = ascii_lower((unsigned char)token.data[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '_')
            return false;
    }
    *ret_token = token;
    return token.len > 0 && token.len <= TOKEN_BYTES_MAX;
}

/* In the directory itself, or where an ACME client puts it that takes the directory for a web root. data NULL: not there. */
static slice answer_read(struct txn *txn, slice token)
{
    static const char *const places[] = {"/", PREFIX};
    slice answer = SLICE_NONE;

    for (size_t i = 0; i < ARRAY_LEN(places) && answer.data == NULL; i++) {
        char path[PATH_BYTES], *bytes;
        size_t len;
        int n = snprintf(path, sizeof(path), "%s%s" SLICE_FMT, txn->context->acme_dir, places[i], SLICE_ARG(token));

        if (n < 0 || (size_t)n >= sizeof(path) || !err_is_ok(os_file_read(path, ANSWER_BYTES_MAX, &bytes, &len)))
            continue;
        answer = arena_copy(&txn->arena, slice_of(bytes, len));
        free(bytes);
    }
    return answer;
}

static err answer_fields(struct txn *txn, struct fields *ret_fields)
{
    char date[DATE_BYTES];

    fields_init(ret_fields, &txn->arena);
    date_format(loop_wall_ms(txn->context->loop) / 1000, date);
    TRY(fields_add(ret_fields, F_DATE, slice_of(date, DATE_BYTES)));
    TRY(fields_add(ret_fields, F_CONTENT_TYPE, SLICE("text/plain")));
    TRY(fields_add(ret_fields, F_CACHE_CONTROL, SLICE("no-store")));
    TRY(fields_add(ret_fields, F_CACHE_STATUS, SLICE("warp; detail=acme-challenge")));
    return fields_add(ret_fields, F_VIA, SLICE("1.1 warp"));
}

enum step_result txn_step_acme(struct txn *txn)
{
    const struct request *request = &txn->request;
    struct source_memory *body;
    struct fields fields;
    struct reply reply = {.status = 200, .added = &fields, .no_body = txn->is_head};
    slice token, answer = SLICE_NONE;

    if ((request->method == METHOD_GET || request->method == METHOD_HEAD) && token_of(request->target, &token))
        answer = answer_read(txn, token);
    if (answer.data == NULL)
        return txn_goto(txn, STEP_ROUTE);
    txn->facts.outcome = OUTCOME_synthetic;
    txn->facts.reason = "acme-challenge";
    body = arena_alloc(&txn->arena, sizeof(*body));
    if (body == NULL || !err_is_ok(answer_fields(txn, &fields)))
        return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
    source_memory_init(body, answer);
    reply.length_bytes = (int64_t)answer.len;
    return txn_reply(txn, &reply, txn->is_head ? NULL : &body->source);
}
