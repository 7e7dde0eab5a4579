"""The API: tenants, tokens, versions of the configuration, the audit log. What is asked and answered is held against the
API's own description by warp.py."""
import json
import os
import socket
import stat
import subprocess
import threading
import time
from urllib.parse import quote

import jsonschema
import pytest

from client import Client
from wait import until
from warp import BINARY, Warp

FRESH = {"Cache-Control": "max-age=3600"}


class Api:
    """A WARP with tenants, and one who asks it."""

    def __init__(self, warp, token=None):
        self.warp = warp
        self.token = token or warp.admin_token

    def as_(self, token):
        return Api(self.warp, token)

    def ask(self, method, path, body=None, **headers):
        headers = [("Authorization", f"Bearer {self.token}")] + [(n.replace("_", "-"), v) for n, v in headers.items()]
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.warp.admin(method, f"/api/v1/{path}", headers, body=body)

    def get(self, path, status=200):
        response = self.ask("GET", path)
        assert response.status == status, response
        return json.loads(response.body)

    def change(self, method, path, body=None, status=200, **headers):
        response = self.ask(method, path, body, **headers)
        assert response.status == status, response
        return json.loads(response.body)

    def put(self, name, config, status=200, **headers):
        return self.change("PUT", f"tenants/{name}", config, status, **headers)

    def etag(self, name):
        return self.ask("GET", f"tenants/{name}").headers["ETag"]

    def make_token(self, name, *rights, tenants=None, **more):
        wish = {"name": name, "rights": list(rights), **({"tenants": tenants} if tenants else {}), **more}
        return self.change("POST", "tokens", wish, 201)["token"]


@pytest.fixture
def start_api(start_warp, origin, tmp_path):
    """start_api(text) starts a WARP with that file, and its state in a directory that stays."""
    (tmp_path / "token").write_text("sesame\n")

    def start(text=None, args=(), **more):
        path = tmp_path / "warp.yaml"
        if text is not None:
            path.write_text(text)
        config = ["--config", str(path)] if path.exists() else []
        return Api(start_warp(origin, args=[*config, "--state-dir", str(tmp_path / "state"), "--admin-token-file", str(tmp_path / "token"),
                                            *args], **more))

    start.path = tmp_path / "warp.yaml"
    start.state = tmp_path / "state"
    return start


TWO = """
tenants:
  shop:
    hosts: [shop.test, "*.shop.test"]
    guaranteed: 10%
    memory-hard: 50%
    rules:
      - match: {path: /img/**}
        ttl: 1h
  blog:
    hosts: blog.test
    rate: 1000/s
"""


@pytest.fixture
def api(start_api):
    return start_api(TWO)


# ---- the description ------------------------------------------------------------------------------------------------


def test_the_description_describes_itself(api):
    document = api.get("openapi.json")
    assert document["openapi"] == "3.1.0" and len(document["paths"]) > 12
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    for ref in set(part.split('"')[0] for part in json.dumps(document).split('"$ref": "#/components/schemas/')[1:]):
        assert ref in document["components"]["schemas"], ref


def test_what_the_tests_hold_against_it_can_fail(api):
    """A test of the tests."""
    checks = api.warp.api()
    response = api.ask("GET", "tenants")
    good = response.body
    checks.check("GET", "/api/v1/tenants", [], None, response)
    for bad in (good.replace(b'"next"', b'"more"'), good.replace(b'"hit_ratio": 0.0', b'"hit_ratio": "none"')):
        assert bad != good
        response.body = bad
        with pytest.raises(AssertionError):
            checks.check("GET", "/api/v1/tenants", [], None, response)
    response.body = good
    for target in ("/api/v1/tenants?limit=0", "/api/v1/tenants?nonsense=1", "/api/v1/nothing"):
        with pytest.raises(AssertionError):
            checks.check("GET", target, [], None, response)
    with pytest.raises(AssertionError):
        checks.check("PUT", "/api/v1/tenants/x", [], b'{"hots": "a"}', response)


