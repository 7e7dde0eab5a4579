"""Tenants and their rules, through the real binary: whose a request is, and what becomes of it."""
import json

import pytest

from tenants import FRESH, Site, tenant, told
from wait import until


@pytest.fixture
def site(start_warp, tmp_path):
    """site(config, ...) starts a WARP with that configuration."""
    return lambda config, **options: Site(start_warp, tmp_path / "warp.yaml", config, **options)


@pytest.fixture
def teller(origins):
    """An origin that tells what it was asked, and says that it may be kept."""
    def make(headers=FRESH, status=200):
        origin = origins()
        origin.serve(lambda seen: seen.answer(status, headers, told(seen)))
        return origin

    return make


def seen(response):
    return json.loads(response.body)


def one(origin, *rules, **more):
    return {"tenants": {"shop": tenant(origin, "shop.test", rules=rules, **more)}}


# ---- whose a request is ---------------------------------------------------------------------------------------------


def test_hosts_decide(site, teller):
    a, b = teller(), teller()
    shop = site({"tenants": {"a": tenant(a, "a.test", "*.a.test"), "b": tenant(b, "b.test", "deep.a.test")}})
    for host, origin in (("a.test", a), ("A.Test", a), ("www.a.test", a), ("x.y.a.test", a), ("b.test", b), ("deep.a.test", b)):
        before = origin.count
        assert shop.get(f"{host}/{host}").status == 200
        assert origin.count == before + 1, host
    answer = shop.get("c.test/")
    assert answer.status == 421 and "unknown-host" in answer.headers["Cache-Status"]
    assert shop.warp.metric("warp_requests_total", tenant="a", outcome="miss") == 4
    assert shop.warp.metric("warp_requests_total", tenant="b", outcome="miss") == 2
    assert shop.warp.metric("warp_requests_total", tenant="unknown", outcome="synthetic") == 1


def test_a_default_tenant_takes_the_rest(site, teller):
    a, b = teller(), teller()
    shop = site({"default-tenant": "b", "tenants": {"a": tenant(a, "a.test"), "b": tenant(b, "b.test")}})
    assert shop.get("c.test/").status == 200 and b.count == 1 and a.count == 0


def test_the_same_url_of_two_tenants_is_two_objects(site, teller):
    """After the host has gone to another tenant nothing of the first is served."""
    a, b = teller(), teller()
    shop = site({"tenants": {"a": tenant(a, "x.test"), "b": tenant(b, "b.test")}})
    assert shop.get("x.test/p").status == 200
    assert shop.get("x.test/p").is_hit
    shop.reload({"tenants": {"a": tenant(a, "a.test"), "b": tenant(b, "b.test", "x.test")}})
    answer = shop.get("x.test/p")
    assert not answer.is_hit and b.count == 1
    shop.reload({"tenants": {"a": tenant(a, "x.test"), "b": tenant(b, "b.test")}})
    assert shop.get("x.test/p").is_hit and a.count == 1 # it is still its own


def test_tenants_without_origins_use_the_options(site, teller):
    origin = teller()
    shop = site({"origin": origin.url, "tenants": {"a": {"hosts": "a.test"}, "b": {"hosts": ["b.test"]}}})
    assert shop.get("a.test/").status == 200 and shop.get("b.test/").status == 200 and origin.count == 2


def test_origin_host(site, teller):
    shop = site(one(teller(), origin_host="inner.test"))
    assert seen(shop.get("shop.test/"))["host"] == "inner.test"


# ---- what is stored, and for how long ---------------------------------------------------------------------------------


def test_a_path_is_not_cached(site, teller):
    origin = teller()
    shop = site(one(origin, {"match": {"path": "/private/**"}, "cache": False}))
    for target in ("private/x", "%70rivate/x", "public/../private/x", "//private/x"):
        assert shop.get(f"shop.test/{target}").status == 200
        assert "bypass" in shop.get(f"shop.test/{target}").headers["Cache-Status"], target
    assert origin.count == 8
    assert shop.get("shop.test/public").status == 200 and shop.get("shop.test/public").is_hit


