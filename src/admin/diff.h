/* diff: what is different between two texts, line by line, as people and patch(1) read it (unified, three lines of context).
 *
 * The shortest way from one to the other (Myers 1986) where it has at most DIFF_EDITS_MAX steps; beyond that what is left
 * in the middle counts as replaced. Pure. */
#ifndef WARP_ADMIN_DIFF_H
#define WARP_ADMIN_DIFF_H

#include "base/err.h"
#include "base/slice.h"

#define DIFF_LINES_MAX 2000000u
#define DIFF_EDITS_MAX 1000u

/* "" where they are equal. At most max bytes, whole lines; *ret_is_cut: there would be more. free() the text. ERR_LIMIT: more
 * than DIFF_LINES_MAX lines. */
MUST_USE err diff_unified(slice from, slice to, const char *from_name, const char *to_name, size_t max, char **ret_text,
                          size_t *ret_len, bool *ret_is_cut);

#endif
