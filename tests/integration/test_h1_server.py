"""HTTP/1 towards clients: order, framing, refusals."""
import pytest

from client import request_bytes
from message import Incomplete
from origin import chunk
from wait import until

FRESH = {"Cache-Control": "max-age=3600"}


def store(client, origin, target="/stored", body=b"stored", headers=FRESH):
    """Puts an object into the cache."""
    client.request(target)
    origin.expect(target).answer(200, headers, body)
    assert client.read_response().body == body


# ---- connections and order ---------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_many_requests(client, origin):
    for n in range(5):
        client.request(f"/{n}")
        origin.expect(f"/{n}").answer(200, body=b"%d" % n)
        response = client.read_response()
        assert response.status == 200 and response.body == b"%d" % n
        assert "Connection" not in response.headers
    assert client.silent()


def test_connection_close_is_honoured(client, origin):
    store(client, origin)
    response = client.get("/stored", {"Connection": "close"})
    assert response.headers["Connection"] == "close" and response.body == b"stored"
    client.assert_closed()


def test_pipelined_requests_are_answered_in_order(client, origin):
    store(client, origin)
    client.send(request_bytes("GET", "/slow") + request_bytes("GET", "/stored") + request_bytes("HEAD", "/stored") +
                request_bytes("GET", "/last"))
    slow = origin.expect("/slow")
    assert client.silent(), "a hit must not overtake the answer before it"
    slow.answer(200, body=b"slow")
    assert client.read_response().body == b"slow"
    assert client.read_response().body == b"stored"
    assert client.read_response("HEAD").headers["Content-Length"] == "6"
    origin.expect("/last").answer(200, body=b"last")
    assert client.read_response().body == b"last"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_post_in_the_middle_of_a_pipeline(client, origin, chunked):
    store(client, origin)
    post = request_bytes("POST", "/form", body=b"GET /fake HTTP/1.1\r\n\r\n")
    if chunked:
        post = request_bytes("POST", "/form", {"Transfer-Encoding": "chunked"}) + chunk(b"GET /fake") + chunk(b"!" * 300) + b"0\r\n\r\n"
    client.send(request_bytes("GET", "/stored") + post + request_bytes("GET", "/stored") + request_bytes("GET", "/after"))
    assert client.read_response().is_hit
    seen = origin.expect("/form")
    assert seen.method == "POST" and seen.body.startswith(b"GET /fake")
    seen.answer(200, body=b"posted")
    assert client.read_response().body == b"posted"
    assert client.read_response().is_hit
    origin.expect("/after").answer(200, body=b"after")
    assert client.read_response().body == b"after"


def test_a_pipeline_in_single_bytes(client, origin):
    store(client, origin)
    for byte in request_bytes("GET", "/stored") * 3:
        client.send(bytes([byte]))
    for _ in range(3):
        assert client.read_response().body == b"stored"


def test_a_client_that_has_finished_sending_is_answered(client, origin):
    client.request("/half")
    client.half_close()
    origin.expect("/half").answer(200, body=b"whole answer")
    assert client.read_response().body == b"whole answer"
    client.assert_closed()


def test_empty_lines_before_a_request_are_let_pass(client, origin):
    store(client, origin)
    client.send(b"\r\n\r\n" + request_bytes("GET", "/stored"))
    assert client.read_response().body == b"stored"


# ---- versions and methods ------------------------------------------------------------------------------------------


def test_http10_closes_without_keep_alive(client, origin):
    client.request("/old", version="HTTP/1.0")
    origin.expect("/old").answer(200, {"Transfer-Encoding": "chunked"}, chunk(b"old") + b"0\r\n\r\n")
    response = client.read_response()
    assert response.framing == "close" and response.body == b"old"
    assert "Transfer-Encoding" not in response.headers


def test_http10_keep_alive(client, origin):
    store(client, origin)
    for _ in range(2):
        response = client.get("/stored", {"Connection": "keep-alive"}, version="HTTP/1.0")
        assert response.framing == "length" and response.headers["Connection"] == "keep-alive"
    assert client.silent()


def test_http10_without_host_is_answered(client, origin):
    client.request("/nohost", version="HTTP/1.0", host=None)
    origin.expect("/nohost").answer(200, body=b"x")
    assert client.read_response().status == 200


def test_head_has_the_fields_and_no_body(client, origin):
    store(client, origin, body=b"x" * 4000)
    response = client.get("/stored", method="HEAD")
    assert response.status == 200 and response.headers["Content-Length"] == "4000" and response.is_hit
    assert client.silent()


def test_head_of_a_miss_goes_to_the_origin_as_head(client, origin):
    client.request("/head", "HEAD")
    seen = origin.expect("/head")
    assert seen.method == "HEAD"
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    assert client.read_response("HEAD").headers["Content-Length"] == "12345"
    assert client.silent()