@pytest.mark.parametrize("method,path,status", [
    ("GET", "nothing", 404), ("GET", "tenants/", 404), ("GET", "tenants/a/b", 404), ("POST", "tenants", 405), ("PUT", "tokens", 405),
    ("GET", "tenants?limit=0", 400), ("GET", "tenants?limit=1001", 400), ("GET", "tenants?limit=x", 400), ("GET", "tenants?cursor=x", 400),
    ("GET", "tenants?nonsense=1", 400), ("GET", "tenants?limit=1&limit=2", 400), ("GET", "objects?cursor=x", 400),
    ("GET", "tokens?cursor=0123456789abcdef", 400), ("GET", "audit?since=-1", 400), ("GET", "config/versions/x", 404),
    ("GET", "config/versions/0", 404), ("GET", "config/versions/99", 404), ("GET", "config/versions/1/diff?to=99", 404),
    ("POST", "config/versions/99/rollback", 404), ("GET", "tenants/%00", 400), ("GET", "tenants/none", 404), ("DELETE", "tenants/none", 404),
    ("DELETE", "tokens/none", 404), ("PUT", "tenants/-x", 400), ("PUT", "tenants/" + "x" * 65, 400), ("GET", "objects?tenant=none", 404),
    ("GET", "origins?tenant=none", 404),
])
def test_bad_questions_are_problems(api, method, path, status):
    response = api.ask(method, path, body=b"{}" if method == "PUT" else None)
    assert response.status == status, response
    if status == 405:
        assert response.headers["Allow"] in ("GET, HEAD", "GET, HEAD, POST")


# ---- tenants --------------------------------------------------------------------------------------------------------


def put_object(api, origin, host, target, headers=FRESH, body=b"x" * 100):
    with api.warp.client() as client:
        client.request(target, host=host)
        origin.expect(target).answer(200, headers, body)
        return client.read_response()


def test_tenants_with_limits_and_usage(api, origin):
    put_object(api, origin, "shop.test", "/img/a")
    assert api.warp.get("/img/a", host="shop.test").is_hit
    api.warp.counted("hit", 1)
    answer = api.get("tenants")
    shop, blog = sorted(answer["tenants"], key=lambda t: t["name"], reverse=True)
    assert answer["next"] == "" and (shop["name"], blog["name"]) == ("shop", "blog")
    assert shop["hosts"] == ["shop.test", "*.shop.test"] and shop["limits"]["guaranteed_percent"] == 10
    assert shop["limits"]["memory_hard"] == {"percent": 50} and shop["limits"]["rate"] is None
    assert blog["limits"]["rate"] == {"requests": 1000, "seconds": 1}
    assert shop["usage"]["bytes"]["ram"] > 100 and blog["usage"]["bytes"]["ram"] == 0
    assert shop["usage"]["requests"]["hit"] == 1 and shop["usage"]["requests"]["all"] == 2
    assert shop["usage"]["requests"]["hit_ratio"] == 0.5 and shop["usage"]["response_bytes"] == 200
    assert shop["origins"][0]["healthy"] is True and shop["origins"][0]["answers"] == 1
    one = api.get("tenants/shop")
    assert one["source"] == "file" and one["config"]["rules"] == [{"match": {"path": "/img/**"}, "ttl": "1h"}]


def test_pages_of_tenants(start_api):
    api = start_api("tenants:\n" + "".join(f"  t{n}: {{hosts: t{n}.test}}\n" for n in range(25)))
    seen, cursor, pages = [], "", 0
    while True:
        answer = api.get(f"tenants?limit=10&cursor={quote(cursor)}" if cursor else "tenants?limit=10")
        seen += [t["name"] for t in answer["tenants"]]
        pages += 1
        cursor = answer["next"]
        if not cursor:
            break
        if pages == 1:  # what changes between two pages moves nothing
            api.put("new", {"hosts": "new.test"}, 201)
    assert sorted(seen) == sorted([f"t{n}" for n in range(25)] + ["new"]) and pages == 3


def test_a_tenant_made_and_changed_and_deleted(api, origin):
    config = {"hosts": ["new.test"], "rules": [{"name": "r", "match": {"path": "/a*"}, "ttl": "1h", "ttl-override": True}]}
    assert api.warp.get("/a", host="new.test").status == 421
    made = api.put("new", config, 201, If_None_Match="*")
    assert made["changed"] is True and made["version"] > 1
    put_object(api, origin, "new.test", "/a", headers={})
    assert api.warp.get("/a", host="new.test").is_hit
    one = api.get("tenants/new")
    assert one["source"] == "api" and one["config"] == config
    assert api.put("new", one["config"])["changed"] is False  # what was read can be written back, and says the same
    config["hosts"] = "other.test"
    api.put("new", b"hosts: other.test\nrate: 5/s\n", Content_Type="application/yaml")
    assert api.warp.get("/a", host="new.test").status == 421
    assert api.get("tenants/new")["limits"]["rate"] == {"requests": 5, "seconds": 1}
    assert api.change("DELETE", "tenants/new")["changed"] is True
    api.get("tenants/new", 404)
    assert api.warp.get("/a", host="other.test").status == 421
    assert api.get("tenants/shop")["name"] == "shop"


