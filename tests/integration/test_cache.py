"""Caching rules end to end: what is stored, for whom, for how long. Nothing sleeps: ages come with the answers."""
import email.utils
import re
import time

import pytest

from client import request_bytes
from origin import answer
from relay import Relay
from wait import until

FRESH = {"Cache-Control": "max-age=3600"}
STALE = [("Cache-Control", "max-age=10"), ("Age", "100")]


def http_date(seconds=0):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def miss(client, origin, target="/x", headers=FRESH, body=b"first", request=(), status=200, method="GET", **more):
    """The client asks and the origin is asked: its Exchange and the client's answer."""
    client.request(target, method, request, **more)
    seen = origin.expect(target)
    seen.answer(status, headers, body)
    return seen, client.read_response(method)


def hit(client, target="/x", request=(), method="GET", **more):
    """The client asks and the store answers. (That the origin is not asked shows at its next expect().)"""
    response = client.get(target, request, method=method, **more)
    assert response.is_hit, response
    return response


# ---- miss, hit, age --------------------------------------------------------------------------------------------------


def test_miss_then_hit(warp, client, origin):
    _, first = miss(client, origin)
    assert first.cache_status.startswith("warp; fwd=uri-miss") and "stored" in first.cache_status
    assert "fwd-status=200" in first.cache_status
    second = hit(client)
    assert second.body == first.body == b"first" and second.age <= 2
    assert re.search(r"ttl=3[56]\d\d", second.cache_status)
    assert second.headers["Via"].endswith("1.1 warp")
    warp.counted("miss", 1)
    warp.counted("hit", 1)
    assert warp.metric("warp_cache_served_hits_total", tier="ram") == 1
    assert warp.metric("warp_cache_inserts_total", tier="ram") == 1


def test_age_goes_on_from_the_origins(client, origin):
    miss(client, origin, headers=[("Cache-Control", "max-age=3600"), ("Age", "500")])
    assert 500 <= hit(client).age <= 503


def test_age_from_the_date(client, origin):
    miss(client, origin, headers={"Cache-Control": "max-age=3600", "Date": http_date(-700)})
    response = hit(client)
    assert 700 <= response.age <= 704 and "Date" in response.headers


def test_date_is_added_when_the_origin_has_none(client, origin):
    _, response = miss(client, origin)
    assert abs(email.utils.parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()) < 5


def test_the_key_is_host_and_target(client, origin):
    miss(client, origin, "/x?a=1&b=2")
    miss(client, origin, "/x?b=2&a=1")
    miss(client, origin, "/X?a=1&b=2")
    miss(client, origin, "/x?a=1&b=2", host="b.test")
    hit(client, "/x?a=1&b=2", host="A.TEST")
    hit(client, "/x?a=1&b=2", host="a.test:80")
    miss(client, origin, "/x?a=1&b=2", host="a.test:81")
    miss(client, origin, "/%78?a=1&b=2")


@pytest.mark.parametrize("headers", [
    {}, {"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Cache-Control": "max-age=0"},
    {"Cache-Control": "no-store, max-age=3600"}, {"Expires": "0"}, {"Cache-Control": "max-age=3600", "Vary": "*"},
])
def test_not_reused(client, origin, headers):
    miss(client, origin, headers=headers)
    miss(client, origin, headers=headers, body=b"second")


@pytest.mark.parametrize("headers", [
    {"Cache-Control": "max-age=100"}, {"Cache-Control": "s-maxage=100, max-age=0"}, {"Cache-Control": "MAX-AGE=100"},
    {"Expires": http_date(1000)}, {"Cache-Control": "public, max-age=100"},
    {"Last-Modified": http_date(-30 * 86400)},
    {"CDN-Cache-Control": "max-age=100", "Cache-Control": "no-store"},
    {"Warp-Cache-Control": "max-age=100", "CDN-Cache-Control": "no-store"},
    {"Surrogate-Control": "max-age=100", "Cache-Control": "no-store"},
])
def test_reused(client, origin, headers):
    miss(client, origin, headers=headers)
    hit(client)


@pytest.mark.parametrize("headers", [
    {"CDN-Cache-Control": "no-store", "Cache-Control": "max-age=100"},
    {"CDN-Cache-Control": "private", "Cache-Control": "max-age=100"},
    {"Warp-Cache-Control": "max-age=0", "CDN-Cache-Control": "max-age=100"},
    {"Surrogate-Control": "no-store", "Cache-Control": "max-age=100"},
])
def test_targeted_fields_rule(client, origin, headers):
    miss(client, origin, headers=headers)
    miss(client, origin, headers=headers)


