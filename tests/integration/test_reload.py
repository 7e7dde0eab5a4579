"""The configuration is changed while WARP runs: the new one, or the old one and the reasons; nothing is lost on the way."""
import json
import os
import select
import signal
import socket
import threading

import pytest

from client import Client
from tenants import FRESH, Site, tenant
from threads import Stopped
from wait import TIMEOUT, Timeout, until
from warp import free_port


@pytest.fixture
def site(start_warp, tmp_path):
    return lambda config, **options: Site(start_warp, tmp_path / "warp.yaml", config, **options)


@pytest.fixture
def kept(origins):
    origin = origins()
    origin.serve(lambda seen: seen.answer(200, FRESH, f"{seen.headers.get('Host')} {seen.target}"))
    return origin


def with_hosts(origin, *hosts, **more):
    return {**more, "tenants": {"shop": tenant(origin, *hosts)}}


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


# ---- the new one, or the old one --------------------------------------------------------------------------------------


def test_a_bad_one_is_refused_with_the_line(site, kept):
    shop = site(with_hosts(kept, "a.test"))
    assert shop.get("a.test/").status == 200
    shop.reload("tenants:\n  shop:\n    hosts: b.test\n    orgins: x\n", result="failure")
    assert f"{shop.path}:4:5: tenants.shop.orgins: unknown setting; did you mean origins?" in shop.warp.stderr()
    assert shop.get("a.test/").is_hit and shop.get("b.test/").status == 421
    shop.reload(with_hosts(kept, "b.test"))
    assert shop.get("a.test/").status == 421 and shop.get("b.test/").status == 200


@pytest.mark.parametrize("config, reason", [
    ("tenants: {a: {hosts: a.test, origins: 'ftp://x'}}", "a.origins"),
    ("a: [", "yaml"),
    ("tenants: {a: {hosts: a.test, origins: 'https://x', origin-ca: /nowhere/ca.pem}}", "/nowhere/ca.pem"),
    ("listen-tls: ['127.0.0.1:0']\norigin: http://127.0.0.1:1", "needs a certificate"),
])
def test_whatever_is_wrong_changes_nothing(site, kept, config, reason):
    shop = site(with_hosts(kept, "a.test"))
    assert shop.get("a.test/").status == 200
    shop.reload(config, result="failure")
    assert reason in shop.warp.stderr()
    assert shop.get("a.test/").is_hit


@pytest.mark.parametrize("config, said", [
    ("admin: nonsense\n", '1:8: admin: "nonsense" is not an address'),
    ("origin-ca: /nope\n", "1:12: origin-ca: "),
    ("access-log: /nope/log\n", "1:13: access-log: /nope/log: No such file or directory"),
    ("tenants:\n  a: {hosts: a.test, origins: 'https://x', origin-ca: /nope}\n", "2:55: tenants.a.origin-ca: "),
    ("listen-tls: ':0'\n", "1:13: listen-tls: needs a certificate"),
])
def test_files_and_values_are_refused_at_their_place(site, config, said):
    shop = site("")
    assert shop.get("a.test/").status == 200
    shop.reload(config, result="failure")
    assert f"{shop.path}:{said}" in shop.warp.stderr()
    assert shop.get("a.test/").status == 200


def test_the_file_is_gone(site, kept):
    shop = site(with_hosts(kept, "a.test"))
    shop.path.unlink()
    shop.reload(result="failure")
    assert str(shop.path) in shop.warp.stderr()
    assert shop.get("a.test/").status == 200


def test_what_only_a_restart_changes_is_said(site, kept):
    shop = site(with_hosts(kept, "a.test"))
    shop.reload(with_hosts(kept, "a.test", **{"drain-timeout": "5s"}))
    note = "drain-timeout: changed in the configuration, in force after a restart"
    assert note in shop.warp.stderr()
    assert until(lambda: json.loads(shop.warp.admin("GET", "/readyz").body)["reasons"], "a reason") == [note]
    shop.reload(with_hosts(kept, "a.test"))
    until(lambda: not json.loads(shop.warp.admin("GET", "/readyz").body)["reasons"], "none any more")


