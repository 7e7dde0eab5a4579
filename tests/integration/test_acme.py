"""A certificate by ACME: certbot asks pebble, pebble looks at the plain listener, SIGHUP, curl sees the certificate."""
import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.request

import pytest

from pki import Authority
from wait import until
from warp import free_port

NAME = "localhost"  # resolves to this machine, wherever the test runs


class Pebble:
    """An authority as Let's Encrypt is one, for tests."""

    def __init__(self, directory, http_port):
        self.directory, self.port, self.management_port = directory, free_port(), free_port()
        self.own = Authority("of pebble")
        own = self.own.issue("localhost", "127.0.0.1").write(directory / "pebble.crt")
        self.ca = self.own.write(directory / "pebble-ca.pem")
        config = {"pebble": {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management_port}",
                             "certificate": str(own), "privateKey": str(own.with_suffix(".key")), "httpPort": http_port,
                             "tlsPort": free_port(), "ocspResponderURL": "", "externalAccountBindingRequired": False}}
        (directory / "pebble.json").write_text(json.dumps(config))
        self.log = open(directory / "pebble.log", "wb")
        self.process = subprocess.Popen(["pebble", "-config", str(directory / "pebble.json")], stdout=self.log, stderr=self.log,
                                        env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
        until(self._is_up, "pebble")

    @property
    def url(self):
        return f"https://localhost:{self.port}/dir"

    def _get(self, port, path):
        context = ssl.create_default_context(cafile=str(self.ca))
        return urllib.request.urlopen(f"https://localhost:{port}{path}", context=context, timeout=10).read()

    def _is_up(self):
        assert self.process.poll() is None, (self.directory / "pebble.log").read_text()
        try:
            return self._get(self.port, "/dir")
        except OSError:
            return False

    def root(self):
        return self._get(self.management_port, "/roots/0")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.log.close()


@pytest.fixture
def pebble_for(tmp_path):
    made = []

    def start(http_port):
        made.append(Pebble(tmp_path, http_port))
        return made[-1]

    yield start
    for pebble in made:
        pebble.stop()


def certbot(tmp_path, pebble, webroot, *args):
    done = subprocess.run(
        ["certbot", "certonly", "--webroot", "-w", str(webroot), "-d", NAME, "--server", pebble.url, "--non-interactive", "--agree-tos",
         "--register-unsafely-without-email", "--config-dir", str(tmp_path / "le"), "--work-dir", str(tmp_path / "le-work"), "--logs-dir",
         str(tmp_path / "le-log"), *args],
        env={**os.environ, "REQUESTS_CA_BUNDLE": str(pebble.ca)}, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "pebble.log").read_text()


def test_a_certificate_from_pebble(start_warp, origin, pebble_for, tmp_path):
    for program in ("pebble", "certbot"):
        assert shutil.which(program), f"{program} is missing: make deps"
    webroot, live = tmp_path / "webroot", tmp_path / "le" / "live"
    webroot.mkdir()
    live.mkdir(parents=True)
    origin.serve(lambda seen: seen.answer(404, {}, b"not the origin's"))
    warp = start_warp(origin, tls=True, args=("--acme-dir", str(webroot), "--cert-dir", str(live)))
    assert "no certificate in it yet" in warp.stderr()
    pebble = pebble_for(warp.port)

    # The hook is what an operator writes: --deploy-hook 'kill -HUP ...'
    certbot(tmp_path, pebble, webroot, "--deploy-hook", f"kill -HUP {warp.process.pid}")
    warp.wait_metric(1, "warp_reloads_total", result="success")
    root = tmp_path / "root.pem"
    root.write_bytes(pebble.root())

    def curl():
        return subprocess.run(["curl", "-sS", "--cacert", str(root), "-o", "/dev/null", "-w", "%{http_code}", "-v",
                               f"https://{NAME}:{warp.tls_port}/"], capture_output=True, text=True, timeout=10)

    done = curl()
    assert done.stdout == "404" and "Pebble Intermediate" in done.stderr, done
    path = str(live / NAME / "fullchain.pem")
    first = warp.metric("warp_certificate_expiry_timestamp_seconds", name=path)
    assert origin.count == 1  # the challenges were not the origin's

    # Renewed: the link leads to another file now.
    certbot(tmp_path, pebble, webroot, "--force-renewal", "--deploy-hook", f"kill -HUP {warp.process.pid}")
    warp.wait_metric(2, "warp_reloads_total", result="success")
    assert warp.metric("warp_certificate_expiry_timestamp_seconds", name=path) >= first
    assert curl().stdout == "404"
