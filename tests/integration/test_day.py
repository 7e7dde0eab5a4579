"""A day of one operator and two tenants, by the commands of the README: what they do, and what they may not."""
import json
import os
import re
import ssl
import subprocess

import pytest
import yaml

from pki import Authority
from tenants import Site, tenant
from warp import BINARY

SHOP, NEWS = "shop.test", "news.test"
HOT = 40 # objects that the visitors of news ask for again and again
FLOOD = 3000


class People:
    """Who types commands: the operator has the server's token, tenants those that they were given."""

    def __init__(self, warp, token):
        self.warp, self.token = warp, token

    def types(self, *words, token=None, code=0, stdin=""):
        env = {k: v for k, v in os.environ.items() if not k.startswith("WARP_")}
        env["WARP_TOKEN"] = token or self.token
        env["WARP_ADMIN"] = f"127.0.0.1:{self.warp.admin_port}"
        done = subprocess.run([BINARY, *words], env=env, input=stdin, capture_output=True, text=True, timeout=30)
        assert done.returncode == code, done
        return done.stdout if code == 0 else done.stderr

    def json(self, *words, **more):
        return json.loads(self.types(*words, "--json", **more))


@pytest.fixture
def day(start_warp, origins, tmp_path):
    """Two sites with certificates of their own; a RAM tier that one of them alone could fill."""
    authority = Authority()

    def site_of(host, rules=(), **more):
        origin = origins()
        origin.serve(lambda seen: seen.answer(200, {"Cache-Control": "max-age=600", "Surrogate-Key": f"all t{len(seen.target)}"},
                                              f"{host} {seen.target} ".encode() * 500))
        path = authority.issue(host).write(tmp_path / f"{host}.crt")
        certificates = [{"cert": str(path), "key": str(path.with_suffix(".key"))}]
        return tenant(origin, host, rules=rules, certificates=certificates, **more), origin

    (shop, shop_origin), (news, news_origin) = site_of(SHOP), site_of(NEWS, guaranteed="30%")
    config = {"tenants": {"shop": shop, "news": news}}
    site = Site(start_warp, tmp_path / "warp.yaml", config, tls=True, args=("--memory", "8m"),
                cache=("--cache-dir", str(tmp_path / "cache"), "--cache-size", "64m"))
    site.config, site.context = config, authority.context()
    site.token = (tmp_path / "cache/admin.token").read_text().strip()
    site.shop_origin, site.news_origin = shop_origin, news_origin
    return site


def visit(day, host, targets):
    """As browsers do: one connection over TLS. Returns how many were hits; bytes are right in any case."""
    hits = 0
    with day.warp.tls_client(day.context, host) as client:
        for target in targets:
            got = client.get(target, host=host)
            assert got.status == 200 and got.body == f"{host} {target} ".encode() * 500, target
            hits += got.is_hit
    return hits


def hit_ratio(day):
    """Of the visitors of news, once round."""
    return visit(day, NEWS, [f"/hot/{i}" for i in range(HOT)]) / HOT


def test_a_day(day):
    people = People(day.warp, day.token)
    # In the morning the operator looks whether all is well, and gives each tenant a token.
    assert "fine" in people.types("check", str(day.path))
    assert {row["name"] for row in people.json("tenants")["tenants"]} == {"shop", "news"}
    tokens = {name: people.json("tokens", "create", "--name", f"{name}-ci", "--right", "purge", "--right", "read", "--tenant", name)["token"]
              for name in ("shop", "news")}

    # Visitors come, over TLS, each site with its own certificate.
    hot = [f"/hot/{i}" for i in range(HOT)]
    visit(day, SHOP, hot), visit(day, NEWS, hot)
    assert visit(day, SHOP, hot) == HOT and visit(day, NEWS, hot) == HOT
    with pytest.raises(ssl.SSLError):
        with day.warp.tls_client(day.context, "nobody.test") as client:
            client.get("/", host="nobody.test")

    # shop purges a tag: its own objects are gone, those of news with the same tag are not.
    assert "purged" in people.types("purge", "--tag", "t6", "--tenant", "shop", token=tokens["shop"])
    assert visit(day, SHOP, ["/hot/1"]) == 0 and visit(day, SHOP, ["/hot/11"]) == 1 and visit(day, NEWS, ["/hot/1"]) == 1
    # news may not purge for shop, nor see that there is one; shop may not make tokens.
    said = people.types("purge", "--tag", "t6", "--tenant", "shop", token=tokens["news"], code=1)
    assert re.search("40[34]|no such tenant", said), said
    assert visit(day, SHOP, ["/hot/1"]) == 1
    assert "40" in people.types("tokens", "create", "--name", "x", "--right", "admin", token=tokens["shop"], code=1)
    purges = people.json("purges")["purges"]
    assert any(purge["tenant"] == "shop" and "shop-ci" in (purge["who"] or "") for purge in purges), purges
    assert all(purge["tenant"] == "news" for purge in people.json("purges", token=tokens["news"])["purges"])

    # shop floods the cache with URLs that nobody asks for twice; the visitors of news do not feel it.
    before = hit_ratio(day)
    for part in range(10):
        visit(day, SHOP, [f"/flood/{part}/{i}" for i in range(FLOOD // 10)])
        during = hit_ratio(day)
        assert during >= 0.97 * before, (part, before, during)

    # A bad reload is refused, with the line; a good one applies.
    day.write("tenants:\n  shop:\n    hosts: shop.test\n    orgins: x\n")
    said = people.types("reload", code=2)
    assert f"{day.path}:4:5: tenants.shop.orgins: unknown setting; did you mean origins?" in said
    assert visit(day, NEWS, ["/hot/1"]) == 1
    first = people.json("config", "versions")["versions"][0]["version"]
    changed = yaml.safe_load(yaml.safe_dump(day.config))
    changed["tenants"]["shop"]["rules"] = [{"key": {"query-drop": ["utm_*"]}}]
    day.write(changed)
    people.types("reload")
    assert "query-drop" in people.types("config", "diff", str(first), str(first + 1))

    # What news has purged meanwhile does not come back with the configuration of the morning.
    assert visit(day, NEWS, ["/hot/7"]) == 1
    people.types("purge", f"https://{NEWS}/hot/7", token=tokens["news"])
    people.types("config", "rollback", str(first))
    fetched = day.news_origin.count
    assert visit(day, NEWS, ["/hot/7"]) == 0 and day.news_origin.count == fetched + 1
    assert visit(day, NEWS, ["/hot/8"]) == 1
    # Nor do the shop's old objects: its key rules have changed twice since.
    fetched = day.shop_origin.count
    assert visit(day, SHOP, ["/hot/11"]) == 0 and day.shop_origin.count == fetched + 1

    # In the evening the operator reads who did what.
    told = people.types("audit")
    for word in ("shop-ci", "reload", "roll"):
        assert word in told, (word, told)
