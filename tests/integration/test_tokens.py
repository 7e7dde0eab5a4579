"""Tokens for some tenants alone: what their owners may change, and that they learn nothing of others."""
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from client import Client
from pki import Authority
from relay import Relay
from test_api import TWO, put_object, start_api  # noqa: F401: a fixture
from wait import until
from warp import BINARY

# All names of the other tenant that could show anywhere. Each is its own.
RIVAL = {"name": "zebra", "host": "zebra-host.test", "origin": "127.0.0.77:9", "rule": "zebra-rule"}


@pytest.fixture
def sites(start_api):
    """A node whose tenants the operator made by the API: shop, whose owner has a token, and another."""
    def start(**more):
        api = start_api("default-tenant: rest\ntenants: {rest: {}}\n", **more)
        api.shop = {"hosts": ["shop.test", "*.shop.test"], "memory-hard": "50%", "rate": "10000/s", "max-object-size": "1m",
                    "rules": [{"match": {"path": "/img/**"}, "ttl": "1h"}]}
        api.zebra = {"hosts": [RIVAL["host"], "*.zebra-host.test", "zebra-inside.shop.test"], "origins": f"http://{RIVAL['origin']}",
                     "guaranteed": "31%", "rules": [{"name": RIVAL["rule"], "ttl": "1h"}]}
        api.put("shop", api.shop, 201)
        api.put(RIVAL["name"], api.zebra, 201)
        api.put("later", {"hosts": "later.test"}, 201)
        api.owner = api.as_(api.make_token("owner", "configure", "read", tenants=["shop", "later"]))
        api.change("DELETE", "tenants/later")
        return api
    start.path = start_api.path
    return start


def says_nothing_of_others(response):
    text = (str(response.headers.list) + response.body.decode()).lower()
    assert "zebra" not in text and RIVAL["origin"] not in text, response


def refused(api, config, status, name="shop"):
    response = api.owner.ask("PUT", f"tenants/{name}", config)
    assert response.status == status, response
    says_nothing_of_others(response)
    dry = api.owner.ask("PUT", f"tenants/{name}?dry_run=true", config)
    assert dry.status == status and json.loads(dry.body) == json.loads(response.body)
    return json.loads(response.body)


# ---- what an owner changes --------------------------------------------------------------------------------------------


def test_rules_are_the_owners(sites):
    api = sites()
    config = api.owner.get("tenants/shop")["config"]
    assert api.owner.put("shop", config)["changed"] is False  # what was read can be written back
    config["rules"] = [{"ttl": "5m", "request-fields": {"set": {"X-Key": "mine"}}}]
    assert api.owner.put("shop", config)["changed"] is True
    assert api.owner.put("shop", {**config, "rate": "10000/s", "memory-hard": "50%", "origin-concurrency": 0})["changed"] is True
    assert api.get("tenants/shop")["config"]["rules"] == config["rules"]
    api.owner.put("shop", config, If_Match=api.owner.etag("shop"))
    api.change("DELETE", "tokens/owner")
    api.owner.put("shop", config, 401)


def test_hosts_an_owner_may_take(sites, origin):
    api = sites()
    api.owner.put("shop", {**api.shop, "hosts": ["*.shop.test", "a.shop.test", "*.b.shop.test"]})
    assert put_object(api, origin, "x.b.shop.test", "/a").status == 200
    assert api.get("tenants/shop")["hosts"] == ["*.shop.test", "a.shop.test", "*.b.shop.test"]
    assert refused(api, {**api.shop, "hosts": ["*.shop.test", "shop.test"]}, 403)  # given away is given away
    assert api.get("tenants/shop")["hosts"] == ["*.shop.test", "a.shop.test", "*.b.shop.test"]


@pytest.mark.parametrize("host", ["new.test", "zebra-host.test", "a.zebra-host.test", "*.zebra-host.test", "*.a.zebra-host.test", "*.test",
                                  "zebra-inside.shop.test", "192.0.2.1"])
