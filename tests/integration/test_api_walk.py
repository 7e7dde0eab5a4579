"""Every route that the API describes: who is let in, and that the owner of one tenant sees nothing of another.

The other one is "zebra" wherever it has a name; "quail" is nobody. Whatever an owner asks about zebra must be answered, to the letter,
as the same question about quail."""
import json
import pathlib
import re

import pytest

from client import Client
from test_api import put_object, start_api  # noqa: F401: a fixture

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Those that need no token by intent.
OPEN = {"/", "/healthz", "/readyz", "/version", "/metrics"}
RIGHTS = ("read", "purge", "configure", "admin")


@pytest.fixture
def node(start_api, origins):
    """zebra has everything that a tenant can have. The owner of shop has a token of each right."""
    zebra, shop = origins(), origins()
    api = start_api("tenants:\n  fish: {hosts: fish.test, origins: 'http://127.0.0.1:9'}\n")
    api.put("shop", {"hosts": ["shop.test", "*.shop.test"], "origins": shop.url}, 201)
    api.put("zebra", {"hosts": ["zebra.test", "*.zebra.test", "zebra-in.shop.test"], "origins": zebra.url, "guaranteed": "37%",
                      "rules": [{"name": "zebra-rule", "request-fields": {"set": {"X-Secret": "zebra-secret"}}}]}, 201)
    api.tokens = {right: api.make_token(f"owner-{right}", right, tenants=["shop"]) for right in RIGHTS}
    api.wide = {right: api.make_token(f"wide-{right}", right) for right in RIGHTS}
    rival = api.as_(api.make_token("zebra-token", "configure", "purge", "read", tenants=["zebra"]))
    put_object(api, zebra, "zebra.test", "/zebra-path", {"Cache-Tag": "zebra-tag", "Cache-Control": "max-age=60"}, b"z")
    put_object(api, shop, "shop.test", "/s", {"Cache-Tag": "shop-tag", "Cache-Control": "max-age=60"}, b"s")
    rival.change("POST", "purge", {"tag": "zebra-tag", "tenant": "zebra"})
    put_object(api, zebra, "zebra.test", "/zebra-path", {"Cache-Tag": "zebra-tag", "Cache-Control": "max-age=60"}, b"z")
    rival.put("zebra", {"hosts": "zebra-host.test"}, 403)
    api.change("POST", "purge", {"everything": True, "soft": True})  # of both
    api.secrets = ("zebra", f"127.0.0.1:{zebra.port}", "37%")
    return api