@pytest.mark.parametrize("method,target", [("TRACE", "/"), ("CONNECT", "a.test:443")])
def test_trace_and_connect_are_refused(client, origin, method, target):
    client.send(request_bytes(method, target))
    response = client.read_response()
    assert response.status == 405
    assert origin.silent()


def test_unknown_methods_pass(client, origin):
    client.request("/dav", "PROPFIND", body=b"<x/>")
    seen = origin.expect("/dav")
    assert seen.method == "PROPFIND" and seen.body == b"<x/>"
    seen.answer(207, body=b"many", reason="Multi-Status")
    assert client.read_response().status == 207


def test_absolute_form_beats_host(client, origin):
    client.request("http://real.test/abs?q", host="other.test")
    seen = origin.expect("/abs?q")
    assert seen.headers.all("Host") == ["real.test"]
    seen.answer(200, FRESH, b"abs")
    assert client.read_response().body == b"abs"
    assert client.get("/abs?q", host="real.test").is_hit
    client.request("/abs?q", host="other.test")
    origin.expect("/abs?q").answer(200, FRESH, b"other")
    assert client.read_response().body == b"other"


# ---- bodies of requests ----------------------------------------------------------------------------------------------


def test_a_chunked_request_with_trailers(client, origin):
    client.send(request_bytes("POST", "/up", {"Transfer-Encoding": "chunked", "Trailer": "X-Sum"}))
    client.send(chunk(b"one,") + b"3;ext=1\r\ntwo\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n")
    seen = origin.expect("/up")
    assert seen.body == b"one,two"
    assert seen.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in seen.trailers
    seen.answer(200, body=b"ok")
    assert client.read_response().body == b"ok"


def test_a_body_of_known_length_streams(client, origin):
    client.send(request_bytes("PUT", "/up", {"Content-Length": "200000"}))
    client.send(b"a" * 100000)
    seen = origin.expect("/up", body=False)
    assert seen.headers["Content-Length"] == "200000"
    assert seen.connection.wire.exactly(100000) == b"a" * 100000  # half is there while half is missing
    client.send(b"b" * 100000)
    assert seen.connection.wire.exactly(100000) == b"b" * 100000
    seen.answer(201, reason="Created")
    assert client.read_response().status == 201


def test_continue_is_said_when_the_body_is_wanted(client, origin):
    client.send(request_bytes("POST", "/up", {"Content-Length": "5", "Expect": "100-continue"}))
    seen = origin.expect("/up", body=False)
    line, _ = client.head()
    assert line.startswith(b"HTTP/1.1 100")
    client.send(b"hello")
    assert seen.read_body() == b"hello"
    seen.answer(200, body=b"ok")
    assert client.read_response().body == b"ok"


def test_no_continue_for_a_request_that_is_refused_anyway(client, origin):
    client.send(request_bytes("TRACE", "/", {"Content-Length": "5", "Expect": "100-continue"}))
    response = client.read_response()
    assert response.status in (400, 405) and response.interims == []
    client.assert_closed()
    assert origin.silent()


def test_no_continue_for_http10(client, origin):
    client.send(request_bytes("POST", "/up", {"Content-Length": "5", "Expect": "100-continue"}, version="HTTP/1.0"))
    client.send(b"hello")
    origin.expect("/up").answer(200, body=b"ok")
    assert client.read_response().interims == []


def test_another_expectation_is_refused(client, origin):
    client.send(request_bytes("POST", "/up", {"Content-Length": "5", "Expect": "200-ok"}))
    assert client.read_response().status == 417
    client.assert_closed()
    assert origin.silent()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_on_a_get_is_never_the_next_request(client, origin, framing):
    """Fat GET: past the cache, with its body; nothing of it is read as a request."""
    store(client, origin)
    smuggled = request_bytes("GET", "/smuggled")
    headers = {"Content-Length": str(len(smuggled))} if framing == "length" else {"Transfer-Encoding": "chunked"}
    body = smuggled if framing == "length" else chunk(smuggled) + b"0\r\n\r\n"
    client.send(request_bytes("GET", "/stored", headers) + body)
    seen = origin.expect("/stored")
    assert seen.body == smuggled
    seen.answer(200, FRESH, b"poison")
    assert client.read_response().body == b"poison"
    response = client.get("/stored")
    assert response.is_hit and response.body == b"stored"
    assert origin.silent()


def test_the_body_of_a_refused_request_is_never_the_next_request(client, origin):
    smuggled = request_bytes("GET", "/smuggled")
    client.send(request_bytes("TRACE", "/", {"Content-Length": str(len(smuggled))}) + smuggled)
    assert client.read_response().status in (400, 405)
    client.assert_closed()
    assert origin.silent()


