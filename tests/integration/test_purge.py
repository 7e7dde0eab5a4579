"""Purges: whose they are, what they match, dry runs, fetching again, the log, PURGE on the data listener, the commands.

Two tenants on one origin: a.test and *.a.test are one's, b.test is two's, whose key rules drop utm_*."""
import json
import os
import re
import subprocess

import pytest

from client import Client
from disk import kill, recovered, stored
from wait import until
from warp import BINARY

pytestmark = pytest.mark.threads

CONFIG = """
tenants:
  one:
    hosts: [a.test, "*.a.test"]
    origins: {url}
  two:
    hosts: [b.test]
    origins: {url}
    rules:
      - key: {{query-drop: ["utm_*"], cookies: [lang]}}
"""


def handler(exchange):
    """/x?tag=T&group=G&vary=F&fresh=..., with a body that names the request; POST invalidates the groups of ?ends=."""
    query = dict(pair.split("=", 1) for pair in exchange.target.partition("?")[2].split("&") if "=" in pair)
    fields = {"Cache-Control": "max-age=3600", "ETag": '"v"'}
    if "tag" in query:
        fields["Surrogate-Key"] = query["tag"].replace("+", " ")
    if "ctag" in query:
        fields["Cache-Tag"] = query["ctag"].replace("+", ", ")
    if "group" in query:
        fields["Cache-Groups"] = f'"{query["group"]}"'
    if "vary" in query:
        fields["Vary"] = query["vary"]
    if "ends" in query:
        fields["Cache-Group-Invalidation"] = f'"{query["ends"]}"'
    exchange.answer(200, fields, f"{exchange.headers['Host']} {exchange.target}".encode())


@pytest.fixture
def config(origin, tmp_path):
    origin.serve(handler)
    path = tmp_path / "two.yaml"
    path.write_text(CONFIG.format(url=origin.url))
    return path


@pytest.fixture
def two(start_warp, config):
    return start_warp(args=("--config", str(config)))


@pytest.fixture
def two_on_disk(start_warp, config, tmp_path):
    """Starts a WARP with both tenants on the same directory as often as it is called."""
    token = tmp_path / "token"
    token.write_text("secret\n")

    def start():
        warp = start_warp(args=("--config", str(config)), cache=(
            "--cache-dir", str(tmp_path / "cache"), "--admin-token-file", str(token), "--cache-size", "64m", "--memory", "16m"))
        (warp.directory / "admin.token").write_text("secret\n")
        return warp

    return start


def is_hit(warp, url, headers=()):
    host, target = url.split("/", 1)
    response = warp.get("/" + target, headers, host=host)
    assert response.status == 200, response
    return response.is_hit


def put(warp, *urls):
    for url in urls:
        assert not is_hit(warp, url), url
        assert is_hit(warp, url), url


def refused(warp, **body):
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=json.dumps(body).encode())
    assert answer.status >= 400 and answer.headers["Content-Type"] == "application/problem+json", answer
    return answer.status, json.loads(answer.body)["detail"]


def log(warp, query=""):
    answer = warp.admin("GET", f"/api/v1/purges{query}", token=True)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def command(warp, *args, **env):
    env = {**os.environ, "WARP_ADMIN": f"127.0.0.1:{warp.admin_port}", "WARP_TOKEN": warp.token, **env}
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, env=env)


# ---- whose it is --------------------------------------------------------------------------------------------------------


def test_a_url_is_its_hosts_tenants(two):
    put(two, "a.test/x", "b.test/x", "s.a.test/x")
    assert two.purge(url="http://a.test/x")["matched"] == 1
    assert [is_hit(two, u) for u in ("a.test/x", "b.test/x", "s.a.test/x")] == [False, True, True]
    entry = log(two)["purges"][-1]
    assert entry["tenant"] == "one" and entry["kind"] == "url" and entry["what"] == "http://a.test/x"


