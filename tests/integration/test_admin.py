"""The admin listener, logs, signals, start and end."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from client import Client, request_bytes
from message import Incomplete
from wait import until
from warp import BINARY, Warp, free_port

FRESH = {"Cache-Control": "max-age=3600"}


@pytest.fixture
def busy(warp, origin):
    """A WARP with some of everything behind it: (warp, requests sent)."""
    sent = 0
    with warp.client() as client:
        for target, headers, status in [("/a", FRESH, 200), ("/a", None, 200), ("/b", {}, 200), ("/c", FRESH, 404), ("/c", None, 404)]:
            client.request(target)
            if headers is not None:
                origin.expect(target).answer(status, headers, b"x" * 1000)
            assert client.read_response().status == status
            sent += 1
        client.request("/post", "POST", body=b"x")
        origin.expect("/post").answer(200)
        client.read_response()
        client.get("/a", method="TRACE")
        sent += 2
    with warp.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
        sent += 1
    with warp.client() as client:
        client.request("/cut")
        origin.expect("/cut").close()  # on a kept connection
        origin.expect("/cut").close()  # and on a fresh one
        assert client.read_response().status == 502
        sent += 1
    return warp, sent


# ---- who may ask ----------------------------------------------------------------------------------------------------


def test_open_paths(warp):
    for path, kind in [("/", "text/html"), ("/healthz", "application/json"), ("/readyz", "application/json"),
                       ("/version", "application/json"), ("/metrics", "text/plain"), ("/stats", "application/json"),
                       ("/cache", "application/json")]:
        response = warp.admin("GET", path, {"Accept": "application/json"} if path == "/cache" else ())
        assert response.status == 200 and response.headers["Content-Type"].startswith(kind), (path, response)
        assert response.headers["Cache-Control"] == "no-store"
        if kind == "application/json":
            json.loads(response.body)
        assert warp.admin("HEAD", path).status == 200
    assert warp.admin("GET", "/cache", {"Accept": "text/html"}).headers["Content-Type"].startswith("text/html")
    assert json.loads(warp.admin("GET", "/readyz").body)["status"] == "ready"
    assert json.loads(warp.admin("GET", "/version").body)["name"] == "warp"


def test_unknown_paths_and_methods(warp):
    assert warp.admin("GET", "/nothing").status == 404
    assert warp.admin("GET", "/healthz/x").status == 404
    assert warp.admin("POST", "/healthz", body=b"").status == 405
    assert warp.admin("GET", "/api/v1/purge", token=True).status == 405


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer wrong", "Bearer {token}x", "Basic {token}", "{token}",
                                           "Bearer {short}"])
def test_changes_need_the_token(warp, authorization):
    headers = []
    if authorization is not None:
        headers = [("Authorization", authorization.format(token=warp.token, short=warp.token[:-1]))]
    response = warp.admin("POST", "/api/v1/purge", headers, body=b'{"everything": true}')
    assert response.status == 401 and response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(response.body)["status"] == 401


def test_the_token_file_is_ours_alone(warp):
    path = warp.directory / "admin.token"
    assert path.stat().st_mode & 0o777 == 0o600 and len(warp.token) >= 32


def test_a_given_token(start_warp, origin, tmp_path):
    path = tmp_path / "token"
    path.write_text("sesame\n")
    warp = start_warp(origin, args=["--admin-token-file", str(path)])
    assert warp.admin("POST", "/api/v1/purge", {"Authorization": "Bearer sesame"}, body=b'{"everything": true}').status == 200
    other = start_warp(origin, env={"WARP_TOKEN": "open"})
    assert other.admin("POST", "/api/v1/purge", {"Authorization": "Bearer open"}, body=b'{"everything": true}').status == 200


@pytest.mark.parametrize("host,ours", [("localhost", True), ("localhost:99", True), ("127.0.0.1", True), ("10.1.2.3:8080", True),
                                       ("[::1]:8080", True), ("evil.test", False), ("localhost.evil.test", False),
                                       ("127.0.0.1.evil.test", False)])
def test_the_host_must_be_ours(warp, host, ours):
    for path in ("/healthz", "/stats", "/metrics"):
        assert (warp.admin("GET", path, host=host).status == 200) is ours


# ---- purge ----------------------------------------------------------------------------------------------------------------


def put(client, origin, target, host="a.test", headers=FRESH):
    client.request(target, host=host)
    origin.expect(target).answer(200, headers, b"x")
    client.read_response()


def test_purge_of_one_url(warp, client, origin):
    for target, host in [("/a", "a.test"), ("/a?q", "a.test"), ("/a", "b.test")]:
        put(client, origin, target, host)
    first = warp.purge(url="http://a.test/a")
    assert first["matched"] == 1 and first["matched_is_exact"] is True and first["durable"] is True
    second = warp.purge(url="http://a.test/a")
    assert second["matched"] == 0 and second["seq"] > first["seq"]
    assert client.get("/a?q").is_hit and client.get("/a", host="b.test").is_hit
    put(client, origin, "/a")
    assert warp.purge(url="a.test/a")["matched"] == 1  # without a scheme: both
    put(client, origin, "/a")


def test_purge_takes_all_variants(warp, client, origin):
    for kind in ("a", "b"):
        client.request("/v", headers={"X-Kind": kind})
        origin.expect("/v").answer(200, {"Vary": "X-Kind", **FRESH}, kind.encode())
        client.read_response()
    assert warp.purge(url="http://a.test/v")["matched"] >= 2
    for kind in ("a", "b"):
        client.request("/v", headers={"X-Kind": kind})
        origin.expect("/v").answer(200, {"Vary": "X-Kind", **FRESH}, kind.encode())
        client.read_response()


def test_purge_of_everything(warp, client, origin):
    for n in range(5):
        put(client, origin, f"/{n}")
    assert warp.purge(everything=True)["matched"] == 5
    for n in range(5):
        put(client, origin, f"/{n}")


def test_soft_purge_makes_stale(warp, client, origin):
    put(client, origin, "/a", headers={"ETag": '"v"', **FRESH})
    assert warp.purge(url="http://a.test/a", soft=True)["matched"] == 1
    client.request("/a")
    seen = origin.expect("/a")
    assert seen.headers["If-None-Match"] == '"v"'
    seen.answer(304, {"ETag": '"v"', **FRESH})
    assert client.read_response().body == b"x"
    assert client.get("/a").is_hit


def test_a_softly_purged_object_covers_for_a_dead_origin(warp, client, origin):
    put(client, origin, "/a")
    warp.purge(url="http://a.test/a", soft=True)
    origin.stop()
    assert client.get("/a").body == b"x"


@pytest.mark.parametrize("body,status", [
    (b"", 400), (b"x", 400), (b"{}", 400), (b"[]", 400), (b'{"url": 5}', 400), (b'{"url": "::"}', 400), (b'{"url": ""}', 400),
    (b'{"everything": false}', 400), (b'{"url": "http://a.test/", "everything": true}', 400), (b'{"nonsense": 1}', 400),
    (b"[" * 50000, 400), (b"x" * 100000, 413), (b'{"url": "http://a.test/\\u0000"}', 400),
])
def test_bad_purges_are_problems(warp, body, status):
    response = warp.admin("POST", "/api/v1/purge", token=True, body=body)
    assert response.status == status, response
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status and problem["detail"]


def test_purge_method_on_the_data_listener(warp, client, origin):
    put(client, origin, "/a")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert client.get("/a", headers, method="PURGE").status == 403
    assert client.get("/a").is_hit
    assert client.get("/a", {"Authorization": f"Bearer {warp.token}"}, method="PURGE").status == 200
    put(client, origin, "/a")
    assert origin.silent()


# ---- numbers -----------------------------------------------------------------------------------------------------------------


def test_one_outcome_for_each_request(busy):
    warp, sent = busy
    warp.wait_metric(sent, "warp_requests_total")
    expected = {"hit": 2, "miss": 3, "bypass": 1, "error": 1, "synthetic": 2}
    for outcome, n in expected.items():
        warp.counted(outcome, n)
    assert sum(expected.values()) == sent
    assert warp.stats()["requests"]
    assert warp.metric("warp_request_duration_seconds_count") == sent
    assert warp.metric("warp_origin_requests_total", code_class="2xx") == 3
    assert warp.metric("warp_origin_requests_total", code_class="error") == 1


@pytest.mark.parametrize("accept,kind", [("text/plain", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")])
def test_metrics_are_well_formed(busy, accept, kind):
    response = busy[0].admin("GET", "/metrics", {"Accept": accept})
    assert response.headers["Content-Type"].startswith(kind)
    text = response.body
    if kind != "text/plain":
        assert text.endswith(b"# EOF\n")
        text = text.replace(b"# EOF\n", b"")
        lines = [line for line in text.decode().splitlines() if line]
        assert all(line.startswith("#") or re.fullmatch(r'[a-z_]+(\{.*\})? [0-9.e+-]+|[a-z_]+\{.*\} \+?Inf', line) for line in lines)
        return
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0 and not done.stdout.strip() and not done.stderr.strip(), done


# ---- access log ----------------------------------------------------------------------------------------------------------------


def log_lines(path, n):
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= n, f"{n} lines in {path}")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_access_log(start_warp, origin, tmp_path):
    path = tmp_path / "access.log"
    warp = start_warp(origin, args=["--access-log", str(path)])
    with warp.client() as client:
        put(client, origin, "/a?b=c")
        client.get("/a?b=c", {"X-Request-Id": 'my-id'})
        client.get('/"\\%0a<>', {"CDN-Loop": ", ".join(["warp"] * 9)})
    with warp.client() as client:
        client.send(b"GET /\x01\"\\ HTTP/1.1\r\nHost: a.test\r\n\r\n")
        client.read_response()
    with warp.client() as client:
        client.send(b"G\xffT / HTTP/1.1\r\nX: \xff\r\n\r\n")
        client.read_response()
    with warp.client() as client:
        client.request("/caf\u00e9")
        client.read_response()
    lines = log_lines(path, 6)
    assert [line["status"] for line in lines[:2]] == [200, 200]
    assert [line["outcome"] for line in lines[:2]] == ["miss", "hit"]
    assert lines[0]["url"].endswith("a.test/a?b=c") and lines[1]["tier"] == "ram" and lines[0]["key"] == lines[1]["key"]
    assert lines[1]["request_id"] == "my-id" and lines[0]["bytes"] == 1 and lines[0]["client"] == "127.0.0.1"
    assert all(line["duration"] >= 0 and line["tenant"] == "default" for line in lines)
    assert len(lines) == warp.metric("warp_requests_total")


def test_usr1_reopens_the_log(start_warp, origin, tmp_path):
    path = tmp_path / "access.log"
    warp = start_warp(origin, args=["--access-log", str(path)])
    with warp.client() as client:
        put(client, origin, "/a")
        log_lines(path, 1)
        path.rename(tmp_path / "old.log")
        warp.signal(signal.SIGUSR1)
        until(lambda: client.get("/a").is_hit and path.exists(), "a new log")
        log_lines(path, 1)


@pytest.mark.parametrize("sink", ["/dev/full", "fifo"])
def test_a_log_that_takes_nothing_blocks_nobody(start_warp, origin, tmp_path, sink):
    if sink == "fifo":
        sink = str(tmp_path / "fifo")
        os.mkfifo(sink)
        reader = os.open(sink, os.O_RDONLY | os.O_NONBLOCK)  # opened, and never read
    warp = start_warp(origin, args=["--access-log", sink])
    with warp.client() as client:
        put(client, origin, "/a")
        for _ in range(200):
            client.send(request_bytes("GET", "/a") * 100)
            for _ in range(100):
                assert client.read_response().status == 200
    until(lambda: warp.metric("warp_access_log_dropped_total") > 0, "dropped records are counted")
    assert warp.metric("warp_requests_total") == 20001
    if "fifo" in sink:
        warp.stop()
        os.close(reader)


# ---- signals, start, end -----------------------------------------------------------------------------------------------------------


def test_hup_and_usr2_end_nothing(warp, client, origin):
    put(client, origin, "/a")
    for which in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        warp.signal(which)
    assert client.get("/a").is_hit
    os.kill(warp.worker_pid(), signal.SIGHUP)
    os.kill(warp.worker_pid(), signal.SIGUSR2)
    assert client.get("/a").is_hit and warp.process.poll() is None


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_the_end_drains(warp, origin, which):
    data = bytes(range(256)) * 20000
    slow, idle = warp.client(receive_buffer=4096), warp.client()
    put(idle, origin, "/idle")
    slow.request("/x")
    seen = origin.expect("/x")
    seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:1000])
    head = slow.read_head()
    warp.signal(which)
    idle.assert_closed()
    with pytest.raises(OSError):
        while True:  # no more connections; the kernel may have taken one
            warp.client().close()
    seen.send(data[1000:])
    assert slow.read_body(head).body == data
    slow.assert_closed()
    assert warp.process.wait(10) == 0


def test_a_second_signal_ends_at_once(warp, client, origin):
    client.request("/never")
    origin.expect("/never")
    warp.signal(signal.SIGTERM)
    until(lambda: "ready" not in health(warp), "draining")
    warp.signal(signal.SIGTERM)
    assert warp.process.wait(10) == 0


def health(warp):
    try:
        return json.loads(warp.admin("GET", "/readyz").body)["status"]
    except (OSError, AssertionError):
        return "gone"


def test_the_drain_has_an_end(start_warp, origin):
    warp = start_warp(origin, args=["--drain-timeout", "100ms"])
    with warp.client() as client:
        client.request("/never")
        origin.expect("/never")
        warp.signal(signal.SIGTERM)
        assert warp.process.wait(10) == 0
        client.ended()


def test_a_killed_worker_process_is_replaced(warp, origin):
    before = warp.worker_pid()
    warp.may_lose_workers = True
    with warp.client() as client:
        put(client, origin, "/a")
    os.kill(before, signal.SIGKILL)
    until(lambda: health(warp) == "ready" and warp.children() and warp.worker_pid() != before, "another worker process")
    with warp.client() as client:
        put(client, origin, "/a")
        assert client.get("/a").is_hit
    warp.signal(signal.SIGTERM)
    assert warp.process.wait(10) == 0


def run(*args, **env):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, env={**os.environ, **env})


def test_an_address_that_becomes_free(tmp_path, origin):
    """As after a kill: who held it is still on its way out."""
    warp = Warp(tmp_path, [origin])
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", warp.admin_port))
        closer = threading.Timer(0.3, sock.close)
        closer.start()
        warp.start()
        closer.join()
    warp.stop()


def test_an_address_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = f"127.0.0.1:{free_port()}"
        for listen, admin in ((address, free), (free, address)):
            done = run("run", "--cache-dir", "none", "--listen", listen, "--admin", admin, XDG_RUNTIME_DIR=str(tmp_path))
            assert done.returncode == 1 and address in done.stderr


@pytest.mark.parametrize("args,hint", [
    (["run", "--lissten", "x"], "--listen"), (["run", "--memory", "lots"], "memory"), (["run", "--orgin", "x"], "--origin"),
    (["run", "--workers", "-1"], "workers"), (["run", "--listen"], "listen"), (["run", "--listen", "nonsense"], "listen"),
    (["run", "--drain-timeout", "30"], "drain-timeout"), (["run", "--config", "/nonexistent"], "/nonexistent"), (["rnu"], "r"),
])
def test_bad_usage(args, hint, tmp_path):
    done = run(*args, XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 2 and hint in done.stderr, done


def test_version_and_help():
    assert run("version").stdout.startswith("warp ")
    assert "--listen" in run("help").stdout


def test_client_commands(warp, client, origin):
    put(client, origin, "/a")
    env = {"WARP_ADMIN": f"127.0.0.1:{warp.admin_port}", "WARP_TOKEN": warp.token}
    done = run("purge", "http://a.test/a", **env)
    assert done.returncode == 0, done
    put(client, origin, "/a")
    assert run("purge", "--everything", **env).returncode == 0
    put(client, origin, "/a")
    done = run("stats", **env)
    assert done.returncode == 0 and done.stdout
    assert run("purge", "--everything", **{**env, "WARP_TOKEN": "wrong"}).returncode == 1
    assert run("stats", WARP_ADMIN=f"127.0.0.1:{free_port()}").returncode == 1


def test_the_demo_origin_inside(start_warp):
    warp = start_warp()
    response = warp.get("/")
    assert response.status == 200 and b"<html" in response.body.lower()
    assert warp.get("/").is_hit
