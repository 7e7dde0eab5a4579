"""What is measured. Each workload is a function of a cell (measure.Cell: one server, just started, before the origin);
it returns figures, or raises Refused. To add one: write the function, put @workload above it.

`cpu_us` in its figures is what is compared; a workload without it names its own main figure."""
import dataclasses
import statistics

import servers
from processes import Refused

KIB, MIB = 1024, 1024 * 1024
WORKLOADS = {}


@dataclasses.dataclass
class Workload:
    name: str
    says: str
    run: object
    main: str      # the figure that is compared
    shows: tuple   # the figures of its row
    rounds_max: int
    wire: servers.Wire


CPU_SHOWS = ("cpu_us", "per_core", "p50_us", "p99_us", "busy")
# With TLS and HTTP/2 the generator has work to do: what it took for each request is shown too.
WIRE_SHOWS = (*CPU_SHOWS, "load_us")
HANDSHAKE_SHOWS = ("cpu_us", "handshakes_per_core", "p50_us", "p99_us", "busy", "load_us")


def workload(name, says, main="cpu_us", shows=CPU_SHOWS, rounds_max=99, wire=servers.PLAIN):
    def add(function):
        WORKLOADS[name] = Workload(name, says, function, main, shows, rounds_max, wire)
        return function
    return add


def hits(cell, size, connections=64, objects=1, pick="one", streams=1, **more):
    """Everything is stored, then asked for again: the origin must not hear of it."""
    cell.load(size, connections=min(8, objects), requests=objects, objects=objects, pick="cycle")
    cell.settle()
    figures = cell.measure(size, connections=connections, objects=objects, pick=pick, streams=streams,
                           warming=max(4 * connections * streams, 2 * objects if objects > 1 else 0), **more)
    cell.demand(figures["origin_requests"] == 0, f"the origin was asked {figures['origin_requests']} times during a hit test")
    return figures


@workload("hit-1k", "hit, 1 KiB, one object")
def hit_1k(cell):
    return hits(cell, KIB)


@workload("hit-1k-zipf", "hit, 1 KiB, 10,000 objects, Zipf")
def hit_1k_zipf(cell):
    return hits(cell, KIB, objects=10_000, pick="zipf")


@workload("hit-64k", "hit, 64 KiB")
def hit_64k(cell):
    return hits(cell, 64 * KIB)


@workload("hit-1m", "hit, 1 MiB")
def hit_1m(cell):
    return hits(cell, MIB, connections=16)


@workload("hit-10m", "hit, 10 MiB")
def hit_10m(cell):
    return hits(cell, 10 * MIB, connections=4)


@workload("hit-304", "If-None-Match of a hit: 304 to the client")
def hit_304(cell):
    cell.load(KIB)
    return hits(cell, KIB, if_none_match=True, status=304)


@workload("miss", "miss with store, 1 KiB, a new object each time")
def miss(cell):
    # The first ones are not measured: nginx makes a folder for each, up to 4,096.
    warming = 500 if cell.quick else 20_000
    figures = cell.measure(KIB, pick="fresh", warming=warming)
    if cell.server.is_floor:
        return figures
    asked, made = figures["origin_requests"], figures["requests"]
    cell.demand(asked >= made, f"{made} misses, but the origin was asked {asked} times")
    cell.settle()
    last = warming + made - 200
    before = cell.origin()["requests"]
    cell.load(KIB, connections=8, requests=200, objects=200, pick="cycle", first=last)
    again = cell.origin()["requests"] - before
    cell.demand(again == 0, f"{again} of the last 200 objects were not stored")
    return figures


@workload("revalidate", "revalidation, 1 KiB: 304 from the origin, 200 to the client")
def revalidate(cell):
    # A thousand objects in turn: no two requests for the same one are under way, so none waits for another's.
    cell.load(KIB, connections=8, requests=1000, objects=1000, pick="cycle", kind="reval")
    cell.settle()
    figures = cell.measure(KIB, kind="reval", objects=1000, pick="cycle", warming=2000)
    if cell.server.is_floor:
        return figures
    confirmed, made = figures["origin_not_modified"], figures["requests"]
    cell.demand(confirmed == figures["origin_requests"], f"the origin sent {figures['origin_requests'] - confirmed} bodies")
    cell.demand(confirmed >= 0.99 * made, f"{made} answers, but {confirmed} revalidations")
    return figures


