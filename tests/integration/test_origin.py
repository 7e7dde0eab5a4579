"""HTTP/1 towards origins: framing, connections, failures."""
import ssl
import subprocess

import pytest

from client import request_bytes
from message import Incomplete
from origin import answer, chunk
from wait import Timeout, until
from warp import free_port

FRESH = {"Cache-Control": "max-age=3600"}
FRESH_LINE = b"Cache-Control: max-age=3600\r\n"


def ask(client, origin, data, target="/x", method="GET", end=None):
    """The client asks, the origin says these bytes (and then ends its connection: "fin", "rst"); the answer."""
    client.request(target, method)
    seen = origin.expect(target)
    seen.send(data)
    if end == "fin":
        seen.close()
    elif end == "rst":
        seen.reset()
    return client.read_response(method)


def assert_not_stored(warp, origin, target="/x"):
    with warp.client() as client:
        client.request(target)
        origin.expect(target).answer(200, {"Cache-Control": "no-store"}, b"asked again")
        assert client.read_response().body == b"asked again"


# ---- framing of answers --------------------------------------------------------------------------------------------


def test_close_delimited_answer_ends_with_fin(client, origin):
    response = ask(client, origin, b"HTTP/1.1 200 OK\r\n" + FRESH_LINE + b"\r\nall of it", end="fin")
    assert response.body == b"all of it" and response.framing == "chunked"
    assert client.get("/x").is_hit


def test_close_delimited_answer_of_an_http10_origin(client, origin):
    response = ask(client, origin, b"HTTP/1.0 200 OK\r\n" + FRESH_LINE + b"\r\nall of it", end="fin")
    assert response.body == b"all of it"
    assert client.get("/x").is_hit


@pytest.mark.parametrize("fields", [b"", FRESH_LINE])
def test_close_delimited_answer_ended_by_rst_is_visibly_cut(warp, client, origin, fields):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nhalf")
    response = client.read_head()
    assert client.chunk() == b"half"
    seen.reset()
    with pytest.raises(Incomplete):
        client.read_body(response)
    assert_not_stored(warp, origin)


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("fields", [b"", FRESH_LINE])
def test_an_answer_shorter_than_its_length_is_visibly_cut(warp, client, origin, fields, end):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" + fields + b"\r\nhalf")
    response = client.read_head()
    assert client.exactly(4) == b"half"
    seen.close() if end == "fin" else seen.reset()
    with pytest.raises(Incomplete):
        client.read_body(response)
    assert_not_stored(warp, origin)


def test_a_chunked_answer_streams(client, origin):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + FRESH_LINE + b"\r\n" + chunk(b"one"))
    response = client.read_head()
    assert client.chunk() == b"one"
    seen.send(chunk(b"two") + b"0\r\n\r\n")
    assert client.chunk() == b"two" and client.chunk() == b""
    assert client.until(b"\r\n") == b"\r\n"
    again = client.get("/x")
    assert again.body == b"onetwo" and again.framing == "length"
    assert response.status == 200


def test_trailers_pass_but_not_framing_in_them(client, origin):
    response = ask(client, origin, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n" +
                   chunk(b"x") + b"0\r\nX-Sum: 1\r\nContent-Length: 7\r\nSet-Cookie: a=b\r\n\r\n")
    assert response.trailers.get("X-Sum") == "1"
    assert "Content-Length" not in response.trailers


BAD_BODIES = {
    "not-hex": b"zz\r\nhello\r\n",
    "sign": b"+5\r\nhello\r\n",
    "overrun": b"5\r\nhello!\r\n",
    "overflow": b"fffffffffffffffff\r\nhello\r\n",
    "bare-lf": b"5\nhello\n",
    "cut": b"5\r\nhel",
    "no-last-chunk": b"5\r\nhello\r\n",
    "bad-trailer": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
}


@pytest.mark.parametrize("fields", [b"", FRESH_LINE], ids=["passed", "stored"])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_chunks_are_never_a_complete_answer(warp, client, origin, name, fields):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + fields + b"\r\n" + chunk(b"good"))
    response = client.read_head()
    assert client.chunk() == b"good"
    seen.send(BAD_BODIES[name])
    seen.close()
    with pytest.raises(Incomplete):
        client.read_body(response)
    assert_not_stored(warp, origin)


