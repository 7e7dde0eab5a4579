"""One cell: a server on an empty cache, a workload, the rules. And what rounds of cells become: medians and ratios."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

from processes import Refused, Tree, disk_bytes, drop_large_files, spawn, stop
from servers import TOKEN, TOOLS, Cannot, Certificate, Place, program_path

BUSY_MAX = 1.01  # the two clocks are not read at the same instant
TRIES = 3
START_S = 30


class Unavailable(Exception):
    """This server cannot run here: its column is left out."""


def certificate_make(folder):
    """What every server shows: ECDSA on P-256, for bench.test; `both` is certificate and key in one file."""
    files = Certificate(folder / "cert.pem", folder / "key.pem", folder / "both.pem")
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
                           "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1",
                           "-keyout", files.key, "-out", files.certificate], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: no certificate: {done.stderr.strip()}")
    files.both.write_text(files.certificate.read_text() + files.key.read_text())
    return files


def free_port():
    """Outside the range that the kernel takes for outgoing connections."""
    for _ in range(200):
        port = random.randrange(10240, 30000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("bench: no free port")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Origin:
    def __init__(self, core):
        self.port = free_port()
        self.process = spawn([TOOLS / "origin", str(self.port)], core)
        wait_for(lambda: accepts(self.port), self.process, "the origin")

    def counts(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/control/0/0")
        counts = json.loads(connection.getresponse().read())
        connection.close()
        return counts

    def stop(self):
        stop(self.process)


def wait_for(condition, process, what):
    end = time.monotonic() + START_S
    while not condition():
        if process.poll() is not None:
            raise Unavailable(f"{what} ended with {process.returncode} at its start")
        if time.monotonic() > end:
            stop(process)
            raise Unavailable(f"{what} did not start within {START_S} s")
        time.sleep(0.005)  # a peer does not say when it listens: asked again, up to START_S


class Load:
    """The generator, up to the line by which it says that it is warm."""

    def __init__(self, cell, size, connections=1, requests=0, seconds=0, warming=0, objects=1, first=0, pick="one",
                 kind="size", mode="run", status=200, if_none_match=False, spoken=None, streams=1):
        argv = [TOOLS / "load", "-b", size, "-c", connections, "-n", requests, "-s", seconds, "-w", warming, "-o", objects,
                "-f", first, "-p", pick, "-k", kind, "-m", mode, "-x", status, "-P", spoken or cell.wire.spoken, "-S", streams,
                *(["-i"] if if_none_match else []), *(["-t", cell.certificate.certificate] if cell.wire.tls else []), cell.port]
        self.process = spawn([str(word) for word in argv], cell.load_core, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        self.watch = threading.Timer(120, self.process.kill)
        self.watch.start()
        try:
            self.expect("ready")
        except BaseException:
            self.stop()
            raise

    def expect(self, word=""):
        line = self.process.stdout.readline().strip()
        if line == "" or (word and line != word):
            said = self.process.stderr.read().strip()
            raise Refused(said or f"the generator ended with {self.process.wait()}")
        return line

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.expect())

    def stop(self):
        self.watch.cancel()
        stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Cell:
    """A server, just started on an empty cache, and what a workload may do with it."""

    def __init__(self, server, origin, folder, cores, seconds, quick, wire, certificate):
        self.server, self.source, self.seconds, self.quick = server, origin, seconds, quick
        self.wire, self.certificate = wire, certificate
        self.load_core, self.server_core = cores
        self.folder = pathlib.Path(folder)
        self.processes = []

    def __enter__(self):
        self.folder.mkdir(mode=0o755)
        self.port = free_port()
        start = self.server.start(Place(self.folder, self.port, [free_port(), free_port()], self.source.port, self.wire, self.certificate))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WARP_")}
        try:
            with open(self.folder / "said", "wb") as said:
                for argv, port in [*start.behind, (start.argv, self.port)]:
                    self.processes.append(spawn([program_path(argv[0]), *(str(word) for word in argv[1:])], self.server_core,
                                                stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder,
                                                env={**environment, **start.env}))
                    self._wait(port)
            self.admin_port = start.admin_port
            self.tree = Tree([process.pid for process in self.processes], self.server_core)
            self.tree.pin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self, port):
        try:
            wait_for(lambda: accepts(port), self.processes[-1], self.server.name)
        except Unavailable as problem:
            said = (self.folder / "said").read_text("utf-8", "replace").strip().splitlines()
            raise Unavailable(f"{problem}: {said[-1]}" if said else str(problem))

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        drop_large_files(self.folder)

    # ---- for workloads

    def settle(self, seconds=0.2):
        """What the server does in the background after a fill, and does not tell: not to be counted as the workload's."""
        time.sleep(0.05 if self.quick else seconds)

    def origin(self):
        return self.source.counts()

    def demand(self, condition, why):
        if not condition:
            raise Refused(why)

    def disk_bytes(self):
        return disk_bytes(self.folder)

    def tool(self, name, *words):
        """A program of ours that measures a part of WARP by itself and prints figures; on the server's core."""
        process = spawn([str(TOOLS / name), *(str(word) for word in words)], self.server_core, stdout=subprocess.PIPE, text=True)
        said = process.communicate()[0]
        self.demand(process.returncode == 0, f"{name} ended with {process.returncode}")
        return json.loads(said)

    def load(self, size, requests=1, **options):
        """Requests that are not measured, only checked."""
        with Load(self, size, requests=requests, **options) as load:
            return load.go()

    @contextlib.contextmanager
    def purger(self, per_second, count, first):
        """Ready to purge `count` URLs from object `first` on, on the generator's core: call what it gives to begin, and what
        that returns for the figures."""
        argv = [sys.executable, pathlib.Path(__file__).parent / "purger.py", self.admin_port, TOKEN, per_second, count, first]
        process = spawn([str(word) for word in argv], self.load_core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.demand(process.stdout.readline().strip() == "ready", "the purger did not start")

            def begin():
                process.stdin.write("\n")
                process.stdin.flush()
                return lambda: json.loads(process.stdout.readline() or "null") or self.demand(False, "the purger ended with an error")
            yield begin
        finally:
            stop(process)

    @contextlib.contextmanager
    def hold(self, connections):
        """Connections that have asked once and stay open."""
        with Load(self, 1024, connections=connections, mode="idle"):
            yield

    def measure(self, size, connections=64, mode="run", beside=None, seconds=None, **options):
        """beside: begins something else at the same time, and returns what gives its figures."""
        seconds = (seconds or self.seconds) if mode == "run" else 0
        with Load(self, size, connections=connections, seconds=seconds, mode=mode, **options) as load:
            self.tree.pin()
            self.settle()
            before, ran = self.origin(), self.tree.ran()
            began, cpu = time.monotonic_ns(), self.tree.cpu_ns()
            figures_of = beside() if beside else None
            figures = load.go()
            cpu, took = self.tree.cpu_ns() - cpu, time.monotonic_ns() - began
            after = self.origin()
        figures.update(cpu_us=cpu / 1000 / figures["requests"], busy=cpu / took,
                       per_second=figures["requests"] / figures["seconds"], per_core=figures["requests"] * 1e9 / max(cpu, 1),
                       origin_requests=after["requests"] - before["requests"],
                       origin_not_modified=after["not_modified"] - before["not_modified"])
        if beside:
            figures["beside"] = figures_of()
        check_busy(figures["busy"])
        for process in self.processes:
            if process.poll() is not None:
                raise Refused(f"the server ended with {process.returncode}")
        self.tree.check(ran)
        return figures


def check_busy(busy):
    if busy > BUSY_MAX:
        raise Refused(f"busy {busy:.2f}: more CPU than its core has")


def attempt(make_cell, workload):
    """The figures of one cell, or why there are none: {"figures"}, {"refused"} or {"cannot"}. What the machine spoils
    may be repeated; a rule stays a rule."""
    whys = []
    for _ in range(TRIES):
        try:
            with make_cell() as cell:
                return {"figures": workload.run(cell), "tries": len(whys) + 1, "spoiled": whys}
        except Cannot as problem:
            return {"cannot": str(problem)}
        except Refused as problem:
            whys.append(str(problem))
    return {"refused": whys[-1], "tries": len(whys), "spoiled": whys[:-1]}


def order(names, round_number):
    """A changing order: the first of each round is another one, and every second round runs backwards."""
    turn = round_number % len(names) if names else 0
    turned = names[turn:] + names[:turn]
    return turned[::-1] if round_number % 2 else turned


def ratio(rounds, main, name, base):
    """The median of the ratios of those rounds in which both have a figure."""
    ratios = []
    for cells in rounds:
        if all("figures" in cells.get(which, {}) for which in (name, base)):
            over, under = cells[name]["figures"][main], cells[base]["figures"][main]
            if under > 0:
                ratios.append(over / under)
    return statistics.median(ratios) if ratios else None


def row(rounds, main, name, bases):
    """One line of the table: `rounds` is a list of {server: cell}."""
    cells = [cells[name] for cells in rounds if name in cells]
    good = [cell["figures"] for cell in cells if "figures" in cell]
    bad = [cell["refused"] for cell in cells if "refused" in cell]
    if any("cannot" in cell for cell in cells):
        return {"server": name, "cannot": next(cell["cannot"] for cell in cells if "cannot" in cell)}
    keys = set.intersection(*(set(figures) for figures in good)) if good else set()
    return {"server": name, "rounds": len(cells), "good_rounds": len(good), "refused": bad,
            "spoiled": [why for cell in cells for why in cell.get("spoiled", [])],
            "figures": {key: statistics.median(figures[key] for figures in good) for key in sorted(keys)},
            "spread": [min(f[main] for f in good), max(f[main] for f in good)] if good else None,
            "ratios": {base: ratio(rounds, main, name, base) for base in bases}}
