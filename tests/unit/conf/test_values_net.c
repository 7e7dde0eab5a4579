/* Hosts, origins, ranges of addresses. */
#include "value_test.h"

#include <arpa/inet.h>

static const struct conf_tenant *tenant_of_host(const char *host)
{
    char file[512];

    snprintf(file, sizeof(file), "origin: o\ntenants: {t: {hosts: '%s'}}\n", host);
    snprintf(text, sizeof(text), "%s", file);
    conf_test_file = text;
    assert_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    return &test.settings->tenants.items[0];
}

static void refuse_host(const char *host, const char *why)
{
    snprintf(text, sizeof(text), "origin: o\ntenants: {t: {hosts: \"%s\"}}\n", host);
    conf_test_file = text;
    assert_int_equal(conf_test_read(&test, WORDS("--config=warp.yaml"), NO_WORDS).code, ERR_INVALID);
    if (strstr(test.message, why) == NULL)
        assert_string_equal(test.message, why);
}

static void test_hosts(void **state)
{
    char longest[300] = "";
    (void)state;

    assert_slice(tenant_of_host("WWW.Example")->hosts.items[0], "www.example");
    assert_slice(tenant_of_host("*.Example.org")->hosts.items[0], "*.example.org");
    assert_slice(tenant_of_host("localhost")->hosts.items[0], "localhost");
    assert_slice(tenant_of_host("192.0.2.1")->hosts.items[0], "192.0.2.1");
    assert_slice(tenant_of_host("[2001:DB8:0:0::1]")->hosts.items[0], "[2001:db8::1]");
    assert_slice(tenant_of_host("xn--bcher-kva.example")->hosts.items[0], "xn--bcher-kva.example");
    assert_slice(tenant_of_host("_dmarc.a-b.example")->hosts.items[0], "_dmarc.a-b.example");
    for (unsigned i = 0; i < 127; i++)
        strcat(longest, i > 0 ? ".a" : "a");
    assert_int_equal(tenant_of_host(longest)->hosts.items[0].len, 253);
    strcat(longest, "b");
    refuse_host(longest, "is not a host; write a host without a port");
    refuse_host("*", "is every host; name the tenant in default-tenant instead");
    refuse_host("*.", "ends with a dot");
    refuse_host("www.*.example", "has a * that is not its first label");
    refuse_host("*www.example", "has a * that is not its first label");
    refuse_host("*.*.example", "has a * that is not its first label");
    refuse_host("www.example.", "ends with a dot; write it without");
    refuse_host("www.example:80", "has a port");
    refuse_host("2001:db8::1", "has a port, or is an IPv6 address without brackets");
    refuse_host("[2001:db8::1]:80", "is not a host");
    refuse_host("[::g]", "is not a host");
    refuse_host("[]", "is not a host");
    refuse_host("[", "is not a host");
    refuse_host("http://www.example", "has more than a host");
    refuse_host("www.example/", "has more than a host");
    refuse_host("b\\u00fccher.example", "is not in ASCII; write it as it is asked for, in punycode: xn--...");
    refuse_host("a..b", "is not a host");
    refuse_host(".a", "is not a host");
    refuse_host("a b", "is not a host");
    refuse_host("a\\0b", "holds a control character");
    refuse_host("0123456789012345678901234567890123456789012345678901234567890123.example", "is not a host");
}

/* As origin_parse takes them: what is fine here must be fine there. */
static void test_origins(void **state)
{
    static const char *const fine[] = {"a", "a:80", "http://a", "https://a.example:8443", "h2c://a:1", "http://a/", "[::1]:80", "http://[::1]",
                                       "https://[2001:db8::1]:443/", "10.0.0.1:80", "a_b"};
    static const char *const wrong[] = {"http://", "ftp://a", "a:0", "a:65536", "a:", "[::1", "[a]", "a b", "http://a:80:80", "a/", "a?b", "[::1]x"};
    char line[128];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        snprintf(line, sizeof(line), "origins: '%s'", fine[i]);
        assert_slice(tenant_with(line)->origins.items[0], fine[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(line, sizeof(line), "origins: '%s'", wrong[i]);
        refuse(line, "is not an origin; write http://host:port, https://host, h2c://host:port or host:port");
    }
    refuse("origins: 'http://a/b'", "has a path, which an origin does not");
    refuse("origins: 'http://a?b'", "has a path, which an origin does not");
    refuse("origins: 'http://u:p@a'", "has a user name, which an origin does not");
}

static const struct conf_range *range_of(const char *range)
{
    char line[128];

    snprintf(line, sizeof(line), "rules: {allow: '%s'}", range);
    return &tenant_with(line)->rules.items[0].allow.items[0];
}

static void test_ranges(void **state)
{
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0}, site[16] = {0x20, 0x01, 0x0d, 0xb8};
    (void)state;

    assert_memory_equal(range_of("10.0.0.0/8")->address, mapped, 16);
    assert_int_equal(range_of("10.0.0.0/8")->bits, 104);
    assert_int_equal(range_of("0.0.0.0/0")->bits, 96);
    assert_int_equal(range_of("192.0.2.1")->bits, 128);
    assert_memory_equal(range_of("2001:db8::/32")->address, site, 16);
    assert_int_equal(range_of("2001:db8::/32")->bits, 32);
    assert_int_equal(range_of("::/0")->bits, 0);
    assert_int_equal(range_of("::ffff:10.0.0.0/104")->bits, 104);
    refuse("rules: {allow: 10.0.0.1/8}", "has bits behind its prefix; write 10.0.0.0/8");
    refuse("rules: {allow: '2001:db8::1/64'}", "has bits behind its prefix; write 2001:db8::/64");
    refuse("rules: {allow: 10.0.0.0/33}", "has a prefix that is none; write a length from 0 to 32 behind the /");
    refuse("rules: {allow: '::/129'}", "write a length from 0 to 128 behind the /");
    refuse("rules: {allow: 10.0.0.0/}", "has a prefix that is none");
    refuse("rules: {allow: 10.0.0.0/-1}", "has a prefix that is none");
    refuse("rules: {allow: 10.0.0}", "is not an address");
    refuse("rules: {allow: 10.0.0.0.0}", "is not an address");
    refuse("rules: {allow: 'fe80::1%eth0'}", "is not an address");
    refuse("rules: {allow: '[::1]'}", "is not an address");
    refuse("rules: {allow: localhost}", "is not an address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts), cmocka_unit_test(test_origins), cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, NULL, done);
}