def test_an_upload_that_is_cut_never_looks_complete(warp, client, origin):
    client.send(request_bytes("POST", "/up", {"Transfer-Encoding": "chunked"}) + chunk(b"half"))
    seen = origin.expect("/up", body=False)
    assert seen.connection.wire.chunk() == b"half"
    client.reset()
    with pytest.raises(Incomplete):
        seen.connection.wire.chunk()
    warp.wait_metric(1, "warp_requests_total", outcome="error")


def test_an_upload_ended_by_fin_never_looks_complete(warp, client, origin):
    client.send(request_bytes("POST", "/up", {"Content-Length": "10"}) + b"half")
    seen = origin.expect("/up", body=False)
    client.half_close()
    with pytest.raises(Incomplete):
        seen.connection.wire.exactly(10)


# ---- what is refused --------------------------------------------------------------------------------------------------

G = b"GET / HTTP/1.1\r\nHost: a.test\r\n"
P = b"POST / HTTP/1.1\r\nHost: a.test\r\n"

HOSTILE = {
    # framing
    "cl-and-te": (400, P + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "te-and-cl": (400, P + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "two-cl-same": (400, P + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "two-cl-differ": (400, P + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "cl-list": (400, P + b"Content-Length: 5, 5\r\n\r\nhello"),
    "cl-plus": (400, P + b"Content-Length: +5\r\n\r\nhello"),
    "cl-minus": (400, P + b"Content-Length: -1\r\n\r\n"),
    "cl-hex": (400, P + b"Content-Length: 0x5\r\n\r\nhello"),
    "cl-empty": (400, P + b"Content-Length: \r\n\r\nhello"),
    "cl-space-inside": (400, P + b"Content-Length: 5 5\r\n\r\nhello"),
    "cl-overflow": (400, P + b"Content-Length: 9223372036854775808\r\n\r\n"),
    "cl-overflow-64": (400, P + b"Content-Length: 18446744073709551621\r\n\r\nhello"),
    "cl-nul": (400, P + b"Content-Length: 5\0\r\n\r\nhello"),
    "te-xchunked": (501, P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "te-gzip": (501, P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "te-identity": (501, P + b"Transfer-Encoding: identity\r\n\r\n"),
    "te-comma": (400, P + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    "te-twice": (400, P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "te-list-twice": ((400, 501), P + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "te-vt": (400, P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "te-ff": (400, P + b"Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n"),
    "te-nul": (400, P + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"),
    "te-space-colon": (400, P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    "te-tab-colon": (400, P + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    "te-fold": (400, P + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "te-quoted": (400, P + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    "te-empty": (400, P + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n"),
    "te-http10": ((400, 501), b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # lines
    "bare-lf": (400, b"GET / HTTP/1.1\nHost: a.test\n\n"),
    "bare-lf-field": (400, G + b"X: y\nTransfer-Encoding: chunked\r\n\r\n"),
    "bare-cr-value": (400, G + b"X: a\rb\r\n\r\n"),
    "nul-value": (400, G + b"X: a\0b\r\n\r\n"),
    "nul-name": (400, G + b"X\0: ab\r\n\r\n"),
    "fold": (400, G + b"X: a\r\n b\r\n\r\n"),
    "fold-tab": (400, G + b"X: a\r\n\tb\r\n\r\n"),
    "leading-space": (400, b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n"),
    "space-colon": (400, G + b"X : a\r\n\r\n"),
    "no-colon": (400, G + b"nonsense\r\n\r\n"),
    "empty-name": (400, G + b": a\r\n\r\n"),
    "name-with-space": (400, G + b"X Y: a\r\n\r\n"),
    "name-utf8": (400, G + "Naïve: a\r\n\r\n".encode()),
    # target and version
    "fragment": (400, b"GET /#a HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-ctl": (400, b"GET /\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-nul": (400, b"GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-tab": (400, b"GET /\ta HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-space": (400, b"GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-relative": (400, b"GET a HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-empty": (400, b"GET  HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "target-8bit": (400, b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "two-spaces": (400, b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "line-leading-space": (400, b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "http09": (400, b"GET /\r\n\r\n"),
    "http2-version": ((400, 505), b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n"),
    "version-lower": (400, b"GET / http/1.1\r\nHost: a.test\r\n\r\n"),
    "version-long": (400, b"GET / HTTP/1.10\r\nHost: a.test\r\n\r\n"),
    "method-colon": (400, b"GE:T / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "tls-hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"),
    # Host
    "no-host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two-hosts": (400, b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n"),
    "two-hosts-same": (400, b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"),
    "host-list": (400, b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n"),
    "host-userinfo": (400, b"GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n"),
    "host-path": (400, b"GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n"),
    "host-nul": (400, b"GET / HTTP/1.1\r\nHost: a\0.test\r\n\r\n"),
    "host-space": (400, b"GET / HTTP/1.1\r\nHost: a test\r\n\r\n"),
    "host-port": (400, b"GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n"),
    "absolute-userinfo": (400, b"GET http://u:p@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "absolute-no-host": (400, b"GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    # sizes
    "line-too-long": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "field-too-long": (431, G + b"X: " + b"a" * 17000 + b"\r\n\r\n"),
    "head-too-long": (431, G + b"".join(b"X%d: %s\r\n" % (i, b"a" * 1000) for i in range(60)) + b"\r\n"),
    "too-many-fields": (431, G + b"".join(b"X%d: a\r\n" % i for i in range(120)) + b"\r\n"),
    "too-many-same": (431, G + b"X: a\r\n" * 5000 + b"\r\n"),
    "endless-line": ((414, 431, 400), b"G" * 40000),
    "endless-blank": (400, b"\r\n" * 20000),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One WARP for all refusals: none of them may leave it any different."""
    from origin import Origin
    from warp import Warp
    origin = Origin()
    warp = Warp(tmp_path_factory.mktemp("shared"), [origin]).start()
    yield warp, origin
    warp.stop()
    origin.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused_and_the_connection_closed(shared, name):
    warp, origin = shared
    status, data = HOSTILE[name]
    with warp.client() as client:
        try:
            client.send(data + request_bytes("GET", "/smuggled"))
        except ConnectionError:
            pass  # it was refused before all was sent
        response = client.read_response()
        assert response.status in (status if isinstance(status, tuple) else (status,)), response
        assert response.headers["Connection"] == "close"
        assert response.headers.get("Cache-Control") == "no-store" or "max-age" not in response.headers.get("Cache-Control", "")
        assert "warp; detail=" in response.cache_status
        client.assert_closed()
    assert origin.silent(), "bytes of a refused request reached the origin"


BAD_CHUNKS = {
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-1\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "space-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "empty": b"\r\nhello\r\n0\r\n\r\n",
    "overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "huge": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "bare-lf": b"5\nhello\r\n0\r\n\r\n",
    "bare-lf-after": b"5\r\nhello\n0\r\n\r\n",
    "overrun": b"5\r\nhello!\r\n0\r\n\r\n",
    "underrun": b"5\r\nhell\r\n0\r\n\r\n",
    "extension-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension-lf": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "extension-nul": b"5;a\0b\r\nhello\r\n0\r\n\r\n",
    "extension-long": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions-many": (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 200 + b"0\r\n\r\n",
    "not-hex": b"g\r\nhello\r\n0\r\n\r\n",
    "trailer-fold": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer-no-colon": b"0\r\nnonsense\r\n\r\n",
    "trailer-nul": b"0\r\nX: \0\r\n\r\n",
    "trailers-many": b"0\r\n" + b"X: a\r\n" * 100 + b"\r\n",
    "trailers-large": b"0\r\nX: " + b"a" * 20000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_never_become_a_complete_request(warp, client, origin, name):
    """Refused with 400 when nothing was sent on yet, else cut on both sides; never a last chunk to the origin."""
    client.send(request_bytes("POST", "/up", {"Transfer-Encoding": "chunked"}))
    try:
        client.send(BAD_CHUNKS[name] + request_bytes("GET", "/smuggled"))
    except ConnectionError:
        pass
    try:
        response = client.read_response()
        assert response.status in (400, 413, 431, 502), response
    except Incomplete:
        pass
    client.ended()
    until(lambda: warp.metric("warp_requests_total") == 1, "the request has ended")
    origin.serve(lambda exchange: exchange.answer(200, body=b"alive"))
    assert warp.get("/alive").body == b"alive"
    assert [e.target for e in origin.exchanges if e.body is not None] == ["/alive"]


# ---- what the clock says ------------------------------------------------------------------------------------------------


def test_a_client_that_resets_while_it_waits_is_noticed(warp, client, origin):
    client.request("/slow", "POST", body=b"x")
    seen = origin.expect("/slow")
    client.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "the client's end was seen")
    seen.connection.wire.ended()


def test_a_graceful_end_of_an_idle_connection(warp, client, origin):
    store(client, origin)
    warp.wait_metric(1, "warp_connections", state="idle")
    client.half_close()
    client.assert_closed()
    warp.wait_metric(0, "warp_connections", state="idle")


def test_a_client_that_resets_a_get_is_noticed(warp, client, origin):
    client.request("/slow")
    origin.expect("/slow")
    client.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "the client's end was seen")
