"""Fills: one fetch for many clients, whatever some of them or the origin do meanwhile."""
import os
import resource
import selectors
import socket
import threading

import pytest

from client import Client, Response, request_bytes
from message import Incomplete, Wire
from origin import answer, chunk
from wait import Timeout, until

FRESH = {"Cache-Control": "max-age=3600"}
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: %d\r\n\r\n"

pytestmark = pytest.mark.threads


def pattern(n):
    """n bytes of which no two places look alike."""
    return b"".join(b"%15d\n" % i for i in range(n // 16 + 1))[:n]


def crowd(warp, n, target="/x", headers=(), **options):
    clients = [warp.client(**options) for _ in range(n)]
    for client in clients:
        client.request(target, headers=headers)
    return clients


def close(clients):
    for client in clients:
        client.close()


@pytest.fixture
def warp(start_warp, origin):
    return start_warp(origin, workers=4)


# ---- collapse ---------------------------------------------------------------------------------------------------------


def test_two_hundred_clients_and_one_request(warp, origin):
    clients = crowd(warp, 200)
    seen = origin.expect("/x")
    until(lambda: warp.metric("warp_connections", state="active") == 200, "all have asked")
    seen.answer(200, FRESH, b"for all")
    for client in clients:
        assert client.read_response().body == b"for all"
    assert origin.silent()
    assert warp.metric("warp_collapsed_requests_total") == 199
    assert warp.metric("warp_cache_inserts_total", tier="ram") == 1
    warp.counted("miss", 200)
    close(clients)


def test_the_first_bytes_reach_all_before_the_origin_has_finished(warp, origin):
    clients = crowd(warp, 50)
    seen = origin.expect("/x")
    until(lambda: warp.metric("warp_connections", state="active") == 50, "all have asked")
    seen.send(HEAD % 8 + b"half")
    heads = [client.read_head() for client in clients]
    for client in clients:
        assert client.exactly(4) == b"half"
    late = warp.client()  # one that comes while the body is under way
    late.request("/x")
    late_head = late.read_head()
    assert late.exactly(4) == b"half"
    seen.send(b"done")
    for client in clients + [late]:
        assert client.exactly(4) == b"done"
    assert all("collapsed" in head.cache_status for head in heads[1:]) or sum("collapsed" in h.cache_status for h in heads) == 49
    assert late_head.status == 200 and origin.silent()
    close(clients + [late])


def test_ranges_and_heads_join_too(warp, origin):
    data = pattern(100000)
    ranges = crowd(warp, 10, headers={"Range": "bytes=50000-50099"})
    whole = crowd(warp, 10)
    seen = origin.expect("/x")
    until(lambda: warp.metric("warp_connections", state="active") == 20, "all have asked")
    seen.answer(200, FRESH, data)
    for client in whole:
        assert client.read_response().body == data
    for client in ranges:
        response = client.read_response()
        assert response.status == 206 and response.body == data[50000:50100]
    assert origin.silent()
    close(ranges + whole)


def test_the_first_client_leaves(warp, origin):
    first = warp.client()
    first.request("/x")
    seen = origin.expect("/x")
    others = crowd(warp, 20)
    warp.wait_metric(20, "warp_collapsed_requests_total")
    first.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 20, "the first has left")
    seen.answer(200, FRESH, b"for the others")
    for client in others:
        assert client.read_response().body == b"for the others"
    assert origin.silent()
    close(others)


def test_the_first_client_leaves_in_the_middle_of_the_body(warp, origin):
    first = warp.client()
    first.request("/x")
    seen = origin.expect("/x")
    seen.send(HEAD % 8 + b"half")
    first.read_head()
    first.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "it has left")
    seen.send(b"done")  # the fill goes on for whoever comes next
    until(lambda: warp.get("/x").is_hit, "stored")
    assert warp.get("/x").body == b"halfdone" and origin.silent()


def test_all_leave_before_the_answer(warp, origin):
    """The origin's work is for nobody: its connection ends."""
    clients = crowd(warp, 5)
    seen = origin.expect("/x")
    warp.wait_metric(4, "warp_collapsed_requests_total")
    for client in clients:
        client.reset()
    seen.connection.wire.ended()


def test_a_client_that_stops_reading_slows_nobody(warp, origin):
    data = pattern(24 << 20)
    stopped = warp.client(receive_buffer=4096)
    stopped.request("/x")
    seen = origin.expect("/x")
    sender = threading.Thread(target=lambda: seen.send(HEAD % len(data) + data))
    sender.start()
    stopped.read_head()
    others = crowd(warp, 3)
    for client in others:
        assert client.read_response().body == data
    sender.join()
    assert len(stopped.buffer) < len(data) // 2
    stopped.close()
    close(others)