# ---- nothing is lost ----------------------------------------------------------------------------------------------------


def test_kept_connections_see_the_new_one(site, kept):
    shop = site(with_hosts(kept, "a.test"))
    with shop.warp.client() as client:
        assert client.get("/", host="a.test").status == 200
        assert client.get("/", host="b.test").status == 421
        shop.reload(with_hosts(kept, "a.test", "b.test"))
        assert client.get("/", host="b.test").status == 200
        assert client.get("/", host="a.test").is_hit
    assert len(kept.connections) == 1 # the origin's connections are kept as well


def test_a_request_under_way_ends_as_it_began(site, origins):
    origin = origins()
    shop = site(with_hosts(origin, "a.test"))
    with shop.warp.client() as client:
        client.request("/slow", host="a.test")
        exchange = origin.expect("/slow")
        shop.reload(with_hosts("http://127.0.0.1:1", "b.test"))
        assert shop.get("a.test/").status == 421
        exchange.answer(200, FRESH, b"late")
        response = client.read_response()
        assert response.status == 200 and response.body == b"late"


@pytest.mark.threads
def test_reloads_under_load(site, kept):
    """Good ones, others and bad ones: no request fails, no connection is closed, every object stays."""
    rounds = int(os.environ.get("WARP_TEST_RELOADS", "200"))
    configs = [with_hosts(kept, "a.test", "b.test"), with_hosts(kept, "a.test"), {**with_hosts(kept, "a.test"), "log-level": "debug"}]
    shop = site(configs[0], workers=2)
    over, problems, counts = threading.Event(), [], []

    def load(stays):
        count = 0
        try:
            while not over.is_set():
                with shop.warp.client() as client:
                    for i in range(1 << 30 if stays else 3):
                        if over.is_set():
                            break
                        target = f"/{i % 50}"
                        response = client.get(target, host="a.test")
                        assert response.status == 200 and response.body == f"a.test {target}".encode(), response
                        count += 1
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)
        counts.append(count)

    for i in range(50):
        assert shop.get(f"a.test/{i}").status == 200
    fetched = kept.count
    threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for i in range(rounds):
        if i % 10 == 9:
            shop.reload("tenants: [", result="failure")
        else:
            shop.reload(configs[i % len(configs)])
        if problems:
            break
    over.set()
    for thread in threads:
        thread.join()
    assert problems == [] and all(counts)
    assert kept.count == fetched # every one of them was a hit
    assert shop.reloads() == rounds - rounds // 10 and shop.reloads("failure") == rounds // 10


def origin_or_answer(origin, client):
    """The request at the origin; None: the client was answered without."""
    while True:
        try:
            return origin.expect(timeout=0)
        except Timeout:
            pass
        if select.select([client.sock], [], [], 0.004)[0]:
            client.read_response()
            return None


def served_by_worker_0(clients, host, wanted=3):
    """Those of the connections that are answered while worker 1 is stopped."""
    for client in clients:
        client.request("/", host=host)
    found, waiting = [], {client.sock.fileno(): client for client in clients}
    while len(found) < wanted:
        ready, _, _ = select.select(list(waiting), [], [], TIMEOUT)
        assert ready, f"only {len(found)} of {len(clients)} connections are worker 0's"
        found += [waiting.pop(fd) for fd in ready]
    for client in found:
        client.read_response()
    return found


