"""The benchmark is to be believed only if it can say no: wrong answers, broken rules, and its arithmetic."""
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from client import Client
from origin import answer
from wait import TIMEOUT, until
from warp import BINARY, ROOT, free_port

sys.path.insert(0, str(ROOT / "tests/bench"))

import measure  # noqa: E402
import processes  # noqa: E402
import servers  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402
from processes import Refused  # noqa: E402
from servers import TOOLS, Cannot  # noqa: E402

SIZE = 3000


def pattern(size, number=0):
    """The bytes that origin and generator agree upon (tests/bench/common.c)."""
    mixed = [i * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for i in range(number + 1, number + 1 + size)]
    return bytes((m ^ m >> 29) >> 32 & 0xFF for m in mixed)


def load(port, *options, size=SIZE):
    return subprocess.run([TOOLS / "load", "-b", str(size), *options, str(port)], input="\n", capture_output=True, text=True, timeout=30)


def loaded(origin, answers, *options, **more):
    """What the generator says of an origin that gives these bytes."""
    def handler(exchange):
        exchange.send(answers(exchange) if callable(answers) else answers)
    origin.serve(handler)
    return load(origin.port, "-c", "2", "-n", "10", *options, **more)


GOOD = pattern(SIZE)


def test_the_generator_accepts_what_is_right(origin):
    done = loaded(origin, answer(body=GOOD), "-w", "4")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["requests"] == 10 and figures["bytes"] == 10 * SIZE
    assert origin.count == 14
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"] * 1.04


@pytest.mark.parametrize("wrong, said", [
    (answer(status=503, reason="No", body=GOOD), "status 503"),
    (answer(body=GOOD[:-1]), "Content-Length 2999"),
    (answer(body=GOOD[:-1] + bytes([GOOD[-1] ^ 1])), "wrong bytes"),
    (answer(body=bytes([GOOD[0] ^ 1]) + GOOD[1:]), "wrong bytes"),
    (answer(body=pattern(SIZE, number=1)), "wrong bytes"),
    (answer(body=GOOD[1:] + b"x"), "wrong bytes"),
    (answer(body=GOOD) + b"x", "nobody asked for|more bytes"),
    (answer(body=GOOD, headers=[("Transfer-Encoding", "chunked")], length=False), "without Content-Length"),
])
def test_the_generator_says_what_is_wrong(origin, wrong, said):
    done = loaded(origin, wrong)
    assert done.returncode == 1
    assert any(word in done.stderr for word in said.split("|")), done.stderr


def test_warming_looks_at_every_byte(origin):
    wrong = answer(body=GOOD[:1500] + bytes([GOOD[1500] ^ 1]) + GOOD[1501:])
    done = loaded(origin, wrong, "-w", "2")
    assert done.returncode == 1 and "wrong bytes" in done.stderr


def test_the_generator_sees_a_body_that_ends_early(origin):
    def handler(exchange):
        exchange.send(answer(body=GOOD)[:-100])
        exchange.close()
    origin.serve(handler)
    done = load(origin.port, "-n", "1", "-c", "1")
    assert done.returncode == 1
    assert "closed by the server after 2900 of 3000 bytes" in done.stderr


def test_the_generator_sees_a_lost_piece_of_a_long_body(origin):
    """While it measures, it lets the kernel drop most of a long body: what follows must still be in its place."""
    size = 1 << 20
    long = pattern(size)
    shifted = long[:300_000] + long[300_001:] + b"x"
    assert loaded(origin, answer(body=shifted), size=size).returncode == 1


def test_if_none_match(origin):
    seen = []

    def handler(exchange):
        seen.append(exchange.headers["If-None-Match"])
        return answer(304, reason="Not Modified", length=False)
    done = loaded(origin, handler, "-i", "-x", "304", "-p", "cycle", "-o", "3", "-f", "7")
    assert done.returncode == 0, done.stderr
    assert set(seen) == {f'"{SIZE}-000000000{n}"' for n in (7, 8, 9)}


