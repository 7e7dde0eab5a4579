"""What HTTP asks of objects that lie on the disk: ranges, variants, 304s, stale answers, purges, slices; before and after
a restart, with and without a RAM tier."""
import os
import threading

import pytest

from disk import HOST, MIB, STORE, body_of, check, etag_of, fill, kill, recovered, stored
from film import Film
from film import check as check_film
from wait import until

pytestmark = pytest.mark.threads

SIZES = (0, 1000, 4096, 4097, 300000, MIB)


@pytest.fixture(params=["0", "16m"])
def memory(request):
    return request.param


@pytest.fixture
def again(disk, memory):
    """again(warp) ends it and starts the next one, whose RAM is empty."""
    def restart(warp=None, end=kill, **more):
        if warp is not None:
            end(warp)
        warp = disk(memory=memory, **more)
        recovered(warp)
        return warp
    return restart


def disk_hits(warp):
    return warp.metric("warp_cache_served_hits_total", tier="disk")


def test_hits_come_from_the_disk(disk):
    """Without a RAM tier each hit is one of the disk; it counts once."""
    warp = disk(memory="0")
    targets = [f"/{n}/x" for n in SIZES]
    fill(warp, targets)
    stored(warp, len(targets))
    for times in (1, 2, 3):
        assert all(check(warp, target) for target in targets)
        assert disk_hits(warp) == times * len(targets)
    assert warp.metric("warp_cache_served_hits_total", tier="ram") == 0
    warp.counted("hit", 3 * len(targets))
    assert disk.origin.count == len(targets)


