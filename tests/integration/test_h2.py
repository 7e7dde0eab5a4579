"""HTTP/2 towards clients, in cleartext with prior knowledge: the real binary, real clients, frames by hand."""
import base64
import hashlib
import json
import signal
import socket
import struct
import subprocess

import pytest

from h2client import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
                      SETTINGS, WINDOW_UPDATE, PRIORITY_UPDATE, H2Client, Raw, block, frame, get_block)
from origin import chunk
from wait import TIMEOUT, until

FRESH = {"Cache-Control": "max-age=3600"}
BIG = bytes((i * 2654435761 >> 13) & 255 for i in range(3 << 20))


@pytest.fixture
def address(warp):
    return "127.0.0.1", warp.port


@pytest.fixture
def h2(address):
    with H2Client(address) as client:
        yield client


def store(h2, origin, target="/stored", body=b"stored", headers=FRESH):
    stream = h2.request(target)
    origin.expect(target).answer(200, headers, body)
    assert h2.answer(stream).body == body


def url(warp, path="/"):
    return f"http://127.0.0.1:{warp.port}{path}"


def run(*argv):
    done = subprocess.run(argv, capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- real clients ----------------------------------------------------------------------------------------------------


def test_curl_gets_a_miss_and_a_hit(warp, origin):
    with subprocess.Popen(["curl", "-si", "--http2-prior-knowledge", url(warp, "/page")], stdout=subprocess.PIPE) as curl:
        seen = origin.expect("/page")
        assert seen.headers["Host"] == f"127.0.0.1:{warp.port}"
        assert seen.headers["Via"] == "2 warp" and seen.headers["X-Forwarded-Proto"] == "http"
        seen.answer(200, FRESH, b"hello")
        first = curl.communicate(timeout=TIMEOUT)[0]
    assert first.startswith(b"HTTP/2 200") and first.endswith(b"\r\n\r\nhello")
    second = run("curl", "-si", "--http2-prior-knowledge", url(warp, "/page"))
    assert b"cache-status: warp; hit" in second and b"via: 1.1 warp" in second and second.endswith(b"hello")
    assert origin.count == 1


def test_curl_posts_and_heads(warp, origin):
    origin.serve(lambda exchange: exchange.answer(201, body=b"got %d" % len(exchange.body)))
    assert run("curl", "-s", "--http2-prior-knowledge", "-d", "x" * 100000, url(warp)) == b"got 100000"
    assert b"content-length" in run("curl", "-sI", "--http2-prior-knowledge", url(warp))


def test_nghttp_and_trailers(warp, origin):
    origin.serve(lambda exchange: exchange.send(
        b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"body") + b"0\r\nX-Sum: 4\r\n\r\n"))
    text = run("nghttp", "-nv", "--no-dep", url(warp)).decode()
    assert "x-sum: 4" in text and "END_STREAM" in text


def test_h2load(warp, origin):
    origin.serve(lambda exchange: exchange.answer(200, FRESH, b"x" * 1024))
    text = run("h2load", "-n", "3000", "-c", "10", "-m", "32", url(warp)).decode()
    assert "3000 succeeded, 0 failed, 0 errored" in text
    assert origin.count == 1
    until(lambda: warp.metric("warp_connections", state="active") == 0, "all have left")


# ---- what is asked and answered ---------------------------------------------------------------------------------------


def test_the_access_record_says_so(start_warp, origin, tmp_path):
    log = tmp_path / "access"
    warp = start_warp(origin, args=["--access-log", str(log)])
    origin.serve(lambda exchange: exchange.answer(200, FRESH, b"x"))
    with H2Client(("127.0.0.1", warp.port)) as h2:
        assert h2.get("/a").status == 200
        assert h2.get("/b", {"TE": "x"}).status == 400
        until(lambda: log.exists() and log.read_text().count("\n") == 2, "both are written")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["version"] for record in records] == ["2.0", "2.0"]