def test_zipf_is_the_same_each_time_and_skewed(origins):
    asked = []
    for _ in range(2):
        origin = origins()
        done = loaded(origin, lambda e: answer(body=pattern(SIZE, int(e.target.rsplit("/", 1)[1]))), "-p", "zipf", "-o", "50", "-n", "200")
        assert done.returncode == 0, done.stderr
        asked.append(sorted(exchange.target for exchange in origin.exchanges))
    assert asked[0] == asked[1]
    counts = [asked[0].count(f"/size/{SIZE}/{n:010}") for n in range(50)]
    assert sum(counts) == 200 and counts[0] > 25 and sum(counts[:10]) > 100


@pytest.fixture
def program():
    """program("floor_epoll") starts one of the benchmark's own servers and gives its port."""
    started = []

    def start(name, *options):
        port = free_port()
        started.append(subprocess.Popen([TOOLS / name, str(port), *options], stderr=subprocess.PIPE))
        until(lambda: measure.accepts(port) or started[-1].poll() is not None, name)
        if started[-1].poll() == 3:  # the kernel or a container forbids io_uring: nothing to run; the run counts it
            pytest.skip(f"{name}: {started[-1].stderr.read().decode()}")
        return port

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stderr.close()


@pytest.mark.parametrize("name", ["floor_epoll", "floor_uring", "origin"])
def test_own_servers_answer_rightly(program, name):
    port = program(name)
    with Client(port) as client:
        first = client.get("/size/1024/5")
        assert first.status == 200 and first.body == pattern(1024, 5)
        assert client.get("/size/65536/1").body == pattern(65536, 1)
        client.send(b"GET /size/10/2 HTTP/1.1\r\nHo")
        client.send(b"st: x\r\n\r\n")
        assert client.read_response().body == pattern(10, 2)
    done = load(port, "-c", "8", "-n", "200", "-w", "50", "-p", "cycle", "-o", "20", "-i", "-x", "304")
    assert done.returncode == 0, done.stderr
    done = load(port, "-c", "4", "-n", "8", "-w", "4", size=10 << 20)
    assert done.returncode == 0, done.stderr


def test_the_origin_counts_and_drips(program):
    port = program("origin")
    with Client(port) as client:
        client.get("/reval/100/1")
        assert client.get("/reval/100/1", {"If-None-Match": '"100-0000000001"'}).status == 304
    done = load(port, "-m", "drip", "-k", "drip", "-c", "5")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["requests"] == 5 and figures["first_max_us"] < figures["p50_us"]
    assert figures["p50_us"] > 500_000
    with Client(port) as client:
        assert json.loads(client.get("/control/0/0").body) == {"requests": 7, "not_modified": 1}


# ---- HTTP/2 and TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return measure.certificate_make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def scripted():
    """scripted(talk) listens and lets talk(socket) have each connection, one after the other; gives the port."""
    opened = []

    def start(talk):
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        problems = []

        def serve():
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                with sock:
                    try:
                        sock.settimeout(TIMEOUT)
                        talk(sock)
                    except OSError:  # the generator has said why, and left
                        pass
                    except Exception as problem:  # noqa: BLE001 - shown by the test
                        problems.append(problem)
        thread = threading.Thread(target=serve)
        thread.start()
        opened.append((listener, thread, problems))
        return listener.getsockname()[1]

    yield start
    for listener, thread, problems in opened:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(TIMEOUT)
        assert not problems, problems


DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 5, 6, 7, 8


def frame(kind, stream=0, payload=b"", flags=0):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def good_h2(stream, body=None, head=b"\x88", flags=1):
    return frame(HEADERS, stream, head, 4) + frame(DATA, stream, GOOD if body is None else body, flags)


