/* The body of POST /api/v1/purge: whose, and what of it. */
#include "admin/purge_internal.h"
#include "cache/key.h"
#include "http/uri.h"

#define SUBJECTS "url, prefix, host, tag, tags, group and everything"
#define TEXT_BYTES_MAX 8192u

/* ---- members: their types ----------------------------------------------------------------------------------------- */

static bool is_known_member(const char *name)
{
    static const char *const known[] = {"url",   "prefix", "host",   "tag",  "tags",    "group",
                                        "everything", "tenant", "soft", "refresh", "dry_run"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* A tag as an origin can write one: no space, no comma, nothing invisible. */
static bool is_tag(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (text == NULL || len == 0 || len > LABEL_TAG_BYTES_MAX || strlen(text) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == ',' || text[i] == 0x7f)
            return false;
    return true;
}

static const char *tags_objection(const json_t *tags)
{
    if (!json_is_array(tags) || json_array_size(tags) == 0 || json_array_size(tags) > PURGES_MAX)
        return "\"tags\" is a list of 1 to 256 tags";
    for (size_t i = 0; i < json_array_size(tags); i++)
        if (!is_tag(json_array_get(tags, i)))
            return "each of \"tags\" is a string without spaces and commas";
    return NULL;
}

/* A String of RFC 9651: visible ASCII and spaces. */
static bool is_group(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (text == NULL || len == 0 || len > LABEL_TAG_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
            return false;
    return true;
}

/* Exactly one, but for a group, which has its origin with it. */
static const char *subject_objection(const json_t *body)
{
    static const char *const subjects[] = {"url", "prefix", "host", "tag", "tags", "group", "everything"};
    unsigned count = 0;

    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        count += json_object_get(body, subjects[i]) != NULL;
    if (json_object_get(body, "group") != NULL)
        return count == 2 && (json_object_get(body, "host") != NULL || json_object_get(body, "url") != NULL)
                   ? NULL
                   : "a \"group\" is one origin's: write \"host\" or \"url\" with it, and nothing else";
    if (count != 1)
        return "write one of " SUBJECTS ": {\"url\": \"http://host/path\"}, {\"everything\": true}";
    return NULL;
}

/* A string without NUL, or absent. */
static bool is_text(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);

    return value == NULL || (json_is_string(value) && json_string_length(value) <= TEXT_BYTES_MAX &&
                             strlen(json_string_value(value)) == json_string_length(value));
}

static bool is_switch(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);

    return value == NULL || json_is_boolean(value);
}

/* Members that are of one type, whatever the others say. NULL: nothing is wrong with them. */
static const char *types_objection(const json_t *body)
{
    if (!is_text(body, "url"))
        return "\"url\" is a string of at most 8192 bytes";
    if (!is_text(body, "prefix"))
        return "\"prefix\" is a string of at most 8192 bytes";
    if (!is_text(body, "host"))
        return "\"host\" is a string";
    if (!is_text(body, "tenant"))
        return "\"tenant\" is the name of a tenant";
    if (!is_switch(body, "soft"))
        return "\"soft\" is true or false";
    if (!is_switch(body, "refresh"))
        return "\"refresh\" is true or false";
    if (!is_switch(body, "dry_run"))
        return "\"dry_run\" is true or false";
    return NULL;
}

/* NULL: nothing is wrong with it. */
static const char *body_objection(const json_t *body)
{
    const char *name, *objection;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        if (!is_known_member(name))
            return "an unknown member: known are " SUBJECTS ", tenant, soft, refresh, dry_run";
    }
    objection = types_objection(body);
    if (objection == NULL)
        objection = subject_objection(body);
    if (objection != NULL)
        return objection;
    if (json_is_true(json_object_get(body, "refresh")) && !json_is_true(json_object_get(body, "soft")))
        return "\"refresh\" goes with \"soft\": what is purged hard is not there to be fetched again";
    value = json_object_get(body, "tag");
    if (value != NULL && !is_tag(value))
        return "\"tag\" is a string without spaces and commas";
    value = json_object_get(body, "group");
    if (value != NULL && !is_group(value))
        return "\"group\" is a string of visible ASCII characters and spaces";
    value = json_object_get(body, "everything");
    if (value != NULL && !json_is_true(value))
        return "\"everything\" is true, or left out";
    value = json_object_get(body, "tags");
    return value != NULL ? tags_objection(value) : NULL;
}

