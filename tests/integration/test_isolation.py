"""Tenants beside each other: what one does leaves the others' shares where they are."""
import threading

import pytest

from tenants import FRESH, Site, tenant
from wait import until

BODY = b"x" * 20000
MEMORY = 16 << 20
SET = 100  # objects that the one tenant is asked for: 2 MB
FLOOD = 2000  # the other's: 40 MB


@pytest.fixture
def site(start_warp, tmp_path):
    return lambda config, **options: Site(start_warp, tmp_path / "warp.yaml", config, **options)


@pytest.fixture
def keeper(origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, FRESH, BODY))
    return origin


def two(origin, quiet=None, loud=None, **more):
    return {**more, "tenants": {"quiet": tenant(origin, "quiet.test", **(quiet or {})), "loud": tenant(origin, "loud.test", **(loud or {}))}}


def ask(shop, host, targets):
    """How many of them were hits."""
    hits = 0
    with shop.warp.client() as client:
        for target in targets:
            answer = client.get(target, host=host)
            assert answer.status == 200 and answer.body == BODY
            hits += answer.is_hit
    return hits


def a_set():
    return [f"/{i}" for i in range(SET)]


def bytes_of(shop, tier):
    """Of all tenants: where one alone stores, its own."""
    return shop.warp.metric("warp_cache_size_bytes", tier=tier)


# ---- shares -----------------------------------------------------------------------------------------------------------


def test_a_flood_takes_nothing_that_is_guaranteed(site, keeper):
    shop = site(two(keeper, quiet={"guaranteed": "30%"}), args=("--memory", str(MEMORY)))
    ask(shop, "quiet.test", a_set())  # once: nothing else speaks for it
    ask(shop, "loud.test", [f"/unique/{i}" for i in range(FLOOD)])
    assert shop.warp.metric("warp_cache_evictions_total", tier="ram") > 0
    assert ask(shop, "quiet.test", a_set()) == SET


def test_a_flood_takes_nothing_that_is_guaranteed_on_disk(site, keeper, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    shop = site(two(keeper, quiet={"guaranteed": "50%"}), args=("--memory", str(MEMORY), "--cache-size", "64m"), cache=("--cache-dir", str(disk)))
    targets = [f"/{i}" for i in range(700)]  # 14 MB: more than RAM guarantees
    for _ in range(2):
        ask(shop, "quiet.test", targets)
    until(lambda: bytes_of(shop, "disk") >= len(targets) * len(BODY), "all of it is on disk")
    for i in range(3):  # asked for twice: it is wanted on disk
        flood = [f"/unique/{i}/{n}" for n in range(FLOOD)]
        for n in range(0, FLOOD, 100):
            ask(shop, "loud.test", flood[n:n + 100])
            ask(shop, "loud.test", flood[n:n + 100])
    assert shop.warp.metric("warp_cache_evictions_total", tier="disk") > 0
    assert ask(shop, "quiet.test", targets) >= 0.99 * len(targets)


def test_a_hard_quota_holds_and_is_changed_by_a_reload(site, keeper):
    shop = site(two(keeper, loud={"memory-hard": "1m"}), args=("--memory", str(MEMORY)))
    ask(shop, "loud.test", [f"/{i}" for i in range(300)])
    assert bytes_of(shop, "ram") <= 1 << 20
    assert ask(shop, "loud.test", ["/299"]) == 1
    shop.reload(two(keeper, loud={"memory-hard": "3m"}))
    ask(shop, "loud.test", [f"/{i}" for i in range(300)])
    assert 2 << 20 < bytes_of(shop, "ram") <= 3 << 20
    shop.reload(two(keeper, loud={"memory-hard": "10k"}))  # less than one answer
    assert ask(shop, "loud.test", ["/new", "/new"]) == 0
    assert shop.warp.metric("warp_not_stored_total", reason="quota") >= 2


def test_lowered_quotas_are_reached_and_hits_on_disk_need_no_ram(site, keeper, tmp_path):
    dirs = [tmp_path / "a", tmp_path / "b"]
    for one in dirs:
        one.mkdir()
    where = tuple(word for one in dirs for word in ("--cache-dir", str(one)))
    shop = site(two(keeper), args=("--memory", str(MEMORY), "--cache-size", "64m"), cache=where)
    targets = [f"/{i}" for i in range(SET)]
    for _ in range(2):
        ask(shop, "loud.test", targets)
    until(lambda: bytes_of(shop, "disk") >= SET * len(BODY), "all of it is on disk")
    shop.reload(two(keeper, loud={"memory-hard": "10k"}))  # less than one answer
    until(lambda: bytes_of(shop, "ram") <= 10 << 10, "RAM is free, though nobody asks")
    assert ask(shop, "loud.test", targets) == SET
    assert bytes_of(shop, "ram") <= 10 << 10
    shop.reload(two(keeper, loud={"memory-hard": "10k", "disk-hard": "1m"}))
    until(lambda: bytes_of(shop, "disk") <= 1 << 20, "both devices together hold no more")
    assert bytes_of(shop, "disk") > 900 << 10
    hits = ask(shop, "loud.test", targets)
    assert 40 <= hits <= 53


def test_above_the_soft_quota_the_second_request_counts(site, keeper):
    shop = site(two(keeper, loud={"memory-soft": "1m"}), args=("--memory", str(MEMORY)))
    ask(shop, "loud.test", [f"/{i}" for i in range(100)])
    assert bytes_of(shop, "ram") < (1 << 20) + 2 * len(BODY)
    assert ask(shop, "loud.test", ["/new", "/new", "/new"]) == 1
    assert shop.warp.metric("warp_not_stored_total", reason="quota") > 0
    assert ask(shop, "quiet.test", ["/new", "/new"]) == 1


# ---- requests to origins at a time --------------------------------------------------------------------------------------


class Held:
    """An origin that answers when it is told to."""

    def __init__(self, origins):
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        self.release = threading.Event()
        self.origin = origins()
        self.origin.serve(self.answer)

    def answer(self, seen):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.release.wait(30)
        with self.lock:
            self.now -= 1
        seen.answer(200, FRESH, b"here")


def test_more_requests_wait_for_the_origin(site, origins):
    held = Held(origins)
    shop = site({"tenants": {"shop": tenant(held.origin, "shop.test", origin_concurrency=3)}}, workers=2)
    statuses = []
    threads = [threading.Thread(target=lambda i=i: statuses.append(shop.get(f"shop.test/{i}").status)) for i in range(10)]
    for thread in threads:
        thread.start()
    until(lambda: shop.warp.metric("warp_limit_hits_total", limit="origin_concurrency") == 7, "seven wait")
    until(lambda: held.now == 3, "three have come")
    held.release.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 10 and held.most == 3


def test_a_reload_lets_more_go(site, origins):
    held = Held(origins)
    config = {"tenants": {"shop": tenant(held.origin, "shop.test", origin_concurrency=1)}}
    shop = site(config, workers=2)
    threads = [threading.Thread(target=lambda i=i: shop.get(f"shop.test/{i}")) for i in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: shop.warp.metric("warp_limit_hits_total", limit="origin_concurrency") == 3, "three wait")
    config["tenants"]["shop"]["origin-concurrency"] = 3
    shop.reload(config)
    until(lambda: held.now == 3, "three are under way")
    held.release.set()
    for thread in threads:
        thread.join()
    assert held.most == 3
