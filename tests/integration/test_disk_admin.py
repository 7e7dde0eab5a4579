"""Purges by every kind through the API and the command, what is said to bad ones, and the disk in /stats and /metrics."""
import json
import os
import subprocess

import pytest

from disk import HOST, check, fill, kill, recovered, stored
from warp import BINARY

pytestmark = pytest.mark.threads

TARGETS = ["/1000/a?tag=t1", "/1000/b?tag=t2", "/1000/c?tag=t3", "/1000/deep/d", "/1000/deep/er/e", "/1000/f"]
FLAGS = [(["--tag", "t1"], TARGETS[:1]), (["--prefix", f"http://{HOST}/1000/deep/"], TARGETS[3:5]),
         (["--prefix", f"{HOST}/1000/deep/er/"], TARGETS[4:5]), (["--host", HOST], TARGETS), (["--everything"], TARGETS),
         ([f"http://{HOST}/1000/f"], TARGETS[5:])]


def command(warp, *args):
    env = {**os.environ, "WARP_ADMIN": f"127.0.0.1:{warp.admin_port}", "WARP_TOKEN": "secret"}
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, env=env)


@pytest.mark.parametrize("flags,gone", FLAGS, ids=lambda value: " ".join(value) if value[0][0] in "-h" else "")
def test_the_command(disk, flags, gone):
    """What it says is purged is gone, also after a kill; nothing else is."""
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    done = command(warp, "purge", *flags)
    assert done.returncode == 0 and done.stdout.startswith("purged") and "not durable" not in done.stdout, done
    kill(warp)
    warp = disk()
    recovered(warp)
    assert [target for target in TARGETS if not check(warp, target)] == gone


@pytest.mark.parametrize("flags,gone", FLAGS, ids=lambda value: " ".join(value) if value[0][0] in "-h" else "")
def test_the_command_softly(disk, flags, gone):
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    done = command(warp, "purge", *flags, "--soft")
    assert done.returncode == 0 and done.stdout.startswith("made stale"), done
    stale = [target for target in TARGETS if "fwd=stale" in warp.get(target, host=HOST).cache_status]
    assert stale == gone


def test_the_command_for_a_tenant_that_there_is_not(disk):
    warp = disk()
    fill(warp, TARGETS)
    done = command(warp, "purge", "--tag", "t1", "--tenant", "x")
    assert done.returncode == 1 and "no such tenant" in done.stderr, done
    assert all(check(warp, target) for target in TARGETS)


@pytest.mark.parametrize("body,words", [
    ({"prefix": "http://a.test/x"}, "ends in /"), ({"prefix": "http://a.test/x/?q/"}, "no query"), ({"prefix": 5}, "string"),
    ({"prefix": "http://a.test" + "/x" * 20 + "/"}, "16 levels"), ({"prefix": "://"}, "not a prefix"),
    ({"host": "a.test/x"}, "host or host:port"), ({"host": ""}, "host or host:port"), ({"host": "u@a.test"}, "host or host:port"),
    ({"host": 1}, "string"), ({"tag": "two words"}, "without spaces"), ({"tag": "a,b"}, "without spaces and commas"), ({"tag": ""}, "tag"),
    ({"tag": None}, "tag"), ({"tags": []}, "1 to 256"), ({"tags": ["x"] * 257}, "1 to 256"), ({"tags": "x"}, "list"),
    ({"tags": ["x", ""]}, "each of"), ({"tag": "a", "host": "a.test"}, "one of"), ({"soft": True}, "one of"),
    ({"tag": "a", "soft": 1}, "true or false"), ({"tag": "a", "tenant": 1}, "name of a tenant"),
    ({"tag": "a", "dry_run": 1}, "true or false"), ({"tag": "a", "refresh": True}, "goes with"),
    ({"tag": "a", "tagg": True}, "unknown member")], ids=str)
def test_bad_purges(warp, body, words):
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=json.dumps(body).encode())
    problem = json.loads(answer.body)
    assert answer.status == 400 and words in problem["detail"], problem


def test_the_numbers(disk):
    warp = disk()
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    stats = warp.stats()
    assert stats["disk"]["devices"] == 1 and stats["disk"]["devices_out"] == 0
    assert stats["disk"]["recovering"] is False and stats["disk"]["off"] is False
    assert stats["disk"]["written_bytes"]["objects"] >= 1000 * len(TARGETS) and set(stats["disk"]["errors"].values()) == {0}
    assert stats["tiers"]["disk"]["objects"] == len(TARGETS)
    assert 0 < stats["tiers"]["disk"]["size_bytes"] <= stats["tiers"]["disk"]["max_bytes"] <= 64 << 20
    told = subprocess.run(["promtool", "check", "metrics"], input=warp.admin("GET", "/metrics").body.decode(), capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout + told.stderr == "", told