def test_lost_updates_are_refused(api):
    api.put("new", {"hosts": "new.test"}, 201)
    first = api.etag("new")
    assert first == api.etag("new") and first != api.etag("shop")
    response = api.ask("PUT", "tenants/new", {"hosts": "new.test", "rate": "1/s"}, If_Match=first)
    assert response.status == 200 and response.headers["ETag"] == api.etag("new") != first
    for method, body in (("PUT", {"hosts": "new.test", "rate": "2/s"}), ("DELETE", None)):
        assert api.ask(method, "tenants/new", body, If_Match=first).status == 412
        assert api.ask(method, "tenants/new", body, If_Match='W/' + api.etag("new")).status == 412  # weak tags stand for no bytes
    assert api.ask("PUT", "tenants/new", {"hosts": "new.test"}, If_None_Match="*").status == 412
    assert api.ask("PUT", "tenants/none", {"hosts": "none.test"}, If_Match="*").status == 412
    assert api.get("tenants/new")["limits"]["rate"] == {"requests": 1, "seconds": 1}
    api.change("DELETE", "tenants/new", If_Match=api.etag("new"))


def test_of_many_at_once_one_wins(api):
    """Each saw the same state; others change something else meanwhile."""
    api.put("new", {"hosts": "new.test", "rate": "1/s"}, 201)
    etag, statuses = api.etag("new"), []

    def write(n):
        statuses.append(api.ask("PUT", "tenants/new", {"hosts": "new.test", "rate": f"{n}/s"}, If_Match=etag).status)

    def other(n):
        assert api.ask("PUT", f"tenants/o{n}", {"hosts": f"o{n}.test"}, If_None_Match="*").status == 201

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2, 7)] + [threading.Thread(target=other, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 4


def test_the_first_change_of_all_has_one_winner(start_api):
    """Flags alone: there is no version yet to hold a change to."""
    api, statuses = start_api(), []

    def write(n):
        statuses.append(api.ask("PUT", "tenants/new", {"hosts": f"n{n}.test"}, If_None_Match="*").status)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(201) == 1 and set(statuses) <= {201, 409, 412}


def test_a_bad_tenant_is_refused_with_its_lines(api):
    before = api.get("tenants")
    response = api.ask("PUT", "tenants/new", b"hots: new.test\nrate: often\n", Content_Type="application/yaml")
    problem = json.loads(response.body)
    assert response.status == 422 and len(problem["errors"]) >= 2, problem
    assert any("did you mean hosts?" in line and ":1:1:" in line for line in problem["errors"])
    response = api.ask("PUT", "tenants/new", {"hosts": "shop.test"})
    assert response.status == 422 and "shop" in json.loads(response.body)["errors"][0]
    assert api.ask("PUT", "tenants/new", b"").status == 400
    assert api.ask("PUT", "tenants/new", b"x" * (1 << 21)).status == 413
    assert [t["name"] for t in api.get("tenants")["tenants"]] == [t["name"] for t in before["tenants"]]


def test_dry_run_changes_nothing(api):
    version = api.get("config")["version"]
    assert api.put("new?dry_run=true", {"hosts": "new.test"})["changed"] is False
    assert api.ask("PUT", "tenants/new?dry_run=true", {"hosts": "shop.test"}).status == 422
    assert api.ask("PUT", "tenants/new?dry_run=maybe", {"hosts": "new.test"}).status == 400
    api.get("tenants/new", 404)
    assert api.get("config")["version"] == version


def test_what_stands_in_a_file_is_not_the_apis(api):
    for method, body in (("PUT", {"hosts": "else.test"}), ("DELETE", None)):
        response = api.ask(method, "tenants/shop", body)
        assert response.status == 409 and json.loads(response.body)["errors"], response


def test_a_tenant_in_a_very_large_file(start_api):
    """Looking for it must not hold up others: it is shown without, and its ETag is the file's."""
    api = start_api(TWO + "# much\n" * 200000)
    one, etag = api.get("tenants/shop"), api.etag("shop")
    assert "config" not in one and one["limits"]["guaranteed_percent"] == 10 and etag == api.etag("shop") != api.etag("blog")
    start_api.path.write_text(TWO.replace("10%", "11%") + "# much\n" * 200000)
    api.change("POST", "reload")
    assert api.etag("shop") != etag


def test_tenants_are_there_after_a_restart(start_api, origin):
    api = start_api(TWO)
    api.put("new", {"hosts": "new.test"}, 201)
    etag = api.etag("new")
    api.warp.stop()
    api = start_api()
    assert api.get("tenants/new")["source"] == "api" and api.etag("new") == etag
    assert put_object(api, origin, "new.test", "/a").status == 200


# ---- versions -------------------------------------------------------------------------------------------------------


def test_versions_diffs_and_roll_back(start_api, origin):
    api = start_api(TWO)
    first = api.get("config")
    assert first["in_force"] is True and "hosts: blog.test" in first["text"]
    start_api.path.write_text(TWO.replace("1000/s", "7/s"))
    assert api.change("POST", "reload")["changed"] is True
    assert api.change("POST", "reload")["changed"] is False
    second = api.get("config")
    versions = api.get("config/versions")["versions"]
    assert [v["version"] for v in versions] == [second["version"], first["version"]]
    assert [v["in_force"] for v in versions] == [True, False]
    assert versions[0]["who"] == "admin" and versions[0]["tenants"] == 2 and abs(versions[0]["time_ms"] / 1000 - time.time()) < 60
    diff = api.get(f"config/versions/{first['version']}/diff")
    assert diff["to"] == second["version"] and diff["cut"] is False
    lines = [line for line in diff["diff"].splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == ["-    rate: 1000/s", "+    rate: 7/s"]
    assert api.get(f"config/versions/{first['version']}/diff?to={first['version']}")["diff"] == ""
    back = api.change("POST", f"config/versions/{first['version']}/rollback")
    assert back["changed"] is True
    assert api.get("tenants/blog")["limits"]["rate"]["requests"] == 1000
    assert api.get(f"config/versions/{first['version']}")["text"] == first["text"]
    page = api.get("config/versions?limit=1")
    assert len(page["versions"]) == 1 and page["next"]
    rest = api.get(f"config/versions?cursor={page['next']}")
    assert [v["version"] for v in page["versions"] + rest["versions"]] == [v["version"] for v in api.get("config/versions")["versions"]]


def test_a_bad_reload_is_refused_with_its_lines(start_api):
    api = start_api(TWO)
    version = api.get("config")["version"]
    start_api.path.write_text(TWO + "  blgo:\n    hots: x\n")
    response = api.ask("POST", "reload")
    problem = json.loads(response.body)
    assert response.status == 422 and any(f"{start_api.path}:14:5: tenants.blgo.hots" in line for line in problem["errors"]), problem
    assert api.get("config")["version"] == version
    assert api.warp.get("/x", host="none.test").status == 421


def test_what_only_a_restart_brings_is_in_the_answer_of_a_reload(start_api):
    api = start_api(TWO)
    start_api.path.write_text("memory: 64m\n" + TWO)
    note = "memory: changed in the configuration, in force after a restart"
    answer = api.change("POST", "reload")
    assert answer["changed"] and answer["notes"] == [note]
    printed = subprocess.run([BINARY, "reload", "--admin", f"127.0.0.1:{api.warp.admin_port}"], env={"WARP_TOKEN": "sesame"},
                             capture_output=True, text=True, timeout=20)
    assert printed.returncode == 0 and note in printed.stdout.splitlines(), printed
    start_api.path.write_text(TWO)
    assert api.change("POST", "reload")["notes"] == []


def test_the_first_tenant_of_all_is_noted(start_api, origin):
    """From then on hosts that nobody has are nobody's."""
    api = start_api()
    first = api.put("one", {"hosts": ["one.test"]}, 201)
    assert len(first["notes"]) == 1 and "get 421" in first["notes"][0]
    assert api.warp.get("/", host="other.test").status == 421
    assert api.put("two", {"hosts": ["two.test"]}, 201)["notes"] == []


def test_flags_alone_are_no_version(start_api):
    api = start_api()
    api.get("config", 404)
    assert api.get("config/versions")["versions"] == []
    assert [t["source"] for t in [api.get("tenants/default")]] == ["options"]


def test_a_client_that_leaves_does_not_stop_its_change(api):
    with Client(api.warp.admin_port) as client:
        body = json.dumps({"hosts": "new.test"}).encode()
        client.request("/api/v1/tenants/new", "PUT", {"Authorization": f"Bearer {api.token}"}, body, host="127.0.0.1")
    until(lambda: api.ask("GET", "tenants/new").status == 200, "the tenant")


# ---- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_made_listed_revoked(start_api):
    api = start_api(TWO)
    response = api.ask("POST", "tokens", {"name": "ci", "rights": ["purge", "read"], "tenants": ["shop"], "expires": "30d"})
    made = json.loads(response.body)
    assert response.status == 201 and response.headers["Location"] == f"/api/v1/tokens/{made['id']}"
    assert made["token"].startswith("warp_") and len(made["token"]) == 53 and made["rights"] == ["read", "purge"]
    assert made["expires_ms"] - made["created_ms"] == 30 * 86400 * 1000 and made["used_ms"] == 0
    listed, = api.get("tokens")["tokens"]
    assert listed == {k: v for k, v in made.items() if k != "token"} | {"expired": False}
    file = start_api.state / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600 and made["token"] not in file.read_text() and made["token"][5:] not in file.read_text()
    user = api.as_(made["token"])
    assert user.get("tenants/shop")["name"] == "shop"
    assert api.get("tokens")["tokens"][0]["used_ms"] > 0
    assert api.ask("POST", "tokens", {"name": "ci", "rights": ["read"]}).status == 409
    assert api.change("DELETE", "tokens/ci")["id"] == made["id"]
    user.get("tenants/shop", 401)
    assert api.get("tokens") == {"tokens": [], "next": ""}


def test_tokens_outlive_a_restart(start_api):
    api = start_api(TWO)
    gone = api.make_token("gone", "read")
    api.change("DELETE", "tokens/gone")
    token = api.make_token("ci", "read")  # the last change: written by itself
    api.warp.stop()
    api = start_api()
    assert len(api.as_(token).get("tenants")["tenants"]) == 2
    api.as_(gone).get("tenants", 401)


def test_pages_of_tokens(api):
    names = {f"t{n}" for n in range(7)}
    for name in names:
        api.make_token(name, "read")
    seen, cursor = [], ""
    while True:
        page = api.get(f"tokens?limit=3{'&cursor=' + cursor if cursor else ''}")
        seen += [t["name"] for t in page["tokens"]]
        cursor = page["next"]
        if not cursor:
            break
    assert len(seen) == 7 and set(seen) == names


@pytest.mark.parametrize("wish", [
    {}, {"name": "a"}, {"name": "", "rights": ["read"]}, {"name": "a b", "rights": ["read"]}, {"name": "a", "rights": []},
    {"name": "a", "rights": ["write"]}, {"name": "a", "rights": ["read", "read"]}, {"name": "a", "rights": "read"},
    {"name": "a", "rights": ["read"], "tenants": []}, {"name": "a", "rights": ["read"], "tenants": ["../x"]},
    {"name": "a", "rights": ["read"], "tenants": ["x"] * 65}, {"name": "a", "rights": ["read"], "expires": "soon"},
    {"name": "a", "rights": ["read"], "expires": "0s"}, {"name": "a", "rights": ["read"], "expires": 5},
    {"name": "a", "rights": ["read"], "nonsense": 1}, {"name": "x" * 65, "rights": ["read"]}, {"name": "a\0b", "rights": ["read"]},
])
def test_bad_wishes_for_tokens(api, wish):
    assert api.ask("POST", "tokens", wish).status == 400
    assert api.get("tokens")["tokens"] == []


ALL = [("GET", "tenants/shop", "read"), ("GET", "objects?tenant=shop", "read"), ("GET", "origins?tenant=shop", "read"),
       ("PUT", "tenants/shop", "configure"), ("DELETE", "tenants/shop", "configure"), ("POST", "reload", "configure"),
       ("GET", "config", "configure"), ("GET", "config/versions", "configure"), ("GET", "config/versions/1", "configure"),
       ("GET", "config/versions/1/diff", "configure"), ("GET", "audit", "admin"), ("GET", "tokens", "admin"),
       ("DELETE", "tokens/none", "admin")]


def test_each_right_is_by_itself(api):
    for right in ("read", "purge", "configure", "admin"):
        user = api.as_(api.make_token(right, right))
        for method, path, needed in ALL:
            allowed = right in (needed, "admin")
            response = user.ask(method, path, body=b"{}" if method == "PUT" else None)
            assert (response.status != 403) is allowed and response.status != 401, (right, method, path, response)
        assert user.ask("GET", "openapi.json").status == 200


def test_a_tenants_token_sees_its_tenant_alone(api, origin):
    put_object(api, origin, "shop.test", "/s")
    put_object(api, origin, "blog.test", "/b")
    api.put("later", {"hosts": "later.test"}, 201)
    user = api.as_(api.make_token("shop", "read", "configure", "purge", tenants=["shop", "later"]))
    api.change("DELETE", "tenants/later")
    assert [t["name"] for t in user.get("tenants")["tenants"]] == ["shop"]
    assert [o["url"] for o in user.get("objects")["objects"]] == ["http://shop.test/s"]
    assert {o["tenant"] for o in user.get("origins")["origins"]} == {"shop"}
    for path in ("tenants/blog", "objects?tenant=blog", "origins?tenant=blog"):
        # as for one that does not exist, to the letter
        assert user.get(path, 404) == user.get(path.replace("blog", "none"), 404)
    for method in ("PUT", "DELETE"):
        answers = [json.loads(user.ask(method, f"tenants/{name}", {"hosts": "x.test"} if method == "PUT" else None).body)
                   for name in ("blog", "none")]
        assert answers[0] == answers[1] and answers[0]["status"] == 404
    for method, path in (("GET", "config"), ("POST", "reload"), ("GET", "tokens"), ("GET", "audit")):
        assert user.ask(method, path).status == 403
    user.put("later", {"hosts": "later.test"}, 403)  # the operator makes tenants
    stats = api.warp.admin("GET", "/stats?tenant=shop", {"Authorization": f"Bearer {user.token}"})
    assert json.loads(stats.body)["tenant"] == "shop"
    for path, status in (("/stats", 403), ("/stats?tenant=blog", 404), ("/cache?tenant=blog", 404), ("/cache", 200)):
        assert api.warp.admin("GET", path, {"Authorization": f"Bearer {user.token}"}).status == status, path
    reader = api.as_(api.make_token("reader", "read", tenants=["shop"]))
    assert "config" in user.get("tenants/shop") and "config" not in reader.get("tenants/shop")


def test_without_a_token(start_api):
    for text, open_ in ((None, ("/stats", "/cache")), (TWO, ())):
        api = start_api(text)
        for path in ("/healthz", "/readyz", "/version", "/metrics", "/"):
            assert api.warp.admin("GET", path).status == 200
        for path in ("/stats", "/cache"):
            assert api.warp.admin("GET", path).status == (200 if path in open_ else 401), path
            assert api.warp.admin("GET", path, token=False, headers={"Authorization": f"Bearer {api.token}"}).status == 200
        for path in ("openapi.json", "tenants", "tokens", "config", "audit", "objects"):
            assert api.warp.admin("GET", f"/api/v1/{path}").status == 401


def test_expired_tokens_are_wrong(start_api):
    api = start_api(TWO)
    token = api.make_token("short", "read", expires="1s")
    user = api.as_(token)
    until(lambda: user.ask("GET", "tenants").status == 401 and user.ask("GET", "tenants").status in (401, 429), "the end of its life")
    assert api.warp.metric("warp_admin_refusals_total", reason="wrong-token") >= 1


def test_wrong_tokens_are_throttled(api):
    statuses = [api.as_("wrong").ask("GET", "tenants").status for _ in range(14)]
    assert statuses == [401] * 10 + [429] * 4
    response = api.ask("GET", "tenants")  # who guesses does not learn that it was right at last
    assert response.status == 429 and 1 <= int(response.headers["Retry-After"]) <= 60
    assert api.warp.metric("warp_admin_refusals_total", reason="throttled") == 5
    assert api.warp.metric("warp_admin_refusals_total", reason="wrong-token") == 10
    assert api.warp.admin("GET", "/healthz").status == 200


def test_a_damaged_file_of_tokens(start_api):
    start_api.state.mkdir(mode=0o700)
    file = start_api.state / "tokens.json"
    file.write_text('{"format": 1, "tokens": [{"id": "x"}]}')
    api = start_api(TWO)
    assert "tokens.json" in str(json.loads(api.warp.admin("GET", "/readyz").body)["reasons"])
    assert api.ask("POST", "tokens", {"name": "a", "rights": ["read"]}).status == 503
    assert file.read_text() == '{"format": 1, "tokens": [{"id": "x"}]}'


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177])
def test_over_a_unix_socket_the_file_says_who_may(origin, tmp_path, umask):
    """The file's mode, whatever the umask."""
    path = str(tmp_path / "admin.sock")
    warp = Warp(tmp_path, [origin], before_exec=lambda: os.umask(umask))
    warp.argv[warp.argv.index("--admin") + 1] = f"unix:{path}"
    warp._is_up = lambda: unix_status(path, "/healthz") == 200
    warp.start()
    assert unix_status(path, "/api/v1/tenants") == 200
    assert unix_status(path, "/api/v1/tokens") == 200
    assert stat.filemode(os.stat(path).st_mode) == "srw-rw----"
    warp.stop()


def unix_status(path, target):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        try:
            sock.connect(path)
        except OSError:
            return None
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(sock.makefile("rb").readline().split()[1])


# ---- the audit log --------------------------------------------------------------------------------------------------


def test_the_audit_log(start_api):
    api = start_api(TWO)
    token = api.make_token("ops", "configure")
    api.as_(token).put("new", {"hosts": "new.test"}, 201)
    api.as_(token).put("new", {"hosts": "shop.test"}, 422)
    api.change("POST", "reload")
    api.change("DELETE", "tokens/ops")
    entries = api.get("audit")["entries"]
    assert [(e["who"], e["what"], e.get("result")) for e in entries] == [
        ("admin", "token made", None), ("token ops", "tenant new changed", "done"), ("token ops", "tenant new changed", "invalid"),
        ("admin", "reload", "unchanged"), ("admin", "token revoked", None)]
    assert entries[0]["name"] == "ops" and token not in json.dumps(entries)
    numbers = [e["number"] for e in entries]
    assert numbers == sorted(set(numbers))
    page = api.get("audit?limit=2")
    assert [e["number"] for e in page["entries"]] == numbers[:2] and page["next"] == numbers[1]
    assert [e["number"] for e in api.get(f"audit?since={page['next']}")["entries"]] == numbers[2:]
    api.warp.stop()
    api = start_api()
    api.make_token("again", "read")
    assert [e["number"] for e in api.get("audit")["entries"]] == numbers + [numbers[-1] + 1]


# ---- what is stored -------------------------------------------------------------------------------------------------


def test_objects(api, origin):
    for n in range(5):
        put_object(api, origin, "shop.test", f"/a/{n}")
    put_object(api, origin, "blog.test", "/a/b")
    everything = api.get("objects")
    assert len(everything["objects"]) == 6 and everything["next"] == ""
    assert {o["tenant"] for o in everything["objects"]} == {"shop", "blog"}
    assert len(api.get("objects?tenant=blog")["objects"]) == 1
    for prefix, count in (("http://shop.test/a/", 5), ("shop.test/a/3", 1), ("https://shop.test/", 0), ("blog.test", 1), ("http://shop.test/b", 0)):
        assert len(api.get(f"objects?prefix={quote(prefix, safe='')}")["objects"]) == count, prefix
    seen, cursor = [], ""
    while True:
        page = api.get(f"objects?limit=2&tenant=shop{'&cursor=' + cursor if cursor else ''}")
        assert len(page["objects"]) <= 2
        seen += [o["url"] for o in page["objects"]]
        cursor = page["next"]
        if not cursor:
            break
    assert sorted(seen) == [f"http://shop.test/a/{n}" for n in range(5)]


# ---- purges by tokens -----------------------------------------------------------------------------------------------


def test_a_tenants_token_purges_its_tenant_alone(api, origin):
    for host in ("shop.test", "blog.test"):
        put_object(api, origin, host, "/a", headers={"Cache-Tag": "t", **FRESH})
    user = api.as_(api.make_token("ci", "purge", "read", tenants=["shop"]))
    for wish in ({"tag": "t", "tenant": "blog"}, {"url": "http://blog.test/a"}, {"everything": True, "tenant": "blog"}):
        assert user.ask("POST", "purge", wish).status == 404, wish
    assert user.ask("POST", "purge", {"everything": True}).status == 403
    assert api.warp.get("/a", host="blog.test").is_hit and api.warp.get("/a", host="shop.test").is_hit
    assert user.change("POST", "purge", {"tag": "t", "tenant": "shop"})["matched"] == 1
    assert api.warp.get("/a", host="blog.test").is_hit
    assert [(p["who"], p["tenant"]) for p in api.get("purges")["purges"]] == [("token ci", "shop")]
    api.change("POST", "purge", {"tag": "t", "tenant": "blog"})
    assert [p["tenant"] for p in user.get("purges")["purges"]] == ["shop"]
    reader = api.as_(api.make_token("reader", "read"))
    assert reader.ask("POST", "purge", {"tag": "t", "tenant": "shop"}).status == 403


def test_the_purge_method_by_tokens(api, origin):
    for host in ("shop.test", "blog.test"):
        put_object(api, origin, host, "/a")
    purger, reader = api.make_token("ci", "purge", tenants=["shop"]), api.make_token("reader", "read")

    def purge(host, token):
        return api.warp.get("/a", {"Authorization": f"Bearer {token}"}, method="PURGE", host=host).status

    assert purge("shop.test", reader) == purge("blog.test", purger) == purge("shop.test", purger[:-1]) == 403
    assert api.warp.get("/a", host="shop.test").is_hit and api.warp.get("/a", host="blog.test").is_hit
    assert purge("shop.test", purger) == 200
    put_object(api, origin, "shop.test", "/a")
    api.change("DELETE", "tokens/ci")
    assert purge("shop.test", purger) == 403


# ---- numbers of many tenants ----------------------------------------------------------------------------------------


def test_metrics_without_tenants(start_api, origin):
    api = start_api(TWO, args=["--metrics-tenants", "0"])
    put_object(api, origin, "shop.test", "/")
    api.warp.wait_metric(1, "warp_requests_total")
    assert {sample.split('tenant="')[1].split('"')[0] for sample in api.warp.metrics() if 'tenant="' in sample} == {"other"}


def test_metrics_of_many_tenants_are_bounded(start_api, origin):
    text = "tenants:\n" + "".join(f"  t{n}: {{hosts: t{n}.test}}\n" for n in range(30)) + "  other: {hosts: other.test}\n"
    api = start_api(text, args=["--metrics-tenants", "3"])
    for n, times in ((7, 4), (8, 3), (9, 2), (10, 1)):
        for i in range(times):
            put_object(api, origin, f"t{n}.test", f"/{i}")
    put_object(api, origin, "other.test", "/")
    api.warp.wait_metric(11, "warp_requests_total")
    names = {}
    for sample in api.warp.metrics():
        if 'tenant="' in sample:
            names.setdefault(sample.split("{")[0], set()).add(sample.split('tenant="')[1].split('"')[0])
    for metric in ("warp_requests_total", "warp_response_bytes_total", "warp_tenant_bytes", "warp_origin_requests_total"):
        assert names[metric] == {"t7", "t8", "t9", "other"}, metric
    assert names["warp_origin_healthy"] == {"t7", "t8", "t9"}
    assert api.warp.metric("warp_requests_total", tenant="other", outcome="miss") == 2
    assert api.warp.metric("warp_requests_total", tenant="t7", outcome="miss") == 4
    assert api.warp.metric("warp_origin_requests_total", tenant="other") == 2
    used = sum(t["usage"]["bytes"]["ram"] for t in api.get("tenants?limit=1000")["tenants"])
    assert api.warp.metric("warp_tenant_bytes", tier="ram") == used > 11 * 100
    done = subprocess.run(["promtool", "check", "metrics"], input=api.warp.admin("GET", "/metrics").body, capture_output=True)
    assert done.returncode == 0 and not done.stdout.strip() and not done.stderr.strip(), done