def test_cookies_and_host_reach_the_origin_as_one(h2, origin):
    stream = h2.request("/c", more=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")])
    seen = origin.expect("/c")
    assert seen.headers.all("Cookie") == ["a=1; b=2"] and seen.headers.all("Host") == [h2.authority]
    seen.answer(200, body=b"x")
    assert h2.answer(stream).body == b"x"


def test_streams_do_not_wait_for_each_other(h2, origin):
    slow = h2.request("/slow")
    waiting = origin.expect("/slow")
    store(h2, origin)
    for _ in range(20):
        assert h2.get("/stored")["cache-status"].startswith("warp; hit")
    waiting.answer(200, body=b"slow")
    assert h2.answer(slow).body == b"slow"


def test_interim_answers(h2, origin):
    stream = h2.request("/hints", more={"cache-control": "no-store"}, method="POST", body=b"x")
    seen = origin.expect("/hints")
    seen.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    h2.until(lambda: h2.answers[stream].interim)
    seen.answer(200, body=b"x")
    answer = h2.answer(stream)
    assert dict(answer.interim[0])["link"] == "</a>" and answer.status == 200


def test_an_expecting_client_is_told_to_go_on(h2, origin):
    stream = h2.send(h2.headers("POST", "/", {"expect": "100-continue", "content-length": "5"}), end=False)
    h2.until(lambda: h2.answers[stream].interim)
    h2.send_body(stream, b"hello")
    seen = origin.expect("/")
    assert seen.body == b"hello" and "Expect" not in seen.headers
    seen.answer(200, body=b"ok")
    assert h2.answer(stream).body == b"ok"


def test_a_body_of_unknown_length_is_chunked_with_its_trailers(h2, origin):
    stream = h2.send(h2.headers("POST", "/", {"te": "trailers"}), end=False)
    h2.send_body(stream, b"hello", end=False)
    h2.h2.send_headers(stream, [("x-sum", "5")], end_stream=True)
    h2.flush()
    seen = origin.expect("/")
    assert seen.headers["Transfer-Encoding"] == "chunked" and seen.body == b"hello"
    assert seen.trailers["x-sum"] == "5"
    assert seen.headers["TE"] == "trailers" and seen.headers["Connection"] == "TE"
    seen.answer(200, body=b"ok")
    assert h2.answer(stream).body == b"ok"


def test_both_directions_at_once(h2, origin):
    """As gRPC uses it: the answer flows while the request does."""
    stream = h2.send(h2.headers("POST", "/svc/Chat", {"content-type": "application/grpc", "te": "trailers"}), end=False)
    seen = origin.expect("/svc/Chat", body=False)
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n")
    h2.until(lambda: h2.answers[stream].headers)
    for n in range(5):
        message = b"message %d" % n
        h2.send_body(stream, message, end=False)
        assert seen.connection.wire.exactly(len(chunk(message))) == chunk(message)
        seen.send(chunk(message))
        h2.until(lambda: h2.answers[stream].body.endswith(message))
    h2.send_body(stream, b"")
    assert seen.connection.wire.exactly(5) == b"0\r\n\r\n"
    seen.send(b"0\r\ngrpc-status: 0\r\n\r\n")
    answer = h2.answer(stream)
    assert dict(answer.trailers) == {"grpc-status": "0"} and answer.ended


def test_a_cut_answer_is_seen(h2, origin):
    stream = h2.request("/cut")
    seen = origin.expect("/cut")
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    h2.until(lambda: h2.answers[stream].body == b"half")
    seen.close()
    answer = h2.answer(stream)
    assert answer.reset == 2 and not answer.ended
    store(h2, origin)  # the connection goes on


def test_a_client_that_leaves_a_stream_ends_its_fetch(h2, origin, warp):
    stream = h2.request("/left", method="POST", body=b"x")
    seen = origin.expect("/left")
    h2.h2.reset_stream(stream, 8)
    h2.flush()
    until(lambda: not seen.connection.wire.receive(), "the origin's connection is closed")
    store(h2, origin)


# ---- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1024, 65535, 1 << 20])
def test_downloads_through_windows(address, origin, window):
    with H2Client(address, settings={4: window}) as h2:
        store(h2, origin, "/big", BIG)
        assert h2.get("/big").body == BIG


def test_uploads(h2, origin):
    origin.serve(lambda exchange: exchange.answer(200, body=hashlib.sha256(exchange.body).hexdigest()))
    for more in ({}, {"content-length": str(len(BIG))}):
        answer = h2.get("/up", more, "POST", BIG)
        assert answer.body.decode() == hashlib.sha256(BIG).hexdigest()


def test_a_slow_reader_holds_nobody_up(address, origin, warp):
    with H2Client(address, windows=False) as slow, H2Client(address) as other:
        store(other, origin, "/big", BIG)
        stream = slow.request("/big")
        slow.until(lambda: len(slow.answers[stream].body) == 65535)
        assert other.get("/big").body == BIG
        small = slow.request("/small")
        slow.h2.increment_flow_control_window(100000)
        slow.flush()
        origin.expect("/small").answer(200, body=b"small")
        assert slow.answer(small).body == b"small"
        slow.windows = True
        slow.h2.increment_flow_control_window(1 << 24)
        slow.h2.increment_flow_control_window(1 << 24, stream)
        slow.flush()
        assert slow.answer(stream).body == BIG


def test_ranges_and_conditions(h2, origin):
    store(h2, origin, "/r", b"0123456789", dict(FRESH, ETag='"e"'))
    answer = h2.get("/r", {"range": "bytes=2-4"})
    assert answer.status == 206 and answer.body == b"234" and answer["content-range"] == "bytes 2-4/10"
    assert h2.get("/r", {"if-none-match": '"e"'}).status == 304
    head = h2.get("/r", method="HEAD")
    assert head["content-length"] == "10" and head.body == b""


# ---- what must never reach an origin ------------------------------------------------------------------------------------

SMUGGLING = {
    "crlf-in-value": [("x", b"a\r\nX-Injected: 1")],
    "lf-in-value": [("x", b"a\nb")],
    "nul-in-value": [("x", b"a\0b")],
    "crlf-in-name": [(b"x: y\r\nz", b"1")],
    "colon-in-name": [("x:y", b"1")],
    "space-in-name": [("x y", b"1")],
    "upper-case": [("X-Y", b"1")],
    "transfer-encoding": [("transfer-encoding", b"chunked")],
    "connection": [("connection", b"close")],
    "upgrade": [("upgrade", b"h2c")],
    "te": [("te", b"chunked")],
    "two-lengths": [("content-length", b"0"), ("content-length", b"5")],
    "length-without-body": [("content-length", b"5")],
    "another-host": [("host", b"evil")],
    "late-pseudo": [("x", b"y"), (":path", b"/other")],
    "space-around": [("x", b" y")],
    "no-name": [("", b"y")],
}
BAD_PATHS = [b"", b"x", b"/ HTTP/1.1\r\nX: y", b"/a b", b"/a#b", b"http://evil/", b"*", b"/\x80"]


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling_by_fields(address, origin, warp, name):
    with Raw(address) as raw:
        raw.say(frame(HEADERS, END_HEADERS | END_STREAM, 1, get_block("/", *SMUGGLING[name])))
        _, _, stream, payload = raw.expect(HEADERS)
        assert stream == 1 and payload[:1] in (b"\x8c", b"\x48") or b"400" in payload
        raw.say(frame(PING, 0, 0, b"12345678"))
        raw.expect(PING)  # the connection goes on
    assert origin.silent()
    assert warp.metric("warp_refused_requests_total") == 1


@pytest.mark.parametrize("path", BAD_PATHS)
def test_smuggling_by_path(address, origin, warp, path):
    with Raw(address) as raw:
        raw.say(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                      block((":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", path))))
        raw.expect(HEADERS)
    assert origin.silent()
    assert warp.metric("warp_refused_requests_total") == 1


