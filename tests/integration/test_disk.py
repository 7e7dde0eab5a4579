"""The disk tier: what is stored is there again after any end, and what was purged is not."""
import pytest

from disk import HOST, MIB, check, fill, kill, recovered, stored
from wait import until

pytestmark = pytest.mark.threads


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


@pytest.mark.parametrize("size", ["16m", "32m"])
def test_a_store_too_small_for_slices(disk, size):
    """Bodies in slices are served from RAM, and cost the disk nothing; what is small is kept."""
    large = f"/{10 * MIB}/large"
    warp = disk(size=size, memory="128m")
    assert not check(warp, large) and check(warp, large)
    until(lambda: warp.metric("warp_disk_too_large_total") >= 10, "ten slices that do not fit")
    fill(warp, ["/1000/small"])
    stored(warp, 2)  # and the large one's head
    assert warp.metric("warp_disk_segments", state="used") <= 2
    assert all(check(warp, large) for _ in range(3))
    assert warp.metric("warp_disk_too_large_total") == 10
    warp.stop()
    warp = disk(size=size, memory="128m")
    recovered(warp)
    assert check(warp, "/1000/small")
    check(warp, large)
    assert check(warp, large)