def test_limits_are_there_before_the_tenant_is(site, origins):
    """Worker 0 has the new set while worker 1 has not: what it serves is bounded by the new limits already."""
    origin = origins()
    shop = site(with_hosts(origin, "a.test"), workers=2, args=("--memory", "16m"))
    warm = [shop.warp.client() for _ in range(32)]
    with Stopped(shop.warp.worker_pid(), "warp-1"):
        assert shop.warp.metric("warp_reloads_total", result="success") == 0
        first, second, third = served_by_worker_0(warm, "none.test")[:3]
        shop.write({"tenants": {"shop": tenant(origin, "a.test", "b.test", memory_hard="64k", origin_concurrency=1)}})
        shop.warp.signal(signal.SIGHUP)
        first.request("/large", host="b.test")
        while (exchange := origin_or_answer(origin, first)) is None: # 421 still
            first.request("/large", host="b.test")
        second.request("/waits", host="b.test")
        until(lambda: shop.warp.metric("warp_limit_hits_total", limit="origin_concurrency") == 1 or not origin.silent(), "the second one waits")
        assert shop.warp.metric("warp_limit_hits_total", limit="origin_concurrency") == 1
        exchange.answer(200, FRESH, b"x" * 100000)
        assert len(first.read_response().body) == 100000
        origin.expect("/waits").answer(200, FRESH, b"small")
        assert second.read_response().status == 200
        third.request("/large", host="b.test")
        exchange = origin_or_answer(origin, third)
        assert exchange is not None, "what is above the hard quota was stored"
        exchange.answer(200, FRESH, b"x" * 100000)
        assert not third.read_response().is_hit
        assert shop.warp.metric("warp_reloads_total", result="success") == 0
    shop.warp.wait_metric(1, "warp_reloads_total", result="success")
    for client in warm:
        client.close()


# ---- listeners and certificates -------------------------------------------------------------------------------------------


def test_a_flag_goes_before_the_file(site, kept):
    shop = site(with_hosts(kept, "a.test"), workers=2)
    own, more = f"127.0.0.1:{shop.warp.port}", free_port()
    argv_listens = shop.warp.argv[shop.warp.argv.index("--listen") + 1]
    assert argv_listens == own
    # a flag goes before the file: what it names stays
    shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{more}"]))
    assert listens(shop.warp.port) and not listens(more)


@pytest.fixture
def files_only(start_warp, tmp_path):
    """A WARP whose listeners are the file's."""
    def start(config, port, **options):
        shop = Site.__new__(Site)
        shop.path = tmp_path / "warp.yaml"
        shop.write({**config, "listen": [f"127.0.0.1:{port}"]})

        def without_listen(warp):
            at = warp.argv.index("--listen")
            del warp.argv[at:at + 2]
            warp.port = port

        shop.warp = start_warp(args=("--config", str(shop.path)), change=without_listen, **options)
        return shop

    return start


def test_listeners_of_the_file(files_only, kept):
    first, second = free_port(), free_port()
    shop = files_only(with_hosts(kept, "a.test"), first, workers=2)
    with Client(first) as client:
        assert client.get("/", host="a.test").status == 200
        shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{first}", f"127.0.0.1:{second}"]))
        for _ in range(8): # both threads
            with Client(second) as other:
                assert other.get("/", host="a.test").is_hit
        shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{second}"]))
        until(lambda: not listens(first), "the first one closed")
        assert client.get("/", host="a.test").is_hit # who is connected stays so
    shop.warp.port = second
    shop.warp.may_lose_workers = True
    os.kill(shop.warp.worker_pid(), signal.SIGKILL)
    until(lambda: listens(second) and shop.warp._is_up(), "another worker process on it")
    assert shop.get("a.test/").status == 200 and not listens(first)


def test_a_taken_address_is_refused(files_only, kept):
    first = free_port()
    shop = files_only(with_hosts(kept, "a.test"), first)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shop.reload(with_hosts(kept, "b.test", listen=[f"127.0.0.1:{first}", f"127.0.0.1:{port}"]), result="failure")
    assert f"listen: 127.0.0.1:{port}: cannot listen there: Address already in use" in shop.warp.stderr()
    assert shop.get("a.test/").status == 200 and shop.get("b.test/").status == 421