class H2Talk:
    """The server's side of a connection, frame by frame; `answers(stream)` gives the bytes for each request."""

    def __init__(self, answers, greeting=frame(SETTINGS)):
        self.answers, self.greeting, self.seen = answers, greeting, []

    def __call__(self, sock):
        sock.sendall(self.greeting)
        assert exactly(sock, 24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        while True:
            try:
                head = exactly(sock, 9)
            except ConnectionError:
                return
            stream, payload = int.from_bytes(head[5:], "big"), exactly(sock, int.from_bytes(head[:3], "big"))
            self.seen.append((head[3], stream, payload, head[4]))
            if head[3] == HEADERS:
                sock.sendall(self.answers(stream))


def h2_load(port, *options, **more):
    return load(port, "-P", "h2", "-c", "1", "-S", "4", "-n", "10", *options, **more)


def test_h2_is_asked_as_often_at_once_as_is_wanted(scripted):
    talk = H2Talk(good_h2)
    done = h2_load(scripted(talk), "-w", "4", "-p", "cycle", "-o", "1", "-f", "0")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["requests"] == 10 and figures["bytes"] == 10 * SIZE and figures["load_us"] > 0
    asked = [(stream, block) for kind, stream, block, flags in talk.seen if kind == HEADERS]
    assert [stream for stream, _ in asked] == [2 * i + 1 for i in range(14)]
    path = f"/size/{SIZE}/0000000000".encode()
    start = b"\x82\x86\x04" + bytes((len(path),)) + path
    assert asked[0][1] == start + b"\x41\x0abench.test"
    assert {block for _, block in asked[1:]} == {start + b"\xbe"}


def test_h2_in_pieces_and_out_of_order(scripted):
    held = []

    def answers(stream):
        """Two answers together: a table size, fields in two frames, bodies that take turns, what is not known."""
        held.append(stream)
        if len(held) < 2:
            return b""
        a, b = held
        held.clear()
        return (frame(HEADERS, b, b"\x3f\xe1\x1f\x88", 0) + frame(9, b, b"\x5f\x01a", 4) + frame(HEADERS, a, b"\x88", 4)
                + frame(0xfa, 0, b"?") + frame(DATA, b, GOOD[:1000]) + frame(DATA, a, GOOD, 0) + frame(DATA, b, GOOD[1000:], 1)
                + frame(WINDOW_UPDATE, 0, b"\0\0\1\0") + frame(DATA, a, b"", 1))

    class InPieces(H2Talk):
        def __call__(self, sock):
            whole = sock.sendall
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            class Cut:
                recv = sock.recv

                @staticmethod
                def sendall(data):
                    for at in range(0, len(data), 7):
                        whole(data[at:at + 7])
            super().__call__(Cut)

    done = h2_load(scripted(InPieces(answers)), "-w", "4")
    assert done.returncode == 0, done.stderr


def test_h2_answers_pings_and_opens_its_window(scripted):
    size, body = 1 << 16, pattern(1 << 16)

    def answers(stream):
        return (frame(PING, 0, b"12345678") + frame(HEADERS, stream, b"\x88", 4)
                + b"".join(frame(DATA, stream, body[at:at + 16384], at == size - 16384) for at in range(0, size, 16384)))
    talk = H2Talk(answers)
    done = h2_load(scripted(talk), "-w", "40", size=size)
    assert done.returncode == 0, done.stderr
    assert (PING, 0, b"12345678", 1) in talk.seen and (SETTINGS, 0, b"", 1) in talk.seen
    credits = [int.from_bytes(payload, "big") for kind, stream, payload, _ in talk.seen if (kind, stream) == (WINDOW_UPDATE, 0)]
    assert len(credits) >= 2 and sum(credits[1:]) >= 1 << 20


@pytest.mark.parametrize("answers, said", [
    (lambda stream: good_h2(stream, head=b"\x8d"), "index of :status 200, but with 8d"),
    (lambda stream: good_h2(stream, body=GOOD[:-1]), "a body of 2999 bytes, not 3000"),
    (lambda stream: good_h2(stream, body=GOOD + b"x"), "more than 3000"),
    (lambda stream: good_h2(stream, body=GOOD[:-1] + b"?"), "wrong bytes"),
    (lambda stream: good_h2(stream, body=pattern(SIZE, 1)), "wrong bytes"),
    (lambda stream: frame(HEADERS, stream, b"\x88", 5), "a body of 0 bytes"),
    (lambda stream: frame(DATA, stream, GOOD, 1), "a body before its head"),
    (lambda stream: good_h2(stream) + good_h2(stream), "is not open"),
    (lambda stream: good_h2(stream + 2), "is not open"),
    (lambda stream: good_h2(stream + 8192), "is not open"),  # the same place in the generator's table
    (lambda stream: good_h2(stream, flags=0) + frame(HEADERS, stream, b"\x5f\x01a", 5), "trailers"),
    (lambda stream: frame(HEADERS, stream, b"\x88", 4) + frame(DATA, stream, b"\x01" + GOOD + b"\0", 9), "padding"),
    (lambda stream: frame(HEADERS, stream, b"\x88", 0) + frame(PING, 0, b"12345678"), "where it may not be"),
    (lambda stream: frame(RST_STREAM, stream, b"\0\0\0\7"), "was reset: error 7"),
    (lambda stream: frame(GOAWAY, 0, b"\0\0\0\0\0\0\0\x0b"), "GOAWAY: error 11"),
    (lambda stream: frame(PUSH_PROMISE, stream, b"\0\0\0\2", 4), "a push"),
    (lambda stream: frame(0xfa, 0, bytes(16385)), "a frame of 16385 bytes"),
])
def test_h2_what_is_wrong_is_said(scripted, answers, said):
    done = h2_load(scripted(H2Talk(answers)), "-S", "1")
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_h2_a_server_that_speaks_something_else_or_permits_too_little(scripted):
    def talk(sock):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        until_closed(sock)
    done = h2_load(scripted(talk))
    assert done.returncode == 1 and "no HTTP/2" in done.stderr, done.stderr
    few = H2Talk(lambda stream: b"", greeting=frame(SETTINGS, 0, b"\0\3\0\0\0\3"))
    done = h2_load(scripted(few))
    assert done.returncode == 1 and "permits 3 streams at once, not 4" in done.stderr, done.stderr


def tls_context(certificate, alpn=("h2", "http/1.1")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def over_tls(context, talk):
    """The same conversation inside TLS; `context` may be made anew for each connection."""
    def wrapped(sock):
        with (context() if callable(context) else context).wrap_socket(sock, server_side=True) as inner:
            talk(inner)
    return wrapped


def h1_talk(sock):
    data = b""
    while more := sock.recv(4096):
        data += more
        if data.endswith(b"\r\n\r\n"):
            sock.sendall(answer(body=GOOD))
            data = b""


def until_closed(sock):
    while sock.recv(4096):
        pass


def test_both_protocols_over_tls(scripted, certificate):
    context = tls_context(certificate)
    done = load(scripted(over_tls(context, h1_talk)), "-t", certificate.certificate, "-c", "1", "-n", "10", "-w", "4")
    assert done.returncode == 0, done.stderr
    done = h2_load(scripted(over_tls(context, H2Talk(good_h2))), "-t", certificate.certificate)
    assert done.returncode == 0, done.stderr


def test_another_certificate_or_protocol_is_refused(scripted, certificate, tmp_path):
    other = measure.certificate_make(tmp_path)
    port = scripted(over_tls(tls_context(other), h1_talk))
    done = load(port, "-t", certificate.certificate, "-n", "1", "-c", "1")
    assert done.returncode == 1 and "not the certificate of the benchmark" in done.stderr, done.stderr
    port = scripted(over_tls(tls_context(certificate, alpn=["http/1.1"]), h1_talk))
    done = h2_load(port, "-t", certificate.certificate)
    assert done.returncode == 1 and "TLS" in done.stderr, done.stderr
    port = scripted(over_tls(tls_context(certificate, alpn=None), h1_talk))
    done = h2_load(port, "-t", certificate.certificate)
    assert done.returncode == 1 and "ALPN chose nothing, not h2" in done.stderr, done.stderr


@pytest.mark.parametrize("only", [["-tls1_2"], ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], ["-tls1_3", "-groups", "P-256"]])
def test_another_version_cipher_or_group_is_refused(certificate, only):
    port = free_port()
    process = subprocess.Popen(["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-cert", certificate.certificate,
                                "-key", certificate.key, "-alpn", "http/1.1", *only],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: measure.accepts(port), "s_server")
        done = load(port, "-t", certificate.certificate, "-n", "1", "-c", "1")
        assert done.returncode == 1 and "TLS handshake" in done.stderr, done.stderr
    finally:
        process.kill()
        process.communicate()


def test_handshakes_are_counted_when_the_server_has_closed(scripted, certificate):
    ended = []

    def talk(sock):
        until_closed(sock)
        ended.append(sock.session_reused)
    port = scripted(over_tls(tls_context(certificate), talk))
    done = load(port, "-P", "handshake", "-t", certificate.certificate, "-c", "1", "-w", "2", "-n", "5")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[1])["requests"] == 5
    until(lambda: len(ended) == 7, "the last connection")
    assert not any(ended)


