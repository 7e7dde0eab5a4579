/* trace: requests, one after the other: the lines of a file, or made from a seed (generate.h).
 *
 *   line: TIME KEY SIZE   time in seconds, not going back; key without blanks; size in bytes, at most 1 TiB
 *
 * A key with another size is another object: what has changed cannot be a hit. */
#ifndef WARP_REPLAY_TRACE_H
#define WARP_REPLAY_TRACE_H

#include "base/slice.h"
#include "replay/generate.h"

#define TRACE_LINE_BYTES_MAX 65536u
#define TRACE_SIZE_MAX       (UINT64_C(1) << 40)
#define TRACE_TIME_S_MAX     UINT64_C(10000000000)
#define TRACE_PROBLEM_BYTES  512u

struct trace_request {
    uint64_t time_ns;
    uint64_t object; /* hash of key and size */
    uint64_t bytes;
};

enum trace_step {
    TRACE_REQUEST,
    TRACE_END,
    TRACE_BAD,    /* a line that is none: trace_problem says where and why */
    TRACE_FAILED, /* it cannot be read */
};

struct trace;
/* path "-": standard input. NULL: it cannot be opened (errno). */
struct trace *trace_open(const char *path);
struct trace *trace_generate(const struct generate_config *config);
struct trace *trace_free(struct trace *trace);
enum trace_step trace_next(struct trace *trace, struct trace_request *ret_request);
const char *trace_problem(const struct trace *trace);
/* To the first request again. False: it cannot be read twice (standard input, a pipe). */
MUST_USE bool trace_rewind(struct trace *trace);

/* One line without its end. NULL, or what is wrong with it (in problem). after_ns: the time before it. */
const char *trace_parse(slice line, uint64_t after_ns, struct trace_request *ret_request, char problem[TRACE_PROBLEM_BYTES]);
/* As the lines of a generated trace are written. */
int trace_print(const struct generated *request, char *line, size_t size);

#endif