static slice member_of(struct purge_wish *wish, const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));

    return text != NULL ? arena_copy(&wish->request->arena, slice_str(text)) : SLICE_NONE;
}

/* ---- parts -------------------------------------------------------------------------------------------------------- */

/* All that follow say false when the request is answered already. */
static bool refused(struct purge_wish *wish, uint16_t status, const char *detail)
{
    admin_problem(wish->request, status, detail);
    return false;
}

static bool no_memory(struct purge_wish *wish)
{
    return refused(wish, 503, "no memory");
}

static void part_add(struct purge_wish *wish, enum store_label_kind kind, slice text)
{
    INVARIANT(wish->count < PURGES_MAX);
    wish->parts[wish->count++] = (struct purge_part){kind, text, NULL};
}

/* Whose the host is: the tenant that was named, or, where none was, the one that serves it. */
static bool tenant_of_host(struct purge_wish *wish, slice authority)
{
    struct admin_request *request = wish->request;
    const struct tenant *found = tenants_find(request->context->tenants, authority);
    slice said;

    if (wish->tenant != NULL && found != wish->tenant) {
        said = arena_printf(&request->arena, "the host " SLICE_FMT " is not one of tenant " SLICE_FMT, SLICE_ARG(authority),
                            SLICE_ARG(wish->tenant->name));
        return said.data != NULL ? refused(wish, 400, said.data) : no_memory(wish);
    }
    if (wish->tenant != NULL)
        return true;
    if (found == NULL && admin_is_owner(request)) /* to him it is one whether another has it or nobody */
        return refused(wish, 404, "there is no such tenant");
    if (found == NULL) {
        said = arena_printf(&request->arena, "no tenant has the host " SLICE_FMT, SLICE_ARG(authority));
        return said.data != NULL ? refused(wish, 404, said.data) : no_memory(wish);
    }
    wish->tenant = admin_tenant(request, TOKEN_PURGE, found->name);
    return wish->tenant != NULL;
}

/* The URL as it is in keys and labels; without a scheme both are meant. */
static bool url_read(struct purge_wish *wish, slice url, struct purge_url *ret_url)
{
    struct arena *arena = &wish->request->arena;
    struct uri uri;
    slice full = url;
    bool has_scheme = slice_starts_nocase(url, SLICE("http://")) || slice_starts_nocase(url, SLICE("https://")); /* RFC 3986 3.1 */

    if (!has_scheme)
        full = arena_printf(arena, "http://" SLICE_FMT, SLICE_ARG(url));
    if (full.data == NULL || !err_is_ok(uri_parse(full, arena, &uri)))
        return false;
    *ret_url = (struct purge_url){
        .authority = uri.authority, .target = uri.target, .http = !has_scheme || !uri.https, .https = !has_scheme || uri.https};
    return true;
}

static bool wish_url(struct purge_wish *wish, slice text)
{
    struct admin_request *request = wish->request;
    struct purge_url url;

    if (!url_read(wish, text, &url))
        return refused(wish, 400, "\"url\" is not a URL: write scheme://host[:port]/path?query");
    if (slice_ends(text, SLICE("*"))) /* it may be in one, but this is not how it was meant */
        return refused(wish, 400, "\"url\" is one URL, in which * stands for itself: for all below a path write \"prefix\" (--prefix)");
    if (!tenant_of_host(wish, url.authority))
        return false;
    if (!err_is_ok(purge_url_forms(request->context->storage, request->context->loop, &request->arena, wish->tenant, &url, &wish->forms)))
        return no_memory(wish);
    for (unsigned i = 0; i < wish->forms.count; i++) {
        part_add(wish, STORE_LABEL_URL, wish->forms.form[i].url);
        wish->parts[i].form = &wish->forms.form[i];
    }
    return true;
}

