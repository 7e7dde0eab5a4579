"""HTTP/2 towards origins: over TLS by ALPN, in cleartext by prior knowledge; failures of either side."""
import hashlib
import os
import signal
import ssl
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from client import request_bytes
from message import Incomplete
from origin import chunk
from origin_h2 import H2Origin
from wait import until
from warp import BINARY

FRESH = {"Cache-Control": "max-age=3600"}


@pytest.fixture
def h2_origins():
    made = []

    def make(**options):
        made.append(H2Origin(**options))
        return made[-1]

    yield make
    for origin in made:
        origin.stop()
        assert origin.bug is None, repr(origin.bug)
        assert origin.errors == [], origin.errors


@pytest.fixture
def origin(h2_origins):
    return h2_origins()


def test_an_answer(client, origin):
    client.request("/x?y", headers={"X-Test": "1", "Cookie": "a=b; c=d"})
    stream = origin.expect("/x?y")
    assert stream[":method"] == "GET" and stream[":scheme"] == "http" and stream[":authority"] == "a.test"
    assert stream["x-test"] == "1" and stream["cookie"] == "a=b; c=d"
    assert stream.get("host") is None and stream.get("connection") is None and stream.get("te") is None
    assert stream.read_body() == b""
    stream.answer(200, {**FRESH, "X-Answer": "2"}, b"hello")
    response = client.read_response()
    assert response.status == 200 and response.body == b"hello" and response.headers["X-Answer"] == "2"
    assert client.get("/x?y").is_hit


# ---- many requests, few connections -------------------------------------------------------------------------------------


def in_parallel(warp, n, ask):
    """ask(i, client) in n threads at once; what they return, in order."""
    with ThreadPoolExecutor(n) as pool:
        def one(i):
            with warp.client() as client:
                return ask(i, client)
        return list(pool.map(one, range(n)))


def test_200_at_once_over_few_connections(warp, origin):
    waiting = threading.Semaphore(0)

    def handler(stream):
        if stream.path == "/last":
            for _ in range(200):
                waiting.release()
        else:
            waiting.acquire()
        stream.answer(200, {}, stream.path.encode())

    origin.serve(handler)
    with ThreadPoolExecutor(200) as pool:
        def one(i):
            with warp.client() as client:
                return client.get(f"/{i}").body
        futures = [pool.submit(one, i) for i in range(200)]
        until(lambda: len(origin.streams) == 200, "all requests at the origin")
        assert warp.get("/last").body == b"/last"
        assert [future.result() for future in futures] == [b"/%d" % i for i in range(200)]
    assert len(origin.connections) in (3, 4)


def test_the_origins_limit_of_streams_is_kept(start_warp, h2_origins):
    origin = h2_origins(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 5})
    warp = start_warp(origin)
    origin.serve(lambda stream: stream.answer(200, {}, b"first"))
    assert warp.get("/first").body == b"first"  # from now on WARP knows the limit
    held = threading.Event()

    def handler(stream):
        held.wait(10)
        stream.answer(200, {}, b"x")

    origin.serve(handler)
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(lambda i=i: warp.get(f"/{i}").status) for i in range(20)]
        until(lambda: len(origin.streams) == 21, "all requests at the origin")
        assert len(origin.connections) == 4
        held.set()
        assert [future.result() for future in futures] == [200] * 20


def test_refused_streams_are_sent_again(warp, origin):
    """Whatever their method."""
    refused = set()

    def handler(stream):
        with stream.connection.changed:
            refuse = len(refused) < 10 and stream.path not in refused
            if refuse:
                refused.add(stream.path)
        stream.reset(ErrorCodes.REFUSED_STREAM) if refuse else stream.answer(200, {}, b"x")

    origin.serve(handler)
    assert in_parallel(warp, 30, lambda i, client: client.get(f"/{i}", method="POST").status) == [200] * 30
    assert len(origin.streams) == 40


def test_refused_for_ever_is_a_502(warp, origin):
    origin.serve(lambda stream: stream.reset(ErrorCodes.REFUSED_STREAM))
    response = warp.get("/x")
    assert response.status == 502 and "detail=origin-closed" in response.cache_status
    assert len(origin.streams) == 5


def test_a_refused_upload_that_was_begun_is_not_repeated(warp, client, origin):
    client.request("/x", "POST", body=b"12345")
    stream = origin.expect("/x")
    stream.read_body()
    stream.reset(ErrorCodes.REFUSED_STREAM)
    assert client.read_response().status == 502
    assert len(origin.streams) == 1