OK = b"HTTP/1.1 200 OK\r\n"
BAD_HEADS = {
    "two-cl-differ": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two-cl-same": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "cl-list": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "cl-sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "cl-hex": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "cl-empty": OK + b"Content-Length:\r\n\r\nhello",
    "cl-overflow": OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "cl-and-te": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "te-unknown": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "te-xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "te-list": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "te-twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-http10": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "te-vt": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "status-99": b"HTTP/1.1 99 Low\r\n\r\n",
    "status-word": b"HTTP/1.1 OK\r\n\r\n",
    "status-four": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status-600": b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
    "icy": b"ICY 200 OK\r\n\r\n",
    "http2": b"HTTP/2.0 200 OK\r\n\r\n",
    "http09": b"<html>hello</html>\r\n\r\n",
    "binary": b"\x15\x03\x01\0\x02\x02\x0a\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "fold": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "nul": OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare-cr": OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "space-colon": OK + b"Content-Length : 0\r\n\r\n",
    "no-colon": OK + b"nonsense\r\nContent-Length: 0\r\n\r\n",
    "leading-space": OK + b" X: a\r\nContent-Length: 0\r\n\r\n",
    "too-many-fields": OK + b"X: a\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "too-large": OK + b"".join(b"X%d: %s\r\n" % (i, b"a" * 4000) for i in range(20)) + b"\r\n",
    "101-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "cut-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "empty": b"",
    "endless-1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + OK + b"Content-Length: 2\r\n\r\nhi",
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_heads_in_doubt_are_a_502(warp, client, origin, name):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(BAD_HEADS[name])
    if name in ("cut-head", "empty"):
        seen.close()
    response = client.read_response()
    assert response.status == 502, response
    assert "warp; " in response.cache_status and "detail=" in response.cache_status
    assert "warp" in response.headers["Proxy-Status"] and "error=" in response.headers["Proxy-Status"]
    if seen.connection.is_open:
        seen.connection.wire.ended()  # that connection is not used again
        seen.connection.close()
    assert_not_stored(warp, origin)


def test_interim_answers_pass(client, origin):
    client.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    line, headers = client.head()
    assert line.startswith(b"HTTP/1.1 103") and headers["Link"] == "</a.css>; rel=preload"
    seen.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 7 + answer(200, FRESH, b"x"))
    response = client.read_response()
    assert [i.status for i in response.interims] == [102] * 7 and response.body == b"x"
    again = client.get("/x")
    assert again.is_hit and again.interims == []


def test_interim_answers_carry_no_hop_fields(client, origin):
    response = ask(client, origin, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n" + answer(200, {}, b"x"))
    for interim in response.interims:
        for name in ("Connection", "X-Hop", "Transfer-Encoding"):
            assert name not in interim.headers


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_after_an_answer_without_one_is_never_another_answer(warp, client, origin, status):
    client.request("/x", headers={"If-None-Match": '"b"'}, method="POST")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 %d X\r\nETag: \"a\"\r\n\r\n" % status + answer(200, FRESH, b"smuggled"))
    assert client.read_response().status == status
    seen.connection.wire.ended()
    client.request("/y")
    second = origin.expect("/y")
    assert second.connection is not seen.connection
    second.answer(200, FRESH, b"right")
    assert client.read_response().body == b"right"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_extra_bytes_after_an_answer_end_the_connection(client, origin, method):
    client.request("/x", method)
    seen = origin.expect("/x")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + FRESH_LINE + b"\r\n"
    seen.send(head + (b"hi" if method == "GET" else b"") + answer(200, FRESH, b"smuggled"))
    assert client.read_response(method).body == (b"hi" if method == "GET" else b"")
    seen.connection.wire.ended()
    client.request("/y")
    second = origin.expect("/y")
    assert second.connection is not seen.connection
    second.answer(200, body=b"right")
    assert client.read_response().body == b"right"


