/* The model site: what every byte of every answer must be. */
#include "tests/sim/cache_run.h"

#include <stdio.h>
#include <string.h>

#define OLD_S 100000 /* how long before the run's begin version 0 was made */
#define NOW_S INT64_C(1700000000)

struct model_url model_urls[MODEL_URLS];
const char *const model_codings[3] = {"identity", "gzip", "br"};

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t mark_key(const struct mark *mark)
{
    uint64_t key = mix(run.seed + 1);

    key = mix(key ^ ((uint64_t)mark->url << 32 | mark->version));
    return mix(key ^ ((uint64_t)mark->owner << 32 | mark->variant << 16 | mark->status));
}

static uint32_t mark_length(const struct mark *mark)
{
    const struct model_url *url = &model_urls[mark->url];
    struct mark first = {.url = mark->url, .status = mark->status};
    uint64_t random = mix(mark_key(url->is_steady ? &first : mark) ^ 0x6c656e);

    if (mark->status == 204 || mark->status == 304)
        return 0;
    if (mark->status != 200)
        return (uint32_t)(random % 600);
    if (url->kind == MODEL_LARGE)
        return url->length_max / 2 + (uint32_t)(random % (url->length_max / 2));
    return random % 16 == 0 ? 0 : (uint32_t)(mix(random) % url->length_max);
}

void model_begin(void)
{
    static const enum model_kind kinds[MODEL_URLS / 4] = {MODEL_PLAIN, MODEL_PLAIN,  MODEL_VARY,    MODEL_VARY,  MODEL_MIXED,
                                                          MODEL_SECRET, MODEL_COOKIE, MODEL_FAILING, MODEL_LARGE, MODEL_CROWD};

    for (unsigned i = 0; i < MODEL_URLS; i++) {
        struct model_url *url = &model_urls[i];

        *url = (struct model_url){.kind = kinds[i / 4]};
        url->validator = url->kind == MODEL_CROWD ? MODEL_STRONG : (enum model_validator)sim_random(MODEL_VALIDATORS);
        if (url->kind == MODEL_LARGE && chance(60))
            url->validator = MODEL_STRONG;
        url->is_steady = chance(50);
        url->length_max = chance(30) ? 60000 : chance(50) ? 8000 : 600;
        if (run.memory_bytes < (8u << 20) && chance(60)) /* more than it can hold, each less than a window's share */
            url->length_max = 120000;
        if (url->kind == MODEL_LARGE)
            url->length_max = chance(50) ? 300000 : 120000;
        /* the same paths on two hosts: an answer of the other one shows */
        snprintf(url->host, sizeof(url->host), "%s.test", i % 2 == 0 ? "a" : "b");
        snprintf(url->target, sizeof(url->target), "/p%u/q%u%s%u", i / 8, i / 4, i % 4 < 2 ? "/x" : "?x=", i % 4 / 2);
    }
}

struct mark model_mark(uint32_t url, uint32_t variant, uint32_t owner, uint32_t status)
{
    struct mark mark = {url, model_urls[url].version, variant, owner, status, 0};

    mark.length = mark_length(&mark);
    return mark;
}

void model_moved(uint32_t url)
{
    model_urls[url].version++;
    run_trace("site: %s%s is at version %u", model_urls[url].host, model_urls[url].target, model_urls[url].version);
}

void model_purged(uint32_t url, uint32_t version)
{
    model_urls[url].version_min = MAX(model_urls[url].version_min, version);
}

void model_body(const struct mark *mark, uint64_t from, char *into, size_t size)
{
    uint64_t key = mark_key(mark);

    for (size_t i = 0; i < size;) {
        uint64_t at = from + i, word = mix(key + (at / 8) * 0x9e3779b97f4a7c15u);
        size_t n = MIN(8 - at % 8, size - i);
        memcpy(into + i, (const char *)&word + at % 8, n);
        i += n;
    }
}

size_t model_compare(const struct mark *mark, uint64_t from, const char *bytes, size_t size)
{
    char right[4096];

    for (size_t at = 0; at < size;) {
        size_t n = MIN(sizeof(right), size - at);
        model_body(mark, from + at, right, n);
        for (size_t i = 0; memcmp(right, bytes + at, n) != 0; i++)
            if (right[i] != bytes[at + i])
                return at + i;
        at += n;
    }
    return size;
}

void model_mark_text(const struct mark *mark, char *text, size_t size)
{
    snprintf(text, size, "%u.%u.%u.%u.%u.%u", mark->url, mark->version, mark->variant, mark->owner, mark->status,
             mark->length);
}

bool model_mark_read(const char *text, struct mark *ret_mark)
{
    struct mark m;

    if (sscanf(text, "%u.%u.%u.%u.%u.%u", &m.url, &m.version, &m.variant, &m.owner, &m.status, &m.length) != 6)
        return false;
    if (m.url >= MODEL_URLS || m.length != mark_length(&m))
        return false;
    *ret_mark = m;
    return true;
}

void model_etag(const struct mark *mark, char *text, size_t size)
{
    enum model_validator validator = model_urls[mark->url].validator;

    text[0] = '\0';
    if (mark->status == 200 && (validator == MODEL_STRONG || validator == MODEL_WEAK)) /* an error confirms nothing */
        snprintf(text, size, "%s\"%u.%u.%u.%u\"", validator == MODEL_WEAK ? "W/" : "", mark->url, mark->version,
                 mark->variant, mark->owner);
}

int64_t model_date_s(const struct mark *mark)
{
    return NOW_S - OLD_S + mark->version; /* versions of one URL differ: a date tells them apart */
}

int model_find(const char *host, const char *target)
{
    for (unsigned i = 0; i < MODEL_URLS; i++)
        if (strcmp(model_urls[i].host, host) == 0 && strcmp(model_urls[i].target, target) == 0)
            return (int)i;
    return -1;
}

void model_upload(unsigned client, unsigned request, char *into, size_t size)
{
    struct mark mark = {client, request, 7, 7, 7, 0};
    model_body(&mark, 0, into, size);
}

uint32_t model_variant(uint32_t url, const char *accept_encoding)
{
    if (model_urls[url].kind != MODEL_VARY)
        return 0;
    return strstr(accept_encoding, "br") != NULL ? 2 : strstr(accept_encoding, "gzip") != NULL ? 1 : 0;
}
