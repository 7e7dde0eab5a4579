"""Budgets that are exact: system calls of a hit, memory of an idle connection. For the release binary."""
import os
import re
import resource
import signal
import subprocess
import time

import pytest

from client import request_bytes
from h2client import Answer, H2Client
from origin import answer
from pki import Authority
from test_fill import Many, heap_kib
from wait import until
from warp import BINARY

pytestmark = pytest.mark.exact

BODY = b"k" * 1024


def store(warp, origin):
    with warp.client() as client:
        client.request("/1k")
        origin.expect("/1k").answer(200, {"Cache-Control": "max-age=3600", "Content-Type": "text/plain"}, BODY)
        assert client.read_response().body == BODY


def answer_length(client):
    client.request("/1k")
    head = client.until(b"\r\n\r\n")
    assert client.exactly(1024) == BODY
    return len(head) + 1024


class Traced:
    """strace counts the system calls of a process until stop()."""

    def __init__(self, pid, path):
        self.path = path
        self.process = subprocess.Popen(["strace", "-f", "-c", "-o", path, "-p", str(pid)], stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        if b"attached" not in line:
            self.process.wait(10)
            pytest.fail(f"strace: {line.decode()}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        counts = {}
        for line in open(self.path):
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if found and found.group(2) != "total":
                counts[found.group(2)] = int(found.group(1))
        return counts


def test_system_calls_of_a_hit(start_warp, origin, tmp_path, capsys):
    warp = start_warp(origin)
    store(warp, origin)
    clients = [warp.client() for _ in range(64)]
    length = answer_length(clients[0])
    for client in clients[1:]:
        answer_length(client)
    traced = Traced(warp.worker_pid(), str(tmp_path / "strace"))
    rounds = 150
    for _ in range(rounds):
        for client in clients:
            client.send(request_bytes("GET", "/1k"))
        for client in clients:
            client.until(b"\r\n\r\n")
            client.exactly(1024)
    counts = traced.stop()
    hits = rounds * len(clients)
    if warp.io() == "uring":
        check_uring_calls(counts, hits, capsys)
    else:
        check_epoll_calls(counts, hits, capsys)
    assert length < 1500
    for client in clients:
        client.close()


def check_uring_calls(counts, hits, capsys):
    """One io_uring_enter submits all answers of a turn and brings all requests of the next."""
    entered = counts.pop("io_uring_enter", 0)
    with capsys.disabled():
        print(f"\nnumbers: system calls of a 1 KiB hit: {entered / hits:.3f} io_uring_enter, "
              f"{sum(counts.values()) / hits:.3f} others {counts}")
    assert 0 < entered / hits <= 0.5
    assert sum(counts.values()) / hits <= 0.01, counts


def check_epoll_calls(counts, hits, capsys):
    moving = {name: n for name, n in counts.items() if name in ("recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev")}
    waiting = {name: n for name, n in counts.items() if name.startswith("epoll_")}
    others = {name: n for name, n in counts.items() if name not in moving and name not in waiting}
    with capsys.disabled():
        print(f"\nnumbers: system calls of a 1 KiB hit: {sum(moving.values()) / hits:.3f} send and receive, "
              f"{sum(waiting.values()) / hits:.3f} epoll, {sum(others.values()) / hits:.3f} others {others}")
    assert 1.98 <= sum(moving.values()) / hits <= 2.02, counts
    assert sum(waiting.values()) / hits <= 1.0, counts
    assert sum(others.values()) / hits <= 0.01, counts


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", open(f"/proc/{pid}/status").read()).group(1))


class Counted:
    """Instructions of a worker in user mode, counted by callgrind between calls: the same for the same requests."""

    def __init__(self, pid, folder):
        self.pid, self.folder, self.dumps = pid, folder, 0
        self._control("--instr=on")

    def _control(self, *what):
        subprocess.run(["callgrind_control", *what, str(self.pid)], check=True, capture_output=True, timeout=60)

    def start(self):
        self._control("--zero")

    def stop(self):
        self._control("--dump")
        self.dumps += 1
        text = (self.folder / f"callgrind.{self.pid}.{self.dumps}").read_text()
        return int(re.search(r"^totals: (\d+)", text, re.MULTILINE).group(1))


# Instructions per request of one client, epoll's turn included; most of HTTP/2's are its library's. Raise one only with the reason in the same commit.
INSTRUCTIONS = {"1 KiB hit": 8350, "1 KiB hit, browser's request": 14000, "304 to the client": 8750, "64 KiB hit": 8750,
                "1 KiB hit, HTTP/2": 15600}
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
           "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
           "Accept-Language": "en-US,en;q=0.5", "Accept-Encoding": "gzip, deflate, br, zstd", "DNT": "1",
           "Referer": "http://example.test/somewhere/else?with=a&query=string", "Connection": "keep-alive",
           "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin",
           "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark; consent=1", "Priority": "u=0, i"}


def test_instructions_of_a_hit(start_warp, origin, tmp_path, capsys):
    warp = start_warp(origin, args=["--io", "epoll"], env={"MALLOC_CONF": ""},
                      under=["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no",
                             f"--callgrind-out-file={tmp_path}/callgrind.%p"])
    bodies = {"/1k": BODY, "/64k": BODY * 64}
    with warp.client() as client:
        for target, body in bodies.items():
            client.request(target)
            origin.expect(target).answer(200, {"Cache-Control": "max-age=3600", "Content-Type": "text/plain", "ETag": '"a"'}, body)
            assert client.read_response().body == body
        counted, n = Counted(warp.worker_pid(), tmp_path), 200
        requests = {"1 KiB hit": ("/1k", {}, 200), "1 KiB hit, browser's request": ("/1k", BROWSER, 200),
                    "304 to the client": ("/1k", {"If-None-Match": '"a"'}, 304), "64 KiB hit": ("/64k", {}, 200)}
        for name, (target, headers, status) in requests.items():
            each = {}
            for phase in ("warm", "counted"):
                counted.start()
                for _ in range(n):
                    client.request(target, headers=headers)
                    answer = client.read_response()
                    assert (answer.status, answer.body) == (status, bodies[target] if status == 200 else b"")
                each[phase] = counted.stop() / n
            with capsys.disabled():
                print(f"\nnumbers: instructions of a {name}: {each['counted']:.0f}, at most {INSTRUCTIONS[name]}")
            assert each["counted"] <= INSTRUCTIONS[name]


def ask_in_batches(client, batches, streams):
    """One send a batch, its window given back with the next: as a browser does that has much to ask for."""
    for _ in range(batches):
        numbers = []
        for _ in range(streams):
            numbers.append(client.h2.get_next_available_stream_id())
            client.answers[numbers[-1]] = Answer()
            client.h2.send_headers(numbers[-1], client.headers(path="/1k"), end_stream=True)
        client.flush()
        client.until(lambda: all(client.answers[number].ended for number in numbers))
        for number in numbers:
            answer = client.answers.pop(number)
            assert (answer.status, answer.body) == (200, BODY)
        client.h2.increment_flow_control_window(len(BODY) * streams)


def test_instructions_of_an_http2_hit(start_warp, origin, tmp_path, capsys):
    warp = start_warp(origin, args=["--io", "epoll"], env={"MALLOC_CONF": ""},
                      under=["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no",
                             f"--callgrind-out-file={tmp_path}/callgrind.%p"])
    store(warp, origin)
    with H2Client(("127.0.0.1", warp.port), windows=False) as client:
        counted, each, batches = Counted(warp.worker_pid(), tmp_path), {}, 20
        client.authority = "a.test"
        for phase in ("warm", "counted"):
            counted.start()
            ask_in_batches(client, batches, 32)
            each[phase] = counted.stop() / batches / 32
    name = "1 KiB hit, HTTP/2"
    with capsys.disabled():
        print(f"\nnumbers: instructions of a {name}: {each['counted']:.0f}, at most {INSTRUCTIONS[name]}")
    assert each["counted"] <= INSTRUCTIONS[name]


# ---- many tenants -------------------------------------------------------------------------------------------------------

MANY = 10000
FEW = 5000
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no"]
# Of a tenant: to read and check it; and the memory of it, once more while a reload's takes its place.
TENANT_INSTRUCTIONS, TENANT_BYTES = 200000, 8192
# What a hit may cost more than with one tenant.
MANY_SHARE = 1.03


def tenants_text(origin, n):
    lines = ["tenants:\n"]
    for i in range(n):
        lines.append(f"  t{i}:\n    hosts: [t{i}.test, www.t{i}.test]\n    origins: {origin.url}\n    rate: 1000000/s\n"
                     "    rules:\n      - {match: {path: '/static/**'}, ttl: 1h, static: true}\n"
                     "      - {match: {path: '/api/*', method: [GET, HEAD]}, cache: false}\n")
    return "".join(lines)


def hit_of_a_tenant(warp, origin, host, folder):
    """Instructions; the client's answers are looked at."""
    with warp.client() as client:
        client.request("/1k", host=host)
        origin.expect("/1k").answer(200, {"Cache-Control": "max-age=3600", "Content-Type": "text/plain"}, BODY)
        assert client.read_response().body == BODY
        counted = Counted(warp.worker_pid(), folder)
        for _ in range(2):
            counted.start()
            for _ in range(200):
                client.request("/1k", host=host)
                assert client.read_response().body == BODY
            instructions = counted.stop() / 200
    return instructions


def test_a_hit_among_many_tenants(start_warp, origin, tmp_path, capsys):
    instructions = {}
    for n in (1, MANY):
        folder = tmp_path / str(n)
        folder.mkdir()
        config = folder / "warp.yaml"
        config.write_text(tenants_text(origin, n))
        warp = start_warp(args=["--io", "epoll", "--config", str(config)], env={"MALLOC_CONF": ""},
                          under=[*CALLGRIND, f"--callgrind-out-file={folder}/callgrind.%p"])
        instructions[n] = hit_of_a_tenant(warp, origin, f"t{n // 2}.test", folder)
    with capsys.disabled():
        print(f"\nnumbers: instructions of a 1 KiB hit: with one tenant {instructions[1]:.0f}, with {MANY} {instructions[MANY]:.0f}")
    assert instructions[MANY] <= MANY_SHARE * instructions[1]


def test_reading_many_tenants(origin, tmp_path, capsys):
    """By instructions, so that a machine that is busy says the same: ten times as many tenants cost ten times as much."""
    config, each = tmp_path / "warp.yaml", {}
    for n in (FEW // 10, FEW):
        config.write_text(tenants_text(origin, n))
        out = tmp_path / f"callgrind.{n}"
        subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", BINARY, "check", config], check=True, capture_output=True,
                       env={"XDG_RUNTIME_DIR": str(tmp_path)}, timeout=50)
        each[n] = int(re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE).group(1)) / n
    with capsys.disabled():
        print(f"\nnumbers: instructions to read and check a tenant: of {FEW // 10} {each[FEW // 10]:.0f}, of {FEW} {each[FEW]:.0f}")
    assert each[FEW] <= TENANT_INSTRUCTIONS
    assert each[FEW] <= 1.5 * each[FEW // 10]


def test_memory_of_many_tenants(start_warp, origin, tmp_path, capsys):
    config, kib = tmp_path / "warp.yaml", {}
    for n in (1, MANY):
        config.write_text(tenants_text(origin, n))
        began = time.monotonic()
        warp = start_warp(args=["--config", str(config)])
        took = {"start": time.monotonic() - began}
        kib[n] = [rss_kib(warp.worker_pid())]
        config.write_text("# once more\n" + tenants_text(origin, n))
        began = time.monotonic()
        warp.signal(signal.SIGHUP)
        warp.wait_metric(1, "warp_reloads_total", result="success")
        took["reload"] = time.monotonic() - began
        kib[n].append(rss_kib(warp.worker_pid()))
    each = [(more - one) * 1024 / (MANY - 1) for one, more in zip(kib[1], kib[MANY])]
    with capsys.disabled():
        print(f"\nnumbers: a tenant takes {each[0]:.0f} B, after a reload {each[1]:.0f} B; {MANY} of them start in {took['start']:.2f} s, "
              f"are reloaded in {took['reload']:.2f} s")
    assert max(each) <= TENANT_BYTES



def test_memory_of_an_idle_connection(start_warp, origin, capsys):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = 10000 if hard >= 11000 else 5000
    warp = start_warp(origin, env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"})
    store(warp, origin)
    pid = warp.worker_pid()
    many = Many(warp.port, 100)  # a warm-up: pools have begun
    many.send(request_bytes("GET", "/1k"))
    many.read(lambda data: data.endswith(BODY))
    before = heap_kib(pid)
    more = Many(warp.port, n)
    more.send(request_bytes("GET", "/1k"))
    more.read(lambda data: data.endswith(BODY))
    warp.wait_metric(n + 100, "warp_connections", state="idle")
    per_connection = (heap_kib(pid) - before) * 1024 / n
    with capsys.disabled():
        print(f"\nnumbers: an idle keep-alive connection holds {per_connection:.0f} B of user memory")
    assert per_connection <= 512
    many.close()
    more.close()
    warp.wait_metric(0, "warp_connections", state="idle")


@pytest.fixture
def start_secure(start_warp, origin, tmp_path):
    authority = Authority()
    path = authority.issue("a.test").write(tmp_path / "a.crt")

    def start(**more):
        args = ("--cert", str(path), "--key", str(path.with_suffix(".key")))
        return start_warp(origin, tls=True, args=args, **more), authority.context()

    return start


def ask_secure(client):
    client.request("/1k")
    client.until(b"\r\n\r\n")
    assert client.exactly(1024) == BODY


def store_secure(warp, origin, context):
    with warp.tls_client(context) as client:
        client.request("/1k")
        origin.expect("/1k").answer(200, {"Cache-Control": "max-age=3600", "Content-Type": "text/plain"}, BODY)
        assert client.read_response().body == BODY
        client.request("/64k")
        origin.expect("/64k").answer(200, {"Cache-Control": "max-age=3600"}, BODY * 64)
        assert client.read_response().body == BODY * 64


def test_system_calls_of_a_hit_over_tls(start_secure, origin, tmp_path, capsys):
    """A head and its body are one record and one send; four records and a head are one send, too."""
    warp, context = start_secure()
    store_secure(warp, origin, context)
    clients = [warp.tls_client(context) for _ in range(16)]
    for client in clients:
        ask_secure(client)
    traced = Traced(warp.worker_pid(), str(tmp_path / "strace"))
    rounds = 100
    for _ in range(rounds):
        for client in clients:
            client.send(request_bytes("GET", "/1k"))
        for client in clients:
            client.until(b"\r\n\r\n")
            client.exactly(1024)
    for _ in range(rounds):
        clients[0].request("/64k")
        assert len(clients[0].read_response().body) == 65536
    counts = traced.stop()
    hits = rounds * len(clients) + rounds
    if warp.io() == "uring":
        check_uring_calls(counts, hits, capsys)
    else:
        moving = sum(n for name, n in counts.items() if name in ("recvfrom", "recvmsg", "sendto", "sendmsg", "writev"))
        with capsys.disabled():
            print(f"\nnumbers: system calls of a hit over TLS: {moving / hits:.3f} send and receive {counts}")
        assert 1.98 <= moving / hits <= 2.1, counts  # a send of 66 KiB may be taken in two
    for client in clients:
        client.close()


def test_memory_of_an_idle_tls_connection(start_secure, origin, capsys):
    n = 1000
    warp, context = start_secure(env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"})
    store_secure(warp, origin, context)
    pid = warp.worker_pid()

    def open_idle(count):
        clients = [warp.tls_client(context) for _ in range(count)]
        for client in clients:
            ask_secure(client)
        return clients

    clients = open_idle(100)  # a warm-up: pools have begun
    before = heap_kib(pid)
    clients += open_idle(n)
    warp.wait_metric(n + 100, "warp_connections", state="idle")
    per_connection = (heap_kib(pid) - before) * 1024 / n
    with capsys.disabled():
        print(f"\nnumbers: an idle TLS connection holds {per_connection:.0f} B of user memory")
    assert per_connection <= 16 * 1024
    for client in clients:
        client.close()
    warp.wait_metric(0, "warp_connections", state="idle")


def test_memory_of_an_idle_http2_connection(start_warp, origin, capsys):
    n = 500
    warp = start_warp(origin, env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"})
    store(warp, origin)
    pid = warp.worker_pid()

    def open_idle(count):
        clients = [H2Client(("127.0.0.1", warp.port)) for _ in range(count)]
        for client in clients:
            client.authority = "a.test"
            client.ping()
        return clients

    def ask_all(clients):
        for client in clients:
            ask_in_batches(client, 1, 1)
        warp.wait_metric(len(clients), "warp_connections", state="idle")

    warm = open_idle(100)  # pools have begun
    ask_all(warm)
    before = heap_kib(pid)
    clients = open_idle(n)
    fresh = (heap_kib(pid) - before) * 1024 / n
    ask_all(warm + clients)
    used = (heap_kib(pid) - before) * 1024 / n
    with capsys.disabled():
        print(f"\nnumbers: an idle HTTP/2 connection holds {fresh:.0f} B of user memory before its first request, {used:.0f} B after")
    assert fresh <= 20 * 1024
    assert used <= 24 * 1024
    for client in warm + clients:
        client.sock.close()
    warp.wait_metric(0, "warp_connections", state="idle")


class Filler:
    """Stores objects by the thousand: connections that ask in turn, an origin that answers any /<body's length>/<n>."""

    FIELDS = {"Date": "Sun, 06 Nov 2044 08:49:37 GMT", "Cache-Control": "max-age=3600", "Content-Type": "text/html; charset=utf-8",
              "ETag": '"5f2a-61c0b7a4e3d80"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}
    PARSED = 104 + 12 * len(FIELDS)  # cache/stored.h: the numbers and the list of fields
    END = b"\r\n<end of a body>\r\n"

    def __init__(self, warp, origin):
        self.many = Many(warp.port, 16)
        self.answers = {}
        origin.serve(lambda exchange: exchange.send(self.answers[exchange.target.split("/")[1]]))

    def store(self, length, numbers):
        """Bytes of the bodies, of the fields' text and of the URLs."""
        body = b"b" * (length - len(self.END)) + self.END
        self.answers[str(length)] = answer(200, self.FIELDS, body)
        fields = sum(len(f"{name}: {value}\r\n") for name, value in self.FIELDS.items())
        payload = 0
        numbers = list(numbers)
        for i in range(0, len(numbers), len(self.many.sockets)):
            asked = list(zip(self.many.sockets, numbers[i:]))
            for sock, n in asked:
                sock.sendall(request_bytes("GET", f"/{length}/{n:08}"))
                payload += length + fields + len(f"http://a.test/{length}/{n:08}")
            for sock, _ in asked:
                data = b""
                while not data.endswith(self.END):
                    got = sock.recv(65536)
                    assert got, "ended"
                    data += got
                assert data.startswith(b"HTTP/1.1 200")
        return payload

    def close(self):
        self.many.close()


def anonymous(pid):
    """Bytes of its own: of libraries it has a share, which changes with who else runs."""
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Anonymous")


# Bytes of an object beside its body, its fields' text and its URL, by the body's length. Its own structures are 136, its
# labels 16 to 24, the index about 30; jemalloc has 128 bytes for each run of one to sixteen.
OBJECT_BYTES = {300: 420, 1000: 385, 1024: 395, 1500: 445, 3000: 470, 10000: 475, 15700: 700}


def test_memory_of_an_object(start_warp, origin, capsys, request):
    """Growth of the process, so that what the allocator adds is in it: no length of a body may be unlucky."""
    warp = start_warp(origin, args=["--memory", "512m"], env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"})
    filler = Filler(warp, origin)
    request.addfinalizer(filler.close)
    pid, n = warp.worker_pid(), 10000
    filler.store(700, range(3000))  # a warm-up: pools have begun
    for length, most in OBJECT_BYTES.items():
        filler.store(length, range(n, n + 500))  # the first runs of these sizes
        before = anonymous(pid)
        payload = filler.store(length, range(n))
        each = (anonymous(pid) - before - payload) / n
        with capsys.disabled():
            print(f"\nnumbers: an object of {length} B takes {each:.0f} B beside its body, fields and URL, at most {most}: "
                  f"{each - filler.PARSED:.0f} B and {filler.PARSED} B of parsed metadata")
        assert each <= most, length
        assert warp.stats()["tiers"]["ram"]["evictions"] == 0


def test_descriptors_come_back(start_warp, origin):
    warp = start_warp(origin)
    store(warp, origin)
    pid = warp.worker_pid()
    warp.wait_metric(0, "warp_connections", state="idle")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        many = Many(warp.port, 500)
        many.send(request_bytes("GET", "/1k"))
        many.read(lambda data: data.endswith(BODY))
        many.close()
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, "descriptors are back")


def test_an_idle_process_sleeps(start_warp, origin, tmp_path):
    """No busy loop with idle clients, a stalled one, and one that waits for its origin."""
    warp = start_warp(origin)
    store(warp, origin)
    idle, waiting, stalled = warp.client(), warp.client(), warp.client(receive_buffer=4096)
    waiting.request("/wait")
    seen = origin.expect("/wait")
    stalled.request("/large")
    large = origin.expect("/large")
    large.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    stalled.read_head()
    until(lambda: not large.connection.wire.send_some(bytes(1 << 20)), "no more goes through")

    def ticks():
        fields = open(f"/proc/{warp.worker_pid()}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    assert not idle.sock_is_readable_within(1.0)
    assert ticks() - before <= 5, "processor time of a process with nothing to do (in 1/100 s)"
    seen.answer(200)
    assert waiting.read_response().status == 200
    for client in (idle, waiting, stalled):
        client.close()