def test_resumed_handshakes_use_the_ticket_of_the_first(scripted, certificate):
    ended = []

    def talk(sock):
        until_closed(sock)
        ended.append(sock.session_reused)
    context = tls_context(certificate)
    context.num_tickets = 1  # the one that is kept is the connection's last, and the server closes without close_notify
    port = scripted(over_tls(context, talk))
    done = load(port, "-P", "resume", "-t", certificate.certificate, "-c", "1", "-w", "2", "-n", "5")
    assert done.returncode == 0, done.stderr
    until(lambda: len(ended) == 7, "the last connection")
    assert ended == [False] + [True] * 6


def test_a_handshake_that_is_not_resumed_is_refused(scripted, certificate):
    port = scripted(over_tls(lambda: tls_context(certificate), until_closed))  # nobody knows another one's tickets
    done = load(port, "-P", "resume", "-t", certificate.certificate, "-c", "1", "-w", "1", "-n", "1")
    assert done.returncode == 1 and "a handshake that was not resumed" in done.stderr, done.stderr


def fetched(*options):
    """Protocol and body, by curl."""
    done = subprocess.run(["curl", "-s", "--noproxy", "*", "--max-time", "20", "-w", "%{stderr}%{http_version}", *options], capture_output=True)
    assert done.returncode == 0, done
    return done.stderr.decode(), done.stdout


