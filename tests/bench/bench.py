#!/usr/bin/env python3
"""CPU per request of WARP and nginx, side by side, in one run.

One core for the generator and the origin, the other for the server with one worker. The figure is user + system
CPU of the server's processes per answer; rounds alternate the order; medians, and ratios formed inside a round.
Cells in which the origin was asked during a hit test are refused. Loopback understates what bytes cost."""
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WARP = os.environ.get("WARP_BIN", str(ROOT / "build/release/warp"))
LOAD = str(ROOT / "build/release/tests/bench/load")
SIZES = {"1k": 1024, "64k": 65536, "1m": 1 << 20, "10m": 10 << 20}
SIZES = {size: SIZES[size] for size in os.environ.get("SIZES", "1k 64k").split()}
ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = {"1k": 200_000, "64k": 40_000, "1m": 6_000, "10m": 800}
CONNECTIONS = 64


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self):
        Origin.asked += 1
        body = b"x" * SIZES.get(self.path.strip("/"), 10)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("ETag", '"v1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def precise_cpu(pids):
    """Nanoseconds from the scheduler: the clock ticks of stat are too coarse."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Server:
    def __init__(self, name, argv, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(["taskset", "-c", "1"] + argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.01)
        self.pids = tree(self.process.pid)
        for pid in self.pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {1})

    def run(self, path, requests):
        self.pids = tree(self.process.pid)
        for _ in range(2):
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Host": "bench.test"})).read()
        asked, before = Origin.asked, precise_cpu(self.pids)
        line = subprocess.check_output(["taskset", "-c", "0", LOAD, "127.0.0.1", str(self.port), path, str(CONNECTIONS), str(requests)])
        used = precise_cpu(self.pids) - before
        if Origin.asked != asked:
            raise SystemExit(f"{self.name}: the origin was asked during a hit test")
        count, _, seconds, p50, p99 = line.split()
        return {"cpu_us": used * 1e6 / int(count), "per_second": int(count) / float(seconds), "p50_us": int(p50), "p99_us": int(p99)}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def start_warp(origin, folder):
    port, admin = free_port(), free_port()
    os.environ["XDG_RUNTIME_DIR"] = folder
    return Server("warp", [WARP, "run", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--origin",
                           f"http://127.0.0.1:{origin}", "--cache-dir", "none", "--workers", "1", "--io", "epoll"], port)


def start_nginx(origin, folder):
    port = free_port()
    conf = pathlib.Path(folder) / "nginx.conf"
    conf.write_text(f"""daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 8192; use epoll; }}
http {{ access_log off; sendfile on; tcp_nopush off; keepalive_requests 100000000; open_file_cache max=10000 inactive=1h;
 proxy_cache_path {folder}/cache levels=1:2 keys_zone=z:64m max_size=1g inactive=1d; proxy_temp_path {folder}/tmp;
 client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 upstream o {{ server 127.0.0.1:{origin}; keepalive 16; }}
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_cache z; proxy_cache_valid 200 1h; }} }} }}""")
    return Server("nginx", [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(conf), "-p", folder], port)


def main():
    subprocess.run(["ninja", "-C", str(ROOT / "build/release"), "tests/bench/load"], check=True, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(0, {0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tempfile.mkdtemp(prefix="warp-bench-")
    os.chmod(folder, 0o777)
    servers = [start_warp(server.server_port, folder), start_nginx(server.server_port, folder)]
    results = {size: {s.name: [] for s in servers} for size in SIZES}
    try:
        for round_number in range(ROUNDS):
            for size in SIZES:
                for s in servers if round_number % 2 == 0 else reversed(servers):
                    results[size][s.name].append(s.run(f"/{size}", REQUESTS[size]))
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'hit':6} {'server':8} {'CPU us/request':>15} {'req/s':>9} {'p50 us':>7} {'p99 us':>7} {'ratio to nginx':>15}")
    table = []
    for size, by_server in results.items():
        for name, runs in by_server.items():
            row = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
            ratio = statistics.median(r["cpu_us"] / n["cpu_us"] for r, n in zip(runs, by_server["nginx"]))
            print(f"{size:6} {name:8} {row['cpu_us']:15.2f} {row['per_second']:9.0f} {row['p50_us']:7.0f} {row['p99_us']:7.0f} {ratio:15.2f}")
            table.append({"hit": size, "server": name, **row, "ratio_to_nginx": ratio})
    (ROOT / "build/bench.json").write_text(json.dumps(table, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
