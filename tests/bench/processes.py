"""A server's processes as /proc shows them: where its threads run, what CPU and memory they take."""
import os
import pathlib
import signal
import subprocess
import time

PROC = pathlib.Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


class Refused(Exception):
    """A rule of the method is broken: this cell has no figure."""


def cores():
    """(for generator and origin, for the server)"""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1] if len(allowed) > 1 else allowed[0]


def spawn(argv, core, **options):
    """A child that begins on its core."""
    return subprocess.Popen(argv, preexec_fn=lambda: os.sched_setaffinity(0, {core}), **options)


def stop(process, timeout=15):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Tree:
    """Processes and all below them."""

    def __init__(self, roots, core):
        self.roots, self.core = roots, core

    def pids(self):
        found, unseen = [], list(self.roots)
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            for task in self._list(PROC / str(pid) / "task"):
                unseen += [int(child) for child in self._read(task / "children").split()]
        return found

    def threads(self):
        return [task for pid in self.pids() for task in self._list(PROC / str(pid) / "task")]

    def pin(self):
        for task in self.threads():
            try:
                os.sched_setaffinity(int(task.name), {self.core})
            except OSError:
                pass  # gone, or the kernel's own helper: check() looks again

    def ran(self):
        """How long each thread ran so far: tells which of them ran during a measurement."""
        return {task.name: self._read(task / "schedstat").split(" ")[0] for task in self.threads()}

    def check(self, ran_before):
        """Every thread may run on the one core only, and those that ran did so there."""
        for task in self.threads():
            stat = self._read(task / "stat")
            if not stat:
                continue
            name, last = stat[stat.index("(") + 1:stat.rindex(")")], int(stat.rsplit(")", 1)[1].split()[36])
            try:
                may = os.sched_getaffinity(int(task.name))
            except OSError:
                continue
            if may != {self.core}:
                raise Refused(f"thread {name} was off its core: it may run on {sorted(may)}")
            if last != self.core and self._read(task / "schedstat").split(" ")[0] != ran_before.get(task.name):
                raise Refused(f"thread {name} was off its core: it ran on {last}")

    def cpu_ns(self):
        """User and system time of all processes, threads that ended included, by the scheduler's own count (the
        clock of a process, CPUCLOCK_SCHED), and of children that were waited for, in clock ticks."""
        total = 0
        for pid in self.pids():
            try:
                total += time.clock_gettime_ns((~pid << 3) | 2)
            except OSError:
                continue
            stat = self._read(PROC / str(pid) / "stat")
            if stat:
                fields = stat.rsplit(")", 1)[1].split()
                total += (int(fields[13]) + int(fields[14])) * 1_000_000_000 // TICKS
        return total

    def memory_bytes(self):
        """Memory of its own, and its part of what it shares."""
        total = 0
        for pid in self.pids():
            for line in self._read(PROC / str(pid) / "smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    @staticmethod
    def _list(folder):
        try:
            return list(folder.iterdir())
        except OSError:
            return []

    @staticmethod
    def _read(path):
        try:
            return path.read_text()
        except OSError:
            return ""


def disk_bytes(folder):
    """Blocks that the files below take."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                pass
    return total


def drop_large_files(folder):
    """Small ones stay until the end of the run: an ext4 without a journal leaves inodes that were just freed alone for
    minutes, and looking past thousands of them cost nginx 500 us for each file that it made in the next cell."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.lstat(path).st_size > 1 << 20:
                os.unlink(path)