@pytest.mark.parametrize("what,one_is_gone,two_is_gone", [
    ({"tag": "t", "tenant": "one"}, True, False), ({"tag": "t", "tenant": "two"}, False, True),
    ({"tags": ["u", "t"], "tenant": "two"}, False, True), ({"everything": True, "tenant": "one"}, True, False),
    ({"everything": True}, True, True), ({"host": "a.test"}, True, False), ({"prefix": "b.test/d/"}, False, True),
    ({"prefix": "http://a.test/"}, True, False), ({"prefix": "https://a.test/"}, False, False),
], ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_each_kind_is_one_tenants(two, what, one_is_gone, two_is_gone, soft):
    one, other = "a.test/d/x?tag=t", "b.test/d/x?tag=t"
    put(two, one, other)
    answer = two.purge(**what, soft=soft)
    assert answer["matched"] == one_is_gone + two_is_gone and answer["matched_is_exact"] and answer["durable"]
    if soft:
        for url, gone in ((one, one_is_gone), (other, two_is_gone)):
            response = two.get("/" + url.split("/", 1)[1], host=url.split("/")[0])
            assert ("fwd=stale" in response.cache_status) is gone, url
    else:
        assert [is_hit(two, one), is_hit(two, other)] == [not one_is_gone, not two_is_gone]


@pytest.mark.parametrize("what,status,words", [
    ({"tag": "t"}, 400, "name it"), ({"tags": ["t"]}, 400, "name it"), ({"tag": "t", "tenant": "three"}, 404, "no such tenant"),
    ({"url": "http://c.test/"}, 404, "no tenant has the host c.test"), ({"host": "c.test"}, 404, "no tenant has the host"),
    ({"url": "http://b.test/", "tenant": "one"}, 400, "not one of tenant one"), ({"host": "a.test", "tenant": "two"}, 400, "not one of tenant two"),
    ({"prefix": "http://b.test/", "tenant": "one"}, 400, "not one of tenant one"), ({"tenant": "one"}, 400, "write one of"),
    ({"group": "g"}, 400, "one origin's"), ({"group": "g", "tag": "t"}, 400, "one origin's"), ({"group": "g", "host": "a.test", "url": "a.test/"}, 400, "one origin's"),
    ({"group": "g\n", "host": "a.test"}, 400, "visible ASCII"), ({"group": "", "host": "a.test"}, 400, "visible ASCII"),
    ({"group": "g", "host": "c.test"}, 404, "no tenant has"), ({"group": "g", "url": "::"}, 400, "not a URL"),
    ({"url": "a.test/", "refresh": True}, 400, "goes with \"soft\""), ({"url": "a.test/", "refresh": 1}, 400, "true or false"),
    ({"url": "a.test/", "dry_run": "yes"}, 400, "true or false"), ({"tenant": 1, "everything": True}, 400, "name of a tenant"),
    ({"url": "a.test/" + "x" * 9000}, 400, "8192"), ({"url": "http://a.test/*"}, 400, "--prefix"), ({"url": "a.test/x?tag=*"}, 400, "\"prefix\""),
], ids=lambda value: str(value)[:60])
def test_bad_purges(two, what, status, words):
    put(two, "a.test/x?tag=t", "b.test/x?tag=t")
    said, detail = refused(two, **what)
    assert said == status and words in detail, detail
    assert is_hit(two, "a.test/x?tag=t") and is_hit(two, "b.test/x?tag=t")
    assert log(two)["purges"] == []


def test_scheme_and_host_have_no_case(two):
    for url in ("HTTP://A.test/x", "A.TEST/x", "hTTp://a.test:80/x"):
        put(two, "a.test/x")
        assert command(two, "purge", url).stdout.startswith("purged 1 object"), url
    put(two, "a.test/x?u=http://b.test/")
    assert command(two, "purge", "a.test/x?u=http://b.test/").stdout.startswith("purged 1 object")
    put(two, "a.test/x")
    assert two.purge(prefix="HTTPS://a.test/")["matched"] == 0 and two.purge(prefix="HTTP://A.test/")["matched"] == 1


def test_a_url_goes_through_the_key_rules(two):
    """What the rules drop is not keyed: however a URL is written, its object is gone."""
    for url in ("http://b.test/x?q=1&utm_source=mail", "b.test/x?utm_a=b&q=1", "http://b.test/x?q=1"):
        put(two, "b.test/x?q=1&utm_source=other")
        assert two.purge(url=url)["matched"] >= 1, url
        assert not is_hit(two, "b.test/x?q=1"), url
        two.purge(everything=True)


def test_all_variants_of_a_url(two):
    """By Vary, counted; and those that key rules make, which no list names."""
    for lang in ("de", "en", "fr"):
        assert not is_hit(two, "a.test/v?vary=Accept-Language", {"Accept-Language": lang})
        assert not is_hit(two, "b.test/c", {"Cookie": f"lang={lang}"})
    assert is_hit(two, "b.test/c", {"Cookie": "lang=de"})
    answer = two.purge(url="http://a.test/v?vary=Accept-Language")
    assert answer["matched"] == 3 and answer["matched_is_exact"]
    assert not two.purge(url="http://b.test/c")["matched_is_exact"]
    for lang in ("de", "en", "fr"):
        assert not is_hit(two, "a.test/v?vary=Accept-Language", {"Accept-Language": lang})
        assert not is_hit(two, "b.test/c", {"Cookie": f"lang={lang}"})


def test_many_tags_are_counted_in_one_look(two):
    urls = [f"a.test/{n}?tag=t{n}+all" for n in range(8)]
    put(two, *urls)
    answer = two.purge(tags=[f"t{n}" for n in range(6)] + ["all", "none"], tenant="one")
    assert answer["matched"] == 8 and answer["matched_is_exact"]
    assert [(e["what"], e["matched"]) for e in log(two)["purges"]] == [*((f"t{n}", 1) for n in range(6)), ("all", 2), ("none", 0)]
    assert not any(is_hit(two, u) for u in urls)


def test_tags_of_all_fields(two):
    urls = ["a.test/1?tag=x+y", "a.test/2?ctag=y+z", "a.test/3?ctag=z", "s.a.test/4?group=y", "b.test/5?group=y"]
    put(two, *urls)
    assert two.purge(tag="y", tenant="one")["matched"] == 3
    assert [is_hit(two, u) for u in urls] == [False, False, True, False, True]


# ---- groups -------------------------------------------------------------------------------------------------------------

GROUPED = ["a.test/1?group=g", "s.a.test/1?group=g", "b.test/1?group=g", "a.test/2?group=h"]


@pytest.mark.parametrize("what,gone", [
    ({"host": "a.test"}, 0), ({"url": "http://s.a.test/whatever"}, 1), ({"host": "b.test", "tenant": "two"}, 2), ({"url": "https://a.test/"}, None)], ids=str)
def test_a_group_is_one_origins(two, what, gone):
    put(two, *GROUPED)
    assert two.purge(group="g", **what)["matched"] == (gone is not None)
    assert [is_hit(two, u) for u in GROUPED] == [i != gone for i in range(4)]


def test_a_group_is_invalidated_by_its_own_origin_alone(two):
    """RFC 9875: same origin; never another tenant's, nor another host of the same one."""
    put(two, *GROUPED)
    with two.client() as client:
        assert client.get("/post?ends=g", method="POST", body=b"x", host="s.a.test").status == 200
    assert [is_hit(two, u) for u in GROUPED] == [True, False, True, True]
    with two.client() as client:
        assert client.get("/post?ends=g", method="POST", body=b"x", host="b.test").status == 200
    assert [is_hit(two, u) for u in GROUPED] == [True, True, False, True]
    entries = log(two)["purges"]
    assert {(e["source"], e["kind"], e["tenant"], e["what"]) for e in entries} == {
        ("request", "url", "one", "http://s.a.test/post?ends=g"), ("request", "group", "one", "http://s.a.test g"),
        ("request", "url", "two", "http://b.test/post?ends=g"), ("request", "group", "two", "http://b.test g")}
    assert {e["who"] for e in entries} == {"127.0.0.1"}


# ---- dry runs -----------------------------------------------------------------------------------------------------------


def test_dry_runs_change_nothing(two):
    urls = [f"a.test/d/{n}?tag=t" for n in range(30)]
    put(two, *urls, "b.test/d/1?tag=t")
    for what, count in [({"tag": "t", "tenant": "one"}, 30), ({"tag": "t", "tenant": "two"}, 1), ({"url": "http://a.test/d/7?tag=t"}, 1),
                        ({"prefix": "a.test/d/"}, 30), ({"host": "a.test"}, 30), ({"everything": True}, 31), ({"everything": True, "tenant": "one"}, 30),
                        ({"tags": ["t", "u"], "tenant": "one"}, 30), ({"tag": "u", "tenant": "one"}, 0)]:
        answer = two.purge(**what, dry_run=True)
        assert set(answer) == {"matched", "matched_is_exact", "matched_is_least", "sample"} and not answer["matched_is_least"] and answer["matched_is_exact"]
        assert answer["matched"] == count and len(answer["sample"]) == min(count, 20), what
        assert set(answer["sample"]) <= {"http://" + u for u in urls} | {"http://b.test/d/1?tag=t"}
    assert all(is_hit(two, u) for u in urls)
    assert log(two)["purges"] == []


def test_a_dry_run_in_several_steps(start_warp, origin):
    """More objects than are looked at in one turn; requests are answered meanwhile, and one that leaves is no matter."""
    origin.serve(handler)
    warp = start_warp(origin)
    with warp.client() as client:
        for n in range(3000):
            assert client.get(f"/{n}?tag={'even' if n % 2 == 0 else 'odd'}").status == 200
    answer = warp.purge(tag="even", dry_run=True)
    assert answer["matched"] == 1500 and answer["matched_is_exact"] and len(answer["sample"]) == 20
    for _ in range(20):
        with Client(warp.admin_port) as leaver:
            leaver.request("/api/v1/purge", "POST", {"Authorization": f"Bearer {warp.token}"}, body=b'{"tag": "even", "dry_run": true}', host="127.0.0.1")
    answer = warp.purge(tag="odd")
    assert answer["matched"] == 1500 and answer["matched_is_exact"]
    assert warp.purge(tag="odd", dry_run=True)["matched"] == 0


def test_a_dry_run_of_the_disk_is_a_guess(two_on_disk):
    warp = two_on_disk()
    put(warp, *[f"a.test/{n}?tag=t" for n in range(5)], "b.test/1?tag=t")
    stored(warp, 6)
    answer = warp.purge(tag="t", tenant="one", dry_run=True)
    assert answer["matched"] >= 5 and not answer["matched_is_exact"] and answer["matched_is_least"]
    warp.stop()
    warp = two_on_disk()
    recovered(warp)
    answer = warp.purge(everything=True, dry_run=True)
    assert answer["matched"] >= 6 and not answer["matched_is_exact"]
    assert 0 < warp.purge(everything=True, tenant="two", dry_run=True)["matched"] < 6
    assert warp.purge(url="http://a.test/1?tag=t", dry_run=True)["matched"] == 1
    assert warp.purge(url="http://a.test/9?tag=t", dry_run=True)["matched"] == 0
    assert is_hit(warp, "a.test/1?tag=t")


def test_what_a_purge_of_the_disk_says(two_on_disk):
    """Labels of what lies there alone are not known: then it is the least. Of a tenant and of everything it is what a dry run says."""
    warp = two_on_disk()
    put(warp, *[f"a.test/{n}?tag=t" for n in range(5)], "b.test/1?tag=t")
    stored(warp, 6)
    warp.stop()
    warp = two_on_disk()
    recovered(warp)
    answer = warp.purge(tag="t", tenant="two")
    assert (answer["matched"], answer["matched_is_exact"], answer["matched_is_least"]) == (0, False, True)
    done = command(warp, "purge", "--tag", "t", "--tenant", "two")
    assert done.returncode == 0 and "purged at least 0 objects" in done.stdout
    guess = warp.purge(everything=True, dry_run=True)
    answer = warp.purge(everything=True)
    assert answer["matched"] == guess["matched"] >= 5 and not answer["matched_is_least"]


# ---- fetched again ------------------------------------------------------------------------------------------------------


def test_what_is_hot_is_fetched_again(start_warp, origin):
    """Asked for since it was stored: fetched with its validator, by nobody's request. What is not, stays stale."""
    warp = start_warp(origin)
    for target in ("/hot", "/cold"):
        with warp.client() as client:
            client.request(target, headers={"X-Private": "mine"})
            origin.expect(target).answer(200, {"Cache-Control": "max-age=3600", "ETag": '"v"', "Surrogate-Key": "t"}, b"old")
            assert client.read_response().body == b"old"
    assert warp.get("/hot").is_hit
    until(lambda: [o["hits"] for o in json.loads(warp.admin("GET", "/cache", {"Accept": "application/json"}).body)["objects"] if o["url"].endswith("/hot")] == [1], "one hit")
    answer = warp.purge(tag="t", soft=True, refresh=True)
    assert answer["matched"] == 2
    again = origin.expect("/hot")
    assert again.method == "GET" and again.headers["If-None-Match"] == '"v"' and "X-Private" not in again.headers
    again.answer(200, {"Cache-Control": "max-age=3600", "ETag": '"w"', "Surrogate-Key": "t"}, b"new")
    until(lambda: warp.get("/hot").body == b"new", "the new one")
    assert warp.get("/hot").is_hit
    assert warp.metric("warp_purge_refreshes_total", result="fetched") == 1
    assert origin.silent()


def test_refresh_goes_through_the_rules_of_its_tenant(two, origin):
    put(two, "b.test/x?q=1&utm_source=mail", "a.test/v?vary=Accept-Language")
    two.purge(host="b.test", soft=True, refresh=True)
    until(lambda: two.metric("warp_purge_refreshes_total", result="fetched") == 1, "fetched")
    until(lambda: is_hit(two, "b.test/x?q=1"), "fresh again")
    two.purge(host="a.test", soft=True, refresh=True)
    until(lambda: two.metric("warp_purge_refreshes_total", result="fetched") == 2, "the primary of the variants")


# ---- the log ------------------------------------------------------------------------------------------------------------


def test_the_log(two):
    put(two, "a.test/1?tag=t", "b.test/1?tag=t")
    first = two.purge(tag="t", tenant="one")
    two.purge(prefix="http://b.test/", soft=True)
    two.purge(everything=True, tenant="two")
    last = two.purge(everything=True)
    page = log(two)
    assert [e["seq"] for e in page["purges"]] == list(range(first["seq"], last["seq"] + 1))
    assert page["next"] == last["seq"] and page["oldest"] == first["seq"]
    assert [(e["tenant"], e["kind"], e["what"], e["soft"]) for e in page["purges"]] == [
        ("one", "tag", "t", False), ("two", "prefix", "http://b.test/", True), ("two", "everything", None, False),
        (None, "everything", None, False)]
    assert [e["matched"] for e in page["purges"][:3]] == [1, 1, 1]
    for entry in page["purges"]:
        assert entry["who"] == "admin" and entry["source"] == "api" and entry["durable"] is True
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert [e["seq"] for e in log(two, f"?since={first['seq']}&limit=2")["purges"]] == [first["seq"] + 1, first["seq"] + 2]
    assert [e["seq"] for e in log(two, "?limit=1")["purges"]] == [last["seq"]]
    assert log(two, f"?since={last['seq']}") == {"purges": [], "next": last["seq"], "oldest": first["seq"]}
    assert [e["kind"] for e in log(two, "?tenant=two")["purges"]] == ["prefix", "everything", "everything"]


@pytest.mark.parametrize("query,status", [("?since=x", 400), ("?limit=1001", 400), ("?limit=-1", 400), ("?tenant=three", 404)])
def test_bad_questions_to_the_log(two, query, status):
    answer = two.admin("GET", f"/api/v1/purges{query}", token=True)
    assert answer.status == status and json.loads(answer.body)["detail"]
    assert two.admin("GET", "/api/v1/purges").status == 401


def test_the_log_pages_over_all(two):
    for n in range(150):
        two.purge(tag=f"t{n}", tenant="one" if n % 3 else "two")
    seen, since = [], 0
    while True:
        page = log(two, f"?since={since}&limit=40&tenant=one")
        if not page["purges"]:
            break
        seen += page["purges"]
        since = page["next"]
    assert [e["what"] for e in seen] == [f"t{n}" for n in range(150) if n % 3]


def written(state, count):
    """That many purges are written down."""
    def lines():
        path = state / "purges.log"
        return path.exists() and path.read_bytes().count(b"\n") == count
    until(lines, f"{count} lines in purges.log")


def test_the_log_after_a_kill(two_on_disk, tmp_path):
    warp = two_on_disk()
    put(warp, "a.test/1?tag=t")
    made = warp.purge(tag="t", tenant="one")
    before = log(warp)
    assert before["purges"][-1]["durable"] is True and before["purges"][-1]["who"] == "admin"
    written(tmp_path / "cache" / "state", 1)
    kill(warp)
    warp = two_on_disk()
    assert log(warp) == before
    assert not is_hit(warp, "a.test/1?tag=t")
    assert warp.purge(everything=True)["seq"] > made["seq"]


def test_the_log_after_a_kill_without_what_was_written_down(two_on_disk, tmp_path):
    """What the journal knows is there again: kind, whose, when, how many. Who, and the text, have gone with the process."""
    (tmp_path / "cache" / "state" / "purges.log").mkdir(parents=True)
    warp = two_on_disk()
    warp.purge(tag="t", tenant="one")
    before = log(warp)["purges"]
    until(lambda: "purges.log: " in warp.stderr(), "that it cannot be written is said")
    kill(warp)
    warp = two_on_disk()
    entry, = log(warp)["purges"]
    assert entry == {**before[-1], "who": None, "what": None, "source": None}


def test_a_node_without_a_disk_goes_on_with_its_log(start_warp, config, tmp_path):
    """Sequences as well: who follows the log misses nothing. What is torn, or no line of ours, is passed over."""
    state = tmp_path / "state"
    args = ("--config", str(config), "--state-dir", str(state))
    warp = start_warp(args=args)
    for n in range(3):
        warp.purge(tag=f"t{n}", tenant="two", soft=n == 1)
    before = log(warp)
    warp.stop()  # writes down what there is
    lines = (state / "purges.log").read_text()
    assert lines.count("\n") == 3
    (state / "purges.log").write_text('{"number":1}\nnonsense\n' + lines + '{"number":99,"time_ms":1,"wh')
    warp = start_warp(args=args)
    assert log(warp) == before
    made = warp.purge(url="http://a.test/1")
    assert made["seq"] > before["next"]
    assert [e["what"] for e in log(warp, f"?since={before['next']}")["purges"]] == ["http://a.test/1"]
    written(state, 7)
    warp.stop()
    warp = start_warp(args=args)
    assert [e["what"] for e in log(warp)["purges"]] == ["t0", "t1", "t2", "http://a.test/1"]


@pytest.mark.parametrize("what", [{"everything": True}, {"everything": True, "tenant": "two"}, {"group": "g", "host": "b.test"}], ids=str)
def test_what_is_purged_stays_so_after_a_kill(two_on_disk, what):
    warp = two_on_disk()
    put(warp, "a.test/1?group=g", "b.test/1?group=g")
    stored(warp, 2)
    assert warp.purge(**what)["durable"] is True
    kill(warp)
    warp = two_on_disk()
    recovered(warp)
    assert is_hit(warp, "a.test/1?group=g") is (len(what) > 1)
    assert not is_hit(warp, "b.test/1?group=g")


# ---- PURGE on the data listener -----------------------------------------------------------------------------------------


def purge_method(warp, url, headers=(), token=True):
    host, target = url.split("/", 1)
    headers = dict(headers)
    if token:
        headers["Authorization"] = f"Bearer {warp.token}"
    return warp.get("/" + target, headers, method="PURGE", host=host)


def test_purge_of_a_url(two):
    put(two, "a.test/x", "b.test/x")
    assert purge_method(two, "a.test/x", token=False).status == 403
    assert purge_method(two, "a.test/x", {"Authorization": "Bearer no"}, token=False).status == 403
    answer = purge_method(two, "a.test/x", {"Accept": "application/json"})
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    said = json.loads(answer.body)
    assert said["matched"] == 1 and said["durable"] is True and said["matched_is_exact"] is True
    assert [is_hit(two, u) for u in ("a.test/x", "b.test/x")] == [False, True]
    entry = log(two, f"?since={said['seq'] - 2}")["purges"][0]
    assert (entry["source"], entry["kind"], entry["tenant"], entry["what"], entry["who"]) == ("method", "url", "one", "http://a.test/x", "admin")
    page = purge_method(two, "a.test/x")
    assert "text/html" in page.headers["Content-Type"] and b"Purged: 1 object in RAM matched." in page.body
    assert b"Purged: 0 objects in RAM matched." in purge_method(two, "a.test/x").body


def test_the_log_names_the_token_of_a_purge(two):
    """Behind a balancer addresses say nothing."""
    made = two.admin("POST", "/api/v1/tokens", token=True, body=json.dumps({"name": "deploy", "rights": ["purge"], "tenants": ["one"]}).encode())
    token = json.loads(made.body)["token"]
    for fields in ({}, {"Surrogate-Key": "x"}):
        assert purge_method(two, "a.test/x", {"Authorization": f"Bearer {token}", **fields}, token=False).status == 200
    assert {e["who"] for e in log(two)["purges"]} == {"token deploy"}


@pytest.mark.parametrize("field", ["Soft-Purge", "Fastly-Soft-Purge"])
def test_purge_softly(two, field):
    put(two, "a.test/x")
    assert purge_method(two, "a.test/x", {field: "1"}).status == 200
    assert "fwd=stale" in two.get("/x", host="a.test").cache_status


def test_purge_of_tags(two):
    """As xkey: the tags of the tenant whose host is asked; the URL itself is not meant."""
    urls = ["a.test/1?tag=x", "a.test/2?tag=y", "b.test/1?tag=x", "a.test/"]
    put(two, *urls)
    said = json.loads(purge_method(two, "a.test/", {"Surrogate-Key": "x  y", "Accept": "application/json"}).body)
    assert said["matched"] == 2
    assert [is_hit(two, u) for u in urls] == [False, False, True, True]
    said = json.loads(purge_method(two, "a.test/", {"Cache-Tag": "x, ,y,", "Accept": "application/json"}).body)
    assert said["matched"] == 2
    assert [is_hit(two, u) for u in urls] == [False, False, True, True]
    assert b"Purged: 2 objects in RAM matched." in purge_method(two, "a.test/", {"Cache-Tag": "y", "Surrogate-Key": "x"}).body
    assert [is_hit(two, u) for u in urls] == [False, False, True, True]
    for wrong in (" ", ",", " , "):
        assert purge_method(two, "a.test/", {"Cache-Tag": wrong}).status == 400
    assert purge_method(two, "a.test/", {"Cache-Tag": ",".join(f"t{n}" for n in range(256)), "Surrogate-Key": "t"}).status == 400
    assert purge_method(two, "a.test/", {"Surrogate-Key": " "}).status == 400
    assert purge_method(two, "a.test/", {"Surrogate-Key": " ".join(f"t{n}" for n in range(257))}).status == 400


def test_purge_goes_through_the_key_rules(two):
    put(two, "b.test/x?q=1&utm_source=mail")
    assert purge_method(two, "b.test/x?utm_medium=web&q=1").status == 200
    assert not is_hit(two, "b.test/x?q=1")


def test_purge_waits_until_it_is_durable(two_on_disk):
    warp = two_on_disk()
    put(warp, "a.test/x")
    stored(warp, 1)
    said = json.loads(purge_method(warp, "a.test/x", {"Accept": "application/json"}).body)
    assert said["durable"] is True
    kill(warp)
    warp = two_on_disk()
    recovered(warp)
    assert not is_hit(warp, "a.test/x")


# ---- the commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags,gone", [
    (["a.test/1?tag=t"], [0]), (["--tag", "t", "--tenant", "one"], [0]), (["--tag", "t", "--tag", "u", "--tenant", "one"], [0, 1]),
    (["--prefix", "http://a.test/"], [0, 1]), (["--host", "b.test"], [2]), (["--group", "g", "--host", "b.test"], [2]), (["--everything"], [0, 1, 2]),
    (["--group", "g", "http://b.test/"], [2]), (["--everything", "--tenant", "two"], [2])], ids=lambda value: " ".join(map(str, value)))
