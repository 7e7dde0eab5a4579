/* What the tests of conf share: a reader of files that are in memory, and config_read with short arguments.
 */
#ifndef WARP_TESTS_CONF_TEST_H
#define WARP_TESTS_CONF_TEST_H

#include "conf/config.h"

#include <stdlib.h>

struct conf_test {
    struct config config;
    char message[CONFIG_MESSAGE_BYTES];
    const char *unknown;
};

static const char *conf_test_file; /* the text of "warp.yaml" */

static inline err conf_test_read_file(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    size_t len = conf_test_file != NULL ? strlen(conf_test_file) : 0;

    if (conf_test_file == NULL || strcmp(path, "warp.yaml") != 0)
        return ERR(NOT_FOUND);
    ENSURE(len <= max, LIMIT);
    *ret_bytes = malloc(len + 1);
    ENSURE(*ret_bytes != NULL, MEMORY);
    memcpy(*ret_bytes, conf_test_file, len + 1);
    *ret_len = len;
    return ERR_OK;
}

/* A zeroed test, or one that was read before. */
static inline err conf_test_read(struct conf_test *test, char *const *argv, char *const *environment)
{
    int argc = 0;

    while (argv != NULL && argv[argc] != NULL)
        argc++;
    config_done(&test->config);
    test->unknown = NULL;
    return config_read(&test->config, argc, argv, environment, conf_test_read_file, test->message,
                       sizeof(test->message), &test->unknown);
}

#define WORDS(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL})
#define NO_WORDS   NULL

#define assert_read(test, argv, environment)                 \
    do {                                                     \
        err read_ = conf_test_read(test, argv, environment); \
        assert_string_equal((test)->message, "");            \
        assert_int_equal(read_.code, ERR_NONE);              \
    } while (0)

#define assert_refused(argv, environment, text)                   \
    do {                                                          \
        struct conf_test refused_ = {0};                          \
        err read_ = conf_test_read(&refused_, argv, environment); \
        assert_string_equal(refused_.message, text);              \
        assert_int_equal(read_.code, ERR_INVALID);                \
        assert_null(refused_.config.owned);                       \
    } while (0)

#define assert_list(list, ...)                                    \
    do {                                                          \
        const char *const expected_[] = {__VA_ARGS__};            \
        assert_int_equal((list).count, ARRAY_LEN(expected_));     \
        for (unsigned i_ = 0; i_ < ARRAY_LEN(expected_); i_++)    \
            assert_string_equal((list).items[i_], expected_[i_]); \
    } while (0)

#endif
