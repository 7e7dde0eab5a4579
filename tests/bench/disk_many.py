#!/usr/bin/python3
"""The disk tier with millions of objects: memory and disk bytes of each, restarts, a kill, the purge of a tag.

    make bench-disk                       5 million objects of 1 KiB (some 9 GB of disk, ten minutes)
    make bench-disk ARGS='--objects 200000'"""
import argparse
import http.client
import json
import os
import pathlib
import random
import signal
import statistics
import tempfile
import time

import processes
import servers
from measure import Load, Origin, free_port

KIB = 1024
HOST = "bench.test"  # as the generator says


class Node:
    """WARP on one directory, started as often as one likes."""

    def __init__(self, arguments, folder, origin):
        self.arguments, self.folder, self.origin = arguments, pathlib.Path(folder), origin
        self.port, self.admin_port = free_port(), free_port()
        self.load_core, self.server_core = processes.cores()
        self.wire, self.process = servers.PLAIN, None

    def start(self):
        argv = [servers.WARP, "run", "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}",
                "--origin", f"http://127.0.0.1:{self.origin.port}", "--cache-dir", self.folder / "cache", "--cache-size",
                self.arguments.size, "--memory", "64m", "--workers", "1", "--max-connections-per-ip", "0"]
        with open(self.folder / "said", "ab") as said:
            self.started = time.monotonic()
            self.process = processes.spawn([str(word) for word in argv], self.server_core, stdout=said, stderr=said,
                                           env={**os.environ, "WARP_TOKEN": "bench"})
        return self

    def ask(self, target, admin=False, method="GET", body=None):
        """(status, fields) or None while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=30)
        try:
            fields = {"Host": "127.0.0.1", "Authorization": "Bearer bench"} if admin else {"Host": HOST}
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (ConnectionError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def stats(self):
        return json.loads(self.ask("/stats", admin=True)[2])

    def wait(self, condition, what, seconds=600):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.ask("/stats", admin=True)
            if found is not None and condition(json.loads(found[2])):
                return json.loads(found[2])
            time.sleep(0.01)
        raise SystemExit(f"waited {seconds} s for {what}")

    def is_hit(self, number):
        found = self.ask(f"/tag/{KIB}/{number:010d}")
        return found is not None and found[0] == 200 and len(found[2]) == KIB and "; hit" in found[1].get("Cache-Status", "")

    def stop(self, which):
        if which == signal.SIGKILL:
            for pid in processes.Tree([self.process.pid], self.server_core).pids():
                os.kill(pid, signal.SIGKILL)
        else:
            self.process.send_signal(which)
        self.process.wait()

    def memory_bytes(self):
        return processes.Tree([self.process.pid], self.server_core).memory_bytes()

    def load(self, **options):
        with Load(self, KIB, kind="tag", **options) as load:
            load.watch.cancel()
            return load.go()


def tell(what, figure, unit=""):
    print(f"{what:<72} {figure} {unit}", flush=True)


def fill(node, objects):
    """Until all are on the disk: RAM holds a few, and everything is written while there is room, but for what came faster than a
    busy disk takes it."""
    before = node.memory_bytes()
    figures = node.load(connections=32, requests=objects, pick="fresh")
    stats, seen = node.stats(), -1
    while stats["tiers"]["disk"]["objects"] > seen:
        seen = stats["tiers"]["disk"]["objects"]
        time.sleep(3)
        stats = node.stats()
    if seen < 0.9 * objects:
        raise SystemExit(f"only {seen} of {objects} objects came to the disk")
    disk, index = stats["tiers"]["disk"], stats["tiers"]["disk"]["index_bytes"]
    tell("objects of 1 KiB on the disk", f"{disk['objects']:,}")
    tell("stored per second", f"{figures['requests'] / figures['seconds']:,.0f}")
    tell("RAM of the index for each", f"{index / disk['objects']:.1f}", "B")
    ram = stats["tiers"]["ram"]
    in_ram = ram["size_bytes"] + ram["index_bytes"]
    tell("RAM of the process more than before, without the RAM tier, for each", f"{(node.memory_bytes() - before - in_ram) / disk['objects']:.1f}", "B")
    written = sum(stats["disk"]["written_bytes"].values()) - stats["disk"]["written_bytes"]["snapshot"]
    tell("bytes written for each (object, footer, journal)", f"{written / disk['objects']:.0f}", "B")
    return stats


def object_bytes(node):
    """Body, URL and fields of one: what has to be kept."""
    status, fields, body = node.ask(f"/tag/{KIB}/{0:010d}")
    own = {"Age", "Cache-Status", "Via", "Connection", "Keep-Alive", "Content-Length"}
    text = sum(len(f"{name}: {value}\r\n") for name, value in fields.items() if name not in own)
    return len(body) + text + len(f"http://{HOST}/tag/{KIB}/{0:010d}")


def come_back(node, objects, name, which):
    """Ends it, starts it again: when is the first hit, and how many of a sample are there once it has recovered?"""
    node.stop(which)
    random.seed(7)
    node.start()
    first, tries = None, 0
    while first is None and time.monotonic() - node.started < 60:
        tries += 1
        if node.is_hit(random.randrange(objects)):
            first = time.monotonic() - node.started
    stats = node.wait(lambda s: not s["disk"]["recovering"], "the recovery")
    recovered = time.monotonic() - node.started
    sample = [node.is_hit(random.randrange(objects)) for _ in range(2000)]
    tell(f"after {name}: first hit from the disk", f"{first:.2f}", "s after exec")
    tell(f"after {name}: everything found again", f"{recovered:.2f}", "s after exec")
    tell(f"after {name}: objects found", f"{stats['tiers']['disk']['objects']:,}")
    tell(f"after {name}: hits among 2,000 of them", f"{100 * sum(sample) / len(sample):.1f}", "%")


def purge(node, objects):
    """The tag that all of them have."""
    flushes = []
    with tempfile.NamedTemporaryFile(dir=node.folder) as file:
        for _ in range(20):
            os.pwrite(file.fileno(), os.urandom(4096), 0)
            began = time.monotonic()
            os.fdatasync(file.fileno())
            flushes.append(time.monotonic() - began)
    began = time.monotonic()
    status, _, body = node.ask("/api/v1/purge", admin=True, method="POST", body=json.dumps({"tag": "many"}))
    took = time.monotonic() - began
    tell("purge of their tag: answer", f"{1000 * took:.2f}", f"ms, {body.decode().strip()!r}".replace("\n", ""))
    tell("a flush of this device takes (median)", f"{1000 * statistics.median(flushes):.2f}", "ms")
    tell("next request for one of them", "hit" if node.is_hit(1) else "miss")
    calm = node.load(connections=8, requests=20_000, pick="one")
    stats = node.wait(lambda s: s["tiers"]["disk"]["objects"] < 0.01 * objects, "the sweep")
    after = node.load(connections=8, requests=20_000, pick="one")
    tell("hits while the sweep runs, p50 / p99", f"{calm['p50_us']:.0f} / {calm['p99_us']:.0f}", "us")
    tell("hits after it, p50 / p99", f"{after['p50_us']:.0f} / {after['p99_us']:.0f}", "us")
    tell("entries left when it has ended", f"{stats['tiers']['disk']['objects']:,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=5_000_000)
    parser.add_argument("--size", help="--cache-size; 2 KiB an object and some more by default")
    parser.add_argument("--folder", default=None, help="on the file system to be measured")
    arguments = parser.parse_args()
    arguments.size = arguments.size or f"{max(256, arguments.objects * 2 // 1024)}m"
    os.sched_setaffinity(0, {processes.cores()[0]})
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        origin = Origin(processes.cores()[0])
        node = Node(arguments, folder, origin).start()
        try:
            node.wait(lambda s: not s["disk"]["recovering"], "the start")
            stats = fill(node, arguments.objects)
            whole = object_bytes(node)
            size = stats["tiers"]["disk"]["size_bytes"] / stats["tiers"]["disk"]["objects"]
            written = sum(v for k, v in stats["disk"]["written_bytes"].items() if k in ("objects", "footers"))
            tell("body, URL and fields of one", f"{whole}", "B")
            tell("disk bytes of one, footer and padding included, over that", f"{written / stats['tiers']['disk']['objects'] / whole:.3f}")
            come_back(node, arguments.objects, "a clean stop", signal.SIGTERM)
            come_back(node, arguments.objects, "kill -9", signal.SIGKILL)
            purge(node, arguments.objects)
        finally:
            if node.process.poll() is None:
                node.process.kill()
            origin.stop()
    print(f"{arguments.objects:,} objects, --cache-size {arguments.size}, one worker on core {node.server_core}, generator on core {node.load_core}")


if __name__ == "__main__":
    main()
