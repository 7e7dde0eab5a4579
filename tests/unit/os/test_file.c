/* Whole files: patterns of paths, and how they are written. */
#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/warp-file-XXXXXX";

static void make(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(os_file_write(path, SLICE("x"), 0600).code, ERR_NONE);
}

static void drop(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static unsigned found(const char *pattern, char ***ret_paths)
{
    char path[128];
    unsigned count = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, pattern);
    assert_int_equal(os_file_glob(path, ret_paths).code, ERR_NONE);
    while ((*ret_paths)[count] != NULL)
        count++;
    return count;
}

static void test_glob(void **state)
{
    char **paths, expected[128];
    (void)state;

    assert_non_null(mkdtemp(folder));
    make("b.yaml");
    make("a.yaml");
    make(".c.yaml");
    make("d.txt");
    assert_int_equal(found("*.yaml", &paths), 2); /* sorted, without what is hidden */
    snprintf(expected, sizeof(expected), "%s/a.yaml", folder);
    assert_string_equal(paths[0], expected);
    os_dir_names_free(paths, 2);
    assert_int_equal(found("*.json", &paths), 0);
    os_dir_names_free(paths, 0);
    assert_int_equal(found("gone/*.yaml", &paths), 0);
    os_dir_names_free(paths, 0);
    assert_int_equal(found("[ab].yaml", &paths), 2);
    os_dir_names_free(paths, 2);
    drop("a.yaml");
    drop("b.yaml");
    drop(".c.yaml");
    drop("d.txt");
    assert_int_equal(rmdir(folder), 0);
}

/* ---- written in two steps, and at the end ------------------------------------------------------------------------------- */

static void assert_says(const char *path, const char *expected)
{
    char *text;
    size_t len;

    assert_int_equal(os_file_read(path, 100, &text, &len).code, ERR_NONE);
    assert_string_equal(text, expected);
    free(text);
}

static void test_staged(void **state)
{
    char dir[] = "/tmp/warp-file-XXXXXX", path[64], temp[80], small[4];
    (void)state;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a", dir);
    assert_int_equal(os_file_write(path, SLICE("old"), 0600).code, ERR_NONE);
    assert_int_equal(os_file_stage(path, SLICE("new"), 0600, small, sizeof(small)).code, ERR_INVALID);
    assert_int_equal(os_file_stage(path, SLICE("new"), 0640, temp, sizeof(temp)).code, ERR_NONE);
    assert_says(path, "old");
    assert_int_equal(os_file_rename(temp, path).code, ERR_NONE);
    assert_int_equal(os_file_rename_flush(path).code, ERR_NONE);
    assert_says(path, "new");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(os_file_rename(temp, path).code, ERR_SYSTEM); /* there is none any more */
    assert_int_equal(remove(path), 0);
    snprintf(path, sizeof(path), "%s/none/a", dir);
    assert_int_equal(os_file_stage(path, SLICE("new"), 0640, temp, sizeof(temp)).code, ERR_SYSTEM);
    assert_int_equal(rmdir(dir), 0); /* nothing is left beside */
}

/* A file that may grow by half of what is appended ends where it did. */
static void test_appended_whole(void **state)
{
    char path[] = "/tmp/warp-file-XXXXXX";
    struct rlimit before, limit;
    int fd = mkstemp(path);
    (void)state;

    close(fd);
    assert_int_equal(os_append_open(path, &fd).code, ERR_NONE);
    assert_int_equal(os_append_whole(fd, SLICE("1234567890")).code, ERR_NONE);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 15, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(os_append_whole(fd, SLICE("abcdefghij")).sys, EFBIG);
    assert_says(path, "1234567890");
    assert_int_equal(os_append_whole(fd, SLICE("abcde")).code, ERR_NONE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_says(path, "1234567890abcde");
    os_append_close(fd);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_glob), cmocka_unit_test(test_staged), cmocka_unit_test(test_appended_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
