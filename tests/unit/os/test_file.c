/* Whole files: patterns of paths. */
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_glob)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