def test_hosts_an_owner_may_not_take(sites, host):
    api = sites()
    problem = refused(api, {**api.shop, "hosts": ["shop.test", "*.shop.test", host]}, 403)
    line, = problem["errors"]
    assert line.startswith("tenants.shop.hosts[2]: ")
    # the same, to the letter, whoever has the name
    assert problem == refused(api, {**api.shop, "hosts": ["shop.test", "*.shop.test", "nobodys.test"]}, 403)
    assert api.get("tenants/shop")["hosts"] == ["shop.test", "*.shop.test"]
    assert api.get("audit")["entries"][-1]["result"] == "forbidden"
    assert api.warp.metric("warp_admin_refusals_total", reason="forbidden") == 4


def test_an_owner_keeps_a_host(sites):
    api = sites()
    problem = refused(api, {k: v for k, v in api.shop.items() if k != "hosts"}, 403)
    assert problem["errors"] == ["tenants.shop.hosts: the last of them stays; whoever wants none deletes the tenant"]


def test_settings_of_the_operator(sites):
    """As the description of the API marks them."""
    api = sites()
    wishes = {"certificates": {"cert": "/etc/passwd", "key": "/etc/shadow"}, "origins": "http://169.254.169.254", "rate": "20000/s",
              "rate-burst": 7, "client-rate": "7/s", "requests": 7, "guaranteed": "5%", "memory-soft": "7m", "memory-hard": "60%",
              "disk-soft": "7m", "disk-hard": "7m", "max-object-size": "2m", "origin-concurrency": 7}
    below_origins = {"origin-host": "admin.internal", "origin-ca": "/etc/passwd", "origin-name": "x", "origin-insecure": True,
                     "origin-http1": True}
    wishes.update({name: value for name, value in below_origins.items()})
    marked = api.get("openapi.json")["components"]["schemas"]["Config.TENANT"]["properties"]
    marked = {name for name, schema in marked.items() if schema.get("x-operator") == "whole"}
    assert marked == set(wishes) | {"client-rate-burst", "origin-cert", "origin-key"}  # which need another
    for name, value in wishes.items():
        config = {**api.shop, name: value, **({"origins": "http://10.0.0.1"} if name in below_origins else {})}
        lines = refused(api, config, 403)["errors"]
        assert [line.split(": ")[0] for line in lines if "origins" not in line or name == "origins"] == [f"tenants.shop.{name}"], lines
    both = refused(api, {**api.shop, "rate": "1/s", "guaranteed": "1%"}, 403)["errors"]
    assert [line.split(": ")[0] for line in both] == ["tenants.shop.rate", "tenants.shop.guaranteed"]
    lines = refused(api, {**api.shop, "rules": [{"max-object-size": "1m"}, {"max-object-size": "2m"}]}, 403)["errors"]
    assert [line.split(": ")[0] for line in lines] == ["tenants.shop.rules[1].max-object-size"]
    assert api.get("tenants/shop")["config"] == api.shop
    unscoped = api.as_(api.make_token("ops", "configure"))
    assert unscoped.put("shop", {**api.shop, "rate": "20000/s"})["changed"] is True


def test_an_owner_makes_no_tenant(sites):
    api = sites()
    assert refused(api, {"hosts": "a.shop.test"}, 403, "later")["errors"] == ["tenants.later: only the operator makes tenants"]
    assert api.owner.change("DELETE", "tenants/shop")["changed"] is True
    refused(api, api.shop, 403)


def test_the_default_tenants_names_are_not_its_owners(sites, origin):
    api = sites()
    api.put("second", {"hosts": "second.test"}, 201)
    owner = api.as_(api.make_token("rest", "configure", tenants=["rest"]))
    assert owner.ask("PUT", "tenants/rest", {"hosts": "new.test"}).status == 409  # it stands in a file
    api.put("fall", {"hosts": "fall.test"}, 201)
    sites.path.write_text("default-tenant: fall\n")
    api.change("POST", "reload")
    owner = api.as_(api.make_token("fall", "configure", tenants=["fall"]))
    assert put_object(api, origin, "new.test", "/").status == 200
    assert owner.put("fall", {"hosts": ["fall.test", "new.test"]}, 403)["errors"][0].startswith("tenants.fall.hosts[1]: ")


