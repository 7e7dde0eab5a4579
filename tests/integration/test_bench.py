"""The benchmark is to be believed only if it can say no: wrong answers, broken rules, and its arithmetic."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from client import Client
from origin import answer
from wait import until
from warp import BINARY, ROOT, free_port

sys.path.insert(0, str(ROOT / "tests/bench"))

import measure  # noqa: E402
import processes  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402
from processes import Refused  # noqa: E402
from servers import TOOLS  # noqa: E402

SIZE = 3000


def pattern(size, number=0):
    """The bytes that origin and generator agree upon (tests/bench/common.c)."""
    mixed = [i * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for i in range(number + 1, number + 1 + size)]
    return bytes((m ^ m >> 29) >> 32 & 0xFF for m in mixed)


def load(port, *options, size=SIZE):
    return subprocess.run([TOOLS / "load", "-b", str(size), *options, str(port)], input="\n", capture_output=True, text=True, timeout=30)


def loaded(origin, answers, *options, **more):
    """What the generator says of an origin that gives these bytes."""
    def handler(exchange):
        exchange.send(answers(exchange) if callable(answers) else answers)
    origin.serve(handler)
    return load(origin.port, "-c", "2", "-n", "10", *options, **more)


GOOD = pattern(SIZE)


def test_the_generator_accepts_what_is_right(origin):
    done = loaded(origin, answer(body=GOOD), "-w", "4")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["requests"] == 10 and figures["bytes"] == 10 * SIZE
    assert origin.count == 14
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"] * 1.04


@pytest.mark.parametrize("wrong, said", [
    (answer(status=503, reason="No", body=GOOD), "status 503"),
    (answer(body=GOOD[:-1]), "Content-Length 2999"),
    (answer(body=GOOD[:-1] + bytes([GOOD[-1] ^ 1])), "wrong bytes"),
    (answer(body=bytes([GOOD[0] ^ 1]) + GOOD[1:]), "wrong bytes"),
    (answer(body=pattern(SIZE, number=1)), "wrong bytes"),
    (answer(body=GOOD[1:] + b"x"), "wrong bytes"),
    (answer(body=GOOD) + b"x", "nobody asked for|more bytes"),
    (answer(body=GOOD, headers=[("Transfer-Encoding", "chunked")], length=False), "without Content-Length"),
])
def test_the_generator_says_what_is_wrong(origin, wrong, said):
    done = loaded(origin, wrong)
    assert done.returncode == 1
    assert any(word in done.stderr for word in said.split("|")), done.stderr


def test_warming_looks_at_every_byte(origin):
    wrong = answer(body=GOOD[:1500] + bytes([GOOD[1500] ^ 1]) + GOOD[1501:])
    done = loaded(origin, wrong, "-w", "2")
    assert done.returncode == 1 and "wrong bytes" in done.stderr


def test_the_generator_sees_a_body_that_ends_early(origin):
    def handler(exchange):
        exchange.send(answer(body=GOOD)[:-100])
        exchange.close()
    origin.serve(handler)
    done = load(origin.port, "-n", "1", "-c", "1")
    assert done.returncode == 1
    assert "closed by the server after 2900 of 3000 bytes" in done.stderr


def test_the_generator_sees_a_lost_piece_of_a_long_body(origin):
    """While it measures, it lets the kernel drop most of a long body: what follows must still be in its place."""
    size = 1 << 20
    long = pattern(size)
    shifted = long[:300_000] + long[300_001:] + b"x"
    assert loaded(origin, answer(body=shifted), size=size).returncode == 1


def test_if_none_match(origin):
    seen = []

    def handler(exchange):
        seen.append(exchange.headers["If-None-Match"])
        return answer(304, reason="Not Modified", length=False)
    done = loaded(origin, handler, "-i", "-x", "304", "-p", "cycle", "-o", "3", "-f", "7")
    assert done.returncode == 0, done.stderr
    assert set(seen) == {f'"{SIZE}-000000000{n}"' for n in (7, 8, 9)}


def test_zipf_is_the_same_each_time_and_skewed(origins):
    asked = []
    for _ in range(2):
        origin = origins()
        done = loaded(origin, lambda e: answer(body=pattern(SIZE, int(e.target.rsplit("/", 1)[1]))), "-p", "zipf", "-o", "50", "-n", "200")
        assert done.returncode == 0, done.stderr
        asked.append(sorted(exchange.target for exchange in origin.exchanges))
    assert asked[0] == asked[1]
    counts = [asked[0].count(f"/size/{SIZE}/{n:010}") for n in range(50)]
    assert sum(counts) == 200 and counts[0] > 25 and sum(counts[:10]) > 100


@pytest.fixture
def program():
    """program("floor_epoll") starts one of the benchmark's own servers and gives its port."""
    started = []

    def start(name):
        port = free_port()
        started.append(subprocess.Popen([TOOLS / name, str(port)], stderr=subprocess.PIPE))
        until(lambda: measure.accepts(port) or started[-1].poll() is not None, name)
        if started[-1].poll() == 3:  # the kernel or a container forbids io_uring: nothing to run; the run counts it
            pytest.skip(f"{name}: {started[-1].stderr.read().decode()}")
        return port

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stderr.close()