def test_times_where_the_origin_says_nothing(site, teller):
    origin = teller(headers={})
    shop = site(one(origin, {"ttl": "1h"}, {"match": {"path": "/short"}, "ttl": "10s"}))
    assert shop.get("shop.test/").status == 200
    assert "ttl=3600" in shop.get("shop.test/").headers["Cache-Status"]
    shop.get("shop.test/short")
    assert "ttl=10" in shop.get("shop.test/short").headers["Cache-Status"]


def test_times_of_the_origin_go_before(site, teller):
    shop = site(one(teller(), {"ttl": "1h"}, {"match": {"path": "/over"}, "ttl": "1h", "ttl-override": True}))
    shop.get("shop.test/")
    assert "ttl=600" in shop.get("shop.test/").headers["Cache-Status"]
    shop.get("shop.test/over")
    assert "ttl=3600" in shop.get("shop.test/over").headers["Cache-Status"]


@pytest.mark.parametrize("control", ["no-store", "private", "no-cache"])
def test_no_rule_overrides_what_is_nobody_elses(site, teller, control):
    origin = teller(headers={"Cache-Control": control})
    shop = site(one(origin, {"ttl": "1h", "ttl-override": True}))
    for _ in range(2):
        assert not shop.get("shop.test/").is_hit
    assert origin.count == 2


def test_times_of_a_status(site, teller):
    shop = site(one(teller(headers={}, status=404), {"ttl": "1h", "ttl-status": {404: "20s", "5xx": "1s"}}))
    shop.get("shop.test/")
    answer = shop.get("shop.test/")
    assert answer.status == 404 and "ttl=20" in answer.headers["Cache-Status"]


def test_errors_are_not_kept_by_a_ttl_alone(site, teller):
    shop = site(one(teller(headers={}, status=503), {"ttl": "1h"}))
    shop.get("shop.test/")
    assert not shop.get("shop.test/").is_hit


def test_set_cookie(site, teller):
    headers = {**FRESH, "Set-Cookie": "id=1"}
    origin = teller(headers={"Cache-Control": "public, max-age=600", "Set-Cookie": "id=1"})
    shop = site({"tenants": {
        "plain": tenant(teller(headers=headers), "plain.test"),
        "drop": tenant(teller(headers=headers), "drop.test", rules=[{"set-cookie": "drop"}]),
        "never": tenant(origin, "never.test", rules=[{"set-cookie": "never"}])}})
    for _ in range(2):
        answer = shop.get("plain.test/")
        assert not answer.is_hit and answer.headers["Set-Cookie"] == "id=1"
    assert "Set-Cookie" not in shop.get("drop.test/").headers
    answer = shop.get("drop.test/")
    assert answer.is_hit and "Set-Cookie" not in answer.headers
    for _ in range(2):
        answer = shop.get("never.test/")
        assert not answer.is_hit and answer.headers["Set-Cookie"] == "id=1"
    assert shop.warp.metric("warp_not_stored_total", reason="set-cookie") >= 3
    assert "Set-Cookie" not in shop.get("drop.test/", method="POST", body=b"x").headers # of all that pass