def test_fields_for_this_cache_are_not_shown(client, origin):
    _, response = miss(client, origin, headers={"Surrogate-Control": "max-age=100", "Warp-Cache-Control": "max-age=50",
                                                "Cache-Control": "max-age=10"})
    for response in (response, hit(client)):
        for name in ("Surrogate-Control", "Warp-Cache-Control"):
            assert name not in response.headers
        assert response.headers["Cache-Control"] == "max-age=10"


@pytest.mark.parametrize("status,headers,stored", [
    (404, {}, False), (404, FRESH, True), (500, {}, False), (503, FRESH, True), (301, FRESH, True), (302, {}, False),
    (410, {}, False), (204, FRESH, True), (206, FRESH, False), (416, FRESH, False), (400, {}, False),
    (414, {}, False), (304, FRESH, False), (599, FRESH, True),
])
def test_statuses(client, origin, status, headers, stored):
    miss(client, origin, headers=headers, status=status, body=b"")
    if stored:
        assert hit(client).status == status
    else:
        miss(client, origin, headers=headers, status=status, body=b"")


@pytest.mark.parametrize("status,headers", [
    (206, {"Content-Range": "bytes 0-4/100", "Cache-Control": "max-age=3600"}), (416, {"Content-Range": "bytes */5", **FRESH}),
])
def test_a_lying_206_or_416_is_never_stored(client, origin, status, headers):
    """Unasked, and asked for by the client."""
    for request in ((), {"Range": "bytes=0-4"}):
        miss(client, origin, headers=headers, status=status, body=b"hello", request=request)
        _, response = miss(client, origin, "/x", headers={"Cache-Control": "no-store"}, body=b"real")
        assert response.status == 200 and response.body == b"real"


# ---- cookies and credentials ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control,stored", [("max-age=100", False), ("public, max-age=100", True), ("s-maxage=100", True)])
def test_set_cookie(client, origin, control, stored):
    headers = {"Cache-Control": control, "Set-Cookie": "id=1"}
    miss(client, origin, headers=headers)
    hit(client) if stored else miss(client, origin, headers=headers)


@pytest.mark.parametrize("control,stored", [
    ("max-age=100", False), ("public, max-age=100", True), ("s-maxage=100", True), ("must-revalidate, max-age=100", True),
    ("private, max-age=100", False),
])
def test_authorization(client, origin, control, stored):
    secret = {"Authorization": "Basic dTpw"}
    seen, _ = miss(client, origin, headers={"Cache-Control": control}, request=secret)
    assert seen.headers["Authorization"] == secret["Authorization"]
    if stored:
        hit(client, request=secret)
        hit(client)
    else:
        miss(client, origin, headers={"Cache-Control": "no-store"})


def test_heuristic_freshness_is_not_for_requests_with_cookies(client, origin):
    headers = {"Last-Modified": http_date(-30 * 86400)}
    miss(client, origin, headers=headers)
    hit(client)
    client.request("/x", headers={"Cookie": "id=1"})
    seen = origin.expect("/x")
    assert seen.headers["If-Modified-Since"] == headers["Last-Modified"]
    seen.answer(304, headers)
    assert client.read_response().body == b"first"


def test_heuristic_freshness_never_with_set_cookie(client, origin):
    headers = {"Last-Modified": http_date(-30 * 86400), "Set-Cookie": "a=b"}
    miss(client, origin, headers=headers)
    miss(client, origin, headers=headers)


# ---- variants -----------------------------------------------------------------------------------------------------------


def test_vary(client, origin):
    headers = {"Vary": "X-Kind", **FRESH}
    miss(client, origin, headers=headers, body=b"a", request={"X-Kind": "a"})
    _, second = miss(client, origin, headers=headers, body=b"b", request={"X-Kind": "b"})
    assert "fwd=vary-miss" in second.cache_status
    assert hit(client, request={"X-Kind": "a"}).body == b"a"
    assert hit(client, request={"X-Kind": "b"}).body == b"b"
    miss(client, origin, headers=headers, body=b"none")
    miss(client, origin, headers=headers, body=b"ab", request=[("X-Kind", "a"), ("X-Kind", "b")])
    assert hit(client, request={"X-Kind": "a"}).body == b"a"
    assert hit(client).body == b"none"