def routes():
    """Of the reference, which has those that the OpenAPI document has not: (method, path, what is needed)."""
    rows = re.findall(r"^\| `(\w+) (/[^`]*)` \| (.*?) \|", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
    return [(method, path, needs) for method, path, needs in rows]


def operations(api):
    document = api.get("openapi.json")
    return [(method.upper(), path, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]


def filled(path, name="shop"):
    return path.replace("{name}", name).replace("{version}", "1").replace("{id}", f"{name}-token")


BODIES = {"Purge": {"tag": "t", "tenant": "shop"}, "TenantConfig": {"hosts": "shop.test"}, "NewToken": {"name": "x", "rights": ["read"]}}


def body_of(operation):
    for name, body in BODIES.items():
        if name in json.dumps(operation.get("requestBody", {})):
            return json.dumps(body).encode()
    assert "requestBody" not in operation
    return None


def ask(api, method, path, token=None, body=None):
    """Not held against the description: some of what is asked here is wrong on purpose."""
    with Client(api.warp.admin_port) as client:
        return client.get(path, [("Authorization", f"Bearer {token}")] if token else [], method=method, body=body, host="127.0.0.1")


def says_nothing(api, response, what):
    text = str(response.headers.list).lower() + response.body.decode().lower()
    for secret in api.secrets:
        assert secret not in text, (what, secret, response.status, text)


# ---- who is let in ----------------------------------------------------------------------------------------------------


def test_the_reference_and_the_description_have_the_same_routes(node):
    assert {(method, path) for method, path, _ in routes() if path.startswith("/api/v1/")} == {(m, p) for m, p, _ in operations(node)}
    assert {path for _, path, needs in routes() if needs.startswith("nothing") or "nothing without" in needs} == OPEN


def test_without_a_token(node):
    for method, path, _ in routes():
        status = ask(node, method, filled(path)).status
        assert status == (200 if path in OPEN else 401), (method, path, status)


def test_with_a_token_of_another_right(node):
    """For all tenants, and for the one that is asked about."""
    for method, path, needs in routes():
        needed = re.match(r"`(\w+)`", needs)
        if not needed or path == "/metrics":
            assert path in OPEN or needs == "any token"
            continue
        operation = next((o for m, p, o in operations(node) if (m, p) == (method, path)), {})
        assert operation.get("x-right", needed[1]) == needed[1]
        for right in set(RIGHTS) - {needed[1], "admin"}:
            for token in (node.wide[right], node.tokens[right]):
                response = ask(node, method, filled(path), token, body_of(operation))
                assert response.status == 403, (method, path, right, response)
                says_nothing(node, response, (method, path))


def test_what_is_of_all_is_no_owners(node):
    """Not even with the right admin for his tenant."""
    count = 0
    for method, path, needs in routes():
        if "for all tenants" not in needs or path == "/metrics":
            continue
        count += 1
        for token in node.tokens.values():
            response = ask(node, method, filled(path), token, b"{}" if method == "POST" else None)
            assert response.status == 403, (method, path, response)
            says_nothing(node, response, (method, path))
    assert count > 8


# ---- what an owner sees -----------------------------------------------------------------------------------------------


def questions(operation, method, path):
    """All that the route takes, one at a time, about {0}."""
    targets = [(filled(path, "{0}"), None)] if "{" in path else []
    for param in operation.get("parameters", []):
        if param["in"] != "query":
            continue
        values = {"tenant": ["{0}"], "host": ["{0}.test"], "path": ["/{0}"], "prefix": ["http://{0}.test/", "{0}.test"], "cursor": ["{0}", "2", "2-0"],
                  "limit": ["1"], "since": ["1"], "to": ["1"], "dry_run": ["true"]}[param["name"]]
        targets += [(f"{filled(path)}?{param['name']}={value}", None) for value in values]
    if path.endswith("/purge"):
        wishes = [{"tag": "{0}-tag", "tenant": "{0}"}, {"url": "http://{0}.test/{0}-path"},
                  {"url": "http://{0}.test/", "tenant": "shop"}, {"host": "{0}.test"},
                  {"prefix": "http://a.{0}.test/"}, {"everything": True, "tenant": "{0}"}, {"everything": True},
                  {"group": "g", "host": "{0}.test"}]
        targets = [(path, {**wish, "dry_run": dry}) for wish in wishes for dry in (True, False)]
    elif method == "PUT":
        wishes = [("{0}", {"hosts": "x.test"}), ("shop", {"hosts": "{0}.test"}), ("shop", {"hosts": ["shop.test", "a.{0}.test"]}),
                  ("shop", {"hosts": "*.{0}.test"}), ("shop", {"hosts": "shop.test", "guaranteed": "37%"})]
        targets = [(filled(path, name) + dry, wish) for name, wish in wishes for dry in ("", "?dry_run=true")]
    elif method == "POST":
        targets = targets or [(filled(path), {"name": "{0}-token", "rights": ["read"], "tenants": ["{0}"]})]
    return targets


def about(what, name):
    """A path, or a body."""
    if isinstance(what, dict):
        return json.dumps(what).replace("{0}", name).encode()
    return what and what.replace("{0}", name)


def plain(response, name):
    """All of it but what goes on by itself, and the name."""
    headers = [(header, value) for header, value in response.headers.list if header not in ("Date", "Content-Length")]
    body = re.sub(r'"(seq|next)": \d+', "", response.body.decode()).replace(name, "{0}")
    return response.status, headers, body


def test_an_owner_sees_nothing_of_another(node):
    asked = 0
    described = {(m, p): o for m, p, o in operations(node)}
    for method, path, _ in routes():
        if path in OPEN:
            continue
        operation = described.get((method, path), {"parameters": [{"in": "query", "name": name} for name in ("tenant", "host", "path")]})
        for token in node.tokens.values():
            if method == "GET":
                says_nothing(node, ask(node, method, filled(path), token), (method, path))
            for target, body in questions(operation, method, path):
                zebra, quail = (ask(node, method, about(target, name), token, about(body, name)) for name in ("zebra", "quail"))
                assert plain(zebra, "zebra") == plain(quail, "quail"), (method, target, body)
                if zebra.status == 200:
                    says_nothing(node, zebra, target)
                asked += 1
    assert asked > 100


def test_a_name_below_his_wildcard_that_another_has(node):
    """That it is not his he may learn, whose it is not."""
    for method, path, body in (("POST", "/api/v1/purge", {"url": "http://zebra-in.shop.test/", "tenant": "shop"}),
                               ("POST", "/api/v1/purge", {"url": "http://zebra-in.shop.test/"}),
                               ("PUT", "/api/v1/tenants/shop", {"hosts": "zebra-in.shop.test"})):
        response = ask(node, method, path, node.tokens["admin"], json.dumps(body).encode())
        assert response.status in (400, 403, 404)
        assert "zebra" not in response.body.decode().replace("zebra-in.shop.test", "")


def test_an_owner_reads_what_is_his(node):
    """That nothing is seen of others is no proof where nothing is seen at all."""
    owner = node.as_(node.tokens["admin"])
    assert [t["name"] for t in owner.get("tenants")["tenants"]] == ["shop"]
    assert [o["url"] for o in owner.get("objects")["objects"]] == ["http://shop.test/s"]
    assert len(owner.get("origins")["origins"]) == 1
    entry, = owner.get("purges")["purges"]  # everything, of all
    assert (entry["tenant"], entry["who"], entry["matched"], entry["matched_is_exact"]) == (None, None, None, False)
    assert node.get("purges")["purges"][-1]["matched"] == 2
    assert owner.change("POST", "purge", {"tag": "shop-tag", "tenant": "shop"})["matched"] == 1


def test_tags_are_of_what_is_shown(start_api):
    """A reader cannot try what the fields are that only the origin is to see; nor does a tag change with another tenant's."""
    text = "tenants:\n  shop: {hosts: shop.test, rules: [{request-fields: {set: {X-Key: SECRET}}}]}\n  zebra: {hosts: ZEBRA.test}\n"
    big = "# much\n" * 200000
    api = start_api(text)
    reader = api.as_(api.make_token("reader", "read", tenants=["shop"]))
    writer = api.as_(api.make_token("writer", "configure", "read", tenants=["shop"]))
    assert reader.etag("shop") != writer.etag("shop") == api.etag("shop")
    before = {who: who.etag("shop") for who in (reader, writer)}

    def reload(new):
        start_api.path.write_text(new)
        api.change("POST", "reload")

    reload(text.replace("SECRET", "OTHER"))
    assert reader.etag("shop") == before[reader] and writer.etag("shop") != before[writer]
    reload(text.replace("shop.test", "shop2.test"))
    assert reader.etag("shop") != before[reader]
    reload(text + big)
    before = {who: who.etag("shop") for who in (reader, writer, api)}
    reload(text.replace("ZEBRA", "other") + big)
    assert [who.etag("shop") == before[who] for who in (reader, writer, api)] == [True, True, False]