static unsigned levels_of(slice path)
{
    unsigned levels = 0;

    for (size_t i = 0; i < path.len; i++)
        levels += path.data[i] == '/';
    return levels;
}

/* A part for each scheme that is meant; group: of that origin, data NULL: the URL itself. */
static bool schemes_add(struct purge_wish *wish, enum store_label_kind kind, const struct purge_url *url, slice group)
{
    struct arena *arena = &wish->request->arena;
    struct key_parts parts = {.authority = url->authority, .target = url->target};
    slice text;

    for (int https = 0; https <= 1; https++) {
        if (https ? !url->https : !url->http)
            continue;
        parts.https = https != 0;
        if (!err_is_ok(group.data != NULL ? label_group_text(arena, &parts, group, &text) : key_url(arena, &parts, &text)))
            return no_memory(wish);
        part_add(wish, kind, text);
    }
    return true;
}

static bool wish_prefix(struct purge_wish *wish, slice text)
{
    struct purge_url url;

    if (!url_read(wish, text, &url))
        return refused(wish, 400, "\"prefix\" is not a prefix: write scheme://host[:port]/path/");
    if (url.target.data[url.target.len - 1] != '/' || slice_find(url.target, '?') >= 0)
        return refused(wish, 400, "a \"prefix\" ends in / and has no query: write scheme://host[:port]/path/");
    if (levels_of(url.target) > LABEL_PREFIX_LEVELS_MAX)
        return refused(wish, 400, "a \"prefix\" has at most 16 levels: deeper ones are not kept");
    return tenant_of_host(wish, url.authority) && schemes_add(wish, STORE_LABEL_PREFIX, &url, SLICE_NONE);
}

/* An authority as it is in keys. */
static bool host_read(struct purge_wish *wish, slice host, struct purge_url *ret_url)
{
    slice url = arena_printf(&wish->request->arena, SLICE_FMT "/", SLICE_ARG(host));

    if (host.len == 0 || slice_find(host, '/') >= 0 || slice_find(host, '@') >= 0 || slice_find(host, '?') >= 0 ||
        url.data == NULL || !url_read(wish, url, ret_url))
        return refused(wish, 400, "\"host\" is not a host: write host or host:port");
    return tenant_of_host(wish, ret_url->authority);
}

static bool wish_host(struct purge_wish *wish, slice host)
{
    struct purge_url url;

    if (!host_read(wish, host, &url))
        return false;
    part_add(wish, STORE_LABEL_HOST, url.authority);
    return true;
}

/* RFC 9875: a group is one origin's; of a host alone, both schemes'. */
static bool wish_group(struct purge_wish *wish, slice group, const json_t *body)
{
    struct purge_url url;
    slice text = member_of(wish, body, "url");

    if (text.data == NULL)
        return host_read(wish, member_of(wish, body, "host"), &url) && schemes_add(wish, STORE_LABEL_GROUP, &url, group);
    if (!url_read(wish, text, &url))
        return refused(wish, 400, "\"url\" is not a URL: write scheme://host[:port]/path?query");
    return tenant_of_host(wish, url.authority) && schemes_add(wish, STORE_LABEL_GROUP, &url, group);
}

/* What no host says the owner of. Where there is one tenant only, or one that who asks has a token for, it is its. */
static bool tenant_alone(struct purge_wish *wish)
{
    struct admin_request *request = wish->request;
    slice name = admin_only_tenant(request);

    if (wish->tenant != NULL)
        return true;
    if (name.data == NULL && tenants_is_default_only(request->context->tenants))
        name = SLICE(TENANT_DEFAULT_NAME);
    if (name.data == NULL)
        return refused(wish, 400, "whose? Tags are a tenant's: name it, \"tenant\": \"...\" (--tenant NAME)");
    wish->tenant = admin_tenant(request, TOKEN_PURGE, name);
    return wish->tenant != NULL;
}