def test_two_lines_of_vary(client, origin):
    headers = [("Vary", "A"), ("Vary", "B"), ("Cache-Control", "max-age=100")]
    miss(client, origin, headers=headers, request={"A": "1", "B": "1"})
    miss(client, origin, headers=headers, request={"A": "1", "B": "2"})
    miss(client, origin, headers=headers, request={"A": "2", "B": "1"})
    hit(client, request={"B": "1", "A": "1"})


@pytest.mark.parametrize("name,values", [
    ("Accept-Encoding", ["gzip, br", "br, gzip", "br,gzip", "GZIP,  br", "gzip;q=1, br;q=1.0"]),
    ("Accept-Language", ["en, de", "de, en", "EN,de", "en;q=1.0, de;q=1"]),
])
def test_values_that_mean_the_same_are_one_variant(client, origin, name, values):
    headers = {"Vary": name, **FRESH}
    miss(client, origin, headers=headers, request={name: values[0]})
    for value in values:
        hit(client, request={name: value})
    miss(client, origin, headers=headers, request={name: "fr" if "Language" in name else "identity"})


# ---- conditional requests --------------------------------------------------------------------------------------------------


def test_not_modified_from_the_store(warp, client, origin):
    modified = http_date(-1000)
    miss(client, origin, headers={"ETag": '"v1"', "Last-Modified": modified, **FRESH})
    for request in ({"If-None-Match": '"v1"'}, {"If-None-Match": '"x", W/"v1"'}, {"If-None-Match": "*"},
                    {"If-Modified-Since": modified}):
        response = client.get("/x", request)
        assert response.status == 304 and response.headers["ETag"] == '"v1"' and "Cache-Control" in response.headers
        assert response.body == b"" and "Content-Length" not in response.headers
    for request in ({"If-None-Match": '"v2"'}, {"If-Modified-Since": http_date(-2000)},
                    {"If-None-Match": '"v2"', "If-Modified-Since": modified}):
        assert hit(client, request=request).status == 200
    assert client.get("/x", {"If-Match": '"v2"'}).status == 412
    assert client.get("/x", {"If-Unmodified-Since": http_date(-2000)}).status == 412
    warp.counted("hit", 9)


def test_conditions_do_not_reach_the_origin_of_a_fill(client, origin):
    client.request("/x", headers={"If-None-Match": '"v1"'})
    seen = origin.expect("/x")
    assert "If-None-Match" not in seen.headers
    seen.answer(200, {"ETag": '"v1"', **FRESH}, b"whole")
    assert client.read_response().status == 304
    assert hit(client).body == b"whole"


def test_revalidation_merges_the_304(warp, client, origin):
    miss(client, origin, headers=STALE + [("ETag", '"v1"'), ("X-Old", "1"), ("X-New", "1")])
    client.request("/x")
    seen = origin.expect("/x")
    assert seen.headers["If-None-Match"] == '"v1"'
    seen.answer(304, [("Cache-Control", "max-age=1000"), ("ETag", '"v1"'), ("X-New", "2")])
    response = client.read_response()
    assert response.status == 200 and response.body == b"first"
    assert response.headers["X-Old"] == "1" and response.headers["X-New"] == "2"
    assert "fwd=stale" in response.cache_status and "fwd-status=304" in response.cache_status
    again = hit(client)
    assert again.headers["X-New"] == "2" and again.headers["Cache-Control"] == "max-age=1000" and again.age < 5
    warp.counted("revalidated", 1)


def test_revalidation_with_a_new_answer(client, origin):
    miss(client, origin, headers=STALE + [("ETag", '"v1"')])
    client.request("/x")
    origin.expect("/x").answer(200, {"ETag": '"v2"', **FRESH}, b"second")
    assert client.read_response().body == b"second"
    assert hit(client).headers["ETag"] == '"v2"'


def test_a_304_about_something_else_is_not_merged(client, origin):
    modified = http_date(-1000)
    miss(client, origin, headers=STALE + [("Last-Modified", modified)])
    client.request("/x")
    seen = origin.expect("/x")
    assert seen.headers["If-Modified-Since"] == modified
    seen.answer(304, {"ETag": '"v9"', **FRESH})
    again = origin.expect("/x")
    assert "If-None-Match" not in again.headers and "If-Modified-Since" not in again.headers
    again.answer(200, {"ETag": '"v9"', **FRESH}, b"second")
    assert client.read_response().body == b"second"


