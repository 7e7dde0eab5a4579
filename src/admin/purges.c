/* GET /api/v1/purges: the newest purges: who, when, what, and what came of it. */
#include "admin/admin_internal.h"
#include "http/date.h"
#include "store/purge.h"

#include <inttypes.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX     1000u
#define CHUNK         64u /* read at a time: the log is locked meanwhile */

struct page {
    struct admin_request *request;
    const struct tenant *only; /* NULL: all that who asks may see */
    json_t *list;
    unsigned limit;
    uint64_t next; /* where the next page begins */
    /* may who asks see that tenant's? Purges come in runs of one tenant. */
    uint16_t asked_for;
    bool was_asked, may_see, may_see_all;
};

/* ---- one purge ------------------------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
    json_t *string = text[0] != '\0' ? json_string(text) : NULL;

    return string != NULL ? string : json_null(); /* cut in the middle of a character: not UTF-8 */
}

static json_t *tenant_name(const struct page *page, uint16_t id)
{
    const struct tenant *tenant = tenants_of_id(page->request->context->tenants, id);

    if (id == STORE_TENANT_ALL)
        return json_null();
    return tenant != NULL ? json_stringn(tenant->name.data, tenant->name.len) : json_sprintf("(gone: %u)", (unsigned)id);
}

static json_t *when(int64_t wall_ms)
{
    char text[DATE_ISO_BYTES + 1];

    date_format_iso(wall_ms, text);
    return json_stringn(text, DATE_ISO_BYTES);
}

static json_t *durability(uint8_t durability)
{
    return durability == PURGE_UNSETTLED ? json_null() : json_boolean(durability == PURGE_SAFE);
}

static json_t *record_json(const struct page *page, const struct purge_record *record)
{
    const struct purge_entry *entry = &record->entry;
    bool is_everything = entry->kind == STORE_LABEL_TENANT;
    /* who purges for all is nobody whom one of them need know, nor how much the others had */
    bool is_hidden = entry->tenant == STORE_TENANT_ALL && !page->may_see_all;

    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:o, s:b, s:o}", "seq", (json_int_t)entry->seq, "time",
                     when(entry->wall_ms), "who", is_hidden ? json_null() : text_or_null(record->who), "source",
                     record->is_restored ? json_null() : json_string(purge_source_word((enum purge_source)record->source)), "tenant",
                     tenant_name(page, entry->tenant), "kind",
                     is_everything ? "everything" : store_label_kind_word((enum store_label_kind)entry->kind), "what",
                     is_everything ? json_null() : text_or_null(record->what), "soft", (int)entry->soft, "matched",
                     is_hidden ? json_null() : json_integer((json_int_t)entry->matched), "matched_is_exact",
                     (int)(entry->matched_is_exact && !is_hidden), "durable",
                     durability(record->durability));
}

/* ---- a page --------------------------------------------------------------------------------------------------------- */

static bool is_visible(struct page *page, uint16_t id)
{
    const struct tenant *tenant;

    if (page->only != NULL)
        return id == page->only->id || id == STORE_TENANT_ALL;
    if (page->may_see_all || id == STORE_TENANT_ALL)
        return true;
    if (page->was_asked && page->asked_for == id)
        return page->may_see;
    tenant = tenants_of_id(page->request->context->tenants, id);
    page->was_asked = true;
    page->asked_for = id;
    page->may_see = tenant != NULL && admin_may(page->request, TOKEN_READ, tenant);
    return page->may_see;
}

static bool is_full(const struct page *page)
{
    return json_array_size(page->list) >= page->limit;
}

/* From since on, in the order of sequences. */
static void page_above(struct page *page, struct purge_record *records, uint64_t since)
{
    struct purge_log *log = storage_purges(page->request->context->storage);
    unsigned count;

    page->next = since;
    while (!is_full(page) && (count = purge_log_above(log, page->next, records, CHUNK)) > 0) {
        for (unsigned i = 0; i < count && !is_full(page); i++) {
            page->next = records[i].entry.seq;
            if (is_visible(page, records[i].entry.tenant))
                json_array_append_new(page->list, record_json(page, &records[i]));
        }
    }
}

/* The newest ones; shown in the order of sequences as well. */
static void page_newest(struct page *page, struct purge_record *records)
{
    struct purge_log *log = storage_purges(page->request->context->storage);
    uint64_t before = UINT64_MAX;
    unsigned count;

    while (!is_full(page) && (count = purge_log_below(log, before, records, CHUNK)) > 0) {
        page->next = MAX(page->next, records[0].entry.seq);
        for (unsigned i = 0; i < count && !is_full(page); i++)
            if (is_visible(page, records[i].entry.tenant))
                json_array_insert_new(page->list, 0, record_json(page, &records[i]));
        before = records[count - 1].entry.seq;
    }
}

/* False: answered already. */
static bool number_param(struct admin_request *request, slice name, uint64_t max, const char *objection, uint64_t *ret_value, bool *ret_given)
{
    slice text = admin_param(request, name);

    *ret_given = text.data != NULL;
    if (text.data == NULL || (slice_to_u64(text, ret_value) && *ret_value <= max))
        return true;
    admin_problem(request, 400, objection);
    return false;
}

static bool page_of(struct admin_request *request, struct page *ret_page, uint64_t *ret_since, bool *ret_has_since)
{
    slice name = admin_param(request, SLICE("tenant"));
    uint64_t limit = LIMIT_DEFAULT;
    bool given;

    *ret_page = (struct page){.request = request};
    if (!number_param(request, SLICE("since"), UINT64_MAX, "\"since\" is a sequence: a number", ret_since, ret_has_since) ||
        !number_param(request, SLICE("limit"), LIMIT_MAX, "\"limit\" is a number from 1 to 1000", &limit, &given))
        return false;
    ret_page->limit = (unsigned)MAX(limit, 1u);
    if (name.data != NULL)
        ret_page->only = admin_tenant(request, TOKEN_READ, name);
    ret_page->may_see_all = admin_may(request, TOKEN_READ, NULL);
    return name.data == NULL || ret_page->only != NULL;
}

void admin_purges(struct admin_request *request)
{
    struct purge_log *log = storage_purges(request->context->storage);
    struct purge_record *records;
    uint64_t since = 0;
    struct page page;
    bool has_since;

    if (!page_of(request, &page, &since, &has_since))
        return;
    records = malloc(CHUNK * sizeof(*records));
    if (records == NULL) {
        admin_problem(request, 503, "no memory");
        return;
    }
    page.list = json_array();
    if (has_since)
        page_above(&page, records, since);
    else
        page_newest(&page, records);
    free(records);
    admin_answer_json(request, 200,
                      json_pack("{s:o, s:I, s:I}", "purges", page.list, "next", (json_int_t)page.next, "oldest",
                                (json_int_t)purge_log_oldest(log)));
}