def test_large_objects_are_not_stored(site, origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x" * int(seen.target[1:]), length="chunked" not in seen.headers.get("X-How", "")))
    shop = site(one(origin, max_object_size="1k"))
    for size, hit in ((1000, True), (2000, False)):
        shop.get(f"shop.test/{size}")
        assert shop.get(f"shop.test/{size}").is_hit == hit
    assert shop.warp.metric("warp_not_stored_total", reason="too-large") == 2


def test_a_length_that_was_not_announced(site, origins):
    origin = origins()
    origin.serve(lambda seen: seen.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"))
    shop = site(one(origin, max_object_size="1k"))
    for _ in range(2):
        answer = shop.get("shop.test/")
        assert len(answer.body) == 2000 and not answer.is_hit


def test_client_directives(site, teller):
    shop = site(one(teller(), {"match": {"path": "/heed"}, "client-directives": True}))
    for path, hit in (("heed", False), ("else", True)):
        shop.get(f"shop.test/{path}")
        assert shop.get(f"shop.test/{path}", {"Cache-Control": "no-cache"}).is_hit == hit


def test_stale_while_revalidate(site, origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, {"Cache-Control": "max-age=0"}, b"x"))
    shop = site(one(origin, {"stale-while-revalidate": "1h", "ttl": "0s"}))
    shop.get("shop.test/")
    answer = shop.get("shop.test/")
    assert answer.status == 200
    origin.wait_count(2)


# ---- keys ---------------------------------------------------------------------------------------------------------------


def test_query_parameters(site, teller):
    origin = teller()
    shop = site(one(origin, {"match": {"path": "/drop"}, "key": {"query-drop": ["utm_*"]}},
                    {"match": {"path": "/keep"}, "key": {"query-keep": ["id"], "query-sort": True}},
                    {"match": {"path": "/sort"}, "key": {"query-sort": True}}))
    assert seen(shop.get("shop.test/drop?utm_source=x&id=1"))["target"] == "/drop?id=1"
    assert shop.get("shop.test/drop?id=1&utm_campaign=y").is_hit
    assert not shop.get("shop.test/drop?id=2").is_hit
    assert seen(shop.get("shop.test/keep?x=1&id=1"))["target"] == "/keep?id=1"
    assert shop.get("shop.test/keep?id=1").is_hit
    shop.get("shop.test/sort?b=1&a=2")
    assert shop.get("shop.test/sort?a=2&b=1").is_hit


def test_cookies_fields_and_devices(site, teller):
    origin = teller()
    shop = site(one(origin, {"key": {"cookies": ["lang"], "fields": ["X-Country"], "device": True}}))
    phone = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"}
    shop.get("shop.test/")
    for headers in ({"Cookie": "lang=de"}, {"X-Country": "at"}, phone):
        assert not shop.get("shop.test/", headers).is_hit, headers
        assert shop.get("shop.test/", headers).is_hit, headers
    assert shop.get("shop.test/", {"Cookie": "other=1"}).is_hit
    assert seen(shop.get("shop.test/", phone))["fields"]["x-device-class"] == "phone"
    assert seen(shop.get("shop.test/forged", {"X-Device-Class": "tv"}))["fields"]["x-device-class"] == "desktop"


def test_changed_key_rules_never_meet_what_was_stored(site, teller):
    origin = teller()
    shop, plain, ruled = None, one(origin), one(origin, {"key": {"query-drop": ["x"]}})
    shop = site(plain)
    shop.get("shop.test/")
    assert shop.get("shop.test/").is_hit
    shop.reload(ruled)
    assert not shop.get("shop.test/").is_hit
    shop.reload(plain)
    assert not shop.get("shop.test/").is_hit # not that of the first generation either


def test_other_rules_leave_what_is_stored(site, teller):
    origin = teller()
    shop = site(one(origin))
    shop.get("shop.test/")
    shop.reload(one(origin, {"response-fields": {"set": {"X-New": "1"}}}))
    answer = shop.get("shop.test/")
    assert answer.is_hit and answer.headers["X-New"] == "1"


def test_a_purge_of_a_url_reaches_what_any_key_rule_made_of_it(site, teller):
    """Which of them applied hung on fields that a purge does not have."""
    origin = teller()
    app = {"X-App": "1"}
    shop = site(one(origin, {"match": {"field": {"X-App": "*"}}, "key": {"query-sort": True}},
                    {"match": {"field": {"X-App": "*"}, "path": "/only"}, "key": {"query-keep": ["id"]}}))
    for target, url in (("p?b=1&a=2", "p?b=1&a=2"), ("only?x=1&id=2", "only?x=1&id=2")):
        shop.get(f"shop.test/{target}", app)
        assert shop.get(f"shop.test/{target}", app).is_hit
        answer = shop.warp.admin("POST", "/api/v1/purge", token=True, body=json.dumps({"url": f"http://shop.test/{url}"}).encode())
        assert answer.status == 200
        assert not shop.get(f"shop.test/{target}", app).is_hit, target


# ---- edits, redirects -------------------------------------------------------------------------------------------------------


def test_edits(site, origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, {**FRESH, "Server": "old", "X-Powered-By": "x"}, told(seen)))
    shop = site(one(origin, {"request-fields": {"set": {"X-Api-Key": "secret"}, "remove": ["Cookie"]},
                             "response-fields": {"remove": ["X-Powered-By"], "set": {"Server": "shop"}, "add": {"X-A": "1"}}},
                    {"match": {"path": "/also/**"}, "response-fields": {"add": {"X-A": "2"}}}))
    for hit in (False, True):
        answer = shop.get("shop.test/", {"Cookie": "a=b", "X-Api-Key": "mine"})
        assert answer.is_hit == hit
        assert answer.headers["Server"] == "shop" and "X-Powered-By" not in answer.headers and answer.headers["X-A"] == "1"
        fields = seen(answer)["fields"]
        assert fields["x-api-key"] == "secret" and "cookie" not in fields
    answer = shop.get("shop.test/also/x", method="POST", body=b"x")
    assert answer.headers.all("X-A") == ["1", "2"]


