#!/usr/bin/env python3
"""Every folder of src/ may include only those its row names; the kernel and the libraries only where they belong."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "src"

ALLOWED = {
    "base": [],
    "os": ["base"],
    "stat": ["base"],
    "loop": ["base", "os"],
    "net": ["base", "os", "loop", "stat"],
    "http": ["base"],
    "proto": ["base", "loop", "net", "http", "stat"],
    "cache": ["base", "http"],
    "store": ["base", "os", "loop", "stat"],
    "remote": ["base", "os", "loop", "net", "stat", "store/storage.h"],
    "conf": ["base"],
    "tenant": ["base", "http", "conf", "stat"],
    "origin": ["base", "loop", "net", "http", "proto", "tenant", "stat"],
    "fill": ["base", "loop", "http", "proto", "cache", "store", "origin", "tenant", "stat"],
    "txn": ["base", "os", "stat", "loop", "net", "http", "proto", "cache", "store", "conf", "tenant", "origin", "fill"],
    "admin": ["base", "os", "stat", "loop", "net", "http", "proto", "cache", "store", "conf", "tenant", "origin", "fill",
              "txn"],
    "demo": ["base", "os", "loop", "net", "http", "proto"],
    "main": None,
    "replay": ["base", "conf", "store"],
}
# The kernel's headers: only os/ (and what only names constants and types: errno, socket structures in os.h).
KERNEL = re.compile(r"^(sys/(?!uio)|unistd|fcntl|poll|signal|dirent|netinet|arpa|netdb|linux/|time\.h$|pthread)")
# libc calls that are no door to the kernel's state: mutexes everywhere, calendars, text of addresses, names of
# signals, what the processor can do, and the clock of a log line in base.
KERNEL_ALLOWED = {
    "demo/pages.c": {"time.h"},
    "stat/access_json.c": {"time.h"},
    "http/uri.c": {"arpa/inet.h"},
    "conf/listen_clash.c": {"arpa/inet.h"},
    "conf/values_net.c": {"arpa/inet.h"},
    "net/ask.c": {"sys/time.h"},
    "main/cmd_origin.c": {"signal.h"},
    "base/crc32c.c": {"sys/auxv.h"},
    "base/log.c": {"time.h", "unistd.h"},
    "main/run.c": {"signal.h", "unistd.h"},
    "main/node.c": {"signal.h"},
    "main/node_store.c": {"unistd.h"},
}
LIBRARIES = {"openssl/": {"net"}, "ares": {"net"}, "yaml": {"conf"}, "jansson": {"admin", "main"}, "xxhash": {"base"},
             "nghttp2": {"proto"}}


def check(path):
    name = path.relative_to(ROOT).as_posix()
    folder = name.split("/")[0]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        kind, target = match.groups()
        if kind == '"':
            other = target.split("/")[0]
            allowed = ALLOWED[folder]
            if "/" in target and other != folder and allowed is not None and other not in allowed and target not in allowed:
                yield f"src/{name}:{number}: {folder}/ may not include {target}"
            continue
        if folder != "os" and KERNEL.match(target) and target != "pthread.h" and target not in KERNEL_ALLOWED.get(name, ()):
            yield f"src/{name}:{number}: <{target}> belongs behind os/os.h"
        for prefix, folders in LIBRARIES.items():
            if target.startswith(prefix) and folder not in folders:
                yield f"src/{name}:{number}: <{target}> belongs in {', '.join(sorted(folders))}/"


def main():
    problems = [p for path in sorted(ROOT.rglob("*.[ch]")) for p in check(path)]
    print("\n".join(problems) if problems else f"layers: {len(list(ROOT.rglob('*.[ch]')))} files, nothing out of place")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
