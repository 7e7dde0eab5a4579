#include "tenant/tokens.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define USED_MS 60000 /* how exactly used_ms is kept */

/* In the order of ids. name: a hash of it, so that looking for one reads one run of memory. */
struct token_entry {
    struct token *token;
    uint64_t name;
};

struct tokens {
    pthread_mutex_t mutex;
    struct token_entry *entries;
    unsigned count, room;
};

/* ---- rights -------------------------------------------------------------------------------------------------------- */

static const char *const words[] = {
#define X(name, word, text) word,
    TOKEN_RIGHTS(X)
#undef X
};

const char *token_right_word(enum token_right right)
{
    return words[right];
}

enum token_right token_right_of(slice word)
{
    unsigned right = 0;

    while (right < TOKEN_RIGHT_COUNT && !slice_eq(word, slice_str(words[right])))
        right++;
    return (enum token_right)right;
}

bool token_allows(const struct token *token, enum token_right right, slice tenant)
{
    if ((token->rights & (1u << right | 1u << TOKEN_ADMIN)) == 0)
        return false;
    if (token->tenant_count == 0)
        return true;
    for (uint32_t i = 0; i < token->tenant_count; i++)
        if (tenant.len > 0 && slice_eq(tenant, slice_str(token->tenants[i])))
            return true;
    return false;
}

/* ---- the set --------------------------------------------------------------------------------------------------------- */

err tokens_new(struct tokens **ret_tokens)
{
    struct tokens *tokens = calloc(1, sizeof(*tokens));

    ENSURE(tokens != NULL, MEMORY);
    pthread_mutex_init(&tokens->mutex, NULL);
    *ret_tokens = tokens;
    return ERR_OK;
}

struct tokens *tokens_free(struct tokens *tokens)
{
    if (tokens == NULL)
        return NULL;
    for (unsigned i = 0; i < tokens->count; i++)
        free(tokens->entries[i].token);
    free(tokens->entries);
    pthread_mutex_destroy(&tokens->mutex);
    free(tokens);
    return NULL;
}

/* 0 where they are equal; always looks at all of both. */
static unsigned hash_difference(const uint8_t *a, const uint8_t *b)
{
    unsigned difference = 0;

    for (unsigned i = 0; i < TOKEN_HASH_BYTES; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return difference;
}

/* Where id is, or would be. */
static unsigned place_of(const struct tokens *tokens, slice id)
{
    unsigned from = 0, to = tokens->count;

    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        const char *there = tokens->entries[middle].token->id;
        int order = memcmp(there, id.len > 0 ? id.data : "", MIN(strlen(there), id.len));
        if (order < 0 || (order == 0 && strlen(there) < id.len))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_at(const struct tokens *tokens, unsigned place, slice id)
{
    return place < tokens->count && slice_eq(slice_str(tokens->entries[place].token->id), id);
}

/* tokens->count: there is none. */
static unsigned place_of_name(const struct tokens *tokens, slice name)
{
    uint64_t hash = hash64(name, 0);
    unsigned i = 0;

    while (i < tokens->count && (tokens->entries[i].name != hash || !slice_eq(slice_str(tokens->entries[i].token->name), name)))
        i++;
    return i;
}

bool tokens_find(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES], int64_t now_ms, struct token *ret_token)
{
    struct token *found = NULL;
    bool is_good;

    pthread_mutex_lock(&tokens->mutex);
    for (unsigned i = 0; i < tokens->count; i++)
        if (hash_difference(tokens->entries[i].token->hash, hash) == 0)
            found = tokens->entries[i].token; /* and on: the place in the list shows in no time */
    is_good = found != NULL && (found->expires_ms == 0 || now_ms < found->expires_ms);
    if (is_good) {
        found->used_ms = MAX(found->used_ms, now_ms - now_ms % USED_MS);
        *ret_token = *found;
    }
    pthread_mutex_unlock(&tokens->mutex);
    return is_good;
}

static bool grow(struct tokens *tokens)
{
    unsigned room = MAX(16u, 2 * tokens->room);
    struct token_entry *entries;

    if (tokens->count < tokens->room)
        return true;
    entries = realloc(tokens->entries, room * sizeof(*entries));
    if (entries == NULL)
        return false;
    tokens->entries = entries;
    tokens->room = room;
    return true;
}

MUST_USE static err check_locked(const struct tokens *tokens, const struct token *token)
{
    ENSURE(!is_at(tokens, place_of(tokens, slice_str(token->id)), slice_str(token->id)), EXISTS);
    ENSURE(place_of_name(tokens, slice_str(token->name)) == tokens->count, EXISTS);
    ENSURE(tokens->count < TOKENS_MAX, LIMIT);
    return ERR_OK;
}

err tokens_check(struct tokens *tokens, const struct token *token)
{
    pthread_mutex_lock(&tokens->mutex);
    err checked = check_locked(tokens, token);
    pthread_mutex_unlock(&tokens->mutex);
    return checked;
}

MUST_USE static err add_locked(struct tokens *tokens, const struct token *token)
{
    unsigned at = place_of(tokens, slice_str(token->id));
    struct token *copy;

    TRY(check_locked(tokens, token));
    ENSURE(grow(tokens), MEMORY);
    copy = malloc(sizeof(*copy));
    ENSURE(copy != NULL, MEMORY);
    *copy = *token;
    memmove(tokens->entries + at + 1, tokens->entries + at, (tokens->count - at) * sizeof(tokens->entries[0]));
    tokens->entries[at] = (struct token_entry){copy, hash64(slice_str(copy->name), 0)};
    tokens->count++;
    return ERR_OK;
}

err tokens_add(struct tokens *tokens, const struct token *token)
{
    INVARIANT(token->id[0] != '\0' && token->name[0] != '\0' && token->tenant_count <= TOKEN_TENANTS_MAX);
    pthread_mutex_lock(&tokens->mutex);
    err added = add_locked(tokens, token);
    pthread_mutex_unlock(&tokens->mutex);
    return added;
}

/* By id or name; tokens->count: there is none. */
static unsigned place_of_either(const struct tokens *tokens, slice which)
{
    unsigned at = place_of(tokens, which);

    return is_at(tokens, at, which) ? at : place_of_name(tokens, which);
}

bool tokens_remove(struct tokens *tokens, slice which, struct token *ret_removed)
{
    unsigned at;
    bool is_there;

    pthread_mutex_lock(&tokens->mutex);
    at = place_of_either(tokens, which);
    is_there = at < tokens->count;
    if (is_there) {
        *ret_removed = *tokens->entries[at].token;
        free(tokens->entries[at].token);
        tokens->count--;
        memmove(tokens->entries + at, tokens->entries + at + 1, (tokens->count - at) * sizeof(tokens->entries[0]));
    }
    pthread_mutex_unlock(&tokens->mutex);
    return is_there;
}

bool tokens_next(struct tokens *tokens, slice id, struct token *ret_token)
{
    unsigned at;
    bool is_there;

    pthread_mutex_lock(&tokens->mutex);
    at = place_of(tokens, id);
    at += is_at(tokens, at, id);
    is_there = at < tokens->count;
    if (is_there)
        *ret_token = *tokens->entries[at].token;
    pthread_mutex_unlock(&tokens->mutex);
    return is_there;
}
