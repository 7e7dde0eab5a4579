#include "proto/h2_budget.h"

#include "proto/h2_session.h"

#define MINUTE_NS    UINT64_C(60000000000)
#define HEADER_BYTES 9u /* of a frame, its length first (RFC 9113 4.1) */
#define LENGTH_BYTES 3u

static const struct {
    uint16_t frames;
    uint8_t limit;
} budgets[H2_BUDGET_COUNT] = {
#define X(limit, frames) [H2_BUDGET_##limit] = {frames, STREAM_LIMIT_##limit},
    H2_BUDGETS(X)
#undef X
};

void h2_budget_init(struct h2_budget *budget, uint64_t now_ns)
{
    *budget = (struct h2_budget){.begun_ns = now_ns, .skip_bytes = H2_PREFACE_BYTES, .exceeded = STREAM_LIMIT_COUNT};
}

static bool take(struct h2_budget *budget, enum h2_budget_kind kind, uint32_t n, uint64_t now_ns)
{
    uint64_t allowed = budgets[kind].frames;

    if (now_ns - budget->begun_ns >= MINUTE_NS) {
        memset(budget->used, 0, sizeof(budget->used));
        budget->begun_ns = now_ns;
        budget->sent_bytes = 0;
    }
    if (kind == H2_BUDGET_H2_WINDOW_UPDATE)
        allowed += budget->sent_bytes / H2_WINDOW_BYTES;
    if (kind == H2_BUDGET_H2_PING)
        allowed += budget->sent_bytes / H2_PING_BYTES;
    if (budget->used[kind] + (uint64_t)n > allowed) {
        budget->exceeded = budgets[kind].limit;
        return false;
    }
    budget->used[kind] += n;
    return true;
}

bool h2_budget_take(struct h2_budget *budget, enum h2_budget_kind kind, uint64_t now_ns)
{
    return take(budget, kind, 1, now_ns);
}

void h2_budget_scan(struct h2_budget *budget, slice bytes)
{
    while (bytes.len > 0) {
        size_t n = 1;

        if (budget->skip_bytes > 0) {
            n = MIN(bytes.len, (size_t)budget->skip_bytes);
            budget->skip_bytes -= (uint32_t)n;
        } else {
            if (budget->header_bytes < LENGTH_BYTES)
                budget->header_length = budget->header_length << 8 | (unsigned char)bytes.data[0];
            if (++budget->header_bytes == HEADER_BYTES) {
                budget->skip_bytes = budget->header_length;
                budget->header_length = 0;
                budget->header_bytes = 0;
                budget->unseen++;
            }
        }
        bytes = slice_from(bytes, n);
    }
}

bool h2_budget_unseen(struct h2_budget *budget, uint64_t now_ns)
{
    uint32_t n = budget->unseen;

    budget->unseen = 0;
    return n == 0 || take(budget, H2_BUDGET_H2_IGNORED, n, now_ns);
}

bool h2_budget_frame(struct h2_budget *budget, const nghttp2_frame_hd *head, bool is_late, uint64_t now_ns)
{
    if (budget->unseen > 0)
        budget->unseen--;
    if (is_late && !h2_budget_take(budget, H2_BUDGET_H2_IGNORED, now_ns))
        return false;
    switch (head->type) {
    case NGHTTP2_SETTINGS:
        return h2_budget_take(budget, H2_BUDGET_H2_SETTINGS, now_ns);
    case NGHTTP2_PING:
        return h2_budget_take(budget, H2_BUDGET_H2_PING, now_ns);
    case NGHTTP2_PRIORITY:
    case NGHTTP2_PRIORITY_UPDATE:
        return h2_budget_take(budget, H2_BUDGET_H2_PRIORITY, now_ns);
    case NGHTTP2_RST_STREAM:
        return h2_budget_take(budget, H2_BUDGET_H2_RESETS, now_ns);
    case NGHTTP2_WINDOW_UPDATE:
        return h2_budget_take(budget, H2_BUDGET_H2_WINDOW_UPDATE, now_ns);
    case NGHTTP2_HEADERS:
        budget->continuations = 0;
        break;
    case NGHTTP2_CONTINUATION:
        if (++budget->continuations <= H2_CONTINUATIONS_MAX)
            break;
        budget->exceeded = STREAM_LIMIT_H2_CONTINUATION;
        return false;
    case NGHTTP2_DATA:
        return true; /* what is empty behind its padding shows at its end only */
    default: /* GOAWAY, and types that nobody knows */
        return h2_budget_take(budget, H2_BUDGET_H2_IGNORED, now_ns);
    }
    return head->length > 0 || h2_budget_take(budget, H2_BUDGET_H2_EMPTY, now_ns);
}