def test_the_nghttp2_floor_answers_rightly(program, certificate):
    plain, tls = program("floor_nghttp2"), program("floor_nghttp2", str(certificate.certificate), str(certificate.key))
    secure = ["--cacert", str(certificate.certificate), "--resolve", f"bench.test:{tls}:127.0.0.1"]
    for size, number in ((1024, 5), (65536, 0), (1_000_000, 77)):
        path = f"size/{size}/{number}"
        assert fetched("--http2-prior-knowledge", f"http://127.0.0.1:{plain}/{path}") == ("2", pattern(size, number))
        assert fetched(*secure, "--http2", f"https://bench.test:{tls}/{path}") == ("2", pattern(size, number))
        assert fetched(*secure, "--http1.1", f"https://bench.test:{tls}/{path}") == ("1.1", pattern(size, number))
    with_tls = ["-t", certificate.certificate]
    for port, options in ((plain, ["-P", "h2"]), (tls, ["-P", "h2", *with_tls]), (tls, with_tls)):
        for size in (1024, 300_000):
            done = load(port, *options, "-c", "4", "-S", "32", "-n", "1000", "-w", "200", "-p", "cycle", "-o", "20", size=size)
            assert done.returncode == 0, done.stderr
    for spoken in ("handshake", "resume"):
        done = load(tls, "-P", spoken, *with_tls, "-c", "8", "-w", "16", "-n", "40")
        assert done.returncode == 0, done.stderr


# ---- the rules

