/* /api/v1/config, reload, roll back, audit: what the configuration is, was, and who changed it. */
#include "admin/admin_internal.h"

#include "admin/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DIFF_BYTES_MAX (1u << 20)

/* ---- versions ------------------------------------------------------------------------------------------------------- */

static json_t *version_json(const struct control_version *version)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:I, s:b}", "version", (json_int_t)version->number, "time_ms", (json_int_t)version->wall_ms,
                     "who", admin_text(slice_str(version->who)), "what", admin_text(slice_str(version->what)), "tenants",
                     (json_int_t)version->tenants, "in_force", (int)version->is_in_force);
}

static unsigned versions_of(struct admin_request *request, struct control_version versions[CONTROL_VERSIONS])
{
    return request->context->control->versions(request->context->control_arg, versions, CONTROL_VERSIONS);
}

/* False: answered already. */
static bool version_find(struct admin_request *request, uint64_t number, struct control_version *ret_version)
{
    struct control_version versions[CONTROL_VERSIONS];
    unsigned count = versions_of(request, versions);

    for (unsigned i = 0; i < count; i++) {
        if (versions[i].number == number) {
            *ret_version = versions[i];
            return true;
        }
    }
    admin_problemf(request, 404, "there is no version %" PRIu64 ": the last %u are kept", number, CONTROL_VERSIONS);
    return false;
}

/* Its text, to be freed; NULL: answered already. */
static char *version_text(struct admin_request *request, uint64_t number, size_t *ret_len)
{
    char *text;
    err result = request->context->control->version_text(request->context->control_arg, number, &text, ret_len);

    if (err_is_ok(result))
        return text;
    if (result.code == ERR_NOT_FOUND)
        admin_problemf(request, 404, "there is no version %" PRIu64 ": the last %u are kept", number, CONTROL_VERSIONS);
    else
        admin_problemf(request, 503, "version %" PRIu64 " cannot be read: %s", number, err_text(result));
    return NULL;
}

static void version_answer(struct admin_request *request, uint64_t number)
{
    struct control_version version;
    json_t *json;
    char *text;
    size_t len;

    if (!version_find(request, number, &version) || (text = version_text(request, number, &len)) == NULL)
        return;
    json = version_json(&version);
    json_object_set_new(json, "text", admin_text(slice_of(text, len)));
    free(text);
    admin_answer_json(request, 200, json);
}

/* The version in the path; false: answered already. */
static bool version_asked(struct admin_request *request, uint64_t *ret_number)
{
    if (!admin_has_control(request))
        return false;
    if (slice_to_u64(request->captures[0], ret_number) && *ret_number > 0)
        return true;
    admin_problem(request, 404, "a version is a number from 1 on");
    return false;
}

void admin_config_get(struct admin_request *request)
{
    uint64_t number;

    if (!admin_has_control(request))
        return;
    number = request->context->control->in_force(request->context->control_arg);
    if (number > 0)
        version_answer(request, number);
    else
        admin_problem(request, 404, "WARP was started with flags alone: there is no configuration yet");
}

void admin_version_get(struct admin_request *request)
{
    uint64_t number;

    if (version_asked(request, &number))
        version_answer(request, number);
}

/* Newer ones may come between two pages: the cursor is the number of the last. */
void admin_versions(struct admin_request *request)
{
    struct control_version versions[CONTROL_VERSIONS];
    slice cursor = admin_param(request, SLICE("cursor"));
    uint64_t below = UINT64_MAX;
    unsigned count, limit, at = 0;
    char next[24] = "";
    json_t *list;

    if (!admin_has_control(request) || !admin_limit(request, &limit))
        return;
    if (cursor.len > 0 && !slice_to_u64(cursor, &below)) {
        admin_problem(request, 400, "cursor is what the page before said under \"next\"");
        return;
    }
    count = versions_of(request, versions);
    list = json_array();
    while (at < count && versions[at].number >= below)
        at++;
    for (; at < count && json_array_size(list) < limit; at++)
        json_array_append_new(list, version_json(&versions[at]));
    if (at < count && at > 0)
        snprintf(next, sizeof(next), "%" PRIu64, versions[at - 1].number);
    admin_answer_json(request, 200, json_pack("{s:o, s:s}", "versions", list, "next", next));
}

static void diff_answer(struct admin_request *request, uint64_t from, uint64_t to, slice a, slice b)
{
    char a_name[32], b_name[32], *text;
    size_t len;
    bool is_cut;
    err result;

    snprintf(a_name, sizeof(a_name), "version %" PRIu64, from);
    snprintf(b_name, sizeof(b_name), "version %" PRIu64, to);
    result = diff_unified(a, b, a_name, b_name, DIFF_BYTES_MAX, &text, &len, &is_cut);
    if (!err_is_ok(result)) {
        admin_problemf(request, 503, "the versions cannot be compared: %s", err_text(result));
        return;
    }
    admin_answer_json(request, 200,
                      json_pack("{s:I, s:I, s:o, s:b}", "from", (json_int_t)from, "to", (json_int_t)to, "diff",
                                admin_text(slice_of(text, len)), "cut", (int)is_cut));
    free(text);
}

void admin_version_diff(struct admin_request *request)
{
    uint64_t from, to;
    char *a, *b = NULL;
    size_t a_len, b_len;

    if (!version_asked(request, &from))
        return;
    to = request->context->control->in_force(request->context->control_arg);
    if (!admin_number(request, SLICE("to"), 1, UINT64_MAX, &to))
        return;
    a = version_text(request, from, &a_len);
    if (a != NULL && (b = version_text(request, to, &b_len)) != NULL)
        diff_answer(request, from, to, slice_of(a, a_len), slice_of(b, b_len));
    free(a);
    free(b);
}

/* ---- changes -------------------------------------------------------------------------------------------------------- */

static void change_answer(struct admin_request *request, const struct control_change *change)
{
    admin_changed(request, change, 200);
}

void admin_reload(struct admin_request *request)
{
    admin_change(request, &(struct admin_wish){.kind = CONTROL_RELOAD, .answer = change_answer});
}

void admin_rollback(struct admin_request *request)
{
    uint64_t version;

    if (version_asked(request, &version))
        admin_change(request, &(struct admin_wish){.kind = CONTROL_ROLL_BACK, .version = version, .answer = change_answer});
}

/* ---- the audit log -------------------------------------------------------------------------------------------------- */

static void audit_answer(struct admin_request *request, const char *text, uint64_t since)
{
    json_t *entries = json_array(), *entry;
    json_error_t error;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        entry = json_loadb(text, len, 0, &error);
        if (json_is_object(entry)) {
            since = MAX(since, (uint64_t)json_integer_value(json_object_get(entry, "number")));
            json_array_append(entries, entry);
        }
        json_decref(entry);
        text += len + (text[len] == '\n');
    }
    admin_answer_json(request, 200, json_pack("{s:o, s:I}", "entries", entries, "next", (json_int_t)since));
}

void admin_audit_list(struct admin_request *request)
{
    uint64_t since = 0;
    unsigned limit;
    char *text;
    size_t len;
    err result;

    if (!admin_has_control(request) || !admin_limit(request, &limit) ||
        !admin_number(request, SLICE("since"), 0, INT64_MAX, &since))
        return;
    result = request->context->control->audit_read(request->context->control_arg, since, limit, &text, &len);
    if (!err_is_ok(result)) {
        admin_problemf(request, 503, "the audit log cannot be read: %s", err_text(result));
        return;
    }
    audit_answer(request, text, since);
    free(text);
}