def test_bytes_on_an_idle_connection_end_it(client, origin):
    assert ask(client, origin, answer(200, {}, b"x")).body == b"x"
    origin.connections[0].wire.send(answer(200, FRESH, b"smuggled"))
    origin.connections[0].wire.ended()
    client.request("/y")
    second = origin.expect("/y")
    assert second.connection.number == 1
    second.answer(200, body=b"right")
    assert client.read_response().body == b"right"


def test_a_408_on_an_idle_connection_is_nobodys_answer(client, origin):
    assert ask(client, origin, answer(200, {}, b"x")).body == b"x"
    origin.connections[0].wire.send(answer(408, {"Connection": "close"}, b""))
    client.request("/y")
    second = origin.expect("/y")
    second.answer(200, body=b"right")
    assert client.read_response().body == b"right"


# ---- connections -------------------------------------------------------------------------------------------------------


def test_connections_are_used_again(client, origin):
    for n in range(6):
        assert ask(client, origin, answer(200, {}, b"x"), f"/{n}").status == 200
    assert len(origin.connections) == 1 and origin.connections[0].requests == 6


def test_connection_close_of_the_origin_is_honoured(client, origin):
    for n in range(3):
        assert ask(client, origin, answer(200, {"Connection": "close"}, b"x"), f"/{n}").status == 200
    assert len(origin.connections) == 3


def test_an_http10_origin_is_not_kept(client, origin):
    for n in range(2):
        assert ask(client, origin, answer(200, {}, b"x", version="HTTP/1.0"), f"/{n}").status == 200
    assert len(origin.connections) == 2


def test_a_stale_connection_is_replaced_for_a_get(client, origin):
    ask(client, origin, answer(200, {}, b"x"))
    client.request("/y")
    seen = origin.expect("/y")  # on the kept connection
    assert seen.connection.number == 0
    seen.close()
    again = origin.expect("/y")
    assert again.connection.number == 1
    again.answer(200, body=b"second time")
    assert client.read_response().body == b"second time"


def test_only_one_retry(client, origin):
    ask(client, origin, answer(200, {}, b"x"))
    client.request("/y")
    origin.expect("/y").close()
    origin.expect("/y").close()
    assert client.read_response().status == 502
    assert origin.silent()


def test_no_retry_on_a_fresh_connection(client, origin):
    client.request("/y")
    origin.expect("/y").close()
    assert client.read_response().status == 502
    assert origin.silent()


def test_a_post_is_never_sent_twice(client, origin):
    ask(client, origin, answer(200, {}, b"x"))
    client.request("/y", "POST", body=b"pay")
    seen = origin.expect("/y")
    assert seen.connection.number == 0
    seen.close()
    assert client.read_response().status == 502
    assert origin.silent()


def test_a_post_without_a_body_is_never_sent_twice(client, origin):
    ask(client, origin, answer(200, {}, b"x"))
    client.request("/y", "POST")
    origin.expect("/y").close()
    assert client.read_response().status == 502
    assert origin.silent()


def test_early_answer_while_the_upload_runs(client, origin):
    client.send(request_bytes("POST", "/up", {"Content-Length": "1000000"}) + b"a" * 1000)
    seen = origin.expect("/up", body=False)
    seen.answer(403, {}, b"no")
    assert client.read_head().status == 403
    assert client.exactly(2) == b"no"
    client.ended()
    seen.connection.wire.ended()  # with an unfinished request on it: never pooled
    with pytest.raises(Incomplete):
        seen.connection.wire.exactly(1000000)


def test_answer_and_upload_flow_at_the_same_time(client, origin):
    client.send(request_bytes("POST", "/echo", {"Transfer-Encoding": "chunked"}) + chunk(b"one"))
    seen = origin.expect("/echo", body=False)
    seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.read_head()
    for word in (b"one", b"two", b"three"):
        if word != b"one":
            client.send(chunk(word))
        assert seen.connection.wire.chunk() == word
        seen.send(chunk(word))
        assert client.chunk() == word
    client.send(b"0\r\n\r\n")
    assert seen.connection.wire.chunk() == b""
    seen.send(b"0\r\n\r\n")
    assert client.chunk() == b""


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_upload_is_never_completed(client, origin, end):
    client.send(request_bytes("POST", "/up", {"Transfer-Encoding": "chunked"}) + chunk(b"half"))
    seen = origin.expect("/up", body=False)
    assert seen.connection.wire.chunk() == b"half"
    client.half_close() if end == "fin" else client.reset()
    assert b"0\r\n" not in seen.connection.wire.ended()


