"""Large objects in slices: what is missing is asked for by range, versions never meet, memory stays bounded."""
import json
import os
import signal
import threading

import pytest

from film import MIB, Film, check, content
from message import Incomplete
from wait import until

pytestmark = pytest.mark.threads


@pytest.fixture
def warp(start_warp, origin):
    return start_warp(origin, workers=2, args=["--memory", "64m"])


def test_a_large_object_is_stored_once_and_hit(warp, origin):
    film = Film(origin, 10 * MIB + 12345)
    first, again = warp.get("/film"), warp.get("/film")
    check(film, first, 0, film.size)
    check(film, again, 0, film.size)
    assert "fwd=uri-miss" in first.cache_status and "stored" in first.cache_status
    assert again.is_hit and int(again.headers["Age"]) >= 0
    assert film.asked == [None]
    warp.counted("miss", 1)
    warp.counted("hit", 1)
    assert warp.metric("warp_cache_objects", tier="ram") == 1
    assert warp.metric("warp_cache_slices", tier="ram") == 11
    assert warp.metric("warp_slices_fetched_total") == 11
    assert warp.metric("warp_slice_lookups_total", result="hit") == 11
    listed = json.loads(warp.admin("GET", "/cache", token=True).body)["objects"]
    assert [(o["url"], o["bytes"]) for o in listed] == [("http://a.test/film", film.size)]


@pytest.mark.parametrize("size", [MIB, MIB + 1, 2 * MIB])
def test_sizes_round_the_limit(warp, origin, size):
    film = Film(origin, size)
    check(film, warp.get("/film"), 0, size)
    again = warp.get("/film")
    check(film, again, 0, size)
    assert again.is_hit and film.asked == [None]
    assert warp.metric("warp_cache_slices", tier="ram") == (0 if size == MIB else 2)