def test_an_owner_changes_only_so_often(sites):
    """Each change is the work of the whole configuration; one that is refused, or only tried, too."""
    api = sites()
    wishes = [("PUT", "tenants/shop", {"hosts": "new.test"}), ("PUT", "tenants/shop?dry_run=true", api.shop), ("PUT", "tenants/shop", b"x")] * 20
    assert {api.owner.ask(*wish).status for wish in wishes} == {403, 200, 422}
    late = api.owner.ask("PUT", "tenants/shop", api.shop)
    assert late.status == 429 and 1 <= int(late.headers["Retry-After"]) <= 6
    assert api.owner.ask("DELETE", "tenants/shop").status == 429
    assert api.warp.metric("warp_admin_refusals_total", reason="too-many-changes") == 2
    assert api.owner.ask("PUT", "tenants/later", {"hosts": "new.test"}).status == 403  # another tenant's count
    api.put("shop", api.shop)  # the operator knows no such limit
    assert api.owner.ask("GET", "tenants").status == 200


# ---- what an owner is told --------------------------------------------------------------------------------------------


def test_what_is_wrong_with_its_own_text_is_said(sites):
    problem = refused(sites(), b"hots: x\nrules: [{ttl: often}]\n", 422)
    assert len(problem["errors"]) == 2 and all(line.startswith("tenant shop (made by the API):") for line in problem["errors"])


def test_what_is_wrong_with_others_is_not(sites, tmp_path):
    """Another tenant's file goes: whatever is changed now fails, for a reason that is no business of the owner's."""
    authority = Authority()
    own, path = (authority.issue(f"{name}.test").write(tmp_path / f"{name}.crt") for name in ("own", "zebra"))
    api = sites(tls=True, args=["--cert", str(own), "--key", str(own.with_suffix(".key"))])
    api.put("zebra", {**api.zebra, "certificates": {"cert": str(path), "key": str(path.with_suffix(".key"))}})
    os.rename(path, tmp_path / "gone")
    problem = refused(api, {**api.shop, "rules": [{"ttl": "1m"}]}, 422)
    assert problem["errors"] == ["the change does not fit the rest of the configuration; the server's log tells the operator why"]
    assert "zebra" in json.dumps(api.put("shop", {**api.shop, "rules": [{"ttl": "1m"}]}, 422)["errors"])
    assert str(path) in api.warp.stderr()
    os.rename(tmp_path / "gone", path)
    api.owner.put("shop", {**api.shop, "rules": [{"ttl": "1m"}]})


def test_a_default_tenant_that_its_owner_deletes(start_api):
    api = start_api("origin: http://127.0.0.1:9\n")
    api.put("shop", {"hosts": "shop.test"}, 201)
    api.put("shoq", {"hosts": "zebra-host.test"}, 201)
    start_api.path.write_text("default-tenant: shop\n")
    api.change("POST", "reload")
    owner = api.as_(api.make_token("owner", "configure", tenants=["shop"]))
    response = owner.ask("DELETE", "tenants/shop")
    assert response.status == 422 and b"shoq" not in response.body and b"server's log" in response.body
    assert b"did you mean shoq" in api.ask("DELETE", "tenants/shop").body


# ---- wrong tokens on the data listener ----------------------------------------------------------------------------------


def purge(api, token, host="shop.test"):
    return api.warp.get("/a", {"Authorization": f"Bearer {token}"}, method="PURGE", host=host)


