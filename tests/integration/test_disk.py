"""The disk tier: what is stored is there again after any end, and what was purged is not."""
import hashlib
import os
import signal

import pytest

from origin import answer
from wait import until

pytestmark = pytest.mark.threads

SIZE = "64m"
HOST = "a.test"


def body_of(target, n=None):
    """Bytes that name their target, of a length that its name gives: /<length>/..."""
    n = int(target.split("/")[1]) if n is None else n
    seed = hashlib.sha256(target.encode()).hexdigest().encode() + b"\n"
    return (seed * (n // len(seed) + 1))[:n]


def handler(exchange):
    target = exchange.target
    tag = target.rsplit("tag=", 1)[1] if "tag=" in target else "none"
    exchange.answer(200, {"Cache-Control": "max-age=3600", "ETag": f'"{hashlib.md5(target.encode()).hexdigest()}"',
                          "Surrogate-Key": tag}, body_of(target))


@pytest.fixture
def disk(start_warp, origin, tmp_path):
    """Starts WARP on the same directory as often as it is called."""
    origin.serve(handler)

    def start(*args, size=SIZE, directory=tmp_path / "cache", **more):
        token = tmp_path / "token"
        token.write_text("secret\n")
        warp = start_warp(origin, cache=("--cache-dir", str(directory), "--cache-size", size, "--memory", "16m", "--admin-token-file", str(token)),
                          args=args, **more)
        (warp.directory / "admin.token").write_text("secret\n")
        return warp
    start.origin = origin
    return start


def stored(warp, n):
    """n objects are on the disk."""
    until(lambda: warp.metric("warp_cache_objects", tier="disk") >= n, f"{n} objects on disk")


def recovered(warp):
    until(lambda: warp.metric("warp_store_recovering", tier="disk") == 0, "recovered")


def check(warp, target):
    response = warp.get(target, host=HOST)
    assert response.status == 200 and response.body == body_of(target), target
    return "hit" in response.headers["cache-status"]


def fill(warp, targets):
    for target in targets:
        assert not check(warp, target), target


def kill(warp):
    """As if the machine had lost power: every process at once."""
    for pid in warp.children():
        os.kill(pid, signal.SIGKILL)
    warp.process.kill()
    warp.process.wait()
    warp.process = None


SIZES = (0, 1, 1000, 4096, 4097, 65536, 65537, 300000, 1048576)
TARGETS = [f"/{n}/{i}" for n in SIZES for i in range(3)]


def test_back_after_a_stop(disk):
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    warp.stop()
    count = disk.origin.count
    warp = disk()
    recovered(warp)
    assert all(check(warp, target) for target in TARGETS)
    assert disk.origin.count == count
    assert warp.metric("warp_cache_served_hits_total", tier="disk") == len(TARGETS)
    assert check(warp, TARGETS[0]) and warp.metric("warp_cache_served_hits_total", tier="ram") == 1


def test_back_after_a_kill(disk):
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    kill(warp)
    count = disk.origin.count
    warp = disk()
    recovered(warp)
    assert all(check(warp, target) for target in TARGETS)
    assert disk.origin.count == count


def test_purged_stays_purged(disk):
    """By every kind of purge, answered before the kill."""
    warp = disk()
    kinds = {"url": "/1000/url", "prefix": "/1000/p/x", "tag": "/1000/a?tag=t1", "tags": "/1000/b?tag=t2"}
    kept = ["/1000/kept", "/1000/q/x", "/1000/c?tag=t3"]
    fill(warp, [*kinds.values(), *kept])
    stored(warp, len(kinds) + len(kept))
    host = f"http://{HOST}"
    for what in ({"url": host + kinds["url"]}, {"prefix": host + "/1000/p/"}, {"tag": "t1"}, {"tags": ["t2", "t4"]}):
        assert warp.purge(**what)["durable"] is True
    kill(warp)
    warp = disk()
    recovered(warp)
    assert [target for target in kinds.values() if check(warp, target)] == []
    assert all(check(warp, target) for target in kept)


@pytest.mark.parametrize("what", ["everything", "host"])
def test_all_purged_stays_purged(disk, what):
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    warp.purge(**({"everything": True} if what == "everything" else {"host": HOST}))
    kill(warp)
    warp = disk()
    recovered(warp)
    assert not any(check(warp, target) for target in TARGETS)
