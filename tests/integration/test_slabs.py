"""Large bodies lie in slabs and leave by reference: what a client has not read yet stays right whatever happens to the
object behind it, and to its memory."""
import hashlib
import random
import socket

import pytest

from client import Client
from message import Wire
from origin import chunk
from wait import until

MIB = 1 << 20
LARGE, MIDDLE, SMALL = 10 * MIB, 1_300_000, 300_000
IN_FLIGHT = 100_000  # about what fits into the sockets' buffers


def body(target):
    """Other bytes for each target, in every page."""
    size = int(target.split("/")[2])
    return random.Random(target).randbytes(size)


def serve(exchange):
    text = body(exchange.target)
    if exchange.target.startswith("/chunked/"):
        exchange.answer(headers={"Cache-Control": "max-age=600", "Transfer-Encoding": "chunked", "ETag": '"v"'}, body=b"", length=False)
        for at in range(0, len(text), 50_001):
            exchange.send(chunk(text[at:at + 50_001]))
        exchange.send(b"0\r\n\r\n")
    else:
        exchange.answer(headers={"Cache-Control": "max-age=600", "ETag": '"v"'}, body=text)


def digest(data):
    return hashlib.md5(data).hexdigest()


class UnixClient(Client):
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        Wire.__init__(self, sock, 10)


@pytest.fixture
def start(start_warp, origin, tmp_path):
    """A WARP on TCP and on a unix socket; client(kind) connects."""
    origin.serve(serve)
    path = tmp_path / "listen.sock"

    def begin(*args):
        warp = start_warp(origin, args=("--listen", f"unix:{path}", *args))
        warp.connect = lambda kind: UnixClient(path) if kind == "unix" else warp.client(receive_buffer=16384)
        return warp

    return begin


def slabs(warp):
    return warp.metric("warp_cache_slabs", tier="ram")


class Reader:
    """Asks for a target and stops reading when `left` bytes are to come."""

    def __init__(self, warp, kind, target, left):
        self.client, self.expected = warp.connect(kind), body(target)
        self.client.request(target)
        head = self.client.read_head()
        assert head.status == 200 and head.headers["Content-Length"] == str(len(self.expected))
        self.got = self.client.exactly(len(self.expected) - left)
        self.left = left

    def read(self, n):
        n = min(n, self.left)
        self.got += self.client.exactly(n)
        self.left -= n

    def until_all_has_left(self, warp):
        """Reads as little more as it takes for the server to have nothing left to send."""
        def has_left():
            if warp.outcome("hit") == 1:
                return True
            self.read(4096)
            return False

        until(has_left, "the end of the answer on the server's side")
        assert self.left >= 4096

    def finish(self):
        self.read(self.left)
        self.client.close()
        assert digest(self.got) == digest(self.expected)