@pytest.mark.threads
def test_wrong_tokens_of_purge_are_throttled(sites):
    api = sites(workers=2)
    purger = api.make_token("purger", "purge", tenants=["shop"])
    assert [purge(api, "wrong").status for _ in range(14)] == [403] * 10 + [429] * 4
    late = purge(api, purger)  # not looked at
    assert late.status == 429 and 1 <= int(late.headers["Retry-After"]) <= 60
    assert "purge-throttled" in late.headers["Cache-Status"]
    assert api.warp.metric("warp_admin_refusals_total", reason="wrong-token") == 10
    assert api.warp.metric("warp_admin_refusals_total", reason="throttled") == 5
    assert api.ask("GET", "tenants").status == 429  # one count for both listeners
    assert api.warp.get("/a", method="PURGE", host="shop.test").status == 403  # none is no guess
    assert api.warp.metric("warp_admin_refusals_total", reason="no-token") == 1


def test_wrong_tokens_of_the_api_count_for_purge(sites):
    api = sites()
    purger = api.make_token("purger", "purge", tenants=["shop"])
    assert purge(api, purger, RIVAL["host"]).status == 403
    assert api.warp.metric("warp_admin_refusals_total", reason="forbidden") == 1
    assert purge(api, purger).status == 200
    assert [api.as_("wrong").ask("GET", "tenants").status for _ in range(10)] == [401] * 10
    assert purge(api, purger).status == 429


def test_clients_behind_a_proxy_are_throttled_each(start_api):
    api = start_api("trusted-proxies: 127.0.0.1\n")

    def status(client, token):
        return api.warp.get("/a", {"Authorization": f"Bearer {token}", "X-Forwarded-For": client}, method="PURGE").status

    for guesser, another, not_he in (("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")):
        assert [status(guesser, "wrong") for _ in range(11)] == [403] * 10 + [429]
        assert status(another, api.token) == 429  # the same address, or /64
        assert status(not_he, api.token) == 200


# ---- /metrics -----------------------------------------------------------------------------------------------------------


def test_metrics_can_be_closed(start_api):
    api = start_api("metrics-auth: true\ntenants: {shop: {hosts: shop.test}}\n")

    def status(token=None):
        return api.warp.admin("GET", "/metrics", {"Authorization": f"Bearer {token}"} if token else {}).status

    reader, owner, purger = (api.make_token(name, right, tenants=tenants) for name, right, tenants in (
        ("reader", "read", None), ("owner", "read", ["shop"]), ("purger", "purge", None)))
    assert [status(), status(reader), status(api.token), status(owner), status(purger)] == [401, 200, 200, 403, 403]
    start_api.path.write_text("tenants: {shop: {hosts: shop.test}}\n")  # at run time
    api.change("POST", "reload")
    assert status() == 200
    assert json.loads(api.warp.admin("GET", "/readyz").body)["reasons"] == []


# ---- pages of origins ---------------------------------------------------------------------------------------------------