@pytest.mark.parametrize("memory,has_disk,slice_bytes", [("127m", False, MIB), ("128m", False, 2 * MIB), ("256m", False, 2 * MIB), ("256m", True, MIB)])
def test_the_size_of_a_slice(start_warp, origin, tmp_path, memory, has_disk, slice_bytes):
    """Without a disk a slice fills a slab, unless memory is small."""
    film = Film(origin, 10 * MIB + 12345)
    cache = ["--cache-dir", str(tmp_path / "cache"), "--cache-size", "256m"] if has_disk else ["--cache-dir", "none"]
    warp = start_warp(origin, workers=2, args=["--memory", memory], cache=cache)
    first = 5 * MIB + 10
    check(film, warp.get("/film", {"Range": f"bytes={first}-{first + 9}"}), first, first + 10)
    at = first - first % slice_bytes
    assert film.asked == [f"bytes={at}-{at + slice_bytes - 1}"]
    for _ in range(2):
        check(film, warp.get("/film"), 0, film.size)
    assert warp.metric("warp_cache_slices", tier="ram") == -(-film.size // slice_bytes)
    count = len(film.asked)
    for first, last in ((0, 0), (slice_bytes - 1, slice_bytes), (3 * slice_bytes, 4 * slice_bytes - 1), (film.size - 1, film.size - 1)):
        check(film, warp.get("/film", {"Range": f"bytes={first}-{last}"}), first, last + 1)
    assert len(film.asked) == count


def test_a_head_request(warp, origin):
    film = Film(origin, 3 * MIB)
    warp.get("/film")
    head = warp.get("/film", method="HEAD")
    assert head.is_hit and head.headers["Content-Length"] == str(film.size) and head.body == b""
    assert len(film.asked) == 1


# ---- ranges -----------------------------------------------------------------------------------------------------------


def test_a_range_far_in_fetches_only_its_slices(warp, origin):
    film = Film(origin, 3 << 30)
    first, last = 2_000_000_000, 2_000_000_099
    got = warp.get("/film", {"Range": f"bytes={first}-{last}"})
    assert got.status == 206 and got.headers["Content-Range"] == f"bytes {first}-{last}/{film.size}"
    check(film, got, first, last + 1)
    assert "fwd=uri-miss" in got.cache_status and "fwd-status=206" in got.cache_status
    low = first - first % MIB
    assert film.asked == [f"bytes={low}-{low + MIB - 1}"]
    until(lambda: film.sent == MIB, "the slice")
    again = warp.get("/film", {"Range": f"bytes={first + 50}-{last + 50}"})
    check(film, again, first + 50, last + 51)
    assert again.is_hit and film.sent == MIB
    head = warp.get("/film", method="HEAD")
    assert head.is_hit and head.status == 200 and head.headers["Content-Length"] == str(film.size)
    assert "Content-Range" not in head.headers
    other = warp.get("/film", {"Range": "bytes=100-200"})
    check(film, other, 100, 201)
    assert not other.is_hit and "fwd=partial" in other.cache_status
    assert film.asked[1:] == ["bytes=0-1048575"]
    until(lambda: film.sent == 2 * MIB, "the slice")
    warp.counted("hit", 2)
    warp.counted("miss", 2)
    assert warp.metric("warp_slice_ranges_total") == 1  # the first was the object's own fetch


def test_the_end_of_an_unknown_object(warp, origin):
    film = Film(origin, 40 * MIB + 777)
    got = warp.get("/film", {"Range": "bytes=-500"})
    assert got.status == 206
    check(film, got, film.size - 500, film.size)
    assert film.asked == [f"bytes=-{500 + MIB - 1}"]
    again = warp.get("/film", {"Range": "bytes=-700"})
    check(film, again, film.size - 700, film.size)
    assert again.is_hit


def test_the_end_of_a_small_object(warp, origin):
    film = Film(origin, 100_000, tag=None)
    got = warp.get("/film", {"Range": "bytes=-500"})
    check(film, got, film.size - 500, film.size)
    whole = warp.get("/film")
    check(film, whole, 0, film.size)
    assert whole.is_hit and whole.status == 200 and len(film.asked) == 1


def test_a_range_behind_the_end(warp, origin):
    film = Film(origin, 5 * MIB)
    got = warp.get("/film", {"Range": "bytes=90000000-"})
    assert got.status == 416 and got.headers["Content-Range"] == f"bytes */{film.size}"
    check(film, warp.get("/film"), 0, film.size)
    assert warp.get("/film").is_hit  # the 416 said nothing about sharing


def test_an_origin_without_ranges(warp, origin):
    film = Film(origin, 6 * MIB)
    film.no_ranges = True
    got = warp.get("/film", {"Range": "bytes=4000000-4000099"})
    assert got.status == 206
    check(film, got, 4000000, 4000100)
    check(film, warp.get("/film"), 0, film.size)
    assert len(film.asked) <= 2


def test_several_ranges(warp, origin):
    film = Film(origin, 50 * MIB)
    got = warp.get("/film", {"Range": "bytes=30000000-30000009,100-109,45000000-45000009"})
    assert got.status == 206 and got.headers["Content-Type"].startswith("multipart/byteranges")
    for first in (30000000, 100, 45000000):
        assert b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (first, first + 9, film.size) + content(1, first, first + 10) in got.body
    assert film.sent <= 5 * MIB + 16 * MIB


@pytest.mark.parametrize("fits", [True, False])
def test_if_range(warp, origin, fits):
    film = Film(origin, 4 * MIB)
    warp.get("/film")
    got = warp.get("/film", {"Range": "bytes=3000000-3000009", "If-Range": '"v1"' if fits else '"v2"'})
    check(film, got, *((3000000, 3000010) if fits else (0, film.size)))
    assert got.status == (206 if fits else 200) and len(film.asked) == 1


# ---- interrupted ------------------------------------------------------------------------------------------------------


def test_a_download_that_a_client_breaks_off_is_completed(warp, origin):
    film = Film(origin, 60 * MIB)
    client = warp.client(receive_buffer=65536)
    client.request("/film")
    client.read_head()
    client.exactly(MIB // 2)
    until(lambda: warp.metric("warp_slices_fetched_total") >= 9, "a fetch runs ahead as far as it may")
    client.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "it has left")
    there = warp.metric("warp_slices_fetched_total")
    assert there < 30  # an eighth of the memory ahead of the reader, and what sockets hold
    check(film, warp.get("/film"), 0, film.size)
    assert None not in film.asked[1:] and all(s.headers["If-Match"] == '"v1"' for s in film.seen[1:])
    spans = [film.span(a) for a in film.asked[1:]]
    assert spans[0][0] == there * MIB and spans[-1][1] == film.size
    assert all(a[1] == b[0] for a, b in zip(spans, spans[1:]))  # none twice
    warp.wait_metric(60, "warp_slices_fetched_total")


@pytest.mark.parametrize("cut", [100, MIB, 5 * MIB + 17])
def test_an_origin_that_breaks_off_is_asked_for_the_rest(warp, origin, cut):
    film = Film(origin, 12 * MIB)
    film.cut_at = cut
    check(film, warp.get("/film"), 0, film.size)
    assert film.asked == [None, f"bytes={cut // MIB * MIB}-{min(film.size, cut // MIB * MIB + 8 * MIB) - 1}"] or len(film.asked) == 3
    assert film.sent <= film.size + MIB
    again = warp.get("/film")
    check(film, again, 0, film.size)
    assert again.is_hit


def test_without_a_strong_tag_nothing_is_completed(warp, origin):
    film = Film(origin, 12 * MIB, tag='W/"weak"')
    film.cut_at = 5 * MIB + 17
    with pytest.raises(Incomplete) as cut:
        warp.get("/film")
    assert film.bytes().startswith(cut.value.got)
    check(film, warp.get("/film"), 0, film.size)
    assert film.asked == [None, None]
    assert warp.get("/film").is_hit


# ---- validators -------------------------------------------------------------------------------------------------------


def test_another_version_meanwhile_before_the_first_byte(warp, origin):
    film = Film(origin, 20 * MIB)
    check(film, warp.get("/film", {"Range": "bytes=5242880-5242889"}), 5242880, 5242890)
    film.version = 2
    got = warp.get("/film", {"Range": "bytes=10000000-10000009"})
    assert got.status == 206 and got.headers["ETag"] == '"v2"'
    check(film, got, 10000000, 10000010)
    assert film.seen[1].headers["If-Match"] == '"v1"' and "If-Match" not in film.seen[2].headers
    old = warp.get("/film", {"Range": "bytes=5242880-5242889"})
    check(film, old, 5242880, 5242890)
    assert old.headers["ETag"] == '"v2"'


def partly_stored(warp, film, slices):
    """The first slices of the film are stored, and its head."""
    warp.get("/film", {"Range": f"bytes={MIB}-{slices * MIB - 1}"})
    warp.get("/film", {"Range": f"bytes=0-{MIB - 1}"})
    assert warp.metric("warp_slices_fetched_total") == slices


def test_another_version_in_the_middle_of_an_answer(warp, origin):
    film = Film(origin, 20 * MIB)
    partly_stored(warp, film, 4)
    film.version = 2
    with warp.client() as client, pytest.raises(Incomplete) as cut:
        client.request("/film")
        head = client.read_head()
        assert head.headers["ETag"] == '"v1"' and "fwd=partial" in head.cache_status
        client.read_body(head)
    assert content(1, 0, 4 * MIB).startswith(cut.value.got)  # a reset may take some of it back
    again = warp.get("/film")
    check(film, again, 0, film.size)
    assert again.headers["ETag"] == '"v2"'
    warp.counted("miss", 4)


def lie_status(film, status, headers, span):
    headers.pop("Content-Range")
    return 200, (0, film.size)


def lie_tag(film, status, headers, span):
    headers["ETag"] = '"other"'
    return status, span


def lie_no_tag(film, status, headers, span):
    del headers["ETag"]
    return status, span


def lie_weak_tag(film, status, headers, span):
    headers["ETag"] = "W/" + headers["ETag"]
    return status, span


def lie_shifted(film, status, headers, span):
    headers["Content-Range"] = f"bytes {span[0] + 1}-{span[1]}/{film.size}"
    return status, span


def lie_short(film, status, headers, span):
    headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 2}/{film.size}"
    return status, (span[0], span[1] - 1)