def test_a_304_never_gives_the_body_another_tag(client, origin):
    miss(client, origin, headers=STALE + [("ETag", '"v1"')])
    client.request("/x")
    origin.expect("/x").answer(304, {"ETag": '"v9"', **FRESH})
    assert client.read_response().headers["ETag"] == '"v1"'
    response = hit(client)
    assert response.headers["ETag"] == '"v1"' and response.body == b"first"


def test_private_fields_are_not_stored(client, origin):
    miss(client, origin, headers={"Cache-Control": 'private="X-Own", no-cache="X-Each", max-age=3600', "X-Own": "1", "X-Each": "1"})
    response = hit(client)
    assert "X-Own" not in response.headers and "X-Each" not in response.headers


def test_no_cache_is_validated_each_time(client, origin):
    miss(client, origin, headers={"Cache-Control": "no-cache", "ETag": '"v1"'})
    for _ in range(2):
        client.request("/x")
        seen = origin.expect("/x")
        assert seen.headers["If-None-Match"] == '"v1"'
        seen.answer(304, {"ETag": '"v1"', "Cache-Control": "no-cache"})
        assert client.read_response().body == b"first"


# ---- ranges ---------------------------------------------------------------------------------------------------------------------

DATA = bytes(range(256)) * 40


@pytest.fixture
def ranged(client, origin):
    miss(client, origin, headers={"ETag": '"r"', "Content-Type": "application/x", **FRESH}, body=DATA)
    return client


@pytest.mark.parametrize("value,first,end", [
    ("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=100-", 100, 10240), ("bytes=-5", 10235, 10240),
    ("bytes=10000-99999999", 10000, 10240), ("bytes=-99999999", 0, 10240), ("bytes=0-18446744073709551615", 0, 10240),
])
def test_a_range(ranged, value, first, end):
    response = ranged.get("/x", {"Range": value})
    assert response.status == 206 and response.body == DATA[first:end]
    assert response.headers["Content-Range"] == f"bytes {first}-{end - 1}/10240"
    assert response.headers["ETag"] == '"r"'


@pytest.mark.parametrize("value", ["bytes=10240-", "bytes=99999999-", "bytes=-0"])
def test_a_range_that_cannot_be_satisfied(ranged, value):
    response = ranged.get("/x", {"Range": value})
    assert response.status == 416 and response.headers["Content-Range"] == "bytes */10240"


@pytest.mark.parametrize("value", ["bytes=5-4", "bytes=a-b", "bytes", "lines=0-5", "bytes=--5", "bytes=0-5-9",
                                   "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 200, 2)),
                                   "bytes=" + ",".join("0-" for _ in range(16))])
def test_ranges_that_are_not_answered_in_parts(ranged, value):
    response = ranged.get("/x", {"Range": value})
    assert response.status in (200, 206) and len(response.body) <= 1.1 * len(DATA)
    if response.status == 200:
        assert response.body == DATA


def test_several_ranges(ranged):
    response = ranged.get("/x", {"Range": "bytes=0-9, 5000-5009, -10"})
    assert response.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", response.headers["Content-Type"]).group(1).encode()
    parts = response.body.split(b"--" + boundary)
    assert parts[0] in (b"", b"\r\n") and parts[-1] in (b"--", b"--\r\n") and len(parts) == 5
    for part, (first, last) in zip(parts[1:-1], [(0, 9), (5000, 5009), (10230, 10239)]):
        head, _, data = part.partition(b"\r\n\r\n")
        assert b"Content-Range: bytes %d-%d/10240" % (first, last) in head and b"Content-Type: application/x" in head
        assert data == DATA[first:last + 1] + b"\r\n"


def test_if_range(ranged):
    assert ranged.get("/x", {"Range": "bytes=0-4", "If-Range": '"r"'}).status == 206
    for value in ('"other"', 'W/"r"', http_date(-1000), "nonsense"):
        response = ranged.get("/x", {"Range": "bytes=0-4", "If-Range": value})
        assert response.status == 200 and response.body == DATA


def test_a_range_of_what_is_not_stored_fetches_the_whole(client, origin):
    client.request("/x", headers={"Range": "bytes=100-199"})
    seen = origin.expect("/x")
    assert "Range" not in seen.headers
    seen.answer(200, FRESH, DATA)
    response = client.read_response()
    assert response.status == 206 and response.body == DATA[100:200]
    assert hit(client).body == DATA


def test_head_from_a_stored_get(ranged):
    response = ranged.get("/x", method="HEAD")
    assert response.is_hit and response.headers["Content-Length"] == "10240" and response.body == b""
    assert ranged.silent()


# ---- stale --------------------------------------------------------------------------------------------------------------------------