static bool wish_tags(struct purge_wish *wish, const json_t *body)
{
    const json_t *tags = json_object_get(body, "tags");

    if (!tenant_alone(wish))
        return false;
    for (size_t i = 0; tags != NULL && i < json_array_size(tags); i++)
        part_add(wish, STORE_LABEL_TAG,
                 arena_copy(&wish->request->arena, slice_str(json_string_value(json_array_get(tags, i)))));
    if (tags == NULL)
        part_add(wish, STORE_LABEL_TAG, member_of(wish, body, "tag"));
    for (unsigned i = 0; i < wish->count; i++)
        if (wish->parts[i].text.data == NULL)
            return no_memory(wish);
    return true;
}

/* Without a tenant: everybody's, by who may do that for all of them. */
static bool wish_everything(struct purge_wish *wish)
{
    struct admin_request *request = wish->request;

    if (wish->tenant == NULL && tenants_is_default_only(request->context->tenants) && !tenant_alone(wish))
        return false;
    if (wish->tenant == NULL && !admin_may(request, TOKEN_PURGE, NULL))
        return refused(wish, 403, "whose? Everything of all tenants needs the right for all of them: name one, \"tenant\": \"...\" (--tenant NAME)");
    if (wish->tenant == NULL && !admin_allows(request, TOKEN_PURGE, NULL))
        return false;
    part_add(wish, STORE_LABEL_TENANT, wish->tenant != NULL ? wish->tenant->name : SLICE("*"));
    return true;
}

static bool wish_subject(struct purge_wish *wish, const json_t *body)
{
    if (json_object_get(body, "everything") != NULL)
        return wish_everything(wish);
    if (json_object_get(body, "group") != NULL)
        return wish_group(wish, member_of(wish, body, "group"), body);
    if (json_object_get(body, "url") != NULL)
        return wish_url(wish, member_of(wish, body, "url"));
    if (json_object_get(body, "prefix") != NULL)
        return wish_prefix(wish, member_of(wish, body, "prefix"));
    if (json_object_get(body, "host") != NULL)
        return wish_host(wish, member_of(wish, body, "host"));
    return wish_tags(wish, body);
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

static struct purge_wish *wish_of(struct admin_request *request, const json_t *body)
{
    struct purge_wish *wish = arena_zalloc(&request->arena, sizeof(*wish));
    const json_t *tenant = json_object_get(body, "tenant");

    if (wish == NULL) {
        admin_problem(request, 503, "no memory");
        return NULL;
    }
    wish->request = request;
    wish->soft = json_is_true(json_object_get(body, "soft"));
    wish->refresh = json_is_true(json_object_get(body, "refresh"));
    wish->dry_run = json_is_true(json_object_get(body, "dry_run"));
    if (tenant != NULL) {
        wish->tenant = admin_tenant(request, TOKEN_PURGE, slice_str(json_string_value(tenant)));
        if (wish->tenant == NULL)
            return NULL;
    }
    return wish_subject(wish, body) ? wish : NULL;
}

struct purge_wish *purge_wish_read(struct admin_request *request)
{
    json_error_t error;
    json_t *body = json_loadb(request->body != NULL ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &error);
    const char *objection = json_is_object(body) ? body_objection(body) : "the body is not a JSON object";
    struct purge_wish *wish = NULL;

    if (objection != NULL)
        admin_problem(request, 400, objection);
    else
        wish = wish_of(request, body);
    json_decref(body);
    return wish;
}

uint16_t purge_wish_tenant(const struct purge_wish *wish)
{
    return wish->tenant != NULL ? wish->tenant->id : STORE_TENANT_ALL;
}