def lie_total(film, status, headers, span):
    headers["Content-Range"] = headers["Content-Range"].replace(f"/{film.size}", f"/{film.size + 1}")
    return status, span


def lie_unknown_total(film, status, headers, span):
    headers["Content-Range"] = headers["Content-Range"].replace(f"/{film.size}", "/*")
    return status, span


def lie_length(film, status, headers, span):
    return status, (span[0], span[1] + 1)


LIES = [lie_tag, lie_no_tag, lie_weak_tag, lie_shifted, lie_short, lie_total, lie_unknown_total, lie_length]


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_206_is_never_mixed_in(warp, origin, lie):
    film = Film(origin, 20 * MIB)
    partly_stored(warp, film, 4)
    film.lie = lie
    with pytest.raises(Incomplete) as cut:
        warp.get("/film")
    assert content(1, 0, 4 * MIB).startswith(cut.value.got)  # a reset may take some of it back
    check(film, warp.get("/film"), 0, film.size)


@pytest.mark.parametrize("lie", LIES + [lie_status])
def test_a_lying_206_for_something_unknown(warp, origin, lie):
    film = Film(origin, 20 * MIB)
    film.lie = lie
    got = warp.get("/film", {"Range": "bytes=5000000-5000009"})
    assert got.status == 206
    check(film, got, 5000000, 5000010)
    check(film, warp.get("/film"), 0, film.size)


def test_a_whole_answer_in_place_of_a_part(warp, origin):
    film = Film(origin, 20 * MIB)
    partly_stored(warp, film, 4)
    film.no_ranges = True
    check(film, warp.get("/film"), 0, film.size)
    assert len(film.asked) == 3