@pytest.mark.parametrize("name", ["floor_epoll", "floor_uring", "origin"])
def test_own_servers_answer_rightly(program, name):
    port = program(name)
    with Client(port) as client:
        first = client.get("/size/1024/5")
        assert first.status == 200 and first.body == pattern(1024, 5)
        assert client.get("/size/65536/1").body == pattern(65536, 1)
        client.send(b"GET /size/10/2 HTTP/1.1\r\nHo")
        client.send(b"st: x\r\n\r\n")
        assert client.read_response().body == pattern(10, 2)
    done = load(port, "-c", "8", "-n", "200", "-w", "50", "-p", "cycle", "-o", "20", "-i", "-x", "304")
    assert done.returncode == 0, done.stderr
    done = load(port, "-c", "4", "-n", "8", "-w", "4", size=10 << 20)
    assert done.returncode == 0, done.stderr


def test_the_origin_counts_and_drips(program):
    port = program("origin")
    with Client(port) as client:
        client.get("/reval/100/1")
        assert client.get("/reval/100/1", {"If-None-Match": '"100-0000000001"'}).status == 304
    done = load(port, "-m", "drip", "-k", "drip", "-c", "5")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["requests"] == 5 and figures["first_max_us"] < figures["p50_us"]
    assert figures["p50_us"] > 500_000
    with Client(port) as client:
        assert json.loads(client.get("/control/0/0").body) == {"requests": 7, "not_modified": 1}


# ---- the rules

class MadeUp:
    """A cell whose workload measured this."""
    quick = True

    def __init__(self, figures):
        self.figures = figures
        self.server = type("Server", (), {"is_floor": False})

    def load(self, *_, **__):
        pass

    def settle(self, *_):
        pass

    def measure(self, *_, **__):
        return self.figures

    def origin(self):
        return {"requests": 0}

    def demand(self, condition, why):
        return measure.Cell.demand(self, condition, why)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_hit_that_asks_the_origin_is_refused():
    workload = workloads.WORKLOADS["hit-1k"]
    assert workload.run(MadeUp({"origin_requests": 0})) == {"origin_requests": 0}
    cell = measure.attempt(lambda: MadeUp({"origin_requests": 3}), workload)
    assert cell["refused"] == "the origin was asked 3 times during a hit test"
    assert cell["tries"] == 3


def test_misses_and_revalidations_must_reach_the_origin():
    with pytest.raises(Refused, match="10 misses, but the origin was asked 9 times"):
        workloads.WORKLOADS["miss"].run(MadeUp({"requests": 10, "origin_requests": 9}))
    with pytest.raises(Refused, match="sent 1 bodies"):
        workloads.WORKLOADS["revalidate"].run(MadeUp({"requests": 10, "origin_requests": 10, "origin_not_modified": 9}))
    with pytest.raises(Refused, match="10 answers, but 5"):
        workloads.WORKLOADS["revalidate"].run(MadeUp({"requests": 10, "origin_requests": 5, "origin_not_modified": 5}))


def test_what_was_spoiled_once_is_repeated():
    figures = [{"origin_requests": 1}, {"origin_requests": 0}]
    cell = measure.attempt(lambda: MadeUp(figures.pop(0)), workloads.WORKLOADS["hit-1k"])
    assert cell["tries"] == 2 and "figures" in cell and len(cell["spoiled"]) == 1


def test_more_than_one_core_is_refused():
    measure.check_busy(1.0)
    with pytest.raises(Refused, match="busy 1.20"):
        measure.check_busy(1.2)


def test_a_thread_off_its_core_is_refused():
    cores = os.sched_getaffinity(0)
    core = max(cores)
    process = subprocess.Popen(["sleep", "60"])
    try:
        # where there is only one core, off it is where the thread is not
        tree = processes.Tree(process.pid, core if len(cores) > 1 else core + 1)
        with pytest.raises(Refused, match="thread sleep was off its core"):
            tree.check(tree.ran())
        tree = processes.Tree(process.pid, core)
        tree.pin()
        tree.check(tree.ran())
    finally:
        process.kill()
        process.wait()