class MadeUp:
    """A cell whose workload measured this."""
    quick = True

    def __init__(self, figures):
        self.figures = figures
        self.server = type("Server", (), {"is_floor": False})

    def load(self, *_, **__):
        pass

    def settle(self, *_):
        pass

    def measure(self, *_, **__):
        return self.figures

    def origin(self):
        return {"requests": 0}

    def demand(self, condition, why):
        return measure.Cell.demand(self, condition, why)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_hit_that_asks_the_origin_is_refused():
    workload = workloads.WORKLOADS["hit-1k"]
    assert workload.run(MadeUp({"origin_requests": 0})) == {"origin_requests": 0}
    cell = measure.attempt(lambda: MadeUp({"origin_requests": 3}), workload)
    assert cell["refused"] == "the origin was asked 3 times during a hit test"
    assert cell["tries"] == 3


def test_misses_and_revalidations_must_reach_the_origin():
    with pytest.raises(Refused, match="10 misses, but the origin was asked 9 times"):
        workloads.WORKLOADS["miss"].run(MadeUp({"requests": 10, "origin_requests": 9}))
    with pytest.raises(Refused, match="sent 1 bodies"):
        workloads.WORKLOADS["revalidate"].run(MadeUp({"requests": 10, "origin_requests": 10, "origin_not_modified": 9}))
    with pytest.raises(Refused, match="10 answers, but 5"):
        workloads.WORKLOADS["revalidate"].run(MadeUp({"requests": 10, "origin_requests": 5, "origin_not_modified": 5}))


def test_a_handshake_that_asks_the_origin_is_refused():
    figures = {"origin_requests": 1, "per_core": 3000}
    with pytest.raises(Refused, match="asked 1 times by handshakes"):
        workloads.WORKLOADS["handshake"].run(MadeUp(figures))
    assert workloads.WORKLOADS["handshake"].run(MadeUp({**figures, "origin_requests": 0}))["handshakes_per_core"] == 3000


def test_an_index_that_loses_more_than_it_says_is_refused():
    def run(**figures):
        cell = MadeUp({})
        cell.quick, cell.tool = True, lambda name, entries: figures
        return workloads.WORKLOADS["memory-disk-index"].run(cell)
    assert run(missing=3, lost=3, bytes=14.7)["bytes"] == 14.7
    with pytest.raises(Refused, match="4 entries were not found, but 3 lost"):
        run(missing=4, lost=3)
    with pytest.raises(Refused, match="2000 of 200000 entries were lost"):
        run(missing=2000, lost=2000)


def test_what_a_server_lacks_is_no_refusal():
    def make_cell():
        raise Cannot("hitch is not installed")
    cell = measure.attempt(make_cell, workloads.WORKLOADS["hit-1k-h2"])
    assert cell == {"cannot": "hitch is not installed"}
    assert measure.row([{"warp": cell}], "cpu_us", "warp", ["floor"]) == {"server": "warp", **cell}


def test_every_workload_has_a_floor_or_says_why():
    """What a server cannot do is written with the names of workloads: a new one must be thought of."""
    known = {*servers.IN_PLAIN, *servers.IN_TLS, *servers.IN_H2_PLAIN, *servers.IN_DISK, *servers.IN_WARP_ALONE}
    assert known == set(workloads.WORKLOADS)
    for name in servers.IN_PLAIN:
        assert workloads.WORKLOADS[name].wire == servers.PLAIN
    for name in servers.IN_H1_TLS:
        assert workloads.WORKLOADS[name].wire == servers.TLS
    for server in servers.SERVERS.values():
        assert set(server.cannot) <= known, server.name


def test_what_was_spoiled_once_is_repeated():
    figures = [{"origin_requests": 1}, {"origin_requests": 0}]
    cell = measure.attempt(lambda: MadeUp(figures.pop(0)), workloads.WORKLOADS["hit-1k"])
    assert cell["tries"] == 2 and "figures" in cell and len(cell["spoiled"]) == 1


def test_more_than_one_core_is_refused():
    measure.check_busy(1.0)
    with pytest.raises(Refused, match="busy 1.20"):
        measure.check_busy(1.2)


