/* tokens: who may ask what of the API, and of PURGE.
 *
 * A token's text is shown once, when it is made; kept is its SHA-256 (the texts are 192 random bits: a salt adds nothing).
 * The set changes at run time and is written to the state directory as a whole.
 *
 * Threads: any (a mutex inside); reading copies out. */
#ifndef WARP_TENANT_TOKENS_H
#define WARP_TENANT_TOKENS_H

#include "base/err.h"
#include "base/slice.h"
#include "conf/settings.h"

#define TOKEN_HASH_BYTES  32u
#define TOKEN_ID_BYTES    13u /* 12 hex digits and a NUL */
#define TOKENS_MAX        10000u
#define TOKEN_TENANTS_MAX 64u

/* name, word, text. Each right is by itself: admin alone has all. */
#define TOKEN_RIGHTS(X)                                                                                                \
    X(READ, "read", "see what is stored, numbers, logs, and why an answer was what it was")                            \
    X(PURGE, "purge", "purge and invalidate")                                                                          \
    X(CONFIGURE, "configure", "change tenants: for some alone, their rules; for all, everything of them, reload and roll back") \
    X(ADMIN, "admin", "all of it, and tokens")

enum token_right {
#define X(name, word, text) TOKEN_##name,
    TOKEN_RIGHTS(X)
#undef X
    TOKEN_RIGHT_COUNT
};

struct token {
    char id[TOKEN_ID_BYTES];
    char name[CONF_NAME_MAX + 1]; /* for people, and for logs */
    uint8_t hash[TOKEN_HASH_BYTES];
    uint8_t rights; /* a bit per enum token_right */
    uint32_t tenant_count; /* 0: all tenants, and what is nobody's */
    char tenants[TOKEN_TENANTS_MAX][CONF_NAME_MAX + 1];
    int64_t created_ms, expires_ms; /* Unix time; expires 0: never */
    int64_t used_ms;                /* last, about; 0: never */
};

/* May the bearer do that for that tenant? tenant empty: for all of them, or for what belongs to none. */
bool token_allows(const struct token *token, enum token_right right, slice tenant);

const char *token_right_word(enum token_right right);
/* TOKEN_RIGHT_COUNT: no such right. */
enum token_right token_right_of(slice word);

struct tokens;
MUST_USE err tokens_new(struct tokens **ret_tokens);
struct tokens *tokens_free(struct tokens *tokens);
/* Compares with every token, in a time that says nothing of how much was right. False: unknown, or expired. The token is
 * then used: used_ms is kept to the minute. */
MUST_USE bool tokens_find(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES], int64_t now_ms, struct token *ret_token);
/* Would tokens_add take it? The same errors, but for memory. */
MUST_USE err tokens_check(struct tokens *tokens, const struct token *token);
/* ERR_EXISTS: the name, or the id; ERR_LIMIT: TOKENS_MAX. */
MUST_USE err tokens_add(struct tokens *tokens, const struct token *token);
/* By id or name. False: there is none. */
bool tokens_remove(struct tokens *tokens, slice which, struct token *ret_removed);
/* The next token behind id (empty: the first), in the order of ids. False: no more. */
bool tokens_next(struct tokens *tokens, slice id, struct token *ret_token);

#endif
