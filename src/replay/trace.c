#include "replay/trace.h"

#include "base/hash.h"
#include "base/log.h"
#include "replay/key_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SAFE_BYTES 80u
#define NS_PER_S   UINT64_C(1000000000)
#define NS_DIGITS  9u

struct trace {
    struct generate_config config;
    struct generator *generator; /* NULL: lines are read */
    FILE *file;
    const char *name;
    uint64_t line_number, time_ns;
    char line[TRACE_LINE_BYTES_MAX];
    char problem[TRACE_PROBLEM_BYTES];
};

/* ---- a line ----------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static slice word_take(slice *rest)
{
    size_t from = 0, to;

    while (from < rest->len && is_blank(rest->data[from]))
        from++;
    for (to = from; to < rest->len && !is_blank(rest->data[to]);)
        to++;
    slice word = slice_of(rest->data + from, to - from);
    *rest = slice_from(*rest, to);
    return word;
}

/* Seconds with up to nine digits behind the point. */
static bool time_parse(slice word, uint64_t *ret_ns)
{
    ptrdiff_t point = slice_find(word, '.');
    slice fraction = point >= 0 ? slice_from(word, (size_t)point + 1) : SLICE("0");
    uint64_t seconds, part = 0;

    if (point >= 0)
        word.len = (size_t)point;
    if (!slice_to_u64(word, &seconds) || seconds > TRACE_TIME_S_MAX || fraction.len > NS_DIGITS || !slice_to_u64(fraction, &part))
        return false;
    for (size_t i = fraction.len; i < NS_DIGITS; i++)
        part *= 10;
    *ret_ns = seconds * NS_PER_S + part;
    return true;
}

static const char *bad(char problem[TRACE_PROBLEM_BYTES], const char *what, slice word, const char *wanted)
{
    char safe[SAFE_BYTES];

    snprintf(problem, TRACE_PROBLEM_BYTES, "%s \"%s\" %s", what, log_safe(word, safe, sizeof(safe)), wanted);
    return problem;
}

const char *trace_parse(slice line, uint64_t after_ns, struct trace_request *ret_request, char problem[TRACE_PROBLEM_BYTES])
{
    slice rest = line, time = word_take(&rest), key = word_take(&rest), size = word_take(&rest), more = word_take(&rest);
    struct trace_request request;

    if (size.len == 0 || more.len > 0)
        return bad(problem, "the line", line, "has not the three fields of a request: time, key, size");
    if (!time_parse(time, &request.time_ns))
        return bad(problem, "the time", time, "is no number of seconds, such as 12 or 12.345");
    if (request.time_ns < after_ns)
        return bad(problem, "the time", time, "is before that of the request before it; sort -n puts requests in order");
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.data[i] < 0x20 || key.data[i] == 0x7f)
            return bad(problem, "the key", key, "holds a control character");
    if (!slice_to_u64(size, &request.bytes) || request.bytes > TRACE_SIZE_MAX)
        return bad(problem, "the size", size, "is no number of bytes from 0 to 1099511627776");
    request.object = hash64(key, request.bytes);
    *ret_request = request;
    return NULL;
}

int trace_print(const struct generated *request, char *line, size_t size)
{
    return snprintf(line, size, "%" PRIu64 ".%03u %" PRIu64 " %" PRIu64, request->number / GENERATE_REQUESTS_PER_S,
                    (unsigned)(request->number % GENERATE_REQUESTS_PER_S), request->object, request->bytes);
}
static_assert(GENERATE_REQUESTS_PER_S == 1000, "three digits of time");

/* ---- life ------------------------------------------------------------------------------------------------------- */

static struct trace *trace_new(void)
{
    struct trace *trace = replay_memory(NULL, 1, sizeof(*trace));

    memset(trace, 0, sizeof(*trace));
    return trace;
}

struct trace *trace_open(const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    struct trace *trace;

    if (file == NULL)
        return NULL;
    trace = trace_new();
    trace->file = file;
    trace->name = is_stdin ? "standard input" : path;
    return trace;
}

struct trace *trace_generate(const struct generate_config *config)
{
    struct trace *trace = trace_new();

    trace->config = *config;
    trace->generator = generator_new(config);
    return trace;
}

struct trace *trace_free(struct trace *trace)
{
    if (trace == NULL)
        return NULL;
    if (trace->file != NULL && trace->file != stdin)
        (void)fclose(trace->file);
    generator_free(trace->generator);
    free(trace);
    return NULL;
}

bool trace_rewind(struct trace *trace)
{
    trace->time_ns = 0;
    trace->line_number = 0;
    if (trace->generator == NULL)
        return fseek(trace->file, 0, SEEK_SET) == 0;
    generator_free(trace->generator);
    trace->generator = generator_new(&trace->config);
    return true;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* The same objects as if the trace had been printed and read. */
static enum trace_step generated_next(struct trace *trace, struct trace_request *ret_request)
{
    struct generated request;
    char line[80], problem[TRACE_PROBLEM_BYTES];

    if (!generator_next(trace->generator, &request))
        return TRACE_END;
    int len = trace_print(&request, line, sizeof(line));
    const char *why = trace_parse(slice_of(line, (size_t)len), 0, ret_request, problem);
    INVARIANT(why == NULL);
    return TRACE_REQUEST;
}

static enum trace_step trace_bad(struct trace *trace, const char *why)
{
    snprintf(trace->problem, sizeof(trace->problem), "%.200s:%" PRIu64 ": %.290s", trace->name, trace->line_number, why);
    return TRACE_BAD;
}

/* Up to its end or the file's. False: it is too long. */
static bool line_read(struct trace *trace, size_t *ret_len, bool *ret_is_last)
{
    size_t len = 0;
    int c;

    while ((c = getc_unlocked(trace->file)) != EOF && c != '\n') {
        if (len == sizeof(trace->line))
            return false;
        trace->line[len++] = (char)c;
    }
    *ret_len = len;
    *ret_is_last = c == EOF;
    return true;
}

static enum trace_step line_next(struct trace *trace, struct trace_request *ret_request)
{
    char why[TRACE_PROBLEM_BYTES];
    bool is_last;
    size_t len;

    errno = 0;
    trace->line_number++;
    if (!line_read(trace, &len, &is_last))
        return trace_bad(trace, "the line is longer than 65536 bytes");
    if (is_last && ferror(trace->file)) {
        snprintf(trace->problem, sizeof(trace->problem), "%.200s: %s", trace->name, strerror(errno));
        return TRACE_FAILED;
    }
    if (is_last && len == 0)
        return TRACE_END;
    if (trace_parse(slice_of(trace->line, len), trace->time_ns, ret_request, why) != NULL)
        return trace_bad(trace, why);
    trace->time_ns = ret_request->time_ns;
    return TRACE_REQUEST;
}

enum trace_step trace_next(struct trace *trace, struct trace_request *ret_request)
{
    return trace->generator != NULL ? generated_next(trace, ret_request) : line_next(trace, ret_request);
}

const char *trace_problem(const struct trace *trace)
{
    return trace->problem;
}