@pytest.mark.parametrize("to, status, location", [
    ("https://new.test{path}?{query}", 301, "https://new.test/old/a?b=c"),
    ("https://www.{host}{path}", 308, "https://www.shop.test/old/a"),
    ("/elsewhere", 302, "/elsewhere"),
])
def test_redirects(site, teller, to, status, location):
    origin = teller()
    shop = site(one(origin, {"match": {"path": "/old/**"}, "redirect": {"to": to, "status": status}}))
    answer = shop.get("shop.test/old/a?b=c")
    assert (answer.status, answer.headers["Location"]) == (status, location)
    assert origin.count == 0 and shop.get("shop.test/new").status == 200


# ---- who may ask, and how often -----------------------------------------------------------------------------------------------


def test_addresses(site, teller):
    origin = teller()
    shop = site(one(origin, {"match": {"path": "/admin/**"}, "allow": ["10.0.0.0/8"]}, {"match": {"path": "/bad"}, "deny": ["127.0.0.0/8", "::1"]}))
    for path, status in (("", 200), ("admin/x", 403), ("%61dmin/x", 403), ("x/../admin/x", 403), ("//admin/x", 403), ("admin%2Fx", 403),
                         ("x/%2e%2e%2fadmin/x", 403), ("bad", 403)):
        answer = shop.get(f"shop.test/{path}")
        assert answer.status == status, path
    assert "denied" in answer.headers["Cache-Status"] and origin.count == 1


