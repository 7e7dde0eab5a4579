#!/usr/bin/python3
"""Where the time of a hit goes: perf samples of the worker, by area, as microseconds of a request; and where its
instructions go, by callgrind and folder of src/. What docs/performance.md shows.

    make profile
    make profile ARGS='--io uring --workload hit-1k-h2'"""
import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import network
from measure import Cell, Origin, certificate_make
from servers import SERVERS, WARP, Cannot
from workloads import WORKLOADS

# The first that matches; symbols of the kernel.
AREAS = (
    ("kernel: io_uring", r"^(__)?io_|uring"),
    ("kernel: epoll", r"^ep_|epoll|eventpoll|__fget_light|sock_poll|tcp_poll"),
    ("kernel: entering, leaving", r"syscall|entry_|^__x64_sys|^__sys_|^____sys|^___sys|fdget|^fput|import_iovec|copy_msghdr|"
                                  r"sockfd_lookup|security_"),
    ("kernel: copying bytes", r"copy_from_iter|copy_to_iter|copy_user|rep_movs|check_object_size|skb_datagram_iter|virt_addr"),
    ("kernel: memory of packets", r"kmem_cache|kmalloc|kfree|slab|alloc_skb|skb_release|skb_free|free_skb|page_frag|put_page"),
    ("kernel: TCP and IP", r"tcp|skb|ip_|^ip|inet|sock_|sk_|net_rx|napi|backlog|loopback|dev_|qdisc|eth_|csum|softirq|"
                           r"release_sock|lock_sock|nf_|neigh|dst_|ack|rtt|^reno|^bictcp|ktime|tsc"),
)


def arguments_read():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--io", choices=("epoll", "uring"), default="epoll")
    parser.add_argument("--workload", choices=[name for name in WORKLOADS if name.startswith("hit-")], default="hit-1k")
    return parser.parse_args()


def area_of(folder, symbol):
    if "kernel" not in folder and not folder.startswith("["):
        library = next((name for name in ("libcrypto", "libssl", "libnghttp2") if folder.startswith(name)), "other libraries")
        return f"user: {'WARP' if folder == 'warp' else library}"
    return next((name for name, pattern in AREAS if re.search(pattern, symbol)), "kernel: other")


def sampled(cell, seconds, path):
    """perf on the worker process while the workload runs."""
    worker = max(cell.tree.pids())
    perf = subprocess.Popen(["perf", "record", "-q", "-F", "4999", "-o", path, "-p", str(worker), "--", "sleep", str(seconds)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf


def shares(path):
    text = subprocess.run(["perf", "report", "-i", path, "--stdio", "--no-children", "-g", "none", "--sort", "dso,symbol"],
                          capture_output=True, text=True, check=True).stdout
    found = collections.Counter()
    for line in text.splitlines():
        match = re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[[.k]\]\s+(\S+)", line)
        if match:
            found[area_of(match.group(2), match.group(3))] += float(match.group(1)) / 100
    return found


def time_by_area(arguments, folder, origin):
    with Cell(SERVERS[f"warp-{arguments.io}"], origin, folder / "timed", (0, 1), 6, False, WORKLOADS[arguments.workload].wire,
              certificate_make(folder)) as cell:
        started = []
        watch = threading.Timer(2, lambda: started.append(sampled(cell, 3, folder / "perf.data")))
        watch.start()
        figures = WORKLOADS[arguments.workload].run(cell)
        watch.join()
        started[0].wait()
    print(f"{arguments.workload}, {arguments.io}: {figures['cpu_us']:.2f} us of CPU a request (perf's own interrupts included)")
    found = shares(folder / "perf.data")
    for name, share in sorted(found.items(), key=lambda item: -item[1]):
        print(f"  {name:28} {share * figures['cpu_us']:6.2f} us {share * 100:5.1f} %")


def instructions_by_folder(folder):
    """Of a hit of one client on epoll, by the same test that guards the budget: callgrind's file is read again."""
    test = pathlib.Path(__file__).resolve().parents[1] / "integration/test_numbers.py"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "instructions", str(test),
                           f"--basetemp={folder / 'counted'}"], capture_output=True, text=True, env={**os.environ, "WARP_BIN": WARP})
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("numbers:")))
    dumps = sorted((folder / "counted").glob("*/callgrind.*.2"))
    text = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", str(dumps[0])], capture_output=True, text=True).stdout
    found, total = collections.Counter(), 0
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(\S+?):(\S+)", line)
        if match:
            count = int(match.group(1).replace(",", ""))
            inside = re.search(r"/src/(\w+)/", match.group(2))
            found[f"src/{inside.group(1)}" if inside else "libraries"] += count
            total += count
    print("instructions of a 1 KiB hit in user mode, by folder:")
    for name, count in found.most_common():
        print(f"  {name:28} {count / 200:6.0f}    {count * 100 / total:5.1f} %")


def main():
    arguments = arguments_read()
    for tool in ("perf", "callgrind_annotate"):
        if shutil.which(tool) is None:
            raise SystemExit(f"profile: {tool} is missing: tools/deps.sh bench")
    network.enter()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="warp-profile-"))
    origin = Origin(0)
    try:
        time_by_area(arguments, folder, origin)
        if arguments.io == "epoll" and arguments.workload == "hit-1k":
            instructions_by_folder(folder)
    except Cannot as problem:
        raise SystemExit(f"profile: {problem}")
    finally:
        origin.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