def test_cpu_of_threads_and_children_counts():
    code = ("import os, threading, sys\n"
            "def burn():\n  for i in range(2000000): pass\n"
            "t = threading.Thread(target=burn); t.start(); t.join()\n"
            "p = os.fork()\n"
            "if p == 0: burn(); os._exit(0)\n"
            "os.waitpid(p, 0)\n"
            "print('done', flush=True); sys.stdin.read()")
    process = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    used = processes.Tree(process.pid, 0).cpu_ns()
    process.communicate()
    alone = os.times()  # all of it is in this process' children now
    assert used > 0 and alone.children_user + alone.children_system >= used / 1e9 - 0.05
    assert used > 20_000_000


# ---- the arithmetic

def cells(**cpu):
    return {name: {"figures": {"cpu_us": value, "busy": 0.9}} if value else {"refused": "busy 1.30", "tries": 3} for name, value in cpu.items()}


def test_medians_and_ratios_inside_a_round():
    rounds = [cells(warp=8, floor=4), cells(warp=30, floor=10), cells(warp=9, floor=3)]
    row = measure.row(rounds, "cpu_us", "warp", ["floor", "warp"])
    assert row["figures"]["cpu_us"] == 9
    assert row["ratios"] == {"floor": 3, "warp": 1}  # of 2, 3, 3; not 9 / 4
    assert row["spread"] == [8, 30]


def test_a_refused_round_counts_nowhere():
    rounds = [cells(warp=8, floor=4), cells(warp=None, floor=1), cells(warp=8, floor=None)]
    row = measure.row(rounds, "cpu_us", "warp", ["floor"])
    assert (row["good_rounds"], row["rounds"], row["ratios"]) == (2, 3, {"floor": 2})
    assert row["refused"] == ["busy 1.30"]
    nothing = measure.row([cells(warp=None, floor=1)], "cpu_us", "warp", ["floor"])
    assert nothing["good_rounds"] == 0 and nothing["figures"] == {} and nothing["ratios"] == {"floor": None}


def test_the_order_changes_and_nobody_is_left_out():
    names = ["a", "b", "c"]
    orders = [measure.order(names, number) for number in range(6)]
    assert all(sorted(order) == names for order in orders)
    assert {order[0] for order in orders} == set(names)
    assert len({tuple(order) for order in orders}) > 3


def test_the_table_shows_refusals_and_absences():
    rounds = [cells(**{"warp-epoll": 8, "nginx": None, "floor-epoll": 4})]
    names = ["floor-epoll", "warp-epoll", "nginx"]
    rows = [measure.row(rounds, "cpu_us", name, ["warp-epoll", "floor-epoll"]) for name in names]
    rows.append({"server": "haproxy", "cannot": "has no such thing"})
    result = {"servers": names + ["haproxy"], "rounds": 1, "seconds": 1, "notes": ["a note"], "left_out": ["squid: not installed"],
              "machine": {"cpu": "x", "kernel": "y", "cores": [0, 1]}, "network": {"namespace": True, "congestion_control": "reno"},
              "workloads": [{"name": "hit", "says": "a hit", "main": "cpu_us", "shows": ["cpu_us", "busy"], "rows": rows}]}
    lines = {line.split()[0]: line.split() for line in table.text(result).splitlines() if line[:1].isalpha()}
    assert lines["warp-epoll"] == ["warp-epoll", "8.00", "0.90", "1.00", "2.00"]
    assert lines["nginx"] == ["nginx", "refused", "-", "-", "-"]
    assert "! nginx: refused in 1 of 1 rounds: busy 1.30" in table.text(result)
    assert "haproxy: has no such thing" in table.text(result)
    assert "squid: not installed" in table.text(result)
    assert "| warp-epoll | 8.00 (2.00) |" in table.markdown(result)
    assert "| nginx | refused |" in table.markdown(result)


# ---- all of it

def test_end_to_end(tmp_path):
    where = tmp_path / "bench.json"
    done = subprocess.run(["/usr/bin/python3", str(ROOT / "tests/bench/bench.py"), "--quick", "--servers", "floor-epoll,warp-epoll",
                           "--only", "hit-1k", "--json", str(where)], capture_output=True, text=True, timeout=50,
                          env={**os.environ, "WARP_BIN": BINARY, "BENCH_SCRATCH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    result = json.loads(where.read_text())
    assert result["network"]["namespace"] or "why" in result["network"]
    rows = {row["server"]: row for row in result["workloads"][0]["rows"]}
    assert set(rows) == {"floor-epoll", "warp-epoll"}
    for row in rows.values():
        if row["refused"]:  # a machine too busy to measure on says so
            continue
        figures = row["figures"]
        assert figures["origin_requests"] == 0 and figures["requests"] > 0
        assert 0 < figures["busy"] <= measure.BUSY_MAX and figures["cpu_us"] > 0
        assert figures["per_second"] == pytest.approx(figures["requests"] / figures["seconds"])
    assert "hit-1k" in done.stdout
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["bench.json"]
