/* Addresses, files, threads and limits: common to all doors. */
#include "os/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void addresses_are_read_and_written(void **state)
{
    static const struct {
        const char *text, *written; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"[::1]:8080", "[::1]:8080"},
        {":80", "[::]:80"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"unix:/run/warp.sock", "unix:/run/warp.sock"},
        {"unix:", NULL},
        {"", NULL},
        {":", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:+80", NULL},
        {"127.0.0.1: 80", NULL},
        {"::1:80", NULL},
        {"[127.0.0.1]:80", NULL},
        {"[]:80", NULL},
        {"[::1:80", NULL},
        {"localhost:80", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct os_address address;
        char text[128];
        err result = os_address_parse(slice_str(cases[i].text), &address);
        assert_int_equal(err_is_ok(result), cases[i].written != NULL);
        if (cases[i].written != NULL)
            assert_string_equal(os_address_text(&address, text, sizeof(text)), cases[i].written);
    }
    char path[200] = "unix:";
    struct os_address address;
    memset(path + 5, 'p', 108); /* one more than fits with its NUL */
    assert_false(err_is_ok(os_address_parse(slice_of(path, 113), &address)));
    assert_true(err_is_ok(os_address_parse(slice_of(path, 112), &address)));
    assert_false(err_is_ok(os_address_from_ip(slice_of("127.0.0.1\0x", 11), 80, &address)));
}

static void peers_have_one_form(void **state)
{
    struct os_address address;
    struct os_peer peer;
    char text[46];

    (void)state;
    assert_true(err_is_ok(os_address_from_ip(SLICE("::ffff:10.1.2.3"), 99, &address)));
    peer = os_peer_of(&address);
    assert_int_equal(peer.family, AF_INET);
    assert_int_equal(peer.port, 99);
    assert_string_equal(os_peer_text(&peer, text, sizeof(text)), "10.1.2.3");
    memcpy(peer.ip + 12, (uint8_t[]){255, 100, 99, 0}, 4);
    assert_string_equal(os_peer_text(&peer, text, sizeof(text)), "255.100.99.0");
    assert_false(os_peer_is_loopback(&peer));
    assert_true(err_is_ok(os_address_from_ip(SLICE("::1"), 1, &address)));
    peer = os_peer_of(&address);
    assert_string_equal(os_peer_text(&peer, text, sizeof(text)), "::1");
    assert_true(os_peer_is_loopback(&peer));
}

static void files_are_replaced_whole(void **state)
{
    char dir[] = "/tmp/warp-test-file-XXXXXX", path[128], link_path[128], *bytes;
    size_t len;
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a/b", dir);
    assert_true(err_is_ok(os_dir_make(path, 0750)));
    assert_true(err_is_ok(os_dir_make(path, 0750)));
    snprintf(path, sizeof(path), "%s/a/b/file", dir);
    snprintf(link_path, sizeof(link_path), "%s/a/b/link", dir);
    assert_int_equal(os_file_read(path, 10, &bytes, &len).code, ERR_NOT_FOUND);
    assert_true(err_is_ok(os_file_write(path, SLICE("first"), 0640)));
    assert_true(err_is_ok(os_file_write(path, SLICE("second"), 0600)));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(os_file_read(path, 5, &bytes, &len).code, ERR_LIMIT);
    assert_true(err_is_ok(os_file_read(path, 6, &bytes, &len)));
    assert_string_equal(bytes, "second");
    assert_int_equal(len, 6);
    free(bytes);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(os_file_read(link_path, 10, &bytes, &len).sys, ELOOP);
    assert_int_equal(os_file_read(dir, 10, &bytes, &len).code, ERR_INVALID);

    int fd;
    assert_true(err_is_ok(os_append_open(path, &fd)));
    assert_true(err_is_ok(os_append_write(fd, SLICE("+more"))));
    os_append_close(fd);
    assert_true(err_is_ok(os_file_read(path, 100, &bytes, &len)));
    assert_string_equal(bytes, "second+more");
    free(bytes);
    unlink(link_path);
    unlink(path);
    snprintf(path, sizeof(path), "%s/a/b", dir);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/a", dir);
    rmdir(path);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
}

static void event_setter(void *arg)
{
    os_event_set(arg);
}

static void events_and_limits(void **state)
{
    struct os_event *event = os_event_new();
    struct os_thread *thread;
    uint64_t start = os_clock_ns(), random[2] = {0, 0};

    (void)state;
    assert_true(err_is_ok(os_thread_start("a-name-that-is-too-long", event_setter, event, &thread)));
    os_event_wait(event, UINT64_MAX);
    os_thread_join(thread);
    os_event_wait(event, 2000000); /* the event was used up: this one ends by time */
    assert_true(os_clock_ns() - start >= 2000000);
    os_event_free(event);

    assert_in_range(os_cpu_count(), 1, 100000);
    assert_true(os_memory_bytes() > 1 << 20);
    assert_true(os_descriptor_limit_raise() >= 3);
    assert_true(os_wall_ms() > INT64_C(1600000000000));
    assert_true(os_thread_cpu_ns() > 0);
    os_entropy(random, sizeof(random));
    assert_true(random[0] != random[1]);
}

static uint64_t resident_bytes(void)
{
    char text[200] = "";
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long total, resident = 0;

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_int_equal(sscanf(text, "%llu %llu", &total, &resident), 2);
    return resident * 4096;
}

static void reserved_memory_is_taken_as_it_is_written(void **state)
{
    const size_t size = (size_t)64 << 30;
    void *bytes = NULL;
    uint64_t before = resident_bytes();

    (void)state;
    assert_true(err_is_ok(os_memory_reserve(size, &bytes)));
    for (size_t at = 0; at < size; at += size / 16)
        ((char *)bytes)[at] = 1;
    assert_int_equal(((char *)bytes)[1], 0);
    assert_int_equal(((char *)bytes)[size - 1], 0);
    assert_true(resident_bytes() - before < (4u << 20));
    os_memory_release(bytes, size);
    os_memory_release(NULL, 0);
    bytes = NULL;
    err e = os_memory_reserve((size_t)1 << 60, &bytes);
    assert_int_equal(e.code, ERR_SYSTEM);
    assert_int_equal(e.sys, ENOMEM);
    assert_null(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(peers_have_one_form),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(events_and_limits),
        cmocka_unit_test(reserved_memory_is_taken_as_it_is_written),
    };
    return cmocka_run_group_tests_name("os/host", tests, NULL, NULL);
}
