"""Headless Chromium, driven over a pipe by the DevTools protocol: what a browser loads, by which protocol, from where."""
import base64
import contextlib
import hashlib
import json
import os
import select
import shutil
import subprocess
import time

from cryptography.hazmat.primitives import serialization

from wait import TIMEOUT

PROGRAM = shutil.which("chromium-headless-shell")


def key_pin(issued):
    """What --ignore-certificate-errors-spki-list wants: the browser believes this key, and no other that is unknown."""
    key = issued.certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Loaded:
    """One resource: what the browser's network log says of it."""

    def __init__(self, url):
        self.url, self.status, self.protocol, self.fields, self.of_browser, self.error = url, None, None, {}, False, None

    def __repr__(self):
        return f"<{self.url} {self.status} {self.protocol} {self.fields.get('cache-status')} {self.error or ''}>"

    @property
    def is_hit(self):
        return "warp; hit" in self.fields.get("cache-status", "")


class Browser:
    """Commands and events are JSON texts that end in a zero byte, on descriptors 3 and 4 of the browser."""

    def __init__(self, folder, host, issued):
        commands, self.commands = os.pipe()
        self.events, events = os.pipe()

        def descriptors():
            # Both may have the other's number: above first.
            low = [os.dup2(commands, 20), os.dup2(events, 21)]
            os.dup2(low[0], 3)
            os.dup2(low[1], 4)
        self.said = open(folder / "browser.said", "wb")
        # The page is higher than any screen, so that what is loaded when it comes into view is in view.
        self.process = subprocess.Popen(
            [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
             f"--user-data-dir={folder / 'profile'}", "--window-size=1200,9000", f"--host-resolver-rules=MAP {host} 127.0.0.1",
             f"--ignore-certificate-errors-spki-list={key_pin(issued)}", "--disable-background-networking", "--no-proxy-server"],
            preexec_fn=descriptors, close_fds=False, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said)
        os.close(commands)
        os.close(events)
        self.held, self.number, self.session, self.unread = b"", 0, None, []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.command("Page.enable")
        self.command("Network.enable")

    def _next(self, end):
        """The next message, as it comes."""
        while b"\0" not in self.held:
            assert select.select([self.events], [], [], max(0, end - time.monotonic()))[0], "the browser says nothing more"
            data = os.read(self.events, 1 << 20)
            assert data, "the browser ended"
            self.held += data
        message, _, self.held = self.held.partition(b"\0")
        return json.loads(message)

    def command(self, method, **parameters):
        self.number += 1
        session = {"sessionId": self.session} if self.session else {}
        os.write(self.commands, json.dumps({"id": self.number, "method": method, "params": parameters, **session}).encode() + b"\0")
        end = time.monotonic() + TIMEOUT
        while True:
            message = self._next(end)
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.unread.append(message)

    def run(self, expression):
        """The value of a script in the page."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def load(self, url, is_done):
        """Opens a page; returns the resources by their URL when is_done(resources) says that all are there."""
        self.unread = []
        self.command("Page.navigate", url=url)
        by_id, loaded, end = {}, False, time.monotonic() + TIMEOUT
        while True:
            waiting = [resource for resource, finished in by_id.values() if not finished]
            if loaded and not waiting and is_done({resource.url: resource for resource, _ in by_id.values()}):
                return {resource.url: resource for resource, _ in by_id.values()}
            message = self.unread.pop(0) if self.unread else self._next(end)
            method, about = message.get("method"), message.get("params", {})
            loaded |= method == "Page.loadEventFired"
            if method == "Network.requestWillBeSent":
                by_id[about["requestId"]] = (Loaded(about["request"]["url"]), False)
            resource = by_id.get(about.get("requestId"), (None,))[0]
            if resource is None:
                continue
            if method == "Network.responseReceived":
                answer = about["response"]
                resource.status, resource.protocol = answer["status"], answer.get("protocol")
                resource.fields = {name.lower(): value for name, value in answer["headers"].items()}
                resource.of_browser = answer.get("fromDiskCache", False) or answer.get("fromPrefetchCache", False)
            elif method in ("Network.loadingFinished", "Network.loadingFailed"):
                resource.error = about.get("errorText")
                by_id[about["requestId"]] = (resource, True)

    def close(self):
        with contextlib.suppress(OSError):
            os.close(self.commands)
        os.close(self.events)
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said.close()