# ---- GOAWAY, resets, lost connections --------------------------------------------------------------------------------------


def test_goaway_midway_loses_nothing(warp, origin):
    """The second half of what is under way was not processed: it is asked again elsewhere."""
    said = threading.Event()

    def handler(stream):
        connection = stream.connection
        if connection.number == 0 and stream.id > 39:
            said.wait(10)
            return  # above the last stream: never looked at
        said.wait(10)
        stream.answer(200, {}, stream.path.encode())

    origin.serve(handler)
    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(lambda i=i: warp.get(f"/{i}").body) for i in range(40)]
        until(lambda: len(origin.streams) == 40, "all requests at the origin")
        assert len(origin.connections) == 1
        origin.connections[0].goaway(39)
        said.set()
        assert [future.result() for future in futures] == [b"/%d" % i for i in range(40)]
    assert len(origin.connections) == 2
    origin.connections[0].wait_over()  # drained, then closed


def test_goaway_before_anything_was_processed_repeats_a_post(warp, client, origin):
    client.request("/x", "POST")
    origin.expect("/x").connection.goaway(0)
    again = origin.expect("/x")
    assert again[":method"] == "POST" and again["content-length"] == "0" and again.connection.number == 1
    again.answer(200, {}, b"done")
    assert client.read_response().body == b"done"


def test_goaway_lets_what_is_under_way_end(warp, client, origin):
    client.request("/x")
    stream = origin.expect("/x")
    stream.head(200, {})
    stream.data(b"one")
    client.read_head()
    assert client.chunk() == b"one"
    stream.connection.goaway(stream.id)
    assert warp_asks_elsewhere(warp, origin)
    stream.data(b"two", end=True)
    assert client.chunk() == b"two" and client.chunk() == b""
    stream.connection.wait_over()


def warp_asks_elsewhere(warp, origin):
    with warp.client() as other:
        other.request("/other")
        stream = origin.expect("/other")
        assert stream.connection.number == 1
        stream.answer(200, {}, b"")
        return other.read_response().status == 200


@pytest.mark.parametrize("fields", [{}, FRESH], ids=["passed", "stored"])
@pytest.mark.parametrize("how", ["reset", "no-error", "cut", "rst"])
def test_an_answer_that_is_broken_off_is_visibly_cut(warp, client, origin, fields, how):
    client.request("/x")
    stream = origin.expect("/x")
    stream.head(200, fields)
    stream.data(b"half")
    response = client.read_head()
    assert client.chunk() == b"half"
    if how in ("reset", "no-error"):
        stream.reset(ErrorCodes.INTERNAL_ERROR if how == "reset" else ErrorCodes.NO_ERROR)
    else:
        stream.connection.cut(reset=how == "rst")
    with pytest.raises(Incomplete):
        client.read_body(response)
    with warp.client() as other:  # nothing was stored
        other.request("/x")
        origin.expect("/x").answer(200, {}, b"again")
        assert other.read_response().body == b"again"


def test_a_reset_before_the_answer_is_a_502(client, origin):
    client.request("/x")
    origin.expect("/x").reset(ErrorCodes.INTERNAL_ERROR)
    response = client.read_response()
    assert response.status == 502 and "detail=origin-closed" in response.cache_status
    assert "error=connection_terminated" in response.headers["Proxy-Status"]


def test_no_error_behind_a_complete_answer_is_fine(client, origin):
    """An upload that the origin does not want to the end (RFC 9113 8.1)."""
    client.send(request_bytes("POST", "/x", {"Content-Length": "100000"}) + b"a" * 1000)
    stream = origin.expect("/x")
    stream.wait_bytes(1000)

    def refuse(h2):
        h2.send_headers(stream.id, [(":status", "413")])
        h2.send_data(stream.id, b"too large", end_stream=True)
        h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)

    stream.connection.do(refuse)
    response = client.read_response()
    assert response.status == 413 and response.body == b"too large"


def test_a_lost_connection_repeats_what_is_idempotent(warp, client, origin):
    client.request("/first")
    origin.expect("/first").answer(200, {}, b"1")
    assert client.read_response().body == b"1"
    client.request("/x")
    with warp.client() as poster:
        lost = origin.expect("/x").connection
        poster.request("/post", "POST")
        origin.expect("/post")
        lost.cut()
        again = origin.expect("/x")
        assert again.connection.number == 1
        again.answer(200, {}, b"again")
        assert client.read_response().body == b"again"
        assert poster.read_response().status == 502
    assert len(origin.streams) == 4


