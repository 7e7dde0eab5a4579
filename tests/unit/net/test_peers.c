#include "net/peers.h"

static struct os_peer peer_of(const char *ip)
{
    struct os_address address;

    assert_true(err_is_ok(os_address_from_ip(slice_str(ip), 80, &address)));
    return os_peer_of(&address);
}

static void counts_per_address(void **state)
{
    struct os_peer a = peer_of("192.0.2.1"), b = peer_of("192.0.2.2");
    struct peers *peers;

    (void)state;
    assert_true(err_is_ok(peers_new(2, &peers)));
    assert_true(peers_enter(peers, &a, false));
    assert_true(peers_enter(peers, &a, false));
    assert_false(peers_enter(peers, &a, false));
    assert_true(peers_enter(peers, &a, true)); /* it speaks for many */
    peers_leave(peers, &a);
    assert_false(peers_enter(peers, &a, false));
    assert_true(peers_enter(peers, &b, false)); /* another address has its own share */
    peers_leave(peers, &a);
    assert_true(peers_enter(peers, &a, false));
    peers_leave(peers, &a);
    peers_leave(peers, &a);
    peers_leave(peers, &b);
    peers_free(peers); /* asserts that nothing is left */
}

static void one_ipv6_network_is_one_peer(void **state)
{
    struct os_peer a = peer_of("2001:db8:1:2::1"), b = peer_of("2001:db8:1:2:ffff::9"), c = peer_of("2001:db8:1:3::1");
    struct peers *peers;

    (void)state;
    assert_true(err_is_ok(peers_new(1, &peers)));
    assert_true(peers_enter(peers, &a, false));
    assert_false(peers_enter(peers, &b, false));
    assert_true(peers_enter(peers, &c, false));
    peers_leave(peers, &a);
    peers_leave(peers, &c);
    peers_free(peers);
}

static void loopback_and_no_limit(void **state)
{
    struct os_peer local = peer_of("127.0.0.1"), local6 = peer_of("::1"), far = peer_of("198.51.100.7");
    struct os_peer unix_peer = {.family = AF_UNIX};
    struct peers *peers;

    (void)state;
    assert_true(err_is_ok(peers_new(1, &peers)));
    for (int i = 0; i < 3; i++) {
        assert_true(peers_enter(peers, &local, false));
        assert_true(peers_enter(peers, &local6, false));
        assert_true(peers_enter(peers, &unix_peer, false));
    }
    peers_free(peers);
    assert_true(err_is_ok(peers_new(0, &peers)));
    for (int i = 0; i < 5000; i++)
        assert_true(peers_enter(peers, &far, false));
    peers_free(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_per_address),
        cmocka_unit_test(one_ipv6_network_is_one_peer),
        cmocka_unit_test(loopback_and_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