# ---- what may not be shared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{"Cache-Control": "private"}, {"Cache-Control": "no-store"}, {},
                                     {"Set-Cookie": "id=1", "Cache-Control": "max-age=100"}, {"Vary": "*", **FRESH}])
def test_an_answer_that_is_not_for_all_releases_all_in_parallel(warp, origin, headers):
    clients = crowd(warp, 20)
    first = origin.expect("/x")
    warp.wait_metric(19, "warp_collapsed_requests_total")
    first.answer(200, headers, b"0")
    rest = [origin.expect("/x") for _ in range(19)]  # all at once: none waits for another's answer
    for n, seen in enumerate(rest, 1):
        seen.answer(200, headers, b"%d" % n)
    bodies = sorted(client.read_response().body for client in clients)
    assert bodies == sorted(b"%d" % n for n in range(20)), "each its own answer"
    again = crowd(warp, 5)  # remembered: these do not queue at all
    seen = [origin.expect("/x") for _ in range(5)]
    for exchange in seen:
        exchange.answer(200, headers, b"again")
    for client in again:
        assert client.read_response().body == b"again"
    close(clients + again)


@pytest.mark.parametrize("control", ["no-cache", "max-age=0"])
def test_followers_validate_for_themselves(warp, origin, control):
    """security.md rule 6: what must be validated each time was validated for one client only."""
    headers = {"Cache-Control": control, "ETag": '"v1"'}
    clients = crowd(warp, 10)
    first = origin.expect("/x")
    warp.wait_metric(9, "warp_collapsed_requests_total")
    first.answer(200, headers, b"body")
    rest = [origin.expect("/x") for _ in range(9)]
    for seen in rest:
        if seen.headers.get("If-None-Match") == '"v1"':
            seen.answer(304, headers)
        else:
            seen.answer(200, headers, b"body")
    for client in clients:
        assert client.read_response().body == b"body"
    close(clients)


def test_other_variants_get_their_own(warp, origin):
    clients = {kind: crowd(warp, 10, headers={"X-Kind": kind}) for kind in ("a", "b")}
    headers = {"Vary": "X-Kind", **FRESH}
    first = origin.expect("/x")
    warp.wait_metric(19, "warp_collapsed_requests_total")
    kinds = [first.headers["X-Kind"]]
    first.answer(200, headers, kinds[0].encode())
    second = origin.expect("/x")  # the others look again and collapse on their own
    kinds.append(second.headers["X-Kind"])
    assert sorted(kinds) == ["a", "b"]
    until(lambda: origin.silent(), "one request for each variant")
    second.answer(200, headers, kinds[1].encode())
    for kind, group in clients.items():
        for client in group:
            assert client.read_response().body == kind.encode()
        close(group)
    assert origin.silent()


# ---- failures -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_origin_cut_midway_fails_all_visibly(warp, origin, framing, end):
    clients = crowd(warp, 20)
    seen = origin.expect("/x")
    warp.wait_metric(19, "warp_collapsed_requests_total")
    if framing == "length":
        seen.send(HEAD % 10 + b"half")
    else:
        seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=3600\r\n\r\n" + chunk(b"half"))
    heads = [client.read_head() for client in clients]
    seen.close() if end == "fin" else seen.reset()
    for client, head in zip(clients, heads):
        with pytest.raises(Incomplete):
            client.read_body(head)
    close(clients)
    with warp.client() as client:
        client.request("/x")
        origin.expect("/x").answer(200, FRESH, b"whole")
        assert client.read_response().body == b"whole"
    assert warp.metric("warp_not_stored_total", reason="incomplete") == 1


def test_an_origin_that_says_nothing_fails_all_once(warp, origin):
    clients = crowd(warp, 20)
    seen = origin.expect("/x")
    warp.wait_metric(19, "warp_collapsed_requests_total")
    seen.close()
    statuses = [client.read_response().status for client in clients]
    assert statuses == [502] * 20
    close(clients)


def test_an_error_is_for_those_who_waited_only(warp, origin):
    """A 5xx without freshness is handed to one; the others ask themselves; nothing is kept of it."""
    clients = crowd(warp, 5)
    first = origin.expect("/x")
    warp.wait_metric(4, "warp_collapsed_requests_total")
    first.answer(500, {}, b"broken")
    for seen in [origin.expect("/x") for _ in range(4)]:
        seen.answer(200, FRESH, b"fine")
    assert sorted(client.read_response().status for client in clients) == [200] * 4 + [500]
    close(clients)