def get(warp, target, *more, **named):
    response = warp.get(target, *more, **named)
    assert response.status == 200
    return response


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("size", [SMALL, MIDDLE, LARGE])
def test_purge_while_bytes_are_in_flight(start, kind, size):
    warp = start("--memory", "256m")
    target = f"/a/{size}"
    assert digest(get(warp, target).body) == digest(body(target))
    assert slabs(warp) == -(-size // (2 * MIB))  # one for each slice
    reader = Reader(warp, kind, target, IN_FLIGHT)
    reader.until_all_has_left(warp)
    warp.purge(url=f"http://a.test{target}")
    warp.wait_metric(0, "warp_cache_slabs", tier="ram")  # nothing of it is in the store
    assert warp.metric("warp_cache_slab_bytes", tier="ram") == 0
    for i in range(4):
        get(warp, f"/other{i}/{size}")
    assert slabs(warp) > 0
    reader.finish()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_purge_while_most_is_unread(start, kind):
    warp = start("--memory", "256m")
    readers = []
    for size in (MIDDLE, LARGE):
        get(warp, f"/a/{size}")
        readers += [Reader(warp, kind, f"/a/{size}", size - 70_000), Reader(warp, kind, f"/a/{size}", size // 2)]
    warp.purge(everything=True)
    for i in range(3):
        get(warp, f"/other{i}/{LARGE}")
        get(warp, f"/other{i}/{MIDDLE}")
    for reader in readers:
        reader.finish()
    warp.purge(everything=True)
    warp.wait_metric(0, "warp_cache_slab_bytes", tier="ram")


def test_eviction_while_a_client_reads(start):
    warp = start("--memory", "96m")
    get(warp, f"/a/{LARGE}")
    readers = [Reader(warp, kind, f"/a/{LARGE}", left) for kind in ("tcp", "unix") for left in (LARGE - 70_000, IN_FLIGHT)]
    for i in range(16):
        assert digest(get(warp, f"/other{i}/{LARGE}").body) == digest(body(f"/other{i}/{LARGE}"))
        used = warp.metric("warp_cache_size_bytes", tier="ram") + warp.metric("warp_cache_index_bytes", tier="ram")
        assert used <= 96 * MIB
    assert warp.metric("warp_cache_evictions_total", tier="ram") > 5
    for reader in readers:
        reader.finish()


def test_a_follower_reads_right(start):
    """A client that reads slowly while the fill goes on and its object is purged."""
    warp = start("--memory", "256m")
    reader = Reader(warp, "tcp", f"/a/{LARGE}", LARGE - 70_000)
    warp.purge(everything=True)
    for i in range(3):
        get(warp, f"/other{i}/{LARGE}")
    reader.finish()


@pytest.mark.parametrize("prefix", ["/a", "/chunked"])
def test_ranges_across_the_borders_of_slabs(start, prefix):
    warp = start("--memory", "256m")
    target, size = f"{prefix}/{5 * MIB + 77}", 5 * MIB + 77
    text = body(target)
    assert digest(get(warp, target).body) == digest(text)
    assert slabs(warp) == 3  # slices of 2 MiB; of an unknown length: whole, in as many slabs
    with warp.client() as client:
        for first, last in [(0, 0), (2 * MIB - 1, 2 * MIB), (2 * MIB, 2 * MIB + 40_000), (2 * MIB - 40_000, 4 * MIB + 40_000),
                            (4 * MIB - 1, 4 * MIB - 1), (4 * MIB - 3, size - 1), (size - 1, size - 1), (100, size - 100)]:
            part = client.get(target, {"Range": f"bytes={first}-{last}"})
            assert part.status == 206 and part.is_hit
            assert digest(part.body) == digest(text[first:last + 1])
        tail = client.get(target, {"Range": "bytes=-70000"})
        assert tail.status == 206 and digest(tail.body) == digest(text[-70_000:])
        several = client.get(target, {"Range": f"bytes=0-99999,{2 * MIB - 50_000}-{2 * MIB + 50_000}"})
        assert several.status == 206
        assert text[:100_000] in several.body and text[2 * MIB - 50_000:2 * MIB + 50_001] in several.body
        head = client.get(target, method="HEAD")
        assert head.status == 200 and head.headers["Content-Length"] == str(size) and head.body == b""
        assert digest(client.get(target).body) == digest(text)


def test_unknown_length_gives_back_what_it_does_not_need(start):
    warp = start("--memory", "256m")
    for size in (300_000, 1_000_000, 5 * MIB):
        target = f"/chunked/{size}"
        assert digest(get(warp, target).body) == digest(body(target))
        assert digest(get(warp, target).body) == digest(body(target))
    assert warp.metric("warp_cache_slab_rounding_bytes", tier="ram") < 3 * 4096
    assert warp.metric("warp_cache_size_bytes", tier="ram") < 7 * MIB


def test_often_asked_for_is_still_right(start):
    """Its slabs become huge pages where the kernel has them: no byte changes."""
    warp = start("--memory", "256m")
    for target in (f"/a/{LARGE}", f"/a/{MIDDLE}"):
        with warp.client() as client:
            for _ in range(70):
                assert client.get(target).body == body(target)


def test_small_memory(start):
    warp = start("--memory", "16m")
    for i in range(30):
        for size in (SMALL, MIDDLE, LARGE):
            target = f"/o{i}/{size}"
            assert digest(get(warp, target).body) == digest(body(target))
    used = warp.metric("warp_cache_size_bytes", tier="ram") + warp.metric("warp_cache_index_bytes", tier="ram")
    assert used <= 16 * MIB
