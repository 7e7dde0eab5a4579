"""What the process does when it cannot start, or cannot start again as it was."""
import json
import os
import signal
import subprocess

import pytest

import pki
from tenants import FRESH, Site, tenant
from wait import TIMEOUT, until
from warp import BINARY, Warp, free_port


@pytest.fixture
def kept(origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, FRESH, seen.headers.get("Host")))
    return origin


@pytest.fixture
def site(start_warp, tmp_path):
    return lambda config, **options: Site(start_warp, tmp_path / "warp.yaml", config, **options)


@pytest.fixture(scope="module")
def authority():
    return pki.Authority()


def reasons(warp):
    return json.loads(warp.admin("GET", "/readyz").body)["reasons"]


def run(*args, **options):
    return subprocess.run([BINARY, "run", "--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}", "--cache-dir", "none",
                           *args], capture_output=True, timeout=TIMEOUT, text=True, **options)


def signals_pending(pid):
    """Which are not taken yet, as a mask."""
    return int(next(line.split()[1] for line in open(f"/proc/{pid}/status") if line.startswith("ShdPnd")), 16)


def crash(warp):
    """Another worker process serves."""
    warp.may_lose_workers = True
    old = warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in warp.children() and len(warp.children()) == 1, "another worker process")
    until(warp._is_up, "healthy again")


# ---- the first start --------------------------------------------------------------------------------------------------


def test_an_access_log_that_cannot_be_opened_ends_the_start(tmp_path):
    done = run("--access-log", str(tmp_path / "none/x"), env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 2 and f"access-log: {tmp_path}/none/x: " in done.stderr
    assert "starting another" not in done.stderr


@pytest.fixture
def held(tmp_path):
    """A WARP whose first worker process waits for who reads its access log: nobody."""
    made = []

    def start():
        os.mkfifo(tmp_path / "pipe")
        warp = Warp(tmp_path, ["http://127.0.0.1:1"], args=("--access-log", str(tmp_path / "pipe")))
        made.append(warp)
        with open(warp.stderr_path, "wb") as stderr:
            warp.process = subprocess.Popen(warp.argv, stdout=subprocess.PIPE, stderr=stderr, env=warp.env, cwd=tmp_path)
        assert warp.process.stdout.readline().startswith(b"WARP ")
        until(lambda: len(warp.children()) == 1, "a worker process")
        return warp

    yield start
    for warp in made:
        warp.process.stdout.close()
        for pid in warp.children() if warp.process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        warp.process.kill()
        warp.process.wait()


def test_a_first_process_that_never_was_ready_ends_it_all(held):
    warp = held()
    os.kill(warp.worker_pid(), signal.SIGKILL)
    assert warp.process.wait(TIMEOUT) == 137
    assert "the worker process ended with code 137 before it was ready" in warp.stderr()


def test_a_process_that_hangs_before_it_is_ready_is_ended_by_the_second_signal(held):
    warp = held()
    warp.signal(signal.SIGTERM)
    until(lambda: signals_pending(warp.worker_pid()) & 1 << signal.SIGTERM - 1, "the first one passed on")
    warp.signal(signal.SIGTERM)
    assert warp.process.wait(TIMEOUT) == 137


# ---- a crash ------------------------------------------------------------------------------------------------------------


def test_a_crash_goes_on_with_what_was_opened_at_the_start(site, kept, tmp_path):
    """What only a restart brings is not brought by a crash, and still said."""
    shop = site({"tenants": {"shop": tenant(kept, "a.test")}}, args=("--cache-dir", str(tmp_path / "cache"), "--cache-size", "32m"), cache=())
    shop.reload({"tenants": {"shop": tenant(kept, "a.test")}, "access-log": str(tmp_path / "log"), "memory": "64m"})
    note = "memory, access-log: changed in the configuration, in force after a restart"
    assert reasons(shop.warp) == [note]
    crash(shop.warp)
    assert shop.get("a.test/").status == 200
    assert reasons(shop.warp) == [note] and not (tmp_path / "log").exists()


def test_an_access_log_that_is_gone_after_a_crash(site, kept, tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    shop = site({"tenants": {"shop": tenant(kept, "a.test")}, "access-log": str(directory / "x")})
    (directory / "x").unlink()
    directory.rmdir()
    crash(shop.warp)
    assert shop.get("a.test/").status == 200
    said = f"access-log: {directory}/x: No such file or directory; there is no access log until a restart"
    assert reasons(shop.warp) == [said] and said in shop.warp.stderr()
    shop.warp.stop()


def test_certificates_that_are_gone_after_a_crash(site, kept, tmp_path, authority):
    one, other = (authority.issue(name).write(tmp_path / f"{name}.crt") for name in ("a.test", "b.test"))
    config = {"tenants": {name: tenant(kept, f"{name}.test", certificates=[{"cert": str(path), "key": str(path.with_suffix(".key"))}])
                          for name, path in (("a", one), ("b", other))}}
    shop = site(config, tls=True)
    text = one.read_bytes()
    one.unlink()
    crash(shop.warp)
    with shop.warp.tls_client(authority.context(), "b.test") as client:
        assert client.get("/", host="b.test").status == 200
    said = reasons(shop.warp)
    assert len(said) == 1 and str(one) in said[0] and said[0] in shop.warp.stderr()
    one.write_bytes(text)
    shop.reload()
    assert reasons(shop.warp) == []
    with shop.warp.tls_client(authority.context(), "a.test") as client:
        assert client.get("/", host="a.test").status == 200


def test_an_admin_listener_without_its_certificate_serves_nothing_in_the_clear(site, kept, tmp_path, authority):
    path = authority.issue("127.0.0.1").write(tmp_path / "admin.crt")
    shop = site({"tenants": {"shop": tenant(kept, "a.test")}, "admin-cert": str(path), "admin-key": str(path.with_suffix(".key"))},
                admin_tls=authority.context())
    path.unlink()
    shop.warp.may_lose_workers = True
    old = shop.warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: str(path) in shop.warp.stderr(), "said in the log")
    assert shop.get("a.test/").status == 200
    shop.warp.admin_tls = None
    with pytest.raises((OSError, AssertionError, EOFError)):
        shop.warp.admin("GET", "/healthz")


# ---- signals while there is no worker process -----------------------------------------------------------------------------


def test_a_stop_between_two_processes(start_warp, kept):
    """Each process that is started ends at once: the supervisor heeds a stop all the same."""
    warp = start_warp(kept)
    warp.may_lose_workers = True
    for n in range(1, 4):
        os.kill(until(warp.children, "a worker process")[0], signal.SIGKILL)
        until(lambda: warp.stderr().count("starting another") == n, "it is said")
    warp.signal(signal.SIGTERM)
    assert warp.process.wait(TIMEOUT) == 0