def test_the_command(two, flags, gone):
    urls = ["a.test/1?tag=t", "a.test/2?tag=u", "b.test/3?tag=t&group=g"]
    put(two, *urls)
    done = command(two, "purge", *flags, "--dry-run")
    assert done.returncode == 0 and done.stdout.startswith(f"would purge {len(gone)} object"), done
    assert sorted(done.stdout.split("\n")[1:-1]) == [f"  http://{urls[i]}" for i in gone]
    done = command(two, "purge", *flags, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["matched"] == len(gone), done
    assert [is_hit(two, u) for u in urls] == [i not in gone for i in range(3)]


@pytest.mark.parametrize("flags,words", [
    (["--tag", "t", "--host", "a.test"], "one thing"), (["--group", "g"], "one origin's"), (["--group", "g", "--tag", "t", "--host", "a.test"], "one origin's"),
    (["--everything", "--refresh"], "--soft"), (["http://a.test/*"], "--prefix"), (["--tag", "t"] * 257, "256 times")], ids=lambda value: str(value)[:40])
def test_bad_commands(two, flags, words):
    done = command(two, "purge", *flags)
    assert done.returncode == 2 and words in done.stderr, done


def test_a_purge_that_is_refused(two):
    done = command(two, "purge", "--tag", "t")
    assert done.returncode == 1 and "--tenant NAME" in done.stderr, done


def test_the_command_shows_the_log(two):
    assert command(two, "purges").stdout == "no purges\n"
    put(two, "a.test/x")
    two.purge(url="http://a.test/x")
    two.purge(everything=True, soft=True)
    done = command(two, "purges")
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["PURGE", "TIME", "TENANT", "KIND", "WHAT", "MATCHED", "WHO"]
    assert first.split()[2:] == ["one", "url", "http://a.test/x", "1", "admin"]
    assert second.split()[2:5] == ["(all)", "everything,", "soft"]
    assert json.loads(command(two, "purges", "--json", "--limit", "1").stdout)["purges"][0]["kind"] == "everything"
    assert "url" not in command(two, "purges", "--since", first.split()[0]).stdout
    assert command(two, "purges", "--tenant", "three").returncode == 1
    assert command(two, "purges", "--since", "soon").returncode == 2


# ---- tokens -------------------------------------------------------------------------------------------------------------


def token_of(warp, *rights, tenants):
    body = json.dumps({"name": f"t{'-'.join(rights)}{'-'.join(tenants)}", "rights": list(rights), "tenants": list(tenants)}).encode()
    answer = warp.admin("POST", "/api/v1/tokens", token=True, body=body)
    assert answer.status == 201, answer
    return json.loads(answer.body)["token"]


def with_token(warp, token, method, path, body=None):
    answer = warp.admin(method, path, {"Authorization": f"Bearer {token}"}, body=json.dumps(body).encode() if body else None)
    return answer.status, json.loads(answer.body)


def test_owners_purge_and_see_their_own(two):
    one = token_of(two, "purge", "read", tenants=["one"])
    urls = ["a.test/x?tag=t", "b.test/x?tag=t"]
    put(two, *urls)
    for what in ({"url": "http://b.test/x?tag=t"}, {"tag": "t", "tenant": "two"}, {"host": "b.test"}, {"everything": True, "tenant": "two"},
                 {"group": "g", "host": "b.test"}, {"prefix": "b.test/"}, {"url": "http://b.test/", "dry_run": True}):
        assert with_token(two, one, "POST", "/api/v1/purge", what)[0] == 404, what
    status, problem = with_token(two, one, "POST", "/api/v1/purge", {"everything": True})
    assert status == 403 and "all of them" in problem["detail"]
    assert all(is_hit(two, u) for u in urls)
    status, done = with_token(two, one, "POST", "/api/v1/purge", {"tag": "t", "tenant": "one"})
    assert status == 200 and done["matched"] == 1
    assert [is_hit(two, u) for u in urls] == [False, True]
    two.purge(tag="t", tenant="two")
    two.purge(everything=True)
    status, page = with_token(two, one, "GET", "/api/v1/purges")
    assert status == 200 and [(e["tenant"], e["kind"], e["who"]) for e in page["purges"]] == [("one", "tag", "token tpurge-readone"), (None, "everything", None)]
    assert with_token(two, one, "GET", "/api/v1/purges?since=0")[1]["purges"] == page["purges"]
    assert with_token(two, one, "GET", "/api/v1/purges?tenant=two")[0] == 404


def test_a_host_of_another_is_a_host_of_nobody(two):
    """To the letter: owners cannot find out what hosts are served here."""
    one = token_of(two, "purge", "read", tenants=["one"])
    for what in ({"url": "http://%s/x"}, {"prefix": "%s/"}, {"host": "%s"}, {"group": "g", "host": "%s"}, {"url": "%s/", "dry_run": True}):
        for more in ({}, {"tenant": "one"}, {"tenant": "two"}):
            answers = []
            for host in ("b.test", "nobody.test"):
                wish = {name: value % host if isinstance(value, str) and "%s" in value else value for name, value in {**what, **more}.items()}
                status, problem = with_token(two, one, "POST", "/api/v1/purge", wish)
                answers.append((status, json.dumps(problem).replace(host, "HOST")))
            assert answers[0] == answers[1] and answers[0][0] in (400, 404), (what, more, answers)


def test_a_token_of_one_tenant_names_it(two):
    urls = ["a.test/x?tag=t", "b.test/x?tag=t"]
    one, both = token_of(two, "purge", "read", tenants=["one"]), token_of(two, "purge", "read", tenants=["one", "two"])
    put(two, *urls)
    status, problem = with_token(two, both, "POST", "/api/v1/purge", {"tag": "t"})
    assert status == 400 and "--tenant NAME" in problem["detail"]
    assert command(two, "purge", "--tag", "t", WARP_TOKEN=one).stdout.startswith("purged 1 object")
    assert [is_hit(two, u) for u in urls] == [False, True]
    assert json.loads(command(two, "stats", "--json", WARP_TOKEN=one).stdout)["tenant"] == "one"
    done = command(two, "stats", WARP_TOKEN=both)
    assert done.returncode == 1 and "403" in done.stderr, done


def test_rights(two):
    """Reading is not purging, and purging is not reading."""
    reader, purger = token_of(two, "read", tenants=["one"]), token_of(two, "purge", tenants=["one"])
    put(two, "a.test/x")
    assert with_token(two, reader, "POST", "/api/v1/purge", {"url": "http://a.test/x"})[0] in (403, 404)
    assert is_hit(two, "a.test/x")
    assert with_token(two, purger, "GET", "/api/v1/purges")[0] == 403
    assert with_token(two, purger, "POST", "/api/v1/purge", {"url": "http://a.test/x"})[0] == 200


def test_the_purge_method_is_for_the_tenants_bearers(two):
    one, reader = token_of(two, "purge", tenants=["one"]), token_of(two, "read", tenants=["one"])
    put(two, "a.test/x", "b.test/x")
    for url, token, status in [("b.test/x", one, 403), ("a.test/x", reader, 403), ("a.test/x", one, 200)]:
        assert purge_method(two, url, {"Authorization": f"Bearer {token}"}, token=False).status == status, url
    assert [is_hit(two, u) for u in ("a.test/x", "b.test/x")] == [False, True]