# ---- larger than the store ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(start_warp, origin):
    return start_warp(origin, workers=2, args=["--memory", "4m"])  # bodies go through a window


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_larger_than_the_store_streams_through(small, origin, framing):
    data = pattern(20 << 20)
    client = small.client()
    client.request("/x")
    seen = origin.expect("/x")
    head = HEAD % len(data) if framing == "length" else (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=3600\r\n\r\n")
    body = data if framing == "length" else chunk(data) + b"0\r\n\r\n"
    sender = threading.Thread(target=lambda: seen.send(head + body))
    sender.start()
    assert client.read_response().body == data
    sender.join()
    assert small.metric("warp_cache_size_bytes", tier="ram") <= 4 << 20
    client.close()


def slow_and_fast(warp, origin, headers):
    """Two readers of one fill: one keeps up, the other stops behind the head. (the slow one, its head, the data)"""
    data = pattern(20 << 20)
    slow, fast = warp.client(receive_buffer=4096), warp.client()
    slow.request("/x")
    seen = origin.expect("/x")
    fast.request("/x")
    warp.wait_metric(1, "warp_collapsed_requests_total")
    seen.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: %d\r\n%s\r\n" % (len(data), headers))
    head = slow.read_head()
    fast.read_head()
    for at in range(0, len(data), 65536):
        part = data[at:at + 65536]
        seen.send(part)
        assert fast.exactly(len(part)) == part
    fast.close()
    return slow, head, data


def test_a_slow_reader_goes_on_by_range(small, origin):
    slow, head, data = slow_and_fast(small, origin, b'ETag: "strong"\r\n')

    def serve():
        seen = origin.expect("/x")
        first = int(seen.headers["Range"].removeprefix("bytes=").split("-")[0])
        asked.append(seen)
        seen.answer(206, {"ETag": '"strong"', "Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}, data[first:])

    asked = []
    server = threading.Thread(target=serve)
    server.start()
    assert slow.read_body(head).body == data
    server.join()
    assert asked[0].headers["If-Range"] == '"strong"'
    slow.close()


@pytest.mark.parametrize("lie", ["200", "other-tag", "other-range", "other-length"])
def test_a_slow_reader_never_gets_other_bytes(small, origin, lie):
    slow, head, data = slow_and_fast(small, origin, b'ETag: "strong"\r\n')

    def serve():
        seen = origin.expect("/x")
        first = int(seen.headers["Range"].removeprefix("bytes=").split("-")[0])
        tag, at, total, status = '"strong"', first, len(data), 206
        if lie == "200":
            status, at = 200, 0
        if lie == "other-tag":
            tag = '"other"'
        if lie == "other-range":
            at = first + 1
        if lie == "other-length":
            total = len(data) + 5
        headers = {"ETag": tag}
        if status == 206:
            headers["Content-Range"] = f"bytes {at}-{total - 1}/{total}"
        try:
            seen.answer(status, headers, bytes(total - at))
        except (ConnectionError, Timeout):
            pass

    server = threading.Thread(target=serve)
    server.start()
    with pytest.raises(Incomplete) as cut:
        slow.read_body(head)
    server.join()
    assert data.startswith(cut.value.got)
    slow.close()


@pytest.mark.parametrize("headers", [b"", b'ETag: W/"weak"\r\n'])
def test_a_slow_reader_without_a_strong_tag_is_cut_visibly(small, origin, headers):
    slow, head, data = slow_and_fast(small, origin, headers)
    with pytest.raises(Incomplete) as cut:
        slow.read_body(head)
    assert data.startswith(cut.value.got) and len(cut.value.got) < len(data)
    assert origin.silent()
    slow.close()


# ---- invalidation while a fill runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["url", "everything"])
@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_a_purge_while_a_fill_runs(warp, origin, what, when):
    first, second = warp.client(), warp.client()
    first.request("/x")
    old = origin.expect("/x")
    if when == "in the body":
        old.send(HEAD % 6 + b"old")
        first.read_head()
        assert first.exactly(3) == b"old"
    warp.purge(**{what: "http://a.test/x" if what == "url" else True})
    second.request("/x")
    new = origin.expect("/x")  # nobody who comes after the purge joins the older fill
    if when == "in the body":
        old.send(b"old")
        assert first.exactly(3) == b"old"
    else:
        old.answer(200, FRESH, b"oldold")
        assert first.read_response().body == b"oldold"
    new.answer(200, FRESH, b"new")
    assert second.read_response().body == b"new"
    assert warp.get("/x").body == b"new"
    assert origin.silent()
    close([first, second])


def test_a_soft_purge_while_a_fill_runs(warp, origin):
    """What was fetched before is stale from the start."""
    first = warp.client()
    first.request("/x")
    old = origin.expect("/x")
    warp.purge(url="http://a.test/x", soft=True)
    old.answer(200, {"ETag": '"old"', **FRESH}, b"old")
    assert first.read_response().body == b"old"
    first.request("/x")
    seen = origin.expect("/x")
    seen.answer(200, FRESH, b"new")
    assert first.read_response().body == b"new"
    first.close()


def test_a_purge_after_which_only_the_old_fill_ends(warp, origin):
    first = warp.client()
    first.request("/x")
    old = origin.expect("/x")
    warp.purge(url="http://a.test/x")
    old.answer(200, FRESH, b"old")
    assert first.read_response().body == b"old"
    second = warp.client()
    second.request("/x")
    origin.expect("/x").answer(200, FRESH, b"new")
    assert second.read_response().body == b"new"
    assert warp.metric("warp_not_stored_total", reason="purged") == 1
    close([first, second])


@pytest.mark.parametrize("order", ["get first", "post first"])
def test_a_post_while_a_get_runs(warp, origin, order):
    """What was fetched before the change is not served after it, whichever answer comes first."""
    getter, poster = warp.client(), warp.client()
    getter.request("/x")
    get = origin.expect("/x")
    poster.request("/x", "POST", body=b"change")
    post = origin.expect("/x")
    assert post.method == "POST"
    if order == "get first":
        get.answer(200, FRESH, b"old")
        assert getter.read_response().body == b"old"
    post.answer(200, {}, b"changed")
    assert poster.read_response().body == b"changed"
    if order == "post first":
        get.answer(200, FRESH, b"old")
        assert getter.read_response().body == b"old"
    later = warp.client()
    later.request("/x")
    origin.expect("/x").answer(200, FRESH, b"new")
    assert later.read_response().body == b"new"
    close([getter, poster, later])


# ---- many ----------------------------------------------------------------------------------------------------------------------------------


def heap_kib(pid):
    """Private dirty memory of the process: what it has taken itself."""
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise AssertionError("no Private_Dirty")


class Many:
    """Thousands of bare sockets: each sends one request; answers are read by one loop."""

    def __init__(self, port, n):
        self.sockets = []
        for i in range(n):
            sock = socket.socket()
            sock.bind((f"127.0.{1 + i // 1000}.1", 0))  # a local address has only so many ports
            sock.connect(("127.0.0.1", port))
            self.sockets.append(sock)

    def send(self, data):
        for sock in self.sockets:
            sock.sendall(data)

    def read(self, size):
        """Exactly `size` bytes from each; all must be alike. The bytes."""
        got = {sock: b"" for sock in self.sockets}
        with selectors.EpollSelector() as selector:
            for sock in self.sockets:
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ)
            left = len(self.sockets)
            while left:
                ready = selector.select(20)
                assert ready, f"{left} answers are missing"
                for key, _ in ready:
                    data = key.fileobj.recv(65536)
                    assert data, "ended"
                    got[key.fileobj] += data
                    if size(got[key.fileobj]):
                        selector.unregister(key.fileobj)
                        left -= 1
        return list(got.values())

    def close(self):
        for sock in self.sockets:
            sock.close()


def settled(measure, bound, what):
    """The figure once it is within its bound: what is on its way out holds buffers for a moment."""
    got = []
    until(lambda: got.append(measure()) or got[-1] <= bound, what)
    return got[-1]


@pytest.mark.exact
def test_ten_thousand_followers(start_warp, origin, capsys, request):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = 10000 if hard >= 11000 else 5000
    # what is given back is given back at once: only what is in use is counted
    warp = start_warp(origin, workers=2, env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"})
    pid = warp.worker_pid()
    with warp.client() as client:
        client.request("/warm")
        origin.expect("/warm").answer(200, FRESH, b"x")
        client.read_response()
    before = heap_kib(pid)
    many = Many(warp.port, n)
    request.addfinalizer(many.close)
    until(lambda: warp.metric("warp_connections", state="idle") >= n, "all are connected")
    idle = heap_kib(pid)
    many.send(request_bytes("GET", "/x"))
    seen = origin.expect("/x")
    warp.wait_metric(n - 1, "warp_collapsed_requests_total")
    # io_uring: each thread has that much to receive into, once as many requests came at once
    received = 2 * 1024 * 4096 if warp.io() == "uring" else 0
    wait_bytes = settled(lambda: (heap_kib(pid) - idle) * 1024 / n, 1024 + received / n, "memory of a follower that waits")
    seen.send(HEAD % 8 + b"half")
    many.read(lambda data: data.endswith(b"half"))
    # the threads' pools keep some hundred buffers for heads (4 KiB each), however many followers there are
    pools = 2 * 256 * 4096
    read_bytes = settled(lambda: (heap_kib(pid) - idle) * 1024 / n, 1400 + (pools + received) / n, "memory of a follower that reads")
    seen.send(b"done")
    for data in many.read(lambda data: data.endswith(b"done")):
        assert data == b"done"
    assert origin.silent()
    until(lambda: warp.outcome("miss") == n + 1, "every request is counted")
    idle_bytes = (idle - before) * 1024 / n
    with capsys.disabled():
        print(f"\nnumbers: {n} followers: {wait_bytes:.0f} B each while they wait, {read_bytes:.0f} B while they follow the body, "
              f"beside {idle_bytes:.0f} B for each idle connection")