def test_stale_while_revalidate_once_in_the_background(warp, client, origin):
    miss(client, origin, headers=[("Cache-Control", "max-age=10, stale-while-revalidate=1000"), ("Age", "100"), ("ETag", '"v1"')])
    for _ in range(5):
        response = hit(client)
        assert response.body == b"first" and response.age >= 100
    seen = origin.expect("/x")
    assert seen.headers["If-None-Match"] == '"v1"'
    assert origin.silent(), "only one revalidation at a time"
    seen.answer(200, FRESH, b"second")
    until(lambda: client.get("/x").body == b"second", "the new answer is served")
    assert warp.outcome("stale") >= 5


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_stale_if_error(warp, client, origin, status):
    miss(client, origin, headers=[("Cache-Control", "max-age=10, stale-if-error=1000"), ("Age", "100")])
    client.request("/x")
    origin.expect("/x").answer(status, {}, b"broken")
    response = client.read_response()
    assert response.status == 200 and response.body == b"first"
    warp.counted("stale", 1)


def test_a_404_is_no_reason_for_stale(client, origin):
    miss(client, origin, headers=[("Cache-Control", "max-age=10, stale-if-error=1000"), ("Age", "100")])
    _, response = miss(client, origin, status=404, body=b"gone", headers={})
    assert response.status == 404


def test_a_dead_origin_is_covered(warp, client, origin):
    miss(client, origin, headers=STALE + [("ETag", '"v1"')])
    origin.stop()
    for _ in range(3):
        response = client.get("/x")
        assert response.status == 200 and response.body == b"first" and response.age >= 100
    warp.counted("stale", 3)
    assert client.get("/other").status == 502


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=5"])
def test_some_answers_are_never_served_stale(client, origin, directive):
    miss(client, origin, headers=[("Cache-Control", f"max-age=10, {directive}"), ("Age", "100"), ("ETag", '"v1"')])
    client.request("/x")
    origin.expect("/x").close()
    try:
        origin.expect("/x", timeout=1).close()  # the retry on a fresh connection
    except AssertionError:
        pass
    assert client.read_response().status in (502, 504)
    origin.stop()
    assert client.get("/x").status in (502, 504)


def test_a_guess_is_not_served_stale_to_credentials(client, origin):
    # fresh for 100 seconds by the heuristic (a tenth of 1,000), and older than that already
    now = time.time()
    miss(client, origin, headers=[("Date", email.utils.formatdate(now, usegmt=True)), ("Last-Modified", email.utils.formatdate(now - 1000, usegmt=True)),
                                  ("Age", "200")])
    origin.stop()
    assert client.get("/x").body == b"first"
    assert client.get("/x", [("Cookie", "a=b")]).status == 502
    assert client.get("/x").body == b"first"


# ---- invalidation --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "UNKNOWN"])
def test_unsafe_methods_invalidate(client, origin, method):
    miss(client, origin)
    hit(client)
    miss(client, origin, method=method, headers={}, request={"Content-Length": "0"})
    _, response = miss(client, origin, body=b"second")
    assert response.body == b"second"


def test_a_failed_post_does_not_invalidate(client, origin):
    miss(client, origin)
    miss(client, origin, method="POST", status=500, headers={}, request={"Content-Length": "0"})
    hit(client)


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_other_places_of_the_same_origin_are_invalidated(client, origin, name):
    miss(client, origin, "/other")
    miss(client, origin, "/relative")
    miss(client, origin, "/foreign", host="b.test")
    miss(client, origin, "/x", method="POST", headers={name: "http://a.test/other"}, request={"Content-Length": "0"})
    miss(client, origin, "/x", method="POST", headers={name: "relative"}, request={"Content-Length": "0"})
    miss(client, origin, "/x", method="POST", headers={name: "http://b.test/foreign"}, request={"Content-Length": "0"})
    miss(client, origin, "/other")
    miss(client, origin, "/relative")
    hit(client, "/foreign", host="b.test")


def test_safe_methods_do_not_invalidate(client, origin):
    miss(client, origin)
    miss(client, origin, method="OPTIONS", headers={}, body=b"")
    hit(client)


# ---- what clients ask for --------------------------------------------------------------------------------------------------------------


def test_only_if_cached(client, origin):
    response = client.get("/x", {"Cache-Control": "only-if-cached"})
    assert response.status == 504 and origin.silent()
    miss(client, origin)
    assert hit(client, request={"Cache-Control": "only-if-cached"}).status == 200


