"""The state directory cannot be written: a change is refused and nothing of it stays, or it says what is missing until it is there."""
import json
import os
import resource
import select
import signal
import subprocess

import pytest

from pki import Authority
from tenants import tenant
from test_api import start_api  # noqa: F401 (a fixture)
from threads import Stopped
from wait import until
from warp import BINARY

FRESH = {"Cache-Control": "max-age=600"}
FILE = "tenants: {inn: {hosts: inn.test}}\n"


def reasons(api):
    return json.loads(api.warp.admin("GET", "/readyz").body)["reasons"]


def files(directory):
    """All files below, with what they say, but for the logs of what was asked."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*"))
            if path.is_file() and path.name not in ("audit.log", "purges.log")}


def status(api, host):
    with api.warp.client() as client:
        return client.get("/", host=host).status


def block(path):
    """Nothing can be put there, whoever asks: a directory that is not empty. Returns what takes it away."""
    before = path.read_bytes() if path.is_file() else None
    if before is not None:
        path.unlink()
    path.mkdir(parents=True)
    (path / "in the way").write_text("x")

    def unblock():
        (path / "in the way").unlink()
        path.rmdir()
        if before is not None:
            path.write_bytes(before)

    return unblock


@pytest.fixture
def served(start_api, origin):  # noqa: F811
    """Tenants of a file and of the API, both served; and a version to roll back to."""
    origin.serve(lambda seen: seen.answer(200, FRESH, seen.headers["Host"].encode()))
    api = start_api(FILE)
    api.put("old", tenant(origin, "old.test"), 201)
    api.put("old", tenant(origin, "old.test", "older.test"))
    assert [status(api, host) for host in ("inn.test", "old.test", "older.test", "new.test")] == [200, 200, 200, 421]
    return api


CHANGES = {
    "put": ("PUT", "tenants/new", lambda origin: tenant(origin, "new.test")),
    "delete": ("DELETE", "tenants/old", lambda origin: None),
    "roll back": ("POST", "config/versions/2/rollback", lambda origin: None),
}


@pytest.mark.parametrize("change, blocked", [
    ("put", "tenants/new.json"), ("put", "versions/00000004"), ("put", "tenants.registry"), ("put", "audit.log"),
    ("delete", "tenants/old.json"), ("delete", "versions/00000004"), ("delete", "tenants.registry"), ("delete", "audit.log"),
    ("roll back", "current"), ("roll back", "tenants/old.json"), ("roll back", "versions/00000004"), ("roll back", "audit.log"),
])
def test_a_change_that_cannot_be_written_down_is_refused(served, start_api, origin, change, blocked):  # noqa: F811
    method, path, body = CHANGES[change]
    versions = served.get("config/versions")["versions"]
    before, fetched = files(start_api.state), origin.count
    unblock = block(start_api.state / blocked)
    answer = served.ask(method, path, body(origin))
    assert answer.status == 507, answer
    problem = json.loads(answer.body)
    assert f"{start_api.state}/{blocked}: " in str(problem["errors"]), problem
    assert "nothing was changed" in problem["detail"]
    assert served.get("config/versions")["versions"] == versions
    assert [status(served, host) for host in ("inn.test", "old.test", "older.test", "new.test")] == [200, 200, 200, 421]
    assert origin.count == fetched # nothing was purged either
    if blocked == "audit.log":
        assert "audit.log" in str(reasons(served))
    unblock()
    assert files(start_api.state) == before # nothing is left beside them, too
    until(lambda: reasons(served) == [], "nothing is owed")
    assert [entry["result"] for entry in served.get("audit")["entries"]][-1] == "not written"
    served.change(method, path, body(origin), 201 if change == "put" else 200)
    assert [status(served, host) for host in ("old.test", "older.test", "new.test")] == \
        {"put": [200, 200, 200], "delete": [421, 421, 421], "roll back": [200, 421, 421]}[change]


def test_a_directory_in_which_nothing_can_be_made(served, start_api, origin):  # noqa: F811
    (start_api.state / "tenants").rename(start_api.state / "kept")
    (start_api.state / "tenants").write_text("not a directory")
    answer = served.ask("PUT", "tenants/new", tenant(origin, "new.test"))
    assert answer.status == 507 and "Not a directory" in answer.body.decode(), answer
    assert status(served, "new.test") == 421 and reasons(served) == []


@pytest.fixture
def full(tmp_path):
    """A file system of 256 KiB for the state, to be filled and emptied."""
    directory = tmp_path / "state"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(directory)], check=True)

    def fill():
        with open(directory / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    yield directory, fill
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_disk(full, start_api, origin):  # noqa: F811
    directory, fill = full
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    api = start_api(FILE)
    api.put("old", tenant(origin, "old.test"), 201)
    before = files(directory)
    fill()
    for method, path, body in (("PUT", "tenants/new", tenant(origin, "new.test")), ("PUT", "tenants/old", tenant(origin, "new.test")),
                               ("DELETE", "tenants/old", None), ("POST", "tokens", {"name": "t", "rights": ["read"]})):
        answer = api.ask(method, path, body)
        assert answer.status == 507 and "No space left on device" in answer.body.decode(), answer
    assert [status(api, host) for host in ("inn.test", "old.test", "new.test")] == [200, 200, 421]
    assert api.get("tokens")["tokens"] == []
    (directory / "filler").unlink()
    assert files(directory) == before
    until(lambda: reasons(api) == [], "nothing is owed")
    api.put("new", tenant(origin, "new.test"), 201)
    assert status(api, "new.test") == 200


def limit_files(api, size):
    """No file of the worker process grows beyond that."""
    _, hard = resource.prlimit(api.warp.worker_pid(), resource.RLIMIT_FSIZE)
    resource.prlimit(api.warp.worker_pid(), resource.RLIMIT_FSIZE, (size if size is not None else hard, hard))


def test_a_reload_is_in_force_and_owes_its_files(start_api, origin):  # noqa: F811
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    api = start_api(FILE)
    api.put("old", tenant(origin, "old.test"), 201)
    api.change("POST", "config/versions/1/rollback")
    assert (start_api.state / "current").exists()
    block(start_api.state / "current")
    limit_files(api, 0)
    start_api.path.write_text("tenants: {inn: {hosts: other.test}, two: {hosts: two.test}}\n")
    answer = api.change("POST", "reload")
    assert answer["changed"] and "File too large" in str(answer["notes"]) and "it is in force" in str(answer["notes"]), answer
    assert "audit.log: File too large; 1 lines are not written down yet" in str(answer["notes"]), answer
    assert [status(api, host) for host in ("inn.test", "other.test", "two.test")] == [421, 200, 200]
    assert any("File too large" in reason and "not written down yet" in reason for reason in reasons(api))
    assert api.warp.metric("warp_state_owed", kind="files") == 3 and api.warp.metric("warp_state_owed", kind="audit_lines") == 1
    assert api.ask("PUT", "tenants/new", tenant(origin, "new.test")).status == 507
    limit_files(api, None)
    until(lambda: any("/current: " in reason for reason in reasons(api)), "the others are written")
    (start_api.state / "current/in the way").unlink()
    (start_api.state / "current").rmdir()
    until(lambda: reasons(api) == [], "nothing is owed")
    assert (start_api.state / f"versions/{answer['version']:08}").exists()
    assert " two\n" in (start_api.state / "tenants.registry").read_text()
    assert [entry["what"] for entry in api.get("audit")["entries"]][-2:] == ["reload", "tenant new changed"]


def test_a_crash_while_a_version_is_owed(start_api, origin):  # noqa: F811
    """The files are what is in force: they are read again."""
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    api = start_api(FILE)
    limit_files(api, 0)
    start_api.path.write_text("tenants: {inn: {hosts: other.test}}\n")
    api.change("POST", "reload")
    assert status(api, "other.test") == 200
    api.warp.may_lose_workers = True
    old = api.warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in api.warp.children() and len(api.warp.children()) == 1, "another worker process")
    until(api.warp._is_up, "healthy again")
    assert [status(api, host) for host in ("inn.test", "other.test")] == [421, 200]


def test_what_the_start_owes(start_api, origin):  # noqa: F811
    start_api.state.mkdir()
    unblock = [block(start_api.state / name) for name in ("versions/00000001", "tenants.registry")]
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    api = start_api(FILE)
    assert status(api, "inn.test") == 200
    assert any("2 files in all" in reason for reason in reasons(api)), reasons(api)
    unblock[0]()
    until(lambda: (start_api.state / "versions/00000001").is_file(), "one of them is written")
    unblock[1]()
    until(lambda: reasons(api) == [], "nothing is owed")
    assert " inn\n" in (start_api.state / "tenants.registry").read_text()


def test_no_state_directory_at_all(start_warp, origin, tmp_path):
    warp = start_warp(origin, args=("--state-dir", "/proc/none"))
    answer = warp.admin("PUT", "/api/v1/tenants/new", token=True, body=json.dumps(tenant(origin, "new.test")).encode())
    assert answer.status == 507 and "/proc/none" in answer.body.decode(), answer


def test_a_default_tenant_of_the_api(start_api, origin):  # noqa: F811
    """Files may name what only the API has made: they are a part of what is read at the start."""
    origin.serve(lambda seen: seen.answer(200, FRESH, b"made"))
    api = start_api(FILE)
    api.put("made", tenant(origin, "made.test"), 201)
    start_api.path.write_text("default-tenant: made\n" + FILE)
    api.change("POST", "reload")
    assert status(api, "somebody.test") == 200
    api.warp.stop()
    api = start_api()
    assert status(api, "somebody.test") == 200
    api.warp.stop()
    start_api.path.write_text("default-tenant: mode\n" + FILE)
    ended = subprocess.run([BINARY, "run", "--config", str(start_api.path), "--state-dir", str(start_api.state)], capture_output=True,
                           text=True, timeout=20)
    assert ended.returncode == 2 and "did you mean made?" in ended.stderr, ended.stderr


@pytest.mark.parametrize("mend", ["api", "delete", "file"])
def test_a_tenant_of_the_api_that_the_files_leave_no_room_for(start_api, origin, mend):  # noqa: F811
    """It is left out at the start, and kept, until it is mended."""
    origin.serve(lambda seen: seen.answer(200, FRESH, b"made"))
    api = start_api(FILE)
    api.put("n", tenant(origin, "n.test"), 201)
    api.put("m", tenant(origin, "m.test"), 201)
    clash = "tenants: {inn: {hosts: inn.test}, c: {hosts: [c.test, n.test]}}\n"
    start_api.path.write_text(clash)
    api.change("POST", "reload", status=422)
    api.warp.stop()
    api = start_api()
    said = reasons(api)
    assert len(said) == 1 and said[0].startswith('tenant n, made by the API, is left out, and kept: tenants.n.hosts: "n.test" belongs to tenant c')
    assert said[0] in api.warp.stderr() and (start_api.state / "tenants/n.json").exists()
    assert status(api, "m.test") == 200 and api.get("tenants/n", 404)

    api.warp.may_lose_workers = True
    old = api.warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in api.warp.children() and len(api.warp.children()) == 1, "another worker process")
    until(api.warp._is_up, "healthy again")
    assert reasons(api) == said

    api.put("m", tenant(origin, "m.test", "mm.test")) # of something else: it stays as it is
    assert reasons(api) == said and (start_api.state / "tenants/n.json").exists()
    api.put("n", tenant(origin, "n.test"), 422)
    if mend == "api":
        api.put("n", tenant(origin, "nn.test"), 201)
        assert status(api, "nn.test") == 200
    elif mend == "delete":
        api.change("DELETE", "tenants/n")
        assert not (start_api.state / "tenants/n.json").exists()
    else:
        start_api.path.write_text(FILE)
        assert api.change("POST", "reload")["changed"]
        assert status(api, "n.test") == 200
    assert reasons(api) == []


# ---- tokens -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", ["tokens.json", "audit.log"])
def test_a_token_that_cannot_be_written_down_is_not_made(start_api, blocked):  # noqa: F811
    api = start_api(FILE)
    unblock = block(start_api.state / blocked)
    answer = api.ask("POST", "tokens", {"name": "ci", "rights": ["read"]})
    assert answer.status == 507 and f"{start_api.state}/{blocked}: " in answer.body.decode(), answer
    assert api.get("tokens")["tokens"] == []
    assert not (start_api.state / "tokens.json").is_file()
    assert reasons(api) == []
    unblock()
    api.make_token("ci", "read")


def test_a_revoked_token_is_owed_to_the_file(start_api):  # noqa: F811
    api = start_api(FILE)
    token = api.make_token("ci", "read")
    identity = api.get("tokens")["tokens"][0]["id"]
    limit_files(api, 0)
    answer = api.ask("DELETE", f"tokens/{identity}")
    assert answer.status == 507 and "File too large" in answer.body.decode() and "revoked" in answer.body.decode(), answer
    assert api.as_(token).ask("GET", "tenants").status == 401
    told = reasons(api)
    assert api.warp.metric("warp_state_owed", kind="files") == 1
    assert any("tokens.json: File too large" in reason for reason in told) and any("audit.log" in reason for reason in told), told
    limit_files(api, None)
    until(lambda: reasons(api) == [], "nothing is owed")
    assert api.warp.metric("warp_state_owed") == 0 and api.warp.metric("warp_audit_lines_lost_total") == 0
    assert b"sha256" not in (start_api.state / "tokens.json").read_bytes()
    assert [entry["what"] for entry in api.get("audit")["entries"]][-1] == "token revoked"
    api.warp.stop()
    assert start_api().as_(token).ask("GET", "tenants").status == 401


# ---- nothing is half done -----------------------------------------------------------------------------------------------


def shown(api, authority):
    with api.warp.tls_client(authority.context(), name="a.test") as client:
        return client.sock.getpeercert(True)


def test_certificates_stay_where_a_change_is_refused(start_api, origin, tmp_path):  # noqa: F811
    """They are read again with each change: but only one that comes into force shows them."""
    authority = Authority()
    paths = tmp_path / "a.crt", tmp_path / "a.key"
    first, second = authority.issue("a.test"), authority.issue("a.test")
    first.write(*paths)
    origin.serve(lambda seen: seen.answer(200, FRESH, b"x"))
    api = start_api(FILE, args=("--cert", str(paths[0]), "--key", str(paths[1])), tls=True)
    assert shown(api, authority) == first.der
    second.write(*paths)
    unblock = block(start_api.state / "audit.log")
    assert api.ask("PUT", "tenants/new", tenant(origin, "new.test")).status == 507
    assert shown(api, authority) == first.der
    unblock()
    api.put("new", tenant(origin, "new.test"), 201)
    assert shown(api, authority) == second.der


def test_the_thread_of_changes_frees_what_they_leave(start_api, origin):  # noqa: F811
    """A set whose last request ends is not freed by its worker; with it goes its hold on the origins that only it asks."""
    api = start_api("tenants:\n" + "".join(f"  t{i}: {{hosts: t{i}.test}}\n" for i in range(200)))
    with api.warp.client() as client:
        client.request("/slow", host="t0.test")
        exchange = origin.expect("/slow")
        start_api.path.write_text(FILE)
        api.change("POST", "reload")
        with Stopped(api.warp.worker_pid(), "warp-config"):
            exchange.answer(200, FRESH, b"late")
            assert client.read_response().body == b"late"
            for _ in range(200):
                assert client.get("/", host="t0.test").status == 421
                api.warp.metrics()
            assert not is_closed(exchange.connection)
        until(lambda: is_closed(exchange.connection), "nobody asks that origin any more")


def is_closed(connection):
    return select.select([connection.wire.sock], [], [], 0)[0] != []


# ---- what is left of others --------------------------------------------------------------------------------------------


def test_an_id_is_not_the_next_ones_after_a_restart(start_api, origin):  # noqa: F811
    """Nor is what the log of purges has of it."""
    api = start_api(FILE)
    api.put("beta", tenant(origin, "beta.test"), 201)
    owner = api.as_(api.make_token("owner", "purge", "read", tenants=["beta"]))
    owner.change("POST", "purge", {"url": "http://beta.test/secret"})
    api.change("DELETE", "tenants/beta")
    numbers = iter(range(1000))

    def has_left():
        """It is written down with what is written next."""
        n = next(numbers)
        api.put(f"t{n}", tenant(origin, "a.test"), 201)
        registry = (start_api.state / "tenants.registry").read_text()
        api.change("DELETE", f"tenants/t{n}")
        return "\nleft " in registry

    until(has_left, "nothing is stored for it any more")
    api.warp.stop()
    api = start_api()
    api.put("newcomer", tenant(origin, "newcomer.test"), 201)
    newcomer = api.as_(api.make_token("newcomer", "purge", "read", tenants=["newcomer"]))
    assert [e for e in newcomer.get("purges")["purges"] if e["what"] is not None] == []
    assert "secret" in json.dumps(api.get("purges"))


def test_files_of_a_change_that_was_killed_go(start_api):  # noqa: F811
    api = start_api(FILE)
    api.make_token("ci", "read")
    api.warp.stop()
    left = [start_api.state / name for name in ("tokens.json.a1B2c3", "tenants/alpha.json.X4wMkh", "versions/00000003.6Nucmx")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    before = files(start_api.state)
    api = start_api()
    assert not any(path.exists() for path in left)
    assert [t["name"] for t in api.get("tokens")["tokens"]] == ["ci"]
    assert set(files(start_api.state)) == set(before) - {str(path.relative_to(start_api.state)) for path in left}