@pytest.mark.parametrize("fields", [[("content-length", b"3")], [("content-length", b"30")], [("content-length", b"0")]])
def test_smuggling_by_length(address, origin, warp, fields):
    """The body is not as long as it was said to be: the origin never sees a complete one."""
    with Raw(address) as raw:
        raw.say(frame(HEADERS, END_HEADERS, 1, block((":method", "POST"), (":scheme", "http"), (":authority", "h"), (":path", "/"),
                                                     *fields)) + frame(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n"))
        assert raw.expect(RST_STREAM)[2] == 1
        raw.say(frame(PING, 0, 0, b"12345678"))
        raw.expect(PING)
    for connection in origin.connections:
        assert b"smuggled" not in connection.wire.buffer


def test_connect_is_refused(h2, origin):
    assert h2.answer(h2.send([(":method", "CONNECT"), (":authority", "h:443")])).status == 405
    assert h2.answer(h2.send(h2.headers("CONNECT", "/", [(":protocol", "connect-udp")])[:4] + [(":protocol", "connect-udp")])).status == 501
    assert origin.silent()


# ---- WebSocket ------------------------------------------------------------------------------------------------------------


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def connect_chat(h2):
    return h2.send([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", h2.authority),
                    (":path", "/chat"), ("sec-websocket-version", "13")], end=False)


def test_websocket(h2, origin):
    stream = connect_chat(h2)
    seen = origin.expect("/chat")
    assert seen.method == "GET" and seen.headers["Upgrade"] == "websocket" and seen.headers["Sec-WebSocket-Version"] == "13"
    seen.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
              + accept_of(seen.headers["Sec-WebSocket-Key"]).encode() + b"\r\n\r\nhello")
    h2.until(lambda: h2.answers[stream].body == b"hello")
    assert h2.answers[stream].status == 200
    h2.send_body(stream, BIG[:500000], end=False)
    assert seen.connection.wire.exactly(500000) == BIG[:500000]
    seen.send(BIG[:500000])
    h2.until(lambda: h2.answers[stream].body == b"hello" + BIG[:500000])
    h2.send_body(stream, b"bye")
    assert seen.connection.wire.exactly(3) == b"bye"
    seen.close()
    assert h2.answer(stream).ended


def test_websocket_that_was_not_understood(h2, origin):
    stream = connect_chat(h2)
    seen = origin.expect("/chat")
    seen.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    assert h2.answer(stream).status == 502
    stream = connect_chat(h2)
    origin.expect("/chat").answer(200, body=b"a page")
    assert h2.answer(stream).status == 502


def test_no_websocket(start_warp, origin):
    warp = start_warp(origin, args=["--no-websocket"])
    with H2Client(("127.0.0.1", warp.port)) as h2:
        assert h2.answer(connect_chat(h2)).status == 501
        assert origin.silent()


def test_priority_updates_before_and_after(address, origin, warp):
    """Each for a stream that is not open yet; then that stream comes and goes."""
    with Raw(address) as raw:
        for stream in range(1, 41, 2):
            raw.say(frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + b"u=1"))
            raw.say(frame(HEADERS, END_HEADERS | END_STREAM, stream, get_block("/page")))
            if stream == 1:
                origin.expect("/page").answer(200, FRESH, b"x")
            while raw.expect(DATA)[1] & END_STREAM == 0:
                pass
        raw.say(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1"))
        assert raw.expect_goaway() == 1  # RFC 9218 7.1: the connection is no stream


# ---- limits -----------------------------------------------------------------------------------------------------------------


def one_get(stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, get_block("/"))


def post(stream):
    return frame(HEADERS, END_HEADERS, stream, block((":method", "POST"), (":scheme", "http"), (":authority", "h"), (":path", "/")))


def made_resets(n):
    return b"".join(post(s) + frame(WINDOW_UPDATE, 0, s, b"\x7f\xff\xff\xff") for s in range(1, 2 * n, 2))


ABUSE = {
    "h2_settings": frame(SETTINGS) * 20,
    "h2_ping": frame(PING, 0, 0, b"12345678") * 61,
    "h2_priority": frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 121,
    "h2_resets": b"".join(one_get(s) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in range(1, 450, 2)),
    "h2_empty": post(1) + frame(DATA, 0, 1) * 101,
    "h2_ignored": one_get(1) + frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(DATA, 0, 1) * 5000 + frame(0x77) * 5001,
    "h2_window_update": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1001,
    "h2_continuation": frame(HEADERS, END_STREAM, 1, get_block()[:1]) + b"".join(
        frame(CONTINUATION, 0, 1, get_block()[i:i + 1]) for i in range(1, 8)),
}


@pytest.mark.parametrize("limit", ABUSE)
def test_abuse_ends_the_connection(address, origin, warp, limit):
    with Raw(address) as raw:
        raw.say(ABUSE[limit])
        assert raw.expect_goaway() == ENHANCE_YOUR_CALM
    assert warp.metric("warp_limit_hits_total", limit=limit) == 1
    until(lambda: warp.metric("warp_connections", state="active") == 0, "it is gone")


def test_pings_for_what_was_received(h2, origin, warp):
    """A gRPC client measures the path with a ping for each piece."""
    stream = h2.request("/call", "POST", [("content-type", "application/grpc"), ("te", "trailers")])
    seen = origin.expect("/call")
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer = h2.answers[stream]
    for n in range(1, 101):
        seen.send(chunk(b"m" * 20))
        h2.until(lambda: len(answer.body) == 20 * n)
        h2.ping()
    seen.send(b"0\r\nGrpc-Status: 0\r\n\r\n")
    assert ("grpc-status", "0") in h2.answer(stream).trailers and h2.goaway is None


def test_resets_that_the_client_causes(address, warp, origin):
    with Raw(address) as raw:
        for stream in range(1, 403, 2):
            raw.say(post(stream) + frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"))
            assert raw.expect(RST_STREAM)[2] == stream
        assert raw.expect_goaway() == ENHANCE_YOUR_CALM
    assert warp.metric("warp_limit_hits_total", limit="h2_resets_caused") == 1


def test_refusals_before_the_acknowledgement(address, warp, origin):
    """A client that does not know the limit yet is refused what goes beyond, but not for ever."""
    with Raw(address) as raw:
        raw.say(b"".join(post(s) for s in range(1, 803, 2)))
        assert raw.expect_goaway() == ENHANCE_YOUR_CALM
    assert warp.metric("warp_limit_hits_total", limit="h2_resets_caused") == 1
    assert 200 <= warp.metric("warp_limit_hits_total", limit="h2_streams") <= 201


def test_acknowledgements_that_nobody_reads(address, warp, origin):
    """A client that asks for answers and does not read them: what waits for it is bounded."""
    with Raw(address) as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.say(frame(PING, 0, 0, b"12345678") * 100)
        until(lambda: warp.metric("warp_limit_hits_total", limit="h2_ping") == 1, "it is cut off")


def test_more_streams_than_allowed(address, warp, origin):
    with Raw(address) as raw:
        raw.expect(SETTINGS)
        raw.say(frame(SETTINGS, ACK) + b"".join(post(s) for s in range(1, 203, 2)))
        assert raw.expect_goaway() == 1
    assert warp.metric("warp_limit_hits_total", limit="h2_streams") == 1


def test_the_largest_head_of_an_answer(h2, origin):
    """What HTTP/1 clients would get, HTTP/2 clients get."""
    h2.h2.decoder.max_header_list_size = 1 << 20
    stream = h2.request("/head")
    origin.expect("/head").answer(200, [(f"X-A{i:03d}", "v" * 360) for i in range(170)], b"hello")
    answer = h2.answer(stream)
    assert (answer.status, answer.body) == (200, b"hello")
    assert sum(name.startswith("x-a") and value == "v" * 360 for name, value in answer.headers) == 170


def test_large_heads(h2, origin, warp):
    assert h2.get("/", [(f"x{i}", "y") for i in range(101)]).status == 431
    assert h2.get("/", [("x", "y" * 16400)]).status == 431
    assert h2.get("/" + "x" * 8192).status == 414
    assert h2.get("/", [(f"x{i}", "y" * 8000) for i in range(5)]).status == 431
    assert origin.silent()


# ---- the end ------------------------------------------------------------------------------------------------------------------


def test_a_drain_drops_nothing(start_warp, origin):
    warp = start_warp(origin)
    with Raw(("127.0.0.1", warp.port)) as busy, H2Client(("127.0.0.1", warp.port)) as idle:
        store(idle, origin)
        busy.say(one_get(1))
        seen = origin.expect("/")
        warp.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            idle.until(lambda: False)
        assert idle.goaway == 0
        assert busy.expect(GOAWAY)[3] == b"\x7f\xff\xff\xff\0\0\0\0"  # what is on its way may still come
        busy.say(one_get(3))
        assert busy.expect(GOAWAY)[3] == b"\0\0\0\3\0\0\0\0"
        seen.answer(200, FRESH, b"whole")
        assert {busy.expect(DATA)[3], busy.expect(DATA)[3]} == {b"whole"}
        assert busy.expect_goaway() == 0
    assert warp.process.wait(TIMEOUT) == 0


def test_another_protocol_after_http_1(client, origin):
    """The preface is for the beginning of a connection."""
    client.request("/")
    origin.expect("/").answer(200, body=b"x")
    assert client.read_response().body == b"x"
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert client.read_response().status in (400, 505)
    client.assert_closed()
