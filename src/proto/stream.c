#include "proto/stream.h"
#include "http/h2_message.h"

const char *const stream_refusals[] = {
    NULL, /* H1_OK */
#define X(name, word, status, text) word,
    H1_ERRORS(X)
    H2_ERRORS(X)
#undef X
        "head-timeout",
};
const unsigned stream_refusals_count = ARRAY_LEN(stream_refusals);

const char *const stream_limits[STREAM_LIMIT_COUNT] = {
#define X(name, word) word,
    STREAM_LIMITS(X)
#undef X
};

const char *client_failure_type(enum client_failure failure)
{
    static const char *const types[] = {
#define X(name, type, word) type,
        CLIENT_FAILURES(X)
#undef X
    };
    INVARIANT(failure < CLIENT_FAILURE_COUNT);
    return types[failure];
}

const char *client_failure_word(enum client_failure failure)
{
    static const char *const words[] = {
#define X(name, type, word) word,
        CLIENT_FAILURES(X)
#undef X
    };
    INVARIANT(failure < CLIENT_FAILURE_COUNT);
    return words[failure];
}

const char *stream_end_word(enum stream_end end)
{
    static const char *const words[] = {
#define X(name, word) word,
        STREAM_ENDS(X)
#undef X
    };
    INVARIANT(end < STREAM_END_COUNT);
    return words[end];
}