# ---- bodies --------------------------------------------------------------------------------------------------------------


def test_a_large_answer(client, origin):
    body = os.urandom(1 << 20) * 8
    origin.serve(lambda stream: stream.answer(200, FRESH, body))
    assert client.get("/large").body == body
    assert client.get("/large").body == body
    assert len(origin.streams) == 1


def test_a_large_upload_under_small_windows(start_warp, h2_origins):
    origin = h2_origins(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}, connection_window=0)
    body = os.urandom(1 << 18)
    origin.serve(lambda stream: stream.answer(200, {}, hashlib.sha256(stream.read_body()).hexdigest()))
    warp = start_warp(origin)
    with warp.client() as client:
        client.get("/")  # h2, as the origin, has to have its window acknowledged before
        for _ in range(2):
            response = client.get("/up", method="POST", body=body)
            assert response.body.decode() == hashlib.sha256(body).hexdigest()
        assert origin.streams[1]["content-length"] == str(len(body))


def test_a_slow_reader_does_not_hold_up_the_others(warp, origin):
    """More than the stream's window waits for it; the connection goes on."""
    body = os.urandom(1 << 20)

    def handler(stream):
        if stream.path == "/slow":
            stream.head(200, {})
            while True:
                stream.data(body)
        stream.answer(200, {}, body)

    origin.serve(handler)
    with warp.client(receive_buffer=4096) as slow:
        slow.request("/slow")
        slow.read_head()
        until(lambda: origin.streams, "the slow request")
        connection, stream = origin.connections[0], origin.streams[0]

        def is_blocked():
            with connection.changed:
                return connection.h2.local_flow_control_window(stream.id) == 0
        until(is_blocked, "a full window")
        for i in range(5):
            assert warp.get(f"/{i}").body == body
        assert len(origin.connections) == 1


def test_an_upload_streams_while_the_answer_does(client, origin):
    client.send(request_bytes("POST", "/x", {"Transfer-Encoding": "chunked"}))
    stream = origin.expect("/x")
    stream.head(200, {})
    client.read_head()
    for word in (b"one", b"two", b"three"):
        before = len(stream.body)
        client.send(chunk(word))
        stream.wait_bytes(before + len(word))
        stream.data(stream.body[before:])
        assert client.chunk() == word
    client.send(b"0\r\nX-Sum: 1\r\n\r\n")
    assert stream.read_body() == b"onetwothree" and stream.trailers == [("x-sum", "1")]
    stream.end([("x-answer-sum", "2"), ("content-length", "3")])
    assert client.chunk() == b""
    assert client.until(b"\r\n\r\n") == b"x-answer-sum: 2\r\n\r\n"


def test_trailers_of_both(client, origin):
    client.request("/x")
    stream = origin.expect("/x")
    stream.answer(200, {}, b"x", trailers=[("x-sum", "1"), ("content-length", "7"), ("set-cookie", "a=b")])
    response = client.read_response()
    assert response.body == b"x" and response.trailers.get("X-Sum") == "1"
    assert "Content-Length" not in response.trailers


def test_a_client_that_leaves_resets_its_stream_only(warp, origin):
    with warp.client() as client:
        client.request("/x")
        stream = origin.expect("/x")
        stream.head(200, {})
        stream.data(b"x")
        client.read_head()
        client.reset()
    assert stream.wait_reset() == ErrorCodes.CANCEL
    with warp.client() as client:
        client.request("/y")
        again = origin.expect("/y")
        assert again.connection is stream.connection
        again.answer(200, {}, b"y")
        assert client.read_response().body == b"y"