def test_a_thread_off_its_core_is_refused():
    cores = os.sched_getaffinity(0)
    core = max(cores)
    process = subprocess.Popen(["sleep", "60"])
    try:
        # where there is only one core, off it is where the thread is not
        tree = processes.Tree([process.pid], core if len(cores) > 1 else core + 1)
        with pytest.raises(Refused, match="thread sleep was off its core"):
            tree.check(tree.ran())
        tree = processes.Tree([process.pid], core)
        tree.pin()
        tree.check(tree.ran())
    finally:
        process.kill()
        process.wait()


def test_cpu_of_threads_and_children_counts():
    code = ("import os, threading, sys\n"
            "def burn():\n  for i in range(2000000): pass\n"
            "t = threading.Thread(target=burn); t.start(); t.join()\n"
            "p = os.fork()\n"
            "if p == 0: burn(); os._exit(0)\n"
            "os.waitpid(p, 0)\n"
            "print('done', flush=True); sys.stdin.read()")
    process = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    used = processes.Tree([process.pid], 0).cpu_ns()
    process.communicate()
    alone = os.times()  # all of it is in this process' children now
    assert used > 0 and alone.children_user + alone.children_system >= used / 1e9 - 0.05
    assert used > 20_000_000


# ---- the arithmetic

def cells(**cpu):
    return {name: {"figures": {"cpu_us": value, "busy": 0.9}} if value else {"refused": "busy 1.30", "tries": 3} for name, value in cpu.items()}


def test_medians_and_ratios_inside_a_round():
    rounds = [cells(warp=8, floor=4), cells(warp=30, floor=10), cells(warp=9, floor=3)]
    row = measure.row(rounds, "cpu_us", "warp", ["floor", "warp"])
    assert row["figures"]["cpu_us"] == 9
    assert row["ratios"] == {"floor": 3, "warp": 1}  # of 2, 3, 3; not 9 / 4
    assert row["spread"] == [8, 30]


def test_a_refused_round_counts_nowhere():
    rounds = [cells(warp=8, floor=4), cells(warp=None, floor=1), cells(warp=8, floor=None)]
    row = measure.row(rounds, "cpu_us", "warp", ["floor"])
    assert (row["good_rounds"], row["rounds"], row["ratios"]) == (2, 3, {"floor": 2})
    assert row["refused"] == ["busy 1.30"]
    nothing = measure.row([cells(warp=None, floor=1)], "cpu_us", "warp", ["floor"])
    assert nothing["good_rounds"] == 0 and nothing["figures"] == {} and nothing["ratios"] == {"floor": None}


def test_the_order_changes_and_nobody_is_left_out():
    names = ["a", "b", "c"]
    orders = [measure.order(names, number) for number in range(6)]
    assert all(sorted(order) == names for order in orders)
    assert {order[0] for order in orders} == set(names)
    assert len({tuple(order) for order in orders}) > 3


def test_the_table_shows_refusals_and_absences():
    rounds = [cells(**{"warp-epoll": 8, "nginx": None, "floor-epoll": 4})]
    names = ["floor-epoll", "warp-epoll", "nginx"]
    rows = [measure.row(rounds, "cpu_us", name, ["warp-epoll", "floor-epoll"]) for name in names]
    rows.append({"server": "haproxy", "cannot": "has no such thing"})
    result = {"servers": names + ["haproxy"], "rounds": 1, "seconds": 1, "notes": ["a note"], "left_out": ["squid: not installed"],
              "machine": {"cpu": "x", "kernel": "y", "cores": [0, 1]}, "network": {"namespace": True, "congestion_control": "reno"},
              "workloads": [{"name": "hit", "says": "a hit", "main": "cpu_us", "shows": ["cpu_us", "busy"], "rows": rows}]}
    lines = {line.split()[0]: line.split() for line in table.text(result).splitlines() if line[:1].isalpha()}
    assert lines["warp-epoll"] == ["warp-epoll", "8.00", "0.90", "1.00", "2.00"]
    assert lines["nginx"] == ["nginx", "refused", "-", "-", "-"]
    assert "! nginx: refused in 1 of 1 rounds: busy 1.30" in table.text(result)
    assert "haproxy: has no such thing" in table.text(result)
    assert "squid: not installed" in table.text(result)
    assert "| warp-epoll | 8.00 (2.00) |" in table.markdown(result)
    assert "| nginx | refused |" in table.markdown(result)