def test_what_was_opened_for_nothing_is_closed(files_only, kept):
    first, second = free_port(), free_port()
    shop = files_only(with_hosts(kept, "a.test"), first, workers=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{first}", f"127.0.0.1:{second}", f"127.0.0.1:{port}"]), result="failure")
    until(lambda: not listens(second), "closed again")
    shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{first}", f"127.0.0.1:{second}"]))
    with Client(second) as client:
        assert client.get("/", host="a.test").status == 200


def test_all_listeners_at_once(files_only, kept):
    """New ones are open before old ones close: as many of each as there may be."""
    ports = [free_port() for _ in range(32)]
    shop = files_only(with_hosts(kept, "a.test"), ports[0], workers=2)
    for some in (ports[:16], ports[16:], ports[:16]):
        shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{port}" for port in some]))
        for port in some:
            with Client(port) as client:
                assert client.get("/", host="a.test").status == 200
        until(lambda: not any(listens(port) for port in ports if port not in some), "the others are closed")
    shop.reload(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{port}" for port in ports[:17]]), result="failure")
    assert "listen, listen-tls: at most 16 addresses" in shop.warp.stderr()


def test_addresses_that_clash_are_refused_by_name(files_only, kept):
    first, second = free_port(), free_port()
    shop = files_only(with_hosts(kept, "a.test"), first)
    for listen, said in (([f"127.0.0.1:{second}", f"0.0.0.0:{second}"], f"listen: 0.0.0.0:{second} cannot be listened on beside listen 127.0.0.1:{second}"),
                         ([f":{shop.warp.admin_port}"], f"--admin: 127.0.0.1:{shop.warp.admin_port} cannot be listened on beside listen :{shop.warp.admin_port}"),
                         ([f"0.0.0.0:{first}"], f"listen: 0.0.0.0:{first}: cannot listen there while listen 127.0.0.1:{first} is open")):
        shop.reload(with_hosts(kept, "b.test", listen=listen), result="failure")
        assert said in shop.warp.stderr()
        assert shop.get("a.test/").status == 200 and shop.get("b.test/").status == 421


def test_where_admin_is_until_a_restart(start_warp, tmp_path, kept):
    shop = Site.__new__(Site)
    shop.path = tmp_path / "warp.yaml"

    def all_in_the_file(warp):
        at = warp.argv.index("--admin")
        del warp.argv[at:at + 2]
        at = warp.argv.index("--listen")
        del warp.argv[at:at + 2]
        shop.warp = warp
        shop.write(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{warp.port}"], admin=f"127.0.0.1:{warp.admin_port}"))

    start_warp(args=("--config", str(shop.path)), change=all_in_the_file)
    port, admin = shop.warp.port, shop.warp.admin_port
    shop.reload(with_hosts(kept, "b.test", listen=[f"127.0.0.1:{port}", f"127.0.0.1:{admin}"], admin=f"127.0.0.1:{free_port()}"), result="failure")
    assert f"listen: 127.0.0.1:{admin}: cannot listen there: admin 127.0.0.1:{admin} is open until a restart" in shop.warp.stderr()
    assert shop.get("a.test/").status == 200


def test_a_late_answer_is_nobodys(files_only, kept):
    """The supervisor does nothing for longer than it may; what it opens then is closed, and the next change gets its own."""
    first, late, mine = (free_port() for _ in range(3))
    shop = files_only(with_hosts(kept, "a.test"), first, workers=2)
    worker = shop.warp.worker_pid()

    def reload(port, result):
        shop.write(with_hosts(kept, "a.test", listen=[f"127.0.0.1:{first}", f"127.0.0.1:{port}"]))
        before = shop.reloads(result)
        os.kill(worker, signal.SIGHUP)
        until(lambda: shop.reloads(result) == before + 1, "it is done, or not", timeout=3 * TIMEOUT)

    shop.warp.signal(signal.SIGSTOP)
    try:
        reload(late, "failure")
        assert f"listen: 127.0.0.1:{late}: cannot listen there: the supervisor does not answer" in shop.warp.stderr()
        assert shop.get("a.test/").status == 200
    finally:
        shop.warp.signal(signal.SIGCONT)
    reload(mine, "success")
    for _ in range(8): # both threads
        with Client(mine) as client:
            assert client.get("/", host="a.test").status == 200
    until(lambda: not listens(late), "nobody listens there")


# ---- restarts ---------------------------------------------------------------------------------------------------------------


def test_a_crash_keeps_what_was_in_force(site, kept, tmp_path):
    shop = site(with_hosts(kept, "a.test"), cache=("--cache-dir", str(tmp_path / "cache"), "--cache-size", "32m"))
    shop.reload(with_hosts(kept, "b.test"))
    shop.write("tenants: [") # half written
    shop.warp.may_lose_workers = True
    old = shop.warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in shop.warp.children() and len(shop.warp.children()) == 1, "another worker process")
    until(shop.warp._is_up, "healthy again")
    assert shop.get("b.test/").status == 200 and shop.get("a.test/").status == 421


def test_what_is_refused_takes_no_generation(site, kept, tmp_path):
    """Key rules of a configuration that did not come into force are no reason to lose what is stored."""
    shop = site(with_hosts(kept, "a.test"))
    assert shop.get("a.test/").status == 200
    other = {"tenants": {"shop": tenant(kept, "a.test", rules=[{"key": {"query-drop": ["x"]}}]),
                         "more": tenant("https://x.test", "b.test", origin_ca="/nowhere/ca.pem")}}
    shop.reload(other, result="failure")
    shop.reload(with_hosts(kept, "a.test", "c.test"))
    assert shop.get("a.test/").is_hit


def test_a_tenant_of_the_api_survives_a_crash(start_warp, kept):
    """Started with flags alone, too."""
    warp = start_warp(kept)
    made = warp.admin("PUT", "/api/v1/tenants/shop", token=True, body=json.dumps(tenant(kept, "a.test")).encode())
    assert made.status == 201
    warp.may_lose_workers = True
    old = warp.worker_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: old not in warp.children() and len(warp.children()) == 1, "another worker process")
    until(warp._is_up, "healthy again")
    with warp.client() as client:
        assert client.get("/", host="a.test").status == 200
        assert client.get("/", host="b.test").status == 421


def test_a_roll_back_keeps_what_came_after_it(start_warp, kept, tmp_path):
    cache = ("--cache-dir", str(tmp_path / "cache"), "--cache-size", "32m")
    first = start_warp(kept, cache=cache)
    token = (tmp_path / "cache/admin.token").read_text().strip()

    def ask(warp, method, path, body=None):
        answer = warp.admin(method, f"/api/v1/{path}", {"Authorization": f"Bearer {token}"}, body=json.dumps(body).encode() if body else None)
        assert answer.status in (200, 201), answer
        return json.loads(answer.body)

    ask(first, "PUT", "tenants/a", tenant(kept, "a.test"))
    version = ask(first, "PUT", "tenants/b", tenant(kept, "b.test"))["version"]
    ask(first, "DELETE", "tenants/b")
    ask(first, "POST", f"config/versions/{version}/rollback")
    ask(first, "DELETE", "tenants/b")
    ask(first, "PUT", "tenants/c", tenant(kept, "c.test"))
    first.stop()
    again = start_warp(kept, cache=cache)
    with again.client() as client:
        assert [client.get("/", host=f"{name}.test").status for name in "abc"] == [200, 421, 200]


def test_ids_survive_a_restart(start_warp, kept, tmp_path):
    """What is stored for a tenant stays that tenant's, in whatever order tenants come and go."""
    cache = ("--cache-dir", str(tmp_path / "cache"), "--cache-size", "32m")
    path = tmp_path / "warp.yaml"
    first = Site(start_warp, path, {"tenants": {"a": tenant(kept, "a.test"), "b": tenant(kept, "b.test")}}, cache=cache)
    for host in ("a.test", "b.test"):
        assert first.get(f"{host}/x").status == 200
    first.warp.stop()
    again = Site(start_warp, path, {"tenants": {"c": tenant(kept, "c.test"), "b": tenant(kept, "b.test", "a.test")}}, cache=cache)
    until(lambda: again.warp.metric("warp_store_recovering", tier="disk") == 0, "recovered")
    assert again.get("b.test/x").is_hit
    assert not again.get("a.test/x").is_hit # it was a's
    assert not again.get("c.test/x").is_hit
    lines = (tmp_path / "cache/state/tenants.registry").read_text().splitlines()
    assert [words[3] for words in map(str.split, lines[1:]) if words[0].isdigit()] == ["a", "b", "c"]
