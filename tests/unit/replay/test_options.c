/* The command line of warp-sim: what it leads to. What it says of wrong ones is tested on the binary. */
#include "replay/options.h"

static struct replay_options options_of(int argc, const char *const *argv)
{
    struct replay_options options;
    int code = -1;

    if (!replay_options_read(argc, (char **)(uintptr_t)argv, &options, &code))
        fail_msg("%s: %d", argv[0], code);
    return options;
}
#define OPTIONS(...) options_of((int)ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})

static void test_sizes(void **state)
{
    struct replay_options options = OPTIONS("--size", "1g", "--size=10%", "--size", "0.125%", "--size=100%", "trace");
    struct policy_config config;

    (void)state;
    assert_int_equal(options.size_count, 4);
    assert_true(replay_options_need_working_set(&options));
    assert_true(replay_options_config(&options, &policy_lru, 0, 1000, &config));
    assert_int_equal(config.bytes, 1 << 30);
    assert_int_equal(config.memory_bytes, (1 << 30) * 3ull / 100);
    assert_true(replay_options_config(&options, &policy_lru, 1, 1999, &config));
    assert_int_equal(config.bytes, 199);
    assert_true(replay_options_config(&options, &policy_lru, 2, 8000, &config));
    assert_int_equal(config.bytes, 10);
    assert_true(replay_options_config(&options, &policy_lru, 3, UINT64_MAX, &config));
    assert_int_equal(config.bytes, UINT64_MAX);
    options = OPTIONS("--size", "1g", "--memory", "10m", "--write-budget=3m", "-");
    assert_false(replay_options_need_working_set(&options));
    assert_true(replay_options_config(&options, &policy_warp, 0, 0, &config));
    assert_int_equal(config.memory_bytes, 10 << 20);
    assert_int_equal(config.write_bytes_per_s, 3 << 20);
    options = OPTIONS("--size", "1g", "--memory", "0", "-");
    assert_true(replay_options_config(&options, &policy_warp, 0, 0, &config));
    assert_int_equal(config.memory_bytes, 0);
}

/* What warp cannot have; the others can. */
static void test_too_small(void **state)
{
    struct replay_options options = OPTIONS("--size", "16m", "--size", "18m", "--size", "512t", "trace");
    struct policy_config config;

    (void)state;
    assert_false(replay_options_config(&options, &policy_warp, 0, 0, &config));
    assert_true(replay_options_config(&options, &policy_lru, 0, 0, &config));
    assert_true(replay_options_config(&options, &policy_warp, 1, 0, &config));
    assert_false(replay_options_config(&options, &policy_warp, 2, 0, &config));
    options = OPTIONS("--size", "100m", "--memory", "100m", "trace");
    assert_false(replay_options_config(&options, &policy_warp, 0, 0, &config));
    options = OPTIONS("--size", "100m", "--memory", "200m", "trace");
    assert_false(replay_options_config(&options, &policy_warp, 0, 0, &config));
}

static void test_policies(void **state)
{
    struct replay_options options = OPTIONS("--size", "1g", "trace");

    (void)state;
    assert_int_equal(options.policy_count, 3);
    assert_ptr_equal(options.policies[0], &policy_warp);
    assert_ptr_equal(options.policies[1], &policy_lru);
    assert_ptr_equal(options.policies[2], &policy_fifo);
    options = OPTIONS("--size", "1g", "--policy", "fifo", "--policy=lru", "trace");
    assert_int_equal(options.policy_count, 2);
    assert_ptr_equal(options.policies[0], &policy_fifo);
    assert_ptr_equal(options.policies[1], &policy_lru);
}

static void test_generated(void **state)
{
    struct replay_options options = OPTIONS("--generate", "18446744073709551615", "--size", "5%");

    (void)state;
    assert_true(options.is_generated);
    assert_int_equal(options.generate.seed, UINT64_MAX);
    assert_int_equal(options.generate.requests, GENERATE_REQUESTS);
    assert_int_equal(options.generate.like, GENERATE_SYN);
    assert_null(options.path);
    options = OPTIONS("--generate=0", "--generate-like", "short", "--requests", "1000", "--print");
    assert_int_equal(options.generate.like, GENERATE_SHORT);
    assert_int_equal(options.generate.requests, 1000);
    assert_true(options.is_printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_too_small), cmocka_unit_test(test_policies),
                                       cmocka_unit_test(test_generated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