@pytest.mark.parametrize("method,status", [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_answers_without_a_body(client, origin, method, status):
    client.request("/x", method, headers={"If-None-Match": '"a"', "Cache-Control": "no-store"})
    origin.expect("/x").answer(status, {"ETag": '"a"', "Content-Length": "5"} if status != 204 else {})
    response = client.read_response(method)
    assert response.status == status and response.body == b""


# ---- strictness ------------------------------------------------------------------------------------------------------------


BAD_HEADS = {
    "no-status": [("x", "y")],
    "status-word": [(":status", "ok")],
    "status-101": [(":status", "101")],
    "status-99": [(":status", "99")],
    "status-twice": [(":status", "200"), (":status", "200")],
    "pseudo-late": [("x", "y"), (":status", "200")],
    "pseudo-unknown": [(":status", "200"), (":path", "/")],
    "upper-case": [(":status", "200"), ("X-Up", "y")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "line-end": [(":status", "200"), ("x", "a\r\nb: c")],
    "nul": [(":status", "200"), ("x", "a\0b")],
    "space-around": [(":status", "200"), ("x", " a ")],
    "two-lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
    "length-word": [(":status", "200"), ("content-length", "-1")],
    "too-many-fields": [(":status", "200")] + [("x", "y")] * 300,
    "too-large": [(":status", "200")] + [(f"x{i}", "a" * 4000) for i in range(20)],
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_heads_in_doubt_are_a_502(warp, client, origin, name):
    client.request("/x")
    stream = origin.expect("/x")
    stream.fields_raw(BAD_HEADS[name])
    response = client.read_response()
    assert response.status == 502 and "detail=origin-invalid" in response.cache_status
    assert "error=http_protocol_error" in response.headers["Proxy-Status"]
    assert stream.wait_reset() == ErrorCodes.PROTOCOL_ERROR
    client.request("/x")  # the connection is good, nothing was stored
    again = origin.expect("/x")
    assert again.connection is stream.connection
    again.answer(200, {}, b"fine")
    assert client.read_response().body == b"fine"


def test_interim_answers(client, origin):
    client.request("/x")
    stream = origin.expect("/x")
    stream.fields_raw([(":status", "100")])
    for _ in range(7):
        stream.fields_raw([(":status", "103"), ("link", "</a.css>; rel=preload")])
    stream.answer(200, {}, b"x")
    response = client.read_response()
    assert [i.status for i in response.interims] == [103] * 7 and response.body == b"x"
    assert response.interims[0].headers["Link"] == "</a.css>; rel=preload"


def test_too_many_interim_answers_are_a_502(client, origin):
    client.request("/x")
    stream = origin.expect("/x")
    for _ in range(9):
        stream.fields_raw([(":status", "103")])
    response = client.read_response()
    assert response.status == 502 and "detail=too-many-interim" in response.cache_status


@pytest.mark.parametrize("fields", [{}, FRESH], ids=["passed", "stored"])
@pytest.mark.parametrize("length,data", [("10", b"half"), ("2", b"more")])
def test_content_length_has_to_match(warp, client, origin, fields, length, data):
    client.request("/x")
    stream = origin.expect("/x")
    stream.head(200, {**fields, "Content-Length": length})
    stream.connection.frame(0, 1, stream.id, data)  # END_STREAM
    try:
        assert client.read_response().status == 502  # nothing of the answer had left
    except Incomplete:
        pass
    with warp.client() as other:
        other.request("/x")
        origin.expect("/x").answer(200, {}, b"again")
        assert other.read_response().body == b"again"


def test_data_before_the_head_is_a_502(client, origin):
    client.request("/x")
    stream = origin.expect("/x")
    stream.connection.frame(0, 0, stream.id, b"body")
    response = client.read_response()
    assert response.status == 502 and "detail=origin-invalid" in response.cache_status


@pytest.mark.parametrize("kind,payload", [(6, b"12345678"), (4, b""), (2, b"\0\0\0\0\0")], ids=["ping", "settings", "priority"])
def test_a_flood_of_control_frames_ends_the_connection(warp, client, origin, kind, payload):
    client.request("/x")
    stream = origin.expect("/x")
    flood = struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, 0, 1 if kind == 2 else 0) + payload
    try:
        stream.connection.raw(flood * 1100)
    except OSError:
        pass  # it was faster
    assert client.read_response().status == 502
    stream.connection.wait_over()
    assert warp.metric("warp_limit_hits_total", limit="origin_control_frames") >= 1
    client.request("/y")
    origin.expect("/y").answer(200, {}, b"y")
    assert client.read_response().body == b"y"


@pytest.mark.parametrize("frame", [
    (9, 4, 1, b""),  # CONTINUATION of nothing
    (5, 4, 1, b"\0\0\0\2\x88"),  # PUSH_PROMISE
    (0, 0, 0, b"x"),  # DATA of no stream
    (8, 0, 0, b"\0\0\0\0"),  # WINDOW_UPDATE by nothing
    (1, 4, 2, b"\x88"),  # HEADERS of a stream of its own
], ids=["continuation", "push", "data-0", "window-0", "stream-2"])
def test_a_broken_protocol_ends_the_connection(warp, client, origin, frame):
    client.request("/x")
    stream = origin.expect("/x")
    kind, flags, number, payload = frame
    stream.connection.frame(kind, flags, number, payload)
    response = client.read_response()
    assert response.status == 502, response
    stream.connection.wait_over()
    client.request("/y")
    origin.expect("/y").answer(200, {}, b"y")
    assert client.read_response().body == b"y"


# ---- shutting down ----------------------------------------------------------------------------------------------------------


def test_a_drain_closes_idle_connections_and_lets_others_end(start_warp, h2_origins):
    idle, busy = h2_origins(), h2_origins()
    idle.serve(lambda stream: stream.answer(200, {}, b"x"))
    warp = start_warp(idle, busy)
    with warp.client() as client:
        assert client.get("/1").body == b"x"
        client.request("/2")
        stream = busy.expect("/2")
        warp.signal(signal.SIGTERM)
        idle.connections[0].wait_over()
        assert idle.connections[0].goaway_code == ErrorCodes.NO_ERROR
        stream.answer(200, {}, b"last")
        assert client.read_response().body == b"last"
        stream.connection.wait_over()


# ---- TLS --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority of our own and what it has signed."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    def request(name):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
            "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "self.key", "-out",
            "self.pem", "-days", "2", "-subj", "/CN=self", "-addext", "subjectAltName=IP:127.0.0.1")
    for name, san in (("good", "IP:127.0.0.1,DNS:localhost"), ("named", "DNS:inner.test"), ("client", "DNS:client.test")):
        (folder / "san").write_text(f"subjectAltName={san}\n")
        request(name)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.pem", "-days", "2", "-extfile", "san")
    request("expired")
    (folder / "index").write_text("")
    (folder / "serial").write_text("77\n")
    (folder / "ca.conf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\npolicy=p\n"
                                    "default_md=sha256\nx509_extensions=e\n[p]\ncommonName=supplied\n"
                                    "[e]\nsubjectAltName=IP:127.0.0.1\n")
    openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "expired.csr", "-out",
            "expired.pem", "-startdate", "200101000000Z", "-enddate", "200102000000Z")
    return folder


def tls(certificates, name="good", alpn=("h2", "http/1.1"), ask=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates / "ca.pem")
    return context


def trusting(certificates, *more):
    return ["--origin-ca", str(certificates / "ca.pem"), *more]


def test_alpn_h2(start_warp, h2_origins, certificates):
    origin = h2_origins(tls=tls(certificates)).serve(lambda stream: stream.answer(200, {}, stream[":scheme"]))
    warp = start_warp(origin, args=trusting(certificates))
    assert in_parallel(warp, 50, lambda i, client: client.get(f"/{i}").body) == [b"https"] * 50
    assert len(origin.connections) == 1


@pytest.mark.parametrize("alpn", [["http/1.1"], []], ids=["http/1.1", "none"])
def test_alpn_h1(start_warp, origins, certificates, alpn):
    origin = origins(tls=tls(certificates, alpn=alpn)).serve(lambda exchange: exchange.answer(200, {}, b"old"))
    warp = start_warp(origin, args=trusting(certificates))
    assert in_parallel(warp, 20, lambda i, client: client.get(f"/{i}").body) == [b"old"] * 20


def test_origin_http1_keeps_to_it(start_warp, origins, certificates):
    origin = origins(tls=tls(certificates)).serve(lambda exchange: exchange.answer(200, {}, b"old"))
    warp = start_warp(origin, args=trusting(certificates, "--origin-http1"))
    assert warp.get("/").body == b"old"


def test_websockets_go_over_http1(start_warp, origins, certificates):
    """The origin would choose h2; a handshake is made on a connection that does not offer it."""
    context = tls(certificates)
    origin = origins(tls=context)
    warp = start_warp(origin, args=trusting(certificates))
    with warp.client() as client:
        client.request("/chat", headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                         "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        seen = origin.expect("/chat")
        assert seen.connection.wire.sock.selected_alpn_protocol() == "http/1.1"
        seen.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        assert client.read_head().status == 101
        client.send(b"ping")
        assert seen.connection.wire.exactly(4) == b"ping"
        seen.connection.wire.send(b"pong")
        assert client.exactly(4) == b"pong"


REFUSED = {
    "unknown-authority": ("good", [], "certificate-untrusted", "unable to get local issuer certificate"),
    "self-signed": ("self", [], "certificate-untrusted", "self-signed certificate"),
    "wrong-name": ("named", ["ca"], "certificate-name", "IP address mismatch"),
    "expired": ("expired", ["ca"], "certificate-expired", "certificate has expired"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_certificate_is_refused_with_the_reason(start_warp, h2_origins, certificates, case):
    name, ca, word, text = REFUSED[case]
    origin = h2_origins(tls=tls(certificates, name))
    warp = start_warp(origin, args=trusting(certificates) if ca else [])
    response = warp.get("/x")
    assert response.status == 502 and f"detail={word}" in response.cache_status
    assert response.headers["Proxy-Status"] == "warp; error=tls_certificate_error"
    until(lambda: text in warp.stderr(), "the reason in the log")
    assert origin.streams == []


def test_origin_insecure_takes_any(start_warp, h2_origins, certificates):
    origin = h2_origins(tls=tls(certificates, "self")).serve(lambda stream: stream.answer(200, {}, b"x"))
    warp = start_warp(origin, args=["--origin-insecure"])
    assert warp.get("/x").body == b"x"
    assert "NOT verified" in warp.stderr()


def test_origin_name(start_warp, h2_origins, certificates):
    names = []
    context = tls(certificates, "named")
    context.sni_callback = lambda sock, name, _: names.append(name)
    origin = h2_origins(tls=context).serve(lambda stream: stream.answer(200, {}, stream[":authority"]))
    warp = start_warp(origin, args=trusting(certificates, "--origin-name", "inner.test"))
    assert warp.get("/x").body == b"a.test"
    assert names == ["inner.test"]


def test_a_client_certificate(start_warp, h2_origins, certificates):
    origin = h2_origins(tls=tls(certificates, ask=True))
    origin.serve(lambda stream: stream.answer(200, {}, str(stream.connection.sock.getpeercert()["subject"][0][0][1])))
    warp = start_warp(origin, args=trusting(certificates, "--origin-cert", str(certificates / "client.pem"), "--origin-key",
                                            str(certificates / "client.key")))
    assert warp.get("/x").body == b"client"


def test_without_a_client_certificate(start_warp, h2_origins, certificates):
    origin = h2_origins(tls=tls(certificates, ask=True))
    warp = start_warp(origin, args=trusting(certificates))
    response = warp.get("/x")
    assert response.status == 502, response
    until(lambda: origin.handshake_errors, "the refusal")


def test_sessions_are_resumed(start_warp, h2_origins, certificates):
    origin = h2_origins(tls=tls(certificates))
    warp = start_warp(origin, args=trusting(certificates))
    with warp.client() as client:
        for i in range(3):
            client.request(f"/{i}")
            stream = origin.expect(f"/{i}")
            stream.answer(200, {}, b"x")
            assert client.read_response().body == b"x"
            stream.connection.goaway(stream.id)
            stream.connection.wait_over()
    assert origin.resumed == [False, True, True]


def test_large_bodies_over_tls(start_warp, h2_origins, certificates):
    body = os.urandom(1 << 20) * 4
    origin = h2_origins(tls=tls(certificates)).serve(lambda stream: stream.answer(200, {}, stream.read_body() or body))
    warp = start_warp(origin, args=trusting(certificates))
    assert warp.get("/x").body == body
    assert warp.get("/y", method="POST", body=body).body == body


BAD_SETTINGS = {
    "no-ca": (["--origin", "https://a.test", "--origin-ca", "/nowhere"], "/nowhere: no certificates to trust"),
    "ca-is-none": (["--origin", "https://a.test", "--origin-ca", "/etc/passwd"], "/etc/passwd: no certificates to trust"),
    "no-key": (["--origin", "https://a.test", "--origin-cert", "/x"], "--origin-cert is given without --origin-key"),
    "no-cert": (["--origin", "https://a.test", "--origin-key", "/x"], "--origin-key is given without --origin-cert"),
    "bad-cert": (["--origin", "https://a.test", "--origin-cert", "/nowhere", "--origin-key", "/x"], "/nowhere: no certificate"),
    "bad-origin": (["--origin", "ftp://a.test"], '--origin: "ftp://a.test" is not an origin; write http://host:port'),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_end_the_start(case):
    args, text = BAD_SETTINGS[case]
    done = subprocess.run([BINARY, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cache-dir", "none", *args],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and text in done.stderr, done


def test_a_key_of_another_certificate(certificates):
    args, text = (["--origin", "https://a.test", "--origin-cert", str(certificates / "client.pem"), "--origin-key",
                   str(certificates / "good.key")], "good.key: no key for the certificate")
    done = subprocess.run([BINARY, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cache-dir", "none", *args],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and text in done.stderr, done