def test_pages_of_origins(start_api):
    text = "tenants:\n" + "".join(f"  t{n}: {{hosts: t{n}.test, origins: [http://127.0.0.1:{n + 1}, http://127.0.0.1:{n + 101}]}}\n"
                                  for n in range(5))
    api = start_api(text)
    everything = api.get("origins")
    assert len(everything["origins"]) == 10 and everything["next"] == ""
    for limit in (1, 3, 10):
        seen, cursor, pages = [], "", 0
        while True:
            page = api.get(f"origins?limit={limit}{'&cursor=' + cursor if cursor else ''}")
            assert len(page["origins"]) <= limit
            seen += page["origins"]
            pages += 1
            cursor = page["next"]
            if not cursor:
                break
        assert seen == everything["origins"] and pages == -(-10 // limit)
    owner = api.as_(api.make_token("owner", "read", tenants=["t1", "t3"]))
    first = owner.get("origins?limit=2")
    assert [o["tenant"] for o in first["origins"]] == ["t1", "t1"]
    rest = owner.get(f"origins?limit=2&cursor={first['next']}")
    assert [o["tenant"] for o in rest["origins"]] == ["t3", "t3"] and rest["next"] == ""
    assert len(api.get("origins?tenant=t2&limit=1")["origins"]) == 1
    for bad in ("x", "1", "-", "1-", "-1", "99999-0", "1-4294967296", "1-x"):
        assert api.ask("GET", f"origins?cursor={bad}").status == 400, bad


# ---- the file of tokens -------------------------------------------------------------------------------------------------


class Fsyncs:
    """strace on the worker process: who flushes what, until stop(); inject: what becomes of it."""

    def __init__(self, warp, path, inject=None):
        self.path, self.pid = path, warp.worker_pid()
        more = ["-e", f"inject=fsync:{inject}"] if inject else []
        self.process = subprocess.Popen(["strace", "-f", "-y", "-e", "trace=fsync", *more, "-o", str(path), "-p", str(self.pid)],
                                        stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert b"attached" in line, line

    def stop(self):
        """(name of the thread, file) of each."""
        names = {int(task.name): (task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()}
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process.stderr.close()
        return [(names[int(pid)], name) for pid, name in re.findall(r"^(\d+) +fsync\(\d+<([^>]*)>", self.path.read_text(), re.MULTILINE)]


def test_tokens_are_written_off_the_loop(start_api, tmp_path):
    api = start_api()
    fsyncs = Fsyncs(api.warp, tmp_path / "strace")
    made = api.change("POST", "tokens", {"name": "ci", "rights": ["read"]}, 201)
    api.change("DELETE", "tokens/ci")
    seen = fsyncs.stop()
    assert {thread for thread, _ in seen} == {"warp-config"}
    assert len([name for _, name in seen if "/tokens.json" in name]) == 2, seen
    assert (start_api.state / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert made["token"] not in (start_api.state / "tokens.json").read_text()


def test_tokens_while_nothing_can_be_flushed(start_api, tmp_path):
    """One that is made is not; one that is revoked is so at once, and in the file as soon as that can be written."""
    api = start_api(workers=2)
    kept = api.make_token("kept", "read")
    file = start_api.state / "tokens.json"
    fsyncs = Fsyncs(api.warp, tmp_path / "strace", "error=EIO")
    for method, path, body, words in (("POST", "tokens", {"name": "ci", "rights": ["read"]}, b"was not made"), ("DELETE", "tokens/kept", None, b"revoked, but")):
        response = api.ask(method, path, body)
        assert response.status == 507 and words in response.body and b"tokens.json: " in response.body, response
    assert api.get("tokens")["tokens"] == []
    api.as_(kept).get("tenants", 401)
    assert "kept" in file.read_text()
    fsyncs.stop()
    until(lambda: "kept" not in file.read_text(), "that it is revoked is written down")
    assert len(list(start_api.state.glob("tokens.json*"))) == 1
    assert [e["what"] for e in api.get("audit")["entries"]] == ["token made", "token revoked"]
    api.make_token("ci", "read")
    assert [t["name"] for t in api.get("tokens")["tokens"]] == ["ci"]


def test_many_changes_of_tokens_at_once(start_api):
    """None is lost, and of those with one name there is one."""
    api, statuses = start_api(), []

    def change(n):
        statuses.append(api.ask("POST", "tokens", {"name": "same", "rights": ["read"]}).status)
        api.make_token(f"own{n}", "read")
        if n % 2:
            api.change("DELETE", f"tokens/own{n}")

    threads = [threading.Thread(target=change, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 11
    names = {"same"} | {f"own{n}" for n in range(0, 12, 2)}
    assert {t["name"] for t in api.get("tokens")["tokens"]} == names
    assert {t["name"] for t in json.loads((start_api.state / "tokens.json").read_text())["tokens"]} == names
    api.warp.stop()
    assert {t["name"] for t in start_api().get("tokens")["tokens"]} == names


def test_a_client_that_leaves_while_its_token_is_made(start_api):
    """It is made or not, and nothing else comes of it."""
    api = start_api()
    for n in range(20):
        with Client(api.warp.admin_port) as client:
            body = json.dumps({"name": f"t{n}", "rights": ["read"]}).encode()
            client.request("/api/v1/tokens", "POST", {"Authorization": f"Bearer {api.token}"}, body, host="127.0.0.1")
    api.make_token("last", "read")
    listed = {t["name"] for t in api.get("tokens")["tokens"]}
    assert "last" in listed
    made = [e["name"] for e in api.get("audit")["entries"]]
    assert set(made) == listed and len(made) == len(listed)


def test_the_text_of_a_token_is_nowhere(start_api, origin):
    api = start_api("tenants: {shop: {hosts: shop.test}}\nlog-level: debug\n", args=["--access-log", "access.log"])
    token = api.make_token("ci", "purge", "read")
    assert purge(api, token).status == 200
    api.as_(token).get("tenants")
    wrong = "warp_" + "0123456789abcdef" * 3
    assert purge(api, wrong).status == 403
    api.as_(wrong).get("tenants", 401)
    api.change("DELETE", "tokens/ci")
    until(lambda: len((api.warp.directory / "access.log").read_text().splitlines()) == 2, "two records")
    files = [path for path in [*start_api.state.rglob("*"), *api.warp.directory.rglob("*")] if path.is_file()]
    assert {"tokens.json", "audit.log", "access.log"} <= {path.name for path in files}
    for path in files:
        for secret in (token, token[5:], wrong, wrong[5:]):
            assert secret not in path.read_text("utf-8", "replace"), path


# ---- origins that are WARP's own listeners ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost.", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_no_origin_is_an_own_listener(start_api, origin, host):
    api = start_api(TWO)
    path, warp = start_api.path, api.warp
    for port, name in ((warp.admin_port, "admin"), (warp.port, "listen")):
        config = {"hosts": "x1.test", "origins": [origin.url, f"http://{host}:{port}"], "origin-host": "localhost"}
        problem = api.put("x1", config, 422)
        own = f"http://{host}:{port} is where this WARP itself listens ({name} 127.0.0.1:{port})"
        assert own in problem["errors"][0] and "tenants.x1.origins" in problem["errors"][0], problem
        api.put("x1", config | {"origins": f"http://{host}:{port}"}, 422)
        path.write_text(TWO + f"  x1:\n    hosts: x1.test\n    origins: http://{host}:{port}\n")
        assert f"{path}:15:14: tenants.x1.origins: {own}" in api.change("POST", "reload", status=422)["errors"][0]
        path.write_text(f"admin: 127.0.0.1:{warp.admin_port}\nlisten: 127.0.0.1:{warp.port}\norigin:\n- http://o.test\n- http://{host}:{port}\n")
        done = subprocess.run([BINARY, "check", str(path)], capture_output=True, text=True)
        assert done.returncode == 2 and f"{path}:5:3: origin: {own}" in done.stdout + done.stderr, done


def test_what_this_node_sends_is_not_the_operators(start_api):
    """Whatever an origin is called: wrong tokens that clients send through it lock nobody out."""
    with Relay() as relay:
        api = start_api(TWO + f"  x1: {{hosts: x1.test, origins: 'http://127.0.0.1:{relay.port}', origin-host: localhost}}\n")
        relay.to = api.warp.admin_port
        for path in ("/healthz", "/metrics", "/api/v1/tenants", "/nothing"):
            assert api.warp.get(path, host="x1.test").status == 508
        for _ in range(11):
            assert api.warp.get("/api/v1/tenants", {"Authorization": "Bearer wrong"}, host="x1.test").status == 508
        assert api.warp.metric("warp_admin_refusals_total", reason="loop") == 15
        assert api.warp.metric("warp_admin_refusals_total", reason="wrong-token") == 0
        api.get("tenants")
        other = api.warp.admin("GET", "/healthz", {"CDN-Loop": "warp; node=00000001"})
        assert other.status == 200, other
