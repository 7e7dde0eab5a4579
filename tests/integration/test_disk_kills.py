"""Killed again and again while it writes: what was complete for two seconds is there, nothing is wrong, nothing purged
comes back. WARP_TEST_KILLS says how often; WARP_TEST_SEED what is purged when."""
import os
import random
import signal
import threading
import time

import pytest

from disk import HOST, body_of, kill, recovered
from message import Incomplete, Malformed

pytestmark = pytest.mark.threads

ROUNDS = int(os.environ.get("WARP_TEST_KILLS", "50"))
SIZES = (10, 1000, 5000, 70000)
AGE = 2.0  # seconds after which an object must have reached the disk


class Load:
    """Clients that ask for new objects until WARP dies; they note when each was complete."""

    def __init__(self, warp, seed, clients=2):
        self.done, self.begun, self.problems, self.ends = {}, {}, [], []
        self.threads = [threading.Thread(target=self.run, args=(warp, random.Random(seed * 100 + i), f"{seed}-{i}")) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, warp, random, name):
        n = 0
        try:
            with warp.client() as client:
                while True:
                    target = f"/{random.choice(SIZES)}/{name}-{n}?tag=t{random.randrange(8)}"
                    n += 1
                    self.begun[target] = time.monotonic()
                    got = client.get(target, host=HOST)
                    if got.status != 200 or got.body != body_of(target):
                        self.problems.append((target, got))
                    self.done[target] = time.monotonic()
        except (OSError, Incomplete, Malformed) as end:
            self.ends.append(end)

    def go_on(self):
        """A moment in which the clients work; WARP lives, so none of them may have ended."""
        self.threads[0].join(0.01)
        assert all(thread.is_alive() for thread in self.threads), f"ended early: {self.ends}, {self.problems}"

    def join(self):
        for thread in self.threads:
            thread.join()
        assert self.problems == []


def purge_some(warp, known, purged, load, random):
    """By every kind; what was answered as durable counts. Returns what else it may have hit: what was on its way."""
    live = [target for target in known if target not in purged]
    if not live:
        return lambda target: False
    victim = random.choice(live)
    tag, prefix = victim.rsplit("=", 1)[1], f"/{victim.split('/')[1]}/"
    what, matches = random.choice((
        ({"url": f"http://{HOST}{victim}"}, lambda target: target == victim),
        ({"tag": tag}, lambda target: target.endswith(f"tag={tag}")),
        ({"tags": [tag, "else"], "soft": False}, lambda target: target.endswith(f"tag={tag}")),
        ({"prefix": f"http://{HOST}{prefix}"}, lambda target: target.startswith(prefix))))
    complete = set(known) | set(load.done)
    assert warp.purge(**what)["durable"] is True
    answered = time.monotonic()
    purged.update(target for target in complete if matches(target))
    return lambda target: matches(target) and load.begun[target] <= answered


def asked(warp, targets):
    """Which of them are hits; bytes are right in any case."""
    hits = set()
    with warp.client() as client:
        for target in targets:
            got = client.get(target, {"Cache-Control": "only-if-cached"}, host=HOST)
            if got.status == 504:
                continue
            assert got.status == 200 and got.body == body_of(target), target
            if got.is_hit:
                hits.add(target)
    return hits


def test_killed_again_and_again(disk, capsys):
    """Each round: what is there is asked for, some of it is purged, new objects are written until everything is killed at
    once; every fifth start is killed while it recovers."""
    signal.alarm(60 + 4 * ROUNDS)
    rng = random.Random(int(os.environ.get("WARP_TEST_SEED", "7")))
    known, purged, lost, total, young = {}, set(), 0, 0, 0
    warp, killed_at, old = None, 0.0, []
    for turn in range(ROUNDS):
        if turn % 5 == 3:
            kill(disk(size="2g", memory="8m"))
        warp = disk(size="2g", memory="8m")
        recovered(warp)
        hits = asked(warp, known)
        assert hits & purged == set(), f"round {turn}: purged objects are back: {sorted(hits & purged)[:5]}"
        due = {target for target, at in known.items() if killed_at - at >= AGE} - purged
        total += len(due)
        lost += len(due - hits)
        young += len(known) - len(due)
        for target in list(known):
            if target not in hits:
                del known[target]
        before = set(known)
        load = Load(warp, turn)
        is_unsure = purge_some(warp, before, purged, load, rng)
        want = 150 if turn % 5 else 400
        while len(load.done) < want:
            load.go_on()
        # by timestamps alone: rounds end when enough of it is old enough, not after a time
        while sum(time.monotonic() - at >= AGE for at in list(load.done.values())) < 100 and turn % 5 == 0:
            load.go_on()
        killed_at = time.monotonic()
        kill(warp)
        load.join()
        known.update((target, at) for target, at in load.done.items() if target in purged or not is_unsure(target))
        if len(known) > 1200:
            known = dict(rng.sample(sorted(known.items()), 1200))
    with capsys.disabled():
        print(f" {ROUNDS} kills: {total} objects due, {lost} lost, {young} too young, {len(purged)} purged ", end="")
    assert total > 100 and lost <= 0.05 * total