@workload("drip", "500 at once for a cold object, 64 KiB over a second", main="first_p50_us", rounds_max=3,
          shows=("origin_requests", "first_p50_us", "first_max_us", "p50_us", "max_us", "cpu_us"))
def drip(cell):
    return cell.measure(64 * KIB, connections=500, kind="drip", mode="drip")


@workload("memory-idle", "memory of an idle keep-alive connection", main="bytes", shows=("bytes",), rounds_max=3)
def memory_idle(cell):
    few, many = (50, 500) if cell.quick else (500, 5000)
    cell.load(KIB)
    with cell.hold(few):
        cell.settle()
        before = cell.tree.memory_bytes()
        with cell.hold(many):
            cell.settle()
            return {"bytes": (cell.tree.memory_bytes() - before) / many}


@workload("memory-object", "memory of a stored object of 1 KiB, its body included", main="ram_bytes",
          shows=("ram_bytes", "disk_bytes"), rounds_max=3)
def memory_object(cell):
    few, many = (500, 5000) if cell.quick else (5000, 50_000)
    cell.load(KIB, connections=16, requests=few, pick="fresh")
    cell.settle(1)
    ram, disk = cell.tree.memory_bytes(), cell.disk_bytes()
    cell.load(KIB, connections=16, requests=many, pick="fresh", first=few)
    cell.settle(1)
    figures = {"ram_bytes": (cell.tree.memory_bytes() - ram) / many, "disk_bytes": (cell.disk_bytes() - disk) / many}
    before = cell.origin()["requests"]
    cell.load(KIB, connections=16, requests=few + many, objects=few + many, pick="cycle")
    again = cell.origin()["requests"] - before
    if again:
        raise Refused(f"{again} of {few + many} objects were not there any more")
    return figures


@workload("memory-disk-index", "RAM of an entry of the disk tier's index, 5,000,000 of them, without a server", main="bytes",
          shows=("bytes", "lost", "put_ns", "find_ns", "miss_ns"), rounds_max=3)
def memory_disk_index(cell):
    entries = 200_000 if cell.quick else 5_000_000
    figures = cell.tool("disk_index", entries)
    cell.demand(figures["missing"] == figures["lost"], f"{figures['missing']} entries were not found, but {figures['lost']} lost")
    cell.demand(figures["lost"] < entries / 100, f"{figures['lost']} of {entries} entries were lost")
    return figures


# ---- the disk: what is not in RAM, and what is written

def hits_from_device(cell, size, objects):
    """Every object once, then again in turn: a server without a RAM cache of its own reads each from its device, or, if it
    has files, from the kernel's page cache."""
    cell.load(size, connections=16, requests=objects, objects=objects, pick="cycle")
    cell.settle(3)
    figures = cell.measure(size, objects=objects, pick="cycle", warming=objects)
    cell.demand(figures["origin_requests"] == 0, f"the origin was asked {figures['origin_requests']} times during a hit test")
    return figures


@workload("hit-1k-device", "hit, 1 KiB, not in RAM: 20,000 objects on a device", wire=servers.ON_DEVICE)
def hit_1k_device(cell):
    return hits_from_device(cell, KIB, 500 if cell.quick else 20_000)


@workload("hit-64k-device", "hit, 64 KiB, not in RAM: 2,000 objects on a device", wire=servers.ON_DEVICE)
def hit_64k_device(cell):
    return hits_from_device(cell, 64 * KIB, 100 if cell.quick else 2000)


@workload("miss-disk", "miss with store to the disk, 1 KiB, a new object each time", wire=servers.ON_DISK)
def miss_disk(cell):
    return miss(cell)


# ---- purges: WARP's own API

PURGES_PER_SECOND, PAIRS = 1000, 5


def purges_beside_hits(cell, hot, first, seconds):
    """One pair: hits alone, then hits with purges of other objects that are stored as well. (before, during, purges)"""
    count = int(PURGES_PER_SECOND * seconds)
    before = cell.measure(KIB, objects=hot, pick="zipf", warming=hot, seconds=seconds)
    with cell.purger(PURGES_PER_SECOND, count, first) as begin:
        during = cell.measure(KIB, objects=hot, pick="zipf", warming=hot, seconds=seconds, beside=begin)
    purged = during.pop("beside")
    cell.demand(purged["durable"] == count, f"{count} purges, {purged['durable']} durable")
    for figures in (before, during):
        cell.demand(figures["origin_requests"] == 0, f"the origin was asked {figures['origin_requests']} times during a hit test")
    return before, during, purged