def test_a_long_answer_at_the_pace_of_its_reader(warp, origin):
    """What cannot be sent is not read either: the origin is slowed, memory is not filled."""
    body = bytes(range(256)) * 4096 * 40  # 40 MiB
    with warp.client(receive_buffer=32768) as client:
        client.request("/x", "POST", body=b"")
        seen = origin.expect("/x")
        seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        sent, view = 0, memoryview(body)
        stalled = 0
        while stalled < 50 and sent < len(body):
            n = seen.connection.wire.send_some(view[sent:sent + 65536])
            sent += n
            stalled = 0 if n else stalled + 1
            if not n:
                try:
                    until(lambda: False, "the socket stays full", 0.005)
                except Timeout:
                    pass
        assert sent < 30 << 20
        import threading
        rest = threading.Thread(target=lambda: seen.send(view[sent:]))
        rest.start()
        assert client.read_response().body == body
        rest.join()


# ---- several origins, none, dead ones ---------------------------------------------------------------------------------


def test_several_origins_share_the_load(start_warp, origins):
    group = [origins() for _ in range(3)]
    for n, origin in enumerate(group):
        origin.serve(lambda exchange, n=n: exchange.answer(200, body=b"%d" % n))
    warp = start_warp(*group)
    answers = [warp.get(f"/{n}").body for n in range(30)]
    assert sorted(set(answers)) == [b"0", b"1", b"2"]
    assert all(answers.count(b"%d" % n) == 10 for n in range(3))


def test_a_dead_origin_is_skipped(start_warp, origins):
    alive, dead = origins(), f"http://127.0.0.1:{free_port()}"
    alive.serve(lambda exchange: exchange.answer(200, body=b"alive"))
    warp = start_warp(dead, alive)
    assert [warp.get(f"/{n}").status for n in range(10)] == [200] * 10
    assert warp.metric("warp_origin_healthy", origin=dead) == 0
    assert warp.metric("warp_origin_healthy", origin=alive.url) == 1


def test_all_origins_dead_and_one_back(start_warp, origins):
    port = free_port()
    warp = start_warp(f"http://127.0.0.1:{port}")
    response = warp.get("/")
    assert response.status == 502
    assert "error=connection_refused" in response.headers["Proxy-Status"]
    assert response.headers["Content-Type"].startswith("text/html")
    assert warp.get("/", {"Accept": "application/json"}).headers["Content-Type"].startswith("application/")
    origins(port=port).serve(lambda exchange: exchange.answer(200, body=b"back"))
    assert warp.get("/").body == b"back"  # the last usable one is never skipped


def test_the_host_is_the_clients_or_the_given_one(start_warp, origins, origin):
    warp = start_warp(origin)
    with warp.client() as client:
        client.request("/", host="shop.test:81")
        seen = origin.expect("/")
        assert seen.headers["Host"] == "shop.test:81"
        seen.answer(200)
        client.read_response()
    other = origins()
    warp = start_warp(other, args=["--origin-host", "inner.test"])
    with warp.client() as client:
        client.request("/", host="shop.test:81")
        seen = other.expect("/")
        assert seen.headers["Host"] == "inner.test"
        seen.answer(200)
        client.read_response()


# ---- upgrades --------------------------------------------------------------------------------------------------------------

WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def test_websocket_tunnel(warp, client, origin):
    client.request("/chat", headers=WEBSOCKET)
    seen = origin.expect("/chat")
    assert seen.headers["Upgrade"] == "websocket" and "upgrade" in seen.headers["Connection"].lower()
    assert seen.headers["Sec-WebSocket-Key"] == WEBSOCKET["Sec-WebSocket-Key"]
    seen.send(SWITCH + b"first words of the origin")
    response = client.read_head()
    assert response.status == 101 and response.headers["Upgrade"] == "websocket"
    assert client.exactly(25) == b"first words of the origin"
    for n in range(20):
        client.send(b"up%d" % n + b"\0" * 1000)
        assert seen.connection.wire.exactly(1002 + len(str(n))) == b"up%d" % n + b"\0" * 1000
        seen.send(b"down%d" % n)
        assert client.exactly(4 + len(str(n))) == b"down%d" % n
    client.half_close()
    assert seen.connection.wire.rest() == b""
    seen.send(b"last words")
    seen.close()
    assert client.rest() == b"last words"
    until(lambda: warp.metric("warp_connections", state="active") == 0, "the tunnel is gone")


def test_websocket_large_both_ways(client, origin):
    client.request("/chat", headers=WEBSOCKET)
    seen = origin.expect("/chat")
    seen.send(SWITCH)
    client.read_head()
    import threading
    data = bytes(range(256)) * 8192  # 2 MiB
    up = threading.Thread(target=client.send, args=(data,))
    down = threading.Thread(target=seen.send, args=(data,))
    received = []
    reader = threading.Thread(target=lambda: received.append(seen.connection.wire.exactly(len(data))))
    for thread in (up, down, reader):
        thread.start()
    assert client.exactly(len(data)) == data
    for thread in (up, down, reader):
        thread.join(10)
    assert received == [data]


def test_no_bytes_pass_before_the_101(client, origin):
    client.request("/chat", headers=WEBSOCKET)
    client.send(request_bytes("GET", "/smuggled"))
    seen = origin.expect("/chat")
    assert seen.connection.wire.silent()
    seen.answer(200, {}, b"no upgrade here")
    assert client.read_response().body == b"no upgrade here"
    second = origin.expect("/smuggled")  # as a request of its own
    second.answer(200, {}, b"own answer")
    assert client.read_response().body == b"own answer"


def test_no_websocket(start_warp, origins):
    origin = origins()
    warp = start_warp(origin, args=["--no-websocket"])
    with warp.client() as client:
        client.request("/chat", headers=WEBSOCKET)
        seen = origin.expect("/chat")
        assert "Upgrade" not in seen.headers
        seen.answer(426, {}, b"upgrade required")
        assert client.read_response().status == 426


@pytest.mark.parametrize("upgrade", ["h2c", "websocket, h2c", "TLS/1.0"])
def test_other_upgrades_are_stripped(client, origin, upgrade):
    client.request("/x", headers={"Upgrade": upgrade, "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABk"})
    seen = origin.expect("/x")
    assert "Upgrade" not in seen.headers and "HTTP2-Settings" not in seen.headers
    seen.answer(200, {}, b"plain")
    assert client.read_response().body == b"plain"


# ---- https ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority of our own and a certificate of it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
            "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    for name, san in (("good", "IP:127.0.0.1,DNS:localhost"), ("wrong", "DNS:elsewhere.test")):
        (folder / "san").write_text(f"subjectAltName={san}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.pem", "-days", "2", "-extfile", "san")
    return folder


def tls_origin(origins, certificates, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return origins(tls=context).serve(lambda exchange: exchange.answer(200, FRESH, b"secret"))


def test_https_origin_of_an_unknown_authority_is_refused(start_warp, origins, certificates):
    warp = start_warp(tls_origin(origins, certificates, "good"))
    response = warp.get("/")
    assert response.status == 502 and "error=tls" in response.headers["Proxy-Status"]


def test_https_origin_of_a_known_authority(start_warp, origins, certificates):
    origin = tls_origin(origins, certificates, "good")
    warp = start_warp(origin, env={"SSL_CERT_FILE": str(certificates / "ca.pem")})
    assert warp.get("/").body == b"secret"
    assert warp.get("/").is_hit
    assert warp.get("/other").body == b"secret"
    assert len(origin.connections) == 1 and origin.count == 2


def test_https_origin_with_the_wrong_name_is_refused(start_warp, origins, certificates):
    warp = start_warp(tls_origin(origins, certificates, "wrong"), env={"SSL_CERT_FILE": str(certificates / "ca.pem")})
    assert warp.get("/").status == 502
