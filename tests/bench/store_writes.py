#!/usr/bin/env python3
"""Which cache lines one hit writes, from a trace of every store instruction (valgrind's lackey), libc's included.

store_writes.py STORE_LOOKUP     Independent of the counters of store_threads: whatever was overlooked there shows here."""
import collections
import shutil
import subprocess
import sys

HITS = 400
STACK_BYTES = 1 << 20


def trace(*command):
    """Stores between the two marks; half of the hits lie there."""
    out = subprocess.run(["valgrind", "--tool=lackey", "--trace-mem=yes", *command], capture_output=True, text=True, check=True)
    words = next(line for line in out.stdout.splitlines() if line.startswith("mark")).split()
    mark, near, near_bytes, stack = int(words[1], 16), words[3], int(words[4]), int(words[6], 16)
    near = 0 if near == "(nil)" else int(near, 16)
    stores, inside = [], False
    for line in out.stderr.splitlines():
        if not line.startswith((" S ", " M ")):
            continue
        address = int(line[3:].split(",")[0], 16)
        if address == mark:
            inside = not inside
        elif inside:
            stores.append(address)
    own = lambda address: "stack" if stack - STACK_BYTES < address < stack + 4096 else \
        "near table" if near <= address < near + near_bytes else "elsewhere"
    return [(address, own(address)) for address in stores]


def main():
    if not shutil.which("valgrind"):
        print("valgrind is not installed: stores are not traced")
        return
    for what in (["hit"], ["hit", "shared"]):
        stores = trace(sys.argv[1], str(HITS), *what)
        where = collections.Counter(place for _, place in stores)
        lines = collections.Counter(address // 64 for address, place in stores if place == "elsewhere")
        print(f"a {' '.join(what)}, stores: " + ", ".join(f"{where[p] / (HITS / 2):.1f} {p}" for p in ("stack", "near table", "elsewhere"))
              + f"; cache lines written beside the thread's own: {len(lines)}")


main()