@workload("purges", "1,000 purges of a URL a second over the API, durable on disk, beside hits of 1 KiB on 10,000 objects, Zipf", main="purge_cpu_us",
          shows=("purge_cpu_us", "purge_beside_us", "kept_by_cpu", "purges_per_second", "purge_p99_ms", "hits_before", "hits_during"),
          wire=servers.ON_DISK)
def purges(cell):
    """First alone: CPU of each, as fast as they go. Then pairs of hits without and with 1,000 purges a second; the median of
    each figure. What a purge costs beside hits is all CPU that the hits before do not explain: that they became dearer is in
    it. kept_by_cpu is what 1,000 purges a second leave of a core for hits; the rates are the machine's at the time."""
    hot, alone = (1000, 200) if cell.quick else (10_000, 2000)
    seconds = cell.seconds / 2
    beside = int(PURGES_PER_SECOND * seconds)
    stored = hot + alone + PAIRS * beside
    cell.load(KIB, connections=16, requests=stored, objects=stored, pick="cycle")
    cell.settle(3)
    with cell.purger(0, alone, hot) as begin:
        cell.tree.pin()
        cpu = cell.tree.cpu_ns()
        first = begin()()
        cpu = cell.tree.cpu_ns() - cpu
    cell.demand(first["durable"] == alone and first["matched"] >= alone, f"{alone} purges, {first['matched']} matched, {first['durable']} durable")
    cell.settle(1)
    pairs = [purges_beside_hits(cell, hot, hot + alone + i * beside, seconds) for i in range(PAIRS)]
    cost = statistics.median((during["cpu_us"] - before["cpu_us"]) * during["requests"] / beside for before, during, _ in pairs)
    return {"purge_cpu_us": cpu / 1000 / alone, "purge_beside_us": cost, "kept_by_cpu": 1 - PURGES_PER_SECOND * cost / 1e6,
            "purges_per_second": statistics.median(purged["per_second"] for _, _, purged in pairs),
            "purge_p99_ms": statistics.median(purged["p99_ms"] for _, _, purged in pairs),
            "purges_alone_per_second": first["per_second"],
            "hits_before": statistics.median(before["per_second"] for before, _, _ in pairs),
            "hits_during": statistics.median(during["per_second"] for _, during, _ in pairs)}


# ---- TLS 1.3 and HTTP/2

@workload("hit-1k-tls", "hit, 1 KiB, HTTP/1.1 over TLS 1.3", shows=WIRE_SHOWS, wire=servers.TLS)
def hit_1k_tls(cell):
    return hits(cell, KIB)


@workload("hit-64k-tls", "hit, 64 KiB, HTTP/1.1 over TLS 1.3", shows=WIRE_SHOWS, wire=servers.TLS)
def hit_64k_tls(cell):
    return hits(cell, 64 * KIB)


@workload("hit-1k-h2", "hit, 1 KiB, HTTP/2 over TLS 1.3, 10 connections of 32 streams", shows=WIRE_SHOWS, wire=servers.H2_TLS)
def hit_1k_h2(cell):
    return hits(cell, KIB, connections=10, streams=32)


@workload("hit-1k-h2c", "hit, 1 KiB, HTTP/2 in the clear, 10 connections of 32 streams", shows=WIRE_SHOWS, wire=servers.H2_PLAIN)
def hit_1k_h2c(cell):
    return hits(cell, KIB, connections=10, streams=32)


def handshakes(cell, spoken):
    figures = cell.measure(KIB, connections=16, spoken=spoken, warming=64)
    cell.demand(figures["origin_requests"] == 0, f"the origin was asked {figures['origin_requests']} times by handshakes alone")
    return {**figures, "handshakes_per_core": figures.pop("per_core")}


@workload("handshake", "full handshake, TLS 1.3, X25519, ECDSA on P-256", shows=HANDSHAKE_SHOWS, wire=servers.TLS)
def handshake(cell):
    return handshakes(cell, "handshake")


@workload("handshake-resumed", "resumed handshake, TLS 1.3, ticket and X25519", shows=HANDSHAKE_SHOWS, wire=servers.TLS)
def handshake_resumed(cell):
    return handshakes(cell, "resume")


@workload("memory-idle-tls", "memory of an idle keep-alive connection over TLS 1.3", main="bytes", shows=("bytes",), rounds_max=3,
          wire=servers.TLS)
def memory_idle_tls(cell):
    return memory_idle(cell)
