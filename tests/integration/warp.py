"""The real binary, on ports of its own."""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess

from client import Client
from openapi import OpenAPI
from wait import TIMEOUT, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("WARP_BIN", ROOT / "build/release/warp"))
# The I/O backend that the whole run is on: epoll, uring; empty: as WARP chooses.
TEST_IO = os.environ.get("TEST_IO", "")
# What must never be on standard error, whatever a test does.
BAD_WORDS = ("invariant", "AddressSanitizer", "runtime error:", "ThreadSanitizer", "LeakSanitizer", "*** stack smashing")
LOST_WORKER = "the worker process ended"


_ports_given = set()


def free_port():
    """A port nobody listens on, never given before, outside the range that the kernel takes for outgoing connections."""
    for _ in range(100):
        port = random.randrange(10240, 30000)
        if port in _ports_given:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("", port))
                _ports_given.add(port)
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


class Warp:
    def __init__(self, directory, origins=(), workers=1, args=(), env=(), cache=("--cache-dir", "none"), before_exec=None, under=(),
                 tls=False, admin_tls=None):
        """tls: a listener at tls_port; args then name its certificates. admin_tls: an SSLContext for the admin listener."""
        self.directory = pathlib.Path(directory)
        self.workers = workers
        self.port, self.admin_port, self.tls_port = free_port(), free_port(), free_port()
        self.admin_tls = admin_tls
        self.stderr_path = self.directory / f"stderr-{self.port}"
        self.argv = [*under, BINARY, "run", "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}",
                     "--workers", str(workers), *cache]
        if tls:
            self.argv += ["--listen-tls", f"127.0.0.1:{self.tls_port}"]
        for origin in origins:
            self.argv += ["--origin", getattr(origin, "url", origin)]
        if TEST_IO and "--io" not in args:
            self.argv += ["--io", TEST_IO]
        self.argv += list(args)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WARP_")}
        self.env["XDG_RUNTIME_DIR"] = str(self.directory)
        self.env.update(dict(env))
        self.before_exec = before_exec
        self.process = None
        self.may_lose_workers = False

    def start(self, stdout=None):
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(self.argv, stdout=stdout or subprocess.DEVNULL, stderr=stderr, env=self.env,
                                            cwd=self.directory, preexec_fn=self.before_exec)
        until(self._is_up, f"/healthz of {' '.join(self.argv)}")
        return self

    def _is_up(self):
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr()}"
        try:
            return self.admin("GET", "/healthz").status == 200
        except OSError:
            return False

    def stderr(self):
        return self.stderr_path.read_text("utf-8", "replace")

    @property
    def token(self):
        return (self.directory / "admin.token").read_text().strip()

    @property
    def admin_token(self):
        """However it was given."""
        for n, word in enumerate(self.argv):
            if word == "--admin-token-file":
                return pathlib.Path(self.argv[n + 1]).read_text().strip()
        return self.env.get("WARP_TOKEN") or self.token

    # ---- clients

    def client(self, **options):
        return Client(self.port, **options)

    def tls_client(self, context, name="a.test", **options):
        return Client(self.tls_port, tls=context, name=name, **options)

    def get(self, target, headers=(), **more):
        """One request on a connection of its own."""
        with self.client() as client:
            return client.get(target, headers, **more)

    # ---- admin

    def admin(self, method, target, headers=(), body=None, token=False, **more):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if token:
            headers.append(("Authorization", f"Bearer {self.token}"))
        response = self._admin(method, target, headers, body, **more)
        if target.startswith("/api/v1/"):
            self.api().check(method, target, headers, body, response)
        return response

    def _admin(self, method, target, headers, body=None, **more):
        with Client(self.admin_port, tls=self.admin_tls, name="127.0.0.1" if self.admin_tls else None) as client:
            return client.get(target, headers, method=method, body=body, **{"host": "127.0.0.1", **more})

    _api = None

    def api(self):
        """What the API says of itself: the same from every process of one binary."""
        if Warp._api is None:
            response = self._admin("GET", "/api/v1/openapi.json", [("Authorization", f"Bearer {self.admin_token}")])
            assert response.status == 200, response
            Warp._api = OpenAPI(json.loads(response.body))
        return Warp._api

    def metrics(self):
        samples = {}
        for line in self.admin("GET", "/metrics").body.decode().splitlines():
            if line.startswith("#") or not line:
                continue
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
        return samples

    def metric(self, name, /, **labels):
        """The sum over all samples of that name which carry these labels."""
        total, found = 0.0, False
        for key, value in self.metrics().items():
            if key.split("{")[0] != name:
                continue
            have = dict(re.findall(r'(\w+)="([^"]*)"', key))
            if all(have.get(k) == str(v) for k, v in labels.items()):
                total += value
                found = True
        assert found, f"no metric {name}{labels}"
        return total

    def counted(self, outcome, n):
        """Waits until n requests ended so: one is counted when its answer is out, a moment after the client has it."""
        self.wait_metric(n, "warp_requests_total", outcome=outcome)

    def outcome(self, name):
        return self.metric("warp_requests_total", outcome=name)

    def wait_metric(self, n, name, /, **labels):
        return until(lambda: self.metric(name, **labels) == n, f"{name}{labels} == {n}") and n

    def io(self):
        """The backend that it runs on: uring or epoll."""
        return json.loads(self.admin("GET", "/version").body)["io"]

    def stats(self):
        return json.loads(self.admin("GET", "/stats").body)

    def purge(self, **what):
        response = self.admin("POST", "/api/v1/purge", token=True, body=json.dumps(what).encode())
        assert response.status == 200, response
        return json.loads(response.body)

    # ---- processes

    def worker_pid(self):
        """The child that serves."""
        pids = self.children()
        assert len(pids) == 1, pids
        return pids[0]

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in open(path).read().split()]

    def signal(self, which):
        self.process.send_signal(which)

    def stop(self, timeout=TIMEOUT):
        """SIGTERM: drained, exit 0, nothing bad said."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end within {timeout} s of SIGTERM: {self.stderr()}")
        finally:
            self.process_ended = True
        self.check_stderr()
        assert code == 0, f"exit code {code}: {self.stderr()}"

    def check_stderr(self):
        text = self.stderr()
        for word in BAD_WORDS + (() if self.may_lose_workers else (LOST_WORKER,)):
            assert word.lower() not in text.lower(), text
