#!/usr/bin/python3
"""WARP beside other caches and three servers that do nothing, in one run: docs/benchmarks.md says how and why.

    make bench
    make bench ARGS='--only hit-1k,miss --servers warp-epoll,nginx --rounds 9'"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time

import measure
import network
import processes
import table
from measure import Cell, Origin, Unavailable
from servers import ROOT, SERVERS, TOOLS
from workloads import WORKLOADS


def arguments_read():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORKLOAD,...", help=", ".join(WORKLOADS))
    parser.add_argument("--servers", metavar="SERVER,...", help=", ".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "5")))
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each cell")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--json", default=str(ROOT / "build/bench.json"), help="where the result goes")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 0.2
    arguments.only = chosen(arguments.only, WORKLOADS, list(WORKLOADS), parser)
    arguments.servers = chosen(arguments.servers, SERVERS, [s.name for s in SERVERS.values() if s.by_default], parser)
    return arguments


def chosen(given, known, default, parser):
    if given is None:
        return default
    names = given.split(",")
    for name in names:
        if name not in known:
            parser.error(f"unknown: {name}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(folder):
    found = ("", "?")
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        where, kind = line.split()[1:3]
        if (str(folder) + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(found[0]):
            found = (where, kind)
    return found[1]


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.notes, self.left_out, self.said = [], {}, network.enter()
        if "why" in self.said:
            self.notes.append(f"{self.said['why']}: {self.said['congestion_control']} in the network of this machine")
        self.cores = processes.cores()
        if self.cores[0] == self.cores[1]:
            self.notes.append("one core only: generator and server share it, so figures mean little")
        os.sched_setaffinity(0, {self.cores[0]})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="warp-bench-", dir=os.environ.get("BENCH_SCRATCH", "/var/tmp")))
        self.folder.chmod(0o755)
        if file_system(self.folder) != "ext4":
            self.notes.append(f"caches that are files lie on {file_system(self.folder)}, not on ext4")
        self.certificate = measure.certificate_make(self.folder)
        self.origin = None
        self.cells = 0
        self.servers = []
        self.versions = {}
        self.rounds = {name: [] for name in arguments.only}  # of each workload: {server: cell} per round

    def run(self):
        self.origin = Origin(self.cores[0])
        self.servers = [name for name in self.arguments.servers if self.installed(SERVERS[name])]
        for number in range(self.arguments.rounds):
            for name in self.arguments.only:
                if number < WORKLOADS[name].rounds_max:
                    self.round(number, WORKLOADS[name])

    def installed(self, server):
        if server.path() is None:
            self.left_out[server.name] = "not installed" if "/" not in server.program else "not built"
            return False
        self.versions[server.name] = server.version_text()
        return True

    def round(self, number, workload):
        cells = {}
        self.rounds[workload.name].append(cells)
        print(f"round {number + 1} of {self.arguments.rounds}, {workload.name}:", end="", file=sys.stderr, flush=True)
        for name in measure.order(self.servers, number):
            server = SERVERS[name]
            if name in self.left_out or workload.name in server.cannot:
                continue
            try:
                cells[name] = measure.attempt(lambda: self.cell(server, workload), workload)
            except Unavailable as problem:
                self.left_out[name] = str(problem)
                continue
            figures = cells[name].get("figures")
            said = f"{figures[workload.main]:.1f}" if figures else "-" if "cannot" in cells[name] else "refused"
            print(f"  {name} {said}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    def cell(self, server, workload):
        self.cells += 1
        return Cell(server, self.origin, self.folder / f"{server.name}-{self.cells}", self.cores, self.arguments.seconds, self.arguments.quick,
                    workload.wire, self.certificate)

    def result(self):
        servers = [name for name in self.servers if name not in self.left_out]
        bases = [base for base in table.BASES if base in servers]
        workloads = []
        for name in self.arguments.only:
            workload, rows = WORKLOADS[name], []
            for server in servers:
                if name in SERVERS[server].cannot:
                    if SERVERS[server].cannot[name] is not None:
                        rows.append({"server": server, "cannot": SERVERS[server].cannot[name]})
                else:
                    rows.append(measure.row(self.rounds[name], workload.main, server, bases))
            workloads.append({"name": name, "says": workload.says, "wire": dataclasses.asdict(workload.wire), "main": workload.main, "shows": list(workload.shows), "rows": rows,
                              "samples": self.rounds[name]})
        return {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "rounds": self.arguments.rounds,
                "seconds": self.arguments.seconds, "quick": self.arguments.quick, "network": self.said,
                "machine": {"cpu": cpu_model(), "kernel": platform.release(), "cores": list(self.cores)},
                "servers": servers, "versions": self.versions, "left_out": [f"{n}: {why}" for n, why in self.left_out.items()],
                "notes": self.notes, "workloads": workloads}

    def stop(self):
        if self.origin is not None:
            self.origin.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    arguments = arguments_read()
    if not (TOOLS / "load").exists():
        raise SystemExit(f"bench: {TOOLS}/load is not built: ninja -C {TOOLS.parent.parent}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # so that no server is left behind
    bench = Bench(arguments)
    try:
        try:
            bench.run()
        except KeyboardInterrupt:
            bench.notes.append("ended before its time: some rounds are missing")
        result = bench.result()
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
        print(table.text(result), flush=True)
    finally:
        bench.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
