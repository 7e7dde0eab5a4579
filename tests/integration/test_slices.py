"""Large objects in slices: what is missing is asked for by range, versions never meet, memory stays bounded."""
import json
import os
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