def test_a_no_store_request_is_not_stored(client, origin):
    miss(client, origin, request={"Cache-Control": "no-store"})
    miss(client, origin)
    hit(client)


def test_clients_cannot_force_a_fetch(client, origin):
    miss(client, origin)
    for request in ({"Cache-Control": "no-cache"}, {"Pragma": "no-cache"}, {"Cache-Control": "max-age=0"}):
        hit(client, request=request)


# ---- what the origin sees ----------------------------------------------------------------------------------------------------------------

POISON = {"X-Forwarded-Host": "evil.test", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Scheme": "x",
          "X-Forwarded-Port": "evilport", "X-Forwarded-Prefix": "/evil", "Forwarded": "for=6.6.6.6;host=evil.test",
          "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin", "X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE",
          "X-Method-Override": "DELETE", "X-Host": "evil.test", "X-Forwarded-Server": "evil.test", "X_Forwarded_Host": "evil.test"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fields_that_change_answers_unseen_are_not_forwarded(client, origin, method):
    seen, _ = miss(client, origin, request=POISON, method=method, host="good.test")
    text = repr(seen.headers.list)
    assert "evil" not in text and "6.6.6.6" not in text and "DELETE" not in text and "/admin" not in text
    assert seen.headers["X-Forwarded-For"] == "127.0.0.1" and seen.headers["X-Forwarded-Proto"] == "http"
    assert seen.headers["X-Forwarded-Host"] == "good.test"
    assert seen.headers["Forwarded"] == "for=127.0.0.1;host=good.test;proto=http"
    assert seen.headers["Host"] == "good.test"


def test_fields_for_the_origin(client, origin):
    seen, _ = miss(client, origin, request={"Via": "1.0 before", "Cookie": "a=b", "X-Own": "1", "Proxy-Connection": "x",
                                            "Connection": "X-Hop, close", "X-Hop": "1", "TE": "trailers", "Keep-Alive": "1"})
    assert seen.headers["Via"] == "1.0 before, 1.1 warp"
    assert re.fullmatch(r"warp; node=[0-9a-f]{8}", seen.headers["CDN-Loop"])
    assert seen.headers["Cookie"] == "a=b" and seen.headers["X-Own"] == "1"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", seen.headers["traceparent"])
    assert seen.headers["X-Request-Id"]
    for name in ("X-Hop", "TE", "Keep-Alive", "Proxy-Connection"):
        assert name not in seen.headers
    assert "close" not in seen.headers.get("Connection", "")


def test_a_loop_is_noticed(client, origin):
    seen, _ = miss(client, origin)
    own = seen.headers["CDN-Loop"]
    assert client.get("/y", {"CDN-Loop": own}).status == 508
    assert client.get("/y", {"CDN-Loop": "other, " + own}).status == 508
    seen, _ = miss(client, origin, "/y", request={"CDN-Loop": "warp; node=00000001, other"})
    assert seen.headers["CDN-Loop"] == "warp; node=00000001, other, " + own
    many = ", ".join(f"warp; node={n:08x}" for n in range(1, 10))
    assert client.get("/z", {"CDN-Loop": many}).status == 508
    assert origin.silent()


def test_a_warp_in_front_of_a_warp(start_warp, origins):
    origin = origins().serve(lambda exchange: exchange.answer(200, FRESH, b"deep"))
    inner = start_warp(origin)
    outer = start_warp(f"http://127.0.0.1:{inner.port}")
    response = outer.get("/x")
    assert response.body == b"deep" and response.cache_status.count("warp") == 2
    assert outer.get("/x").is_hit and origin.count == 1


def test_an_origin_that_is_warp_itself(start_warp):
    """Its text does not say so: the address would be refused."""
    with Relay() as relay:
        warp = start_warp(f"http://127.0.0.1:{relay.port}")
        relay.to = warp.port
        assert warp.get("/x").status == 508


def test_answers_with_connection_fields_are_clean(client, origin):
    _, response = miss(client, origin, headers={"Connection": "X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", **FRESH})
    for response in (response, hit(client)):
        assert "X-Hop" not in response.headers and "Keep-Alive" not in response.headers and "Connection" not in response.headers


def test_an_answer_that_arrives_with_a_pipeline(client, origin):
    """Hits right behind the miss that fetches them."""
    client.send(request_bytes("GET", "/x") * 3)
    origin.expect("/x").send(answer(200, FRESH, b"once"))
    assert [client.read_response().body for _ in range(3)] == [b"once"] * 3