def test_requests_of_every_kind(disk, again):
    warp = again()
    for n in SIZES:
        check(warp, f"/{n}/x")
    stored(warp, len(SIZES))
    warp = again(warp)
    count = disk.origin.count
    for n in SIZES:
        target, body = f"/{n}/x", body_of(f"/{n}/x")
        head = warp.get(target, method="HEAD")
        assert head.is_hit and head.headers["Content-Length"] == str(n) and head.body == b""
        same = warp.get(target, {"If-None-Match": etag_of(target)})
        assert same.status == 304 and same.is_hit
        other = warp.get(target, {"If-None-Match": '"else"'})
        assert other.status == 200 and other.body == body
        if n > 0:
            last = n - n // 3 - 1
            part = warp.get(target, {"Range": f"bytes={n // 3}-{last}"})
            assert part.status == 206 and part.is_hit and part.body == body[n // 3:last + 1]
            parts = warp.get(target, {"Range": "bytes=0-1,5-9"}) if n > 10 else None
            assert parts is None or (parts.status == 206 and body[5:10] in parts.body)
            beyond = warp.get(target, {"Range": f"bytes={n}-"})
            assert beyond.status == 416
    assert disk.origin.count == count


def test_variants(disk, again):
    def vary(exchange):
        language = exchange.headers["Accept-Language"]
        exchange.answer(200, {"Cache-Control": "max-age=3600", "Vary": "Accept-Language"}, f"in {language}".encode())
    disk.origin.handler = vary
    warp = again()
    for language in ("de", "fr", "it"):
        assert not warp.get("/v", {"Accept-Language": language}).is_hit
    stored(warp, 4)
    warp = again(warp)
    for language in ("de", "fr", "it"):
        got = warp.get("/v", {"Accept-Language": language})
        assert got.is_hit and got.body == f"in {language}".encode()
    assert not warp.get("/v", {"Accept-Language": "es"}).is_hit
    assert disk.origin.count == 4


@pytest.mark.parametrize("n", SIZES)
def test_metadata_renewed_by_a_304(disk, again, n):
    """The body stays where it is; what the 304 said is there after a restart."""
    bodies = []

    def handler(exchange):
        if "If-None-Match" in exchange.headers:
            exchange.answer(304, {"Cache-Control": "max-age=3600", "X-Turn": "second", "ETag": '"e"'})
            return
        bodies.append(exchange)
        exchange.answer(200, {"Cache-Control": "max-age=0", "X-Turn": "first", "ETag": '"e"'}, body_of("/x", n))
    disk.origin.handler = handler
    warp = again()
    assert warp.get("/x").headers["X-Turn"] == "first"
    stored(warp, 1)
    warp = again(warp)
    renewed = warp.get("/x")
    assert renewed.headers["X-Turn"] == "second" and renewed.body == body_of("/x", n) and len(bodies) == 1
    until(lambda: warp.metric("warp_cache_inserts_total", tier="disk") >= 1, "written again")
    if n > 4096:
        assert 0 < warp.metric("warp_disk_written_bytes_total", cause="updates") <= 4096
    for _ in range(2):
        warp = again(warp)
        got = warp.get("/x")
        assert got.is_hit and got.headers["X-Turn"] == "second" and got.body == body_of("/x", n)
    assert len(bodies) == 1


def test_stale_while_the_origin_fails(disk, again):
    fails = []

    def handler(exchange):
        if fails:
            exchange.answer(503, {}, b"down")
        else:
            exchange.answer(200, {"Cache-Control": "max-age=0, stale-if-error=3600"}, body_of("/x", 5000))
    disk.origin.handler = handler
    warp = again()
    warp.get("/x")
    stored(warp, 1)
    fails.append(True)
    warp = again(warp)
    got = warp.get("/x")
    assert got.status == 200 and got.body == body_of("/x", 5000) and "fwd=stale" in got.cache_status
    warp.counted("stale", 1)


@pytest.mark.parametrize("n", (1000, 300000))
@pytest.mark.parametrize("first", [True, False], ids=["purge-stop", "stop-purge"])
def test_soft_purged_is_stale(disk, again, n, first):
    """Asked for again by its validator, not fetched again."""
    def handler(exchange):
        if exchange.headers.get("If-None-Match") == '"e"':
            exchange.answer(304, {"Cache-Control": "max-age=3600", "ETag": '"e"'})
        else:
            exchange.answer(200, {"Cache-Control": "max-age=3600", "ETag": '"e"'}, body_of("/x", n))
    disk.origin.handler = handler
    warp = again()
    warp.get("/x")
    stored(warp, 1)
    if not first:
        warp = again(warp)
    assert warp.purge(url=f"http://{HOST}/x", soft=True)["durable"] is True
    if first:
        warp = again(warp)
    got = warp.get("/x")
    assert not got.is_hit and "fwd=stale" in got.cache_status and "fwd-status=304" in got.cache_status
    assert got.body == body_of("/x", n)
    warp.counted("revalidated", 1)
    until(lambda: warp.metric("warp_cache_inserts_total", tier="disk") >= 1, "written again")
    assert warp.get("/x").is_hit
    warp = again(warp)
    got = warp.get("/x")
    assert got.is_hit and got.body == body_of("/x", n)


@pytest.mark.parametrize("end", [kill, lambda warp: warp.stop()], ids=["kill", "stop"])
def test_a_purge_while_it_is_fetched(disk, again, end):
    """The answer was begun before the purge: it is not there afterwards, nor after a restart."""
    go = threading.Event()

    def handler(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 10\r\n\r\nhalf ")
        go.wait(20)
        exchange.send(b"whole")
    disk.origin.handler = handler
    warp = again()
    with warp.client() as client:
        client.request("/x")
        head = client.read_head()
        assert warp.purge(url=f"http://{HOST}/x")["durable"] is True
        go.set()
        assert client.read_body(head).body == b"half whole"
    fill(warp, [])
    assert not warp.get("/x").is_hit
    disk.origin.handler = lambda exchange: exchange.answer(200, {"Cache-Control": "max-age=3600"}, b"new")
    warp.purge(url=f"http://{HOST}/x")
    warp = again(warp, end)
    got = warp.get("/x")
    assert not got.is_hit and got.body == b"new"


def test_replaced_objects_stay_replaced(disk, again):
    """The last answer of each key counts, whatever was written in between."""
    version = [0]
    disk.origin.handler = lambda exchange: exchange.answer(
        200, {"Cache-Control": "max-age=3600"}, f"{exchange.target} {version[0]}".encode() * 100)
    warp = again()
    targets = [f"/{i}" for i in range(20)]
    for version[0] in range(4):
        for target in targets:
            assert not warp.get(target).is_hit
        stored(warp, len(targets))
        if version[0] < 3:
            warp.purge(host=HOST, soft=True)
    until(lambda: warp.metric("warp_cache_inserts_total", tier="disk") >= 2 * len(targets), "written more than once")
    warp = again(warp, lambda warp: warp.stop())
    for target in targets:
        got = warp.get(target)
        assert got.is_hit and got.body == f"{target} 3".encode() * 100


# ---- large objects -----------------------------------------------------------------------------------------------------------


def slices_stored(warp, n):
    until(lambda: warp.metric("warp_cache_objects", tier="disk") >= n + 1, f"head and {n} slices on the disk")


def film_stored(warp, film):
    """All of it is on the disk. One that is slower than the network has refused some: they are asked for once more."""
    slices = -(-film.size // MIB)

    def is_stored():
        if warp.metric("warp_cache_objects", tier="disk") >= slices + 1:
            return True
        if warp.metric("warp_disk_offers_refused_total") > 0:
            check_film(film, warp.get("/film"), 0, film.size)
        return False

    until(is_stored, f"head and {slices} slices on the disk")
    assert film.asked[0] is None and (len(film.asked) == 1 or warp.metric("warp_disk_offers_refused_total") > 0)


def test_a_large_object(disk, origin, again):
    film = Film(origin, 20 * MIB + 77)
    warp = again()
    check_film(film, warp.get("/film"), 0, film.size)
    film_stored(warp, film)
    asked = list(film.asked)
    for end in (kill, lambda warp: warp.stop()):
        warp = again(warp, end)
        got = warp.get("/film", {"Range": "bytes=9000000-12345678"})
        assert got.is_hit and got.status == 206
        check_film(film, got, 9000000, 12345679)
        whole = warp.get("/film")
        assert whole.is_hit
        check_film(film, whole, 0, film.size)
    assert film.asked == asked


@pytest.mark.parametrize("tag", ['"v%d"', None], ids=["tag", "no-tag"])
@pytest.mark.parametrize("memory,size", [("0", 3 * MIB // 2), ("16m", 3 * MIB // 2), ("64m", 7 * MIB + 5)])
def test_a_large_object_of_unknown_length(disk, origin, memory, size, tag):
    """It is in one piece in RAM until all of it has come, and in slices for the disk; ranges of it, restarts, purges."""
    film = Film(origin, size, tag=tag)
    film.chunked = True
    warp = disk(memory=memory)
    check_film(film, warp.get("/film"), 0, size)
    film_stored(warp, film)
    asked = list(film.asked)
    for end in (None, kill, lambda warp: warp.stop()):
        if end is not None:
            end(warp)
            warp = disk(memory=memory)
            recovered(warp)
        part = warp.get("/film", {"Range": f"bytes=1000-{MIB + 999}"})
        assert part.status == 206 and part.is_hit
        check_film(film, part, 1000, MIB + 1000)
        whole = warp.get("/film")
        assert whole.is_hit and int(whole.headers["Content-Length"]) == size
        check_film(film, whole, 0, size)
    assert film.asked == asked
    warp.purge(url="http://a.test/film")
    film.version = 2
    assert not warp.get("/film").is_hit
    check_film(film, warp.get("/film"), 0, size)
    assert film.asked[len(asked)] is None


def test_slices_that_are_missing(disk, origin, again):
    """After a restart only what is not there is asked for."""
    film = Film(origin, 30 * MIB)
    warp = again()
    check_film(film, warp.get("/film", {"Range": f"bytes={10 * MIB}-{12 * MIB - 1}"}), 10 * MIB, 12 * MIB)
    slices_stored(warp, 2)
    warp = again(warp)
    got = warp.get("/film", {"Range": f"bytes={10 * MIB + 5}-{12 * MIB - 5}"})
    assert got.is_hit
    check_film(film, got, 10 * MIB + 5, 12 * MIB - 4)
    assert len(film.asked) == 1
    check_film(film, warp.get("/film", {"Range": f"bytes={9 * MIB}-{13 * MIB - 1}"}), 9 * MIB, 13 * MIB)
    assert film.asked[1:] and all(asked in (f"bytes={9 * MIB}-{10 * MIB - 1}", f"bytes={12 * MIB}-{13 * MIB - 1}") for asked in film.asked[1:])
    assert film.sent == 4 * MIB


@pytest.mark.exact
def test_memory_while_writing(disk, origin):
    """Many times what RAM may hold goes to the disk."""
    film = Film(origin, 1 << 30)
    warp = disk(memory="32m", size="256m")
    most, at = 0, 0
    with warp.client() as client:
        client.request("/film")
        client.read_head()
        while at < film.size:
            at += len(client.exactly(16 * MIB))
            with open(f"/proc/{warp.worker_pid()}/statm") as statm:
                most = max(most, int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert most < 200 * MIB, most
    assert warp.metric("warp_cache_size_bytes", tier="disk") <= warp.metric("warp_cache_max_bytes", tier="disk")
    assert warp.metric("warp_cache_inserts_total", tier="disk") > 100


# ---- a full store ----------------------------------------------------------------------------------------------------------------


def test_a_full_store(disk, memory):
    """Three times its size goes through: it stays within it, serves on, and what is asked for often stays."""
    warp = disk(size="32m", memory=memory)
    hot = [f"/50000/hot{i}" for i in range(8)]
    size, hits, wrong = disk.store.stat().st_size, 0, []
    for i in range(960):
        check(warp, f"/100000/{i}")
        if i % 4 == 0:
            hits += check(warp, hot[i // 4 % len(hot)])
        if i % 60 == 0:
            metrics = warp.metrics()
            if metrics['warp_cache_size_bytes{tier="disk"}'] > metrics['warp_cache_max_bytes{tier="disk"}']:
                wrong.append(metrics)
            assert disk.store.stat().st_size == size <= disk.store.stat().st_blocks * 512
    assert wrong == []
    assert hits >= 0.6 * 240, hits
    assert warp.metric("warp_disk_segments", state="out") == 0
    decided = {what: warp.metric("warp_disk_decisions_total", decision=what)
               for what in ("admitted", "refused", "over_budget", "promoted", "rewritten", "dropped")}
    assert decided["admitted"] > 0 and decided["over_budget"] == 0, decided
    # a disk that is slow takes less than its size of all that: nothing has to go then
    assert decided["dropped"] > 0 or warp.metric("warp_cache_evictions_total", tier="disk") == 0, decided
    assert 0 < warp.metric("warp_disk_small_log_bytes") < size
    assert sum(warp.metrics()[f'warp_disk_errors_total{{kind="{kind}"}}'] for kind in ("read", "write", "corrupt", "offline")) == 0
    kill(warp)
    warp = disk(size="32m", memory=memory)
    recovered(warp)
    hits = sum(check(warp, target) for target in hot)
    assert memory != "0" or hits >= len(hot) // 2  # with RAM above it the disk hears of few hits
    for i in range(960):
        check(warp, f"/100000/{i}")