def test_a_trusted_proxy_says_who_asks(site, teller):
    origin = teller()
    rules = [{"match": {"path": "/admin"}, "allow": ["192.0.2.0/24"]}]
    shop = site({"trusted-proxies": ["127.0.0.1"], "tenants": {"shop": tenant(origin, "shop.test", rules=rules)}})
    assert shop.get("shop.test/admin").status == 403
    assert shop.get("shop.test/admin", {"X-Forwarded-For": "192.0.2.7"}).status == 200
    assert shop.get("shop.test/admin", {"X-Forwarded-For": "192.0.2.7, 203.0.113.1"}).status == 403 # the last hop that is not trusted
    # a proxy that adds a line of its own to what the client sent
    assert shop.get("shop.test/admin", [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "203.0.113.1")]).status == 403
    assert shop.get("shop.test/admin", [("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "192.0.2.7:4711")]).status == 200
    assert shop.get("shop.test/admin", {"X-Forwarded-For": "192.0.2.7, unknown"}).status == 403
    fields = seen(shop.get("shop.test/who", {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}))["fields"]
    assert fields["x-forwarded-proto"] == "https" and fields["x-forwarded-for"].startswith("192.0.2.7, ")


# What proxies write, and what is meant; None: nobody knows.
HOPS = [
    ("127.0.0.2", "127.0.0.2"), ("::ffff:127.0.0.2", "127.0.0.2"), ("::FFFF:7f00:2", "127.0.0.2"), ("[::ffff:127.0.0.2]:4711", "127.0.0.2"),
    ("[::ffff:127.0.0.2]", "127.0.0.2"), ("127.0.0.2:4711", "127.0.0.2"), ("192.0.2.9, , ,127.0.0.2, ,", "127.0.0.2"),
    ("::ffff:10.1.1.1", "10.1.1.1"), ("10.1.1.1:1", "10.1.1.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"), ("10.1.1.1, ::ffff:127.0.0.1", "10.1.1.1"), (" , ", "127.0.0.1"),
    ("garbage", None), ("unknown", None), ("_hidden", None), ("_hidden:80", None), ("10.1.1.1:port", None), ("10.1.1.1:70000", None),
    ("10.1.1.1:", None), ("[2001:db8::1", None), ("[2001:db8::1]x", None), ("2001:db8::1]:443", None), ("10.1.1", None), ("10.1.1.1, unknown", None),
    ("unknown, 10.1.1.1", "10.1.1.1"), ("::ffff:10.1.1.1:443", None), ("[]", None), ("[", None), (":", None),
]


def test_addresses_as_proxies_write_them(site, teller, tmp_path):
    """Who is not known is on no list: nobody lets him in, and whoever denies somebody denies him."""
    path = tmp_path / "access"
    rules = [{"match": {"path": "/deny"}, "deny": ["127.0.0.0/8"]}, {"match": {"path": "/allow"}, "allow": ["10.0.0.0/8", "2001:db8::/32"]},
             {"match": {"path": "/all"}, "allow": ["0.0.0.0/0", "::/0"]}]
    shop = site({"trusted-proxies": ["127.0.0.1"], "tenants": {"shop": tenant(teller(), "shop.test", rules=rules)}}, args=("--access-log", str(path)))
    for hop, who in HOPS:
        def status(path):
            return shop.get(f"shop.test/{path}", {"X-Forwarded-For": hop}).status

        is_own = who is not None and who.startswith("127.")
        assert (status("deny") == 403) == (who is None or is_own), hop
        assert (status("allow") == 200) == (who is not None and not is_own), hop
        assert (status("all") == 200) == (who is not None), hop
        assert status("") == 200, hop
    lines = until(lambda: path.read_text().splitlines() if path.exists() and path.read_text().count("\n") == 4 * len(HOPS) else None, "all lines")
    assert [json.loads(line)["client"] for line in lines[::4]] == [who or "unknown" for _, who in HOPS]


def test_mapped_clients_have_a_rate_each(site, teller):
    shop = site({"trusted-proxies": ["127.0.0.1"], "tenants": {"shop": tenant(teller(), "shop.test", client_rate="1/m", client_rate_burst=1)}})
    for hop, status in (("::ffff:192.0.2.1", 200), ("::ffff:192.0.2.2", 200), ("::ffff:192.0.2.1", 429), ("192.0.2.2", 429),
                        ("unknown", 200), ("_other", 429)): # those that nobody knows share one
        assert shop.get("shop.test/", {"X-Forwarded-For": hop}).status == status, hop


def test_nobody_is_trusted_by_default(site, teller):
    shop = site(one(teller(), {"match": {"path": "/admin"}, "allow": ["192.0.2.0/24"]}))
    assert shop.get("shop.test/admin", {"X-Forwarded-For": "192.0.2.7"}).status == 403


def test_rates(site, teller):
    origin = teller()
    shop = site({"tenants": {"a": tenant(origin, "a.test", rate="1/m", rate_burst=3), "b": tenant(origin, "b.test", client_rate="1/m", client_rate_burst=2),
                             "c": tenant(origin, "c.test", rules=[{"match": {"path": "/slow"}, "rate": "1/m"}])}})
    for url, allowed in (("a.test/", 3), ("b.test/", 2), ("c.test/slow", 1)):
        assert [shop.get(url).status for _ in range(allowed + 2)] == [200] * allowed + [429] * 2, url
        assert 1 <= int(shop.get(url).headers["Retry-After"]) <= 60
    assert shop.get("c.test/else").status == 200
    shop.reload() # nobody has a new burst by it
    assert shop.get("a.test/").status == 429


def test_requests_at_a_time(site, origins):
    origin = origins()
    shop = site(one(origin, requests=2))
    with shop.warp.client() as first, shop.warp.client() as second:
        for client, target in ((first, "/1"), (second, "/2")):
            client.request(target, host="shop.test")
        one_, two = origin.expect("/1"), origin.expect("/2")
        answer = shop.get("shop.test/3")
        assert answer.status == 503 and "too-many-requests" in answer.headers["Cache-Status"]
        for exchange, client in ((one_, first), (two, second)):
            exchange.answer(200, FRESH, b"x")
            assert client.read_response().status == 200
    shop.warp.counted("miss", 2)
    assert shop.get("shop.test/1").status == 200 # places are given back


def test_every_refusal_by_a_limit_is_counted(site, origins):
    origin = origins()
    rules = [{"match": {"path": "/deny"}, "deny": ["127.0.0.0/8"]}, {"match": {"path": "/allow"}, "allow": ["10.0.0.0/8"]},
             {"match": {"path": "/slow"}, "rate": "1/h"}, {"match": {"path": "/mine"}, "client-rate": "1/h", "redirect": {"to": "/"}},
             {"match": {"path": "/moved"}, "redirect": {"to": "/"}}]
    shop = site(one(origin, *rules, requests=1))

    def hits():
        return {name: shop.warp.metric("warp_limit_hits_total", limit=name) for name in ("address", "rate", "client_rate", "requests", "rule_steps")}

    with shop.warp.client() as first:
        first.request("/slow", host="shop.test")
        slow = origin.expect("/slow")
        assert hits() == dict.fromkeys(hits(), 0)
        for path, status, limit, n in (("deny", 403, "address", 1), ("allow", 403, "address", 2), ("slow", 429, "rate", 1),
                                       ("", 503, "requests", 1), ("moved", 301, "rule_steps", 0)):
            assert shop.get(f"shop.test/{path}").status == status
            assert hits()[limit] == n, path
        slow.answer(200, FRESH, b"x")
        assert first.read_response().status == 200
    assert [shop.get("shop.test/mine").status for _ in range(3)] == [301, 429, 429]
    assert hits() == {"address": 2, "rate": 1, "client_rate": 2, "requests": 1, "rule_steps": 0}


def test_no_path_costs_more_than_its_steps(site, teller):
    """Four rules of a thousand paths, as dear as they may be: refused, and what is behind them is not got around."""
    pattern = "/**" + ("*" + "a" * 29) * 7 + "N{}*"
    rules = [{"match": {"path": [pattern.format(f"{r}{n}") for n in range(1000)]}, "ttl": "1m"} for r in range(4)]
    origin = teller()
    shop = site(one(origin, *rules, {"match": {"path": "/a*"}, "deny": ["0.0.0.0/0"]}))
    answer = shop.get("shop.test/" + "a" * 7800)
    assert answer.status == 500 and "rules-too-costly" in answer.headers["Cache-Status"] and origin.count == 0
    assert shop.warp.metric("warp_limit_hits_total", limit="rule_steps") == 1
    assert shop.get("shop.test/abc").status == 403 and shop.get("shop.test/b").status == 200


def test_a_redirect_leads_to_no_other_host(site, teller):
    shop = site(one(teller(), {"match": {"query": {"fb": "1"}}, "redirect": {"to": "{path}?{query}", "status": 302}}))
    answer = shop.get(r"shop.test/\evil.test?fb=1")
    assert answer.status == 302 and answer.headers["Location"] == "/%5Cevil.test?fb=1"
    assert shop.get("shop.test//evil.test?fb=1").headers["Location"] == "/evil.test?fb=1"


def test_the_log_names_the_client_and_the_tenant(site, teller, tmp_path):
    path = tmp_path / "access"
    shop = site({"trusted-proxies": ["127.0.0.1"], "tenants": {"shop": tenant(teller(), "shop.test")}}, args=("--access-log", str(path)))
    shop.get("shop.test/", {"X-Forwarded-For": "192.0.2.7"})
    shop.get("shop.test/", {"X-Forwarded-For": "2001:db8::1"})
    shop.get("nobody.test/")
    lines = until(lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() and path.read_text().count("\n") == 3 else None, "three lines")
    assert [(line["client"], line["tenant"]) for line in lines] == [("192.0.2.7", "shop"), ("2001:db8::1", "shop"), ("127.0.0.1", "unknown")]