def test_a_refusal_is_no_change(warp, origin):
    film = Film(origin, 20 * MIB)
    partly_stored(warp, film, 4)
    answer = film.answer

    def refuse(exchange):
        film.asked.append("refused")
        exchange.answer(403, {})

    origin.handler = refuse
    assert warp.get("/film", {"Range": "bytes=10000000-10000009"}).status == 403
    origin.handler = answer
    stored = warp.get("/film", {"Range": "bytes=1000000-2000000"})
    check(film, stored, 1000000, 2000001)
    assert stored.is_hit


def test_fields_of_a_part_renew_the_head(warp, origin):
    film = Film(origin, 20 * MIB, headers={"X-Note": "one"})
    partly_stored(warp, film, 4)
    film.headers["X-Note"] = "two"
    check(film, warp.get("/film", {"Range": "bytes=10000000-10000009"}), 10000000, 10000010)
    again = warp.get("/film", {"Range": "bytes=1-2"})
    assert again.is_hit and again.headers["X-Note"] == "two"


def test_a_304_keeps_the_slices(warp, origin):
    film = Film(origin, 5 * MIB, headers={"Cache-Control": "max-age=0, must-revalidate"})
    check(film, warp.get("/film"), 0, film.size)
    again = warp.get("/film")
    check(film, again, 0, film.size)
    assert len(film.asked) == 2 and film.sent == film.size
    assert "fwd=stale" in again.cache_status and "fwd-status=304" in again.cache_status
    warp.counted("revalidated", 1)


# ---- without a strong validator -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [None, 'W/"v"'])
def test_without_a_strong_tag_it_is_kept_whole(warp, origin, tag):
    film = Film(origin, 5 * MIB + 5, tag=tag)
    check(film, warp.get("/film"), 0, film.size)
    part = warp.get("/film", {"Range": "bytes=3000000-4000000"})
    check(film, part, 3000000, 4000001)
    assert part.is_hit and film.asked == [None]
    assert warp.get("/film").is_hit


def test_without_a_strong_tag_a_part_is_fetched_as_a_whole(warp, origin):
    film = Film(origin, 5 * MIB + 5, tag=None)
    got = warp.get("/film", {"Range": "bytes=3000000-3000009"})
    check(film, got, 3000000, 3000010)
    assert film.asked == ["bytes=2097152-3145727", None]
    check(film, warp.get("/film"), 0, film.size)  # the rest of it came for nobody in particular
    until(lambda: warp.get("/film").is_hit, "it is whole")
    assert len(film.asked) == 2


def test_without_a_strong_tag_what_is_not_whole_is_nothing(start_warp, origin):
    warp = start_warp(origin, workers=2, args=["--memory", "16m"])
    film = Film(origin, 6 * MIB, tag=None)
    check(film, warp.get("/film"), 0, film.size)
    other = 0
    while warp.metric("warp_cache_slices", tier="ram") >= 6 and other < 40:  # others push some of its slices out
        warp.get(f"/other{other}", host=f"h{other}.test")
        other += 1
        if warp.metric("warp_cache_evictions_total", tier="ram") >= 8:
            break
    asked = len(film.asked)
    got = warp.get("/film")
    check(film, got, 0, film.size)
    assert got.is_hit or film.asked[asked:] == [None]


# ---- many readers, leavers, purges ----------------------------------------------------------------------------------------


def test_one_fetch_for_many(warp, origin):
    gate = threading.Event()
    film = Film(origin, 12 * MIB)
    film.gate = (3 * MIB + 5, gate)
    clients = [warp.client() for _ in range(10)]
    for client in clients:
        client.request("/film")
    heads = [client.read_head() for client in clients]
    late = [warp.client() for _ in range(5)]
    for client in late:
        client.request("/film", headers={"Range": "bytes=3000000-5999999"})
    late_heads = [client.read_head() for client in late]
    gate.set()
    for client, head in zip(clients, heads):
        check(film, client.read_body(head), 0, film.size)
    for client, head in zip(late, late_heads):
        check(film, client.read_body(head), 3000000, 6000000)
    assert film.asked == [None]
    assert all("collapsed" in head.cache_status for head in late_heads)
    for client in clients + late:
        client.close()


def test_many_miss_the_same_slices(warp, origin):
    film = Film(origin, 30 * MIB)
    partly_stored(warp, film, 2)
    gate = threading.Event()
    film.gate = (100, gate)
    clients = [warp.client() for _ in range(8)]
    for client in clients:
        client.request("/film", headers={"Range": "bytes=20000000-20999999"})
    until(lambda: warp.metric("warp_connections", state="active") == 8, "all have asked")
    film.wait_asked(3)
    gate.set()
    for client in clients:
        check(film, client.read_response(), 20000000, 21000000)
        client.close()
    assert film.asked[2:] == [f"bytes={19 * MIB}-{21 * MIB - 1}"]


