"""A real browser in front of the demo site, over TLS and HTTP/2."""
import re

import pytest

from browser import PROGRAM, Browser
from pki import Authority
from warp import ROOT

HOST = "demo.test"
SITE = ROOT / "src/demo/site"
# What the page itself names, and what its script asks for on its own.
NAMED = sorted(set(re.findall(r'(?:src|rel="stylesheet" href)="(/[^"]+)"', (SITE / "index.html").read_text())))
FETCHED = re.findall(r'"(/[^"]*)"', re.search(r"addresses = \[(.*?)\]", (SITE / "app.js").read_text()).group(1))


@pytest.fixture
def issued():
    return Authority().issue(HOST)


@pytest.fixture
def site(start_warp, issued, tmp_path):
    """WARP before its own demo origin."""
    path = issued.write(tmp_path / "site.crt")
    return start_warp(tls=True, args=("--cert", str(path), "--key", str(path.with_suffix(".key"))))


@pytest.fixture
def browser(issued, tmp_path):
    assert PROGRAM, "chromium-headless-shell is missing: tools/deps.sh installs it"
    folder = tmp_path / "browser"
    folder.mkdir()
    browser = Browser(folder, HOST, issued)
    yield browser
    browser.close()


def opened(browser, site):
    """The whole page: what it names, and everything that its script fetches; the icon may come or not."""
    base = f"https://{HOST}:{site.tls_port}"
    wanted = {base + path for path in ["/", *NAMED, *FETCHED]}
    found = browser.load(base + "/", lambda found: wanted <= set(found))
    return {url[len(base):]: resource for url, resource in found.items()}


def test_the_page_comes_whole_over_http2_and_then_from_the_store(site, browser):
    assert len(NAMED) >= 8 and len(FETCHED) >= 8
    first = opened(browser, site)
    for path, resource in first.items():
        assert resource.error is None and resource.status == (404 if path == "/nowhere" else 200), resource
        assert resource.protocol == "h2", resource

    # The browser says so itself to scripts; the images have a size, the style is applied: the bodies were right.
    protocols = browser.run("performance.getEntries().filter(e => e.nextHopProtocol).map(e => e.nextHopProtocol)")
    assert len(protocols) >= len(NAMED) and set(protocols) == {"h2"}
    assert browser.run("[...document.images].map(i => i.complete && i.naturalWidth > 0)") == [True] * len(
        re.findall("<img ", (SITE / "index.html").read_text()))
    assert browser.run("document.styleSheets.length") == 1 and browser.run("document.styleSheets[0].cssRules.length") > 20

    # Past the browser's own cache all that is fresh comes from the store: nothing of the site is asked for again.
    browser.command("Network.setCacheDisabled", cacheDisabled=True)
    hits = site.outcome("hit")
    second = opened(browser, site)
    for path in ["/", *NAMED]:
        assert second[path].status == 200 and second[path].protocol == "h2" and not second[path].of_browser, second[path]
        assert second[path].is_hit, second[path]
    assert site.outcome("hit") >= hits + 1 + len(NAMED)
