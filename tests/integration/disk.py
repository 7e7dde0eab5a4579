"""What tests of the disk tier share: a WARP on a directory that outlives it, objects that name their bytes."""
import hashlib
import json
import os
import pathlib
import signal

from wait import until

HOST = "a.test"
MIB = 1 << 20
STORE = "warp.store"
# Where what lies in a store (docs/formats/disk.md).
BLOCK, SUPER_A, SUPER_B = 4096, 0, 65536
# In a superblock.
VERSION, CRC, SEGMENT_BYTES, SEGMENTS = 8, 12, 264, 268
JOURNAL_AT, JOURNAL_BYTES, SNAPSHOT_AT, SNAPSHOT_BYTES, SEGMENTS_AT = 272, 280, 288, 304, 312


def body_of(target, n=None):
    """Bytes that name their target, of a length that its name gives: /<length>/..."""
    n = int(target.split("/")[1]) if n is None else n
    seed = hashlib.sha256(target.encode()).hexdigest().encode() + b"\n"
    return (seed * (n // len(seed) + 1))[:n]


def etag_of(target):
    return f'"{hashlib.md5(target.encode()).hexdigest()}"'


def handler(exchange):
    target = exchange.target
    tag = target.rsplit("tag=", 1)[1] if "tag=" in target else "none"
    exchange.answer(200, {"Cache-Control": "max-age=3600", "ETag": etag_of(target), "Surrogate-Key": tag}, body_of(target))


class Disk:
    """Starts WARP on the same directory as often as it is called."""

    def __init__(self, start_warp, origin, path):
        self.start_warp, self.origin, self.path = start_warp, origin, path
        self.directory = path / "cache"
        self.token = path / "token"
        self.token.write_text("secret\n")

    def __call__(self, *args, size="64m", directory=None, directories=None, memory="16m", **more):
        dirs = directories or [directory or self.directory]
        cache = [word for d in dirs for word in ("--cache-dir", str(d))]
        cache += ["--admin-token-file", str(self.token)]
        cache += ["--cache-size", size] if size else []
        cache += ["--memory", memory] if memory else []
        warp = self.start_warp(self.origin, cache=cache, args=args, **more)
        (warp.directory / "admin.token").write_text("secret\n")
        return warp

    @property
    def store(self):
        return self.directory / STORE


def stored(warp, n):
    """n objects are on the disk."""
    until(lambda: warp.metric("warp_cache_objects", tier="disk") >= n, f"{n} objects on disk")


def recovered(warp):
    until(lambda: warp.metric("warp_store_recovering", tier="disk") == 0, "recovered")


def check(warp, target, **more):
    """Is it a hit? Its bytes are right in any case."""
    response = warp.get(target, host=HOST, **more)
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


def reasons(warp):
    answer = warp.admin("GET", "/readyz")
    assert answer.status == 200
    return json.loads(answer.body)["reasons"]


def errors(warp, kind):
    return warp.metric("warp_disk_errors_total", kind=kind)


def number(path, at, size=8):
    with open(path, "rb") as file:
        file.seek(at)
        return int.from_bytes(file.read(size), "little")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def change(path, at, data=None):
    """Writes data there; without data, turns a bit of the byte there."""
    with open(path, "r+b") as file:
        file.seek(at)
        if data is None:
            data = bytes([file.read(1)[0] ^ 1])
            file.seek(at)
        file.write(data)


def contents(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).digest()