def test_a_leaver_does_not_stop_a_fetch_that_others_follow(warp, origin):
    gate = threading.Event()
    film = Film(origin, 12 * MIB)
    film.gate = (2 * MIB + 5, gate)
    first, second = warp.client(), warp.client()
    first.request("/film")
    first.read_head()
    second.request("/film")
    head = second.read_head()
    first.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 1, "the first has left")
    gate.set()
    check(film, second.read_body(head), 0, film.size)
    assert film.asked == [None]
    second.close()


def test_a_fetch_that_nobody_follows_ends(warp, origin):
    gate = threading.Event()
    film = Film(origin, 100 * MIB)
    film.gate = (2 * MIB + 5, gate)
    with warp.client() as client:
        client.request("/film")
        client.read_head()
        client.exactly(MIB)
        client.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "it has left")
    gate.set()
    until(lambda: len(origin.errors) > 0, "the origin's connection is closed")
    assert film.sent < 20 * MIB
    assert warp.metric("warp_slices_fetched_total") <= 2


def test_a_little_rest_is_fetched_for_nobody(warp, origin):
    gate = threading.Event()
    film = Film(origin, 3 * MIB)
    film.gate = (2 * MIB + 5, gate)
    with warp.client() as client:
        client.request("/film")
        client.read_head()
        client.exactly(MIB)
        warp.wait_metric(2, "warp_slices_fetched_total")
        client.reset()
    until(lambda: warp.metric("warp_connections", state="active") == 0, "it has left")
    gate.set()
    warp.wait_metric(3, "warp_slices_fetched_total")
    got = warp.get("/film")
    check(film, got, 0, film.size)
    assert got.is_hit


@pytest.mark.parametrize("what", [{"url": "http://a.test/film"}, {"everything": True}], ids=["url", "everything"])
def test_a_purge_in_the_middle(warp, origin, what):
    gate = threading.Event()
    film = Film(origin, 12 * MIB)
    film.gate = (3 * MIB + 5, gate)
    reader = warp.client()
    reader.request("/film")
    head = reader.read_head()
    reader.exactly(MIB)
    warp.purge(**what)
    film.version = 2
    new = warp.get("/film")  # who comes now gets nothing of before
    check(film, new, 0, film.size, version=2)
    assert film.asked == [None, None]
    gate.set()
    assert reader.exactly(film.size - MIB) == content(1, MIB, film.size)  # who waited before gets what was promised
    again = warp.get("/film")
    check(film, again, 0, film.size, version=2)
    assert again.is_hit and head.headers["ETag"] == '"v1"'
    reader.close()


def test_a_purge_takes_the_slices(warp, origin):
    film = Film(origin, 12 * MIB)
    warp.get("/film")
    warp.purge(url="http://a.test/film")
    warp.wait_metric(0, "warp_cache_slices", tier="ram")
    check(film, warp.get("/film"), 0, film.size)  # the same tag as before: fetched all the same
    assert film.asked == [None, None] and film.sent == 2 * film.size


# ---- memory ---------------------------------------------------------------------------------------------------------------


def resident(warp):
    with open(f"/proc/{warp.worker_pid()}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.exact
def test_what_is_much_larger_than_memory_streams_through(start_warp, origin, capsys):
    """WARP_TEST_FILM_GIB=20 for the whole of it."""
    warp = start_warp(origin, workers=2, args=["--memory", "64m"])
    gib = int(os.environ.get("WARP_TEST_FILM_GIB", "2"))
    signal.alarm(60 + 15 * gib)
    film = Film(origin, gib << 30)
    most, at = 0, 0
    with warp.client() as client:
        client.request("/film")
        head = client.read_head()
        assert head.headers["Content-Length"] == str(film.size)
        while at < film.size:
            part = client.exactly(16 * MIB)
            if at % (256 * MIB) == 0:
                assert part == content(1, at, at + 16 * MIB)
                most = max(most, resident(warp))
            at += len(part)
    assert film.asked == [None]
    with capsys.disabled():
        print(f"\nnumbers: {gib} GiB through a RAM tier of 64 MiB: at most {most / MIB:.0f} MiB resident")
    assert most < (64 + 64) * MIB, f"{most // MIB} MiB"
    assert warp.metric("warp_cache_size_bytes", tier="ram") <= 64 * MIB