def test_each_floor_stands_where_it_belongs():
    """A base that no server has a ratio to is no column; what is spoken over TLS or HTTP/2 is a table of its own."""
    def measured(names, bases, wire, **cpu):
        rows = [measure.row([cells(**cpu)], "cpu_us", name, bases) for name in names]
        return {"name": "hit" + wire["spoken"], "says": "a hit", "main": "cpu_us", "shows": ["cpu_us"], "wire": wire, "rows": rows}
    bases = ["floor-epoll", "floor-nghttp2"]
    result = {"servers": ["floor-epoll", "floor-nghttp2", "nginx"], "rounds": 1, "seconds": 1, "notes": [], "left_out": [],
              "machine": {"cpu": "x", "kernel": "y", "cores": [0, 1]}, "network": {"namespace": True, "congestion_control": "reno"},
              "workloads": [measured(["floor-epoll", "nginx"], bases, {"tls": False, "spoken": "h1"}, **{"floor-epoll": 4, "nginx": 8}),
                            measured(["floor-nghttp2", "nginx"], bases, {"tls": True, "spoken": "h2"}, **{"floor-nghttp2": 2, "nginx": 6})]}
    plain, h2 = table.text(result).split("\n\n")[:2]
    assert "/ floor-epoll" in plain and "/ floor-nghttp2" not in plain
    assert "/ floor-nghttp2" in h2 and "/ floor-epoll" not in h2
    plain, h2 = table.markdown(result).split("\n\n")
    assert "| nginx | 8.00 (2.00) |" in plain and "floor-nghttp2" not in plain
    assert "| nginx | 6.00 (3.00) |" in h2 and "floor-epoll" not in h2


# ---- all of it

def run_of(tmp_path, *options):
    where = tmp_path / "bench.json"
    done = subprocess.run(["/usr/bin/python3", str(ROOT / "tests/bench/bench.py"), "--quick", "--json", str(where), *options],
                          capture_output=True, text=True, timeout=50, env={**os.environ, "WARP_BIN": BINARY, "BENCH_SCRATCH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["bench.json"]
    return json.loads(where.read_text()), done.stdout


def check_figures(figures):
    assert figures["origin_requests"] == 0 and figures["requests"] > 0
    assert 0 < figures["busy"] <= measure.BUSY_MAX and figures["cpu_us"] > 0
    assert figures["per_second"] == pytest.approx(figures["requests"] / figures["seconds"])


def test_end_to_end(tmp_path):
    result, said = run_of(tmp_path, "--servers", "floor-epoll,warp-epoll", "--only", "hit-1k")
    assert result["network"]["namespace"] or "why" in result["network"]
    rows = {row["server"]: row for row in result["workloads"][0]["rows"]}
    assert set(rows) == {"floor-epoll", "warp-epoll"}
    for row in rows.values():
        if row["refused"]:  # a machine too busy to measure on says so
            continue
        check_figures(row["figures"])
    assert "hit-1k" in said


def test_end_to_end_over_tls_and_h2(tmp_path):
    result, said = run_of(tmp_path, "--servers", "floor-nghttp2,floor-epoll,warp-epoll",
                          "--only", "hit-1k-tls,hit-1k-h2,hit-1k-h2c,handshake-resumed,memory-idle-tls")
    for workload in result["workloads"]:
        rows = {row["server"]: row for row in workload["rows"]}
        assert set(rows) == {"floor-nghttp2", "warp-epoll"}, workload["name"]
        for row in rows.values():
            if row.get("cannot"):
                assert (row["server"], workload["name"]) == ("floor-nghttp2", "memory-idle-tls"), row
                continue
            if row["refused"]:  # a machine too busy to measure on says so; there is no other reason
                assert row["refused"][0].startswith(("busy", "thread")), row
                continue
            if workload["main"] == "cpu_us":
                check_figures(row["figures"])
            else:
                assert row["figures"]["bytes"] > 500
        assert workload["name"] in said
