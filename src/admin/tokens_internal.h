/* Between the files of /api/v1/tokens. */
#ifndef WARP_ADMIN_TOKENS_INTERNAL_H
#define WARP_ADMIN_TOKENS_INTERNAL_H

#include "admin/admin_internal.h"

#define TOKENS_FILE        "tokens.json"
#define TOKEN_PREFIX       "warp_" /* so that scanners of source code know one */
#define TOKEN_SECRET_BYTES 24u
#define TOKEN_TEXT_BYTES   (sizeof(TOKEN_PREFIX) + 2 * TOKEN_SECRET_BYTES)

json_t *token_json(const struct token *token);
json_t *token_rights_json(const struct token *token);
/* What is to stand in the file: all tokens, with added (NULL: none). Any thread. */
MUST_USE err tokens_file_text(struct tokens *tokens, const struct token *added, char **ret_text, size_t *ret_len);

/* Changes are written down one after the other: what is answered as done is on the disk. A token that could not be written is not
 * made; one that is revoked is so in any case. */

/* wish: all of a token but id and hash. */
void token_change_make(struct admin_request *request, const struct token *wish);
/* which: id or name. */
void token_change_revoke(struct admin_request *request, slice which);
/* Notes of use alone; nothing where something is being written already. */
void token_change_note(struct admin_context *context);

#endif
