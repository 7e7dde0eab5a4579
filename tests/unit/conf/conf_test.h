/* What the tests of conf share: files that are in memory, and settings_read with short arguments. */
#ifndef WARP_TESTS_CONF_TEST_H
#define WARP_TESTS_CONF_TEST_H

#include "conf/settings.h"

#include <fnmatch.h>
#include <stdlib.h>

struct conf_test {
    struct settings *settings;
    struct config config;   /* the settings' own */
    struct conf_report *report;
    const char *message;    /* all problems, without the last end of line */
    const char *unknown;
};

struct conf_test_file {
    const char *path, *text;
};

static const char *conf_test_file;                      /* the text of "warp.yaml" */
static const struct conf_test_file *conf_test_files;    /* others, sorted by path; the last one has no path */

static inline const char *conf_test_text(const char *path)
{
    if (strcmp(path, "warp.yaml") == 0)
        return conf_test_file;
    for (const struct conf_test_file *file = conf_test_files; file != NULL && file->path != NULL; file++)
        if (strcmp(file->path, path) == 0)
            return file->text;
    return NULL;
}

static inline err conf_test_read_file(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    const char *text = conf_test_text(path);
    size_t len = text != NULL ? strlen(text) : 0;

    ENSURE(text != NULL, NOT_FOUND);
    ENSURE(len <= max, LIMIT);
    *ret_bytes = malloc(len + 1);
    ENSURE(*ret_bytes != NULL, MEMORY);
    memcpy(*ret_bytes, text, len + 1);
    *ret_len = len;
    return ERR_OK;
}

static inline err conf_test_glob(const char *pattern, char ***ret_paths)
{
    unsigned count = 0;
    char **paths = calloc(64, sizeof(*paths));

    ENSURE(paths != NULL, MEMORY);
    for (const struct conf_test_file *file = conf_test_files; file != NULL && file->path != NULL; file++)
        if (fnmatch(pattern, file->path, FNM_PATHNAME) == 0)
            paths[count++] = strdup(file->path);
    *ret_paths = paths;
    return ERR_OK;
}

static const struct conf_source conf_test_source = {.read = conf_test_read_file, .glob = conf_test_glob};

static inline void conf_test_done(struct conf_test *test)
{
    test->settings = settings_free(test->settings);
    test->report = conf_report_free(test->report);
    test->config = (struct config){0};
}

static inline const char *conf_test_message(struct conf_report *report)
{
    char *text = (char *)conf_report_text(report);
    size_t len = strlen(text);

    if (len > 0)
        text[len - 1] = '\0';
    return text;
}

/* A zeroed test, or one that was read before. */
static inline err conf_test_read(struct conf_test *test, char *const *argv, char *const *environment)
{
    int argc = 0;
    err result;

    while (argv != NULL && argv[argc] != NULL)
        argc++;
    conf_test_done(test);
    result = conf_report_new(&test->report);
    if (err_is_ok(result))
        result = settings_read(argc, argv, environment, &conf_test_source, test->report, &test->settings);
    test->message = conf_test_message(test->report);
    if (err_is_ok(result)) {
        test->config = test->settings->config;
        test->unknown = test->settings->unknown_variable;
    }
    return result;
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
        assert_null(refused_.settings);                           \
        conf_test_done(&refused_);                                \
    } while (0)

/* What "warp.yaml" with that text is told; "": it is fine. */
#define assert_file(text, expected)                                               \
    do {                                                                          \
        struct conf_test file_ = {0};                                             \
        conf_test_file = text;                                                    \
        err read_ = conf_test_read(&file_, WORDS("--config=warp.yaml"), NO_WORDS); \
        assert_string_equal(file_.message, expected);                             \
        assert_int_equal(read_.code, file_.message[0] == '\0' ? ERR_NONE : ERR_INVALID); \
        conf_test_done(&file_);                                                   \
    } while (0)

#define assert_list(list, ...)                                    \
    do {                                                          \
        const char *const expected_[] = {__VA_ARGS__};            \
        assert_int_equal((list).count, ARRAY_LEN(expected_));     \
        for (unsigned i_ = 0; i_ < ARRAY_LEN(expected_); i_++)    \
            assert_string_equal((list).items[i_], expected_[i_]); \
    } while (0)

#define assert_slice(slice_, text) \
    do {                           \
        slice is_ = (slice_);      \
        assert_int_equal(is_.len, strlen(text)); \
        assert_memory_equal(is_.data, text, is_.len); \
        assert_int_equal(is_.data[is_.len], '\0'); \
    } while (0)

#endif
