"""The configuration: what `warp check` says of files, the examples, the JSON Schema for editors, the pages of the manual."""
import json
import pathlib
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

import pki
from warp import BINARY, ROOT, free_port

EXAMPLES = sorted((ROOT / "docs/examples").glob("*.yaml"))
INCLUDED = sorted((ROOT / "docs/examples/tenants").glob("*.yaml"))
SCHEMA = json.loads((ROOT / "docs/reference/config.schema.json").read_text())


def warp(*args, **options):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=60, **options)


def check(*args, **options):
    return warp("check", *args, **options)


@pytest.fixture
def write(tmp_path):
    """write(text) makes warp.yaml; write(text, name) another file beside it."""
    def make(text, name="warp.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return make


def keys_as_text(value):
    """YAML of Python knows numbers as keys (404: 10s); to editors and to WARP a key is a text."""
    if isinstance(value, dict):
        return {str(key): keys_as_text(item) for key, item in value.items()}
    return [keys_as_text(item) for item in value] if isinstance(value, list) else value


def schema_errors(text):
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(keys_as_text(yaml.safe_load(text)))]


@pytest.fixture
def installed(tmp_path):
    """The examples on a machine that has the files they name; returns where they are."""
    examples, machine, authority = tmp_path / "examples", tmp_path / "machine", pki.Authority()
    shutil.copytree(ROOT / "docs/examples", examples)
    machine.mkdir()
    authority.write(examples / "internal-ca.pem")
    for path in examples.rglob("*.yaml"):
        text = path.read_text().replace("/etc/warp/", f"{machine}/").replace("/var/log/warp/", f"{machine}/")
        path.write_text(text)
        for certificate in re.findall(rf"{machine}/\S+\.crt", text):
            authority.issue(pathlib.Path(certificate).stem).write(certificate)
    return examples


def test_examples_are_fine(installed):
    assert len(EXAMPLES) == 5 and len(INCLUDED) == 2
    for path in EXAMPLES:
        path = installed / path.name
        done = check(path)
        assert (done.returncode, done.stderr) == (0, ""), path
        assert done.stdout.startswith(f"{path}: fine\n")


def test_examples_without_their_files():
    """Nothing else is wrong with them."""
    for path in EXAMPLES:
        for line in check(path).stderr.splitlines():
            assert "No such file or directory" in line or "is not there" in line, line


def test_examples_from_anywhere(installed, tmp_path):
    done = check("--json", installed / "many-tenants.yaml", cwd=tmp_path)
    found, = json.loads(done.stdout)
    assert found["fine"] and found["problems"] == [] and found["tenants"] == 3 and found["files"] == 3
    assert found["hosts"] == 4 and found["rules"] == 8
    assert found["listeners"] == [{"address": ":80", "tls": False}, {"address": ":443", "tls": True}]
    memory = found["memory_bytes"]
    assert memory["ram_tier"] == 8 << 30
    assert memory["total"] == sum(size for part, size in memory.items() if part != "total")


def test_schema_takes_the_examples():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for path in EXAMPLES + INCLUDED:
        assert schema_errors(path.read_text()) == [], path


def test_pages_are_current():
    for name in ("config.md", "config.schema.json"):
        done = warp("reference", name)
        assert done.returncode == 0
        assert done.stdout == (ROOT / "docs/reference" / name).read_text(), f"tools/reference.py writes {name}"
    assert warp("reference", "else").returncode == 2


# Each is refused by the parser, with this line, and by the schema.
T = "origin: a:1\ntenants:\n  shop:\n    hosts: shop.example\n"
BAD = [
    ("lisen: :80\n", "1:1: lisen: unknown setting; did you mean listen?"),
    ("memory: much\n", "1:9: memory: \"much\" is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t"),
    ("workers: 0\n", "1:10: workers: \"0\" is not such a number; write digits only, from 1 to 1024"),
    ("workers: 1025\n", "1:10: workers: \"1025\" is not such a number; write digits only, from 1 to 1024"),
    ("no-websocket: yess\n", "1:15: no-websocket: \"yess\" is neither; write true or false"),
    ("listen: []\n", "1:9: listen: is an empty list; write ADDR, or leave the line out for the default"),
    ("admin:\n", "1:7: admin: has no value; write ADDR, or leave the line out for the default"),
    ("io: poll\n", "1:5: io: \"poll\" is not an I/O backend; write auto, uring or epoll"),
    ("config: other.yaml\n", "1:1: config: a file cannot name another one so; write include: FILE"),
    ("tenants: []\n", "1:10: tenants: is not a mapping; write the names of tenants, and below each what it has"),
    ("tenants: {}\n", "1:10: tenants: is empty; write names of tenants, and below each what it has, or leave the line out"),
    ("trusted-proxies: proxy.example\n", "1:18: trusted-proxies: \"proxy.example\" is not an address; write an address, or one with the "
     "length of its prefix: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32"),
    (T + "    host: x\n", "5:5: tenants.shop.host: unknown setting; did you mean hosts?"),
    (T + "    guaranteed: 101%\n", "5:17: tenants.shop.guaranteed: \"101%\" is not from 0% to 100%; write a percentage: 10%"),
    (T + "    memory-hard: lots\n", "5:18: tenants.shop.memory-hard: \"lots\" is not a share; write a size or a percentage: 2g, 256m, 10%"),
    (T + "    rate: 100\n", "5:11: tenants.shop.rate: \"100\" is not a rate; write requests a second, minute or hour: 100/s, 20/m, 500/h"),
    (T + "    rate-burst: 5\n", "5:5: tenants.shop.rate-burst: is there without rate; write rate: as well"),
    (T + "    certificates: {cert: a.pem}\n", "5:19: tenants.shop.certificates.key: is missing; write a path"),
    (T + "    rules: {ttl: 5}\n", "5:18: tenants.shop.rules.ttl: \"5\" is not a time; write a number with ms, s, m, h, d or w: 250ms, 30s, 5m, 2h, 7d, 1w"),
    (T + "    rules: [{match: {path: img}}]\n", "5:28: tenants.shop.rules[0].match.path: \"img\" is not a pattern of a path; write a path that "
     "begins with /, * for any run without /, ** for any run: /img/**"),
    (T + "    rules: [{match: {path: \"/a?b\"}}]\n", "5:28: tenants.shop.rules[0].match.path: \"/a?b\" has more than a path; match the query by query:"),
    (T + "    rules: [{match: {path: /a/../b}}]\n", "5:28: tenants.shop.rules[0].match.path: \"/a/../b\" has a dot segment, which is resolved "
     "before paths are compared; write the path without"),
    (T + "    rules: [{match: {method: get}}]\n", "5:30: tenants.shop.rules[0].match.method: \"get\" is in small letters, and methods are "
     "compared with their case; write GET, HEAD, POST"),
    (T + "    rules: [{redirect: {status: 301}}]\n", "5:24: tenants.shop.rules[0].redirect.to: is missing; write a text"),
    (T + "    rules: [{redirect: {to: /b, status: 200}}]\n", "5:41: tenants.shop.rules[0].redirect.status: \"200\" is not the status of a "
     "redirect; write 301, 302, 303, 307 or 308"),
    (T + "    rules: [{redirect: {to: /b}, ttl: 1s}]\n", "5:34: tenants.shop.rules[0].ttl: is there with redirect, which asks neither cache nor "
     "origin; write another rule for it"),
    (T + "    rules: [{key: {query-keep: a, query-drop: b}}]\n", "5:35: tenants.shop.rules[0].key.query-drop: is there with query-keep, which "
     "drops all others already; write one of them"),
    (T + "    rules: [{set-cookie: maybe}]\n", "5:26: tenants.shop.rules[0].set-cookie: \"maybe\" is not a policy; write origin, drop or never"),
    (T + "    rules: [{ttl-status: {600: 1s}}]\n", "5:27: tenants.shop.rules[0].ttl-status.600: \"600\" is not a status; write one from 200 to "
     "599, or 2xx, 3xx, 4xx, 5xx"),
    (T + "    rules: [{request-fields: {set: {cdn-LOOP: x}}}]\n", "5:37: tenants.shop.rules[0].request-fields.set.cdn-LOOP: \"cdn-LOOP\" cannot "
     "be changed: it is written by WARP"),
    (T + "    rules: [{response-fields: {remove: [Server, age]}}]\n", "5:49: tenants.shop.rules[0].response-fields.remove[1]: \"age\" cannot be "
     "changed: it is written by WARP"),
    (T + "    rules: [{response-fields: {add: {X-A: \"a\\r\\nb\"}}}]\n", "5:43: tenants.shop.rules[0].response-fields.add.X-A: \"a\\x0d\\x0ab\" holds a "
     "control character, which a field cannot; write it without"),
    (T + "  bad name: {hosts: b.example}\n", "5:3: tenants.bad name: \"bad name\" is not a name; write 1 to 64 letters, digits, -, _ or ., "
     "beginning with a letter or digit"),
    (T + "    origins: [\"http://a/path\"]\n", "5:15: tenants.shop.origins[0]: \"http://a/path\" has a path, which an origin does not: what "
     "clients ask for is passed on as it is; write it without"),
    (T.replace("shop.example", "bücher.example"), "4:12: tenants.shop.hosts: \"b\\xc3\\xbccher.example\" is not in ASCII; write it as it is asked "
     "for, in punycode: xn--..."),
    (T.replace("shop.example", "shop.example:80"), "4:12: tenants.shop.hosts: \"shop.example:80\" has a port, or is an IPv6 address without "
     "brackets; write www.example or [2001:db8::1]"),
]


@pytest.mark.parametrize("text, line", BAD, ids=[line.split(": ", 2)[1] for _, line in BAD])
def test_bad_documents(write, text, line):
    path = write(text)
    done = check(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path}:{line}\n"
    assert schema_errors(text) != []


# What the schema cannot know.
WHOLE = [
    ("origin: a\ntenants:\n  a: {hosts: x.example}\n  b: {hosts: [y.example, X.Example]}\n",
     ["4:26: tenants.b.hosts: \"x.example\" belongs to tenant a already ({path}:3:3); a host is of one tenant"]),
    ("tenants:\n  a: {hosts: x.example}\n",
     ["2:3: tenants.a.origins: there are none, and no origin at the top either; write one of them: http://host:port or https://host"]),
    ("origin: a\ntenants:\n  a: {hosts: x.example, guaranteed: 40%}\n  b: {hosts: y.example, guaranteed: 31%}\n",
     ["4:25: tenants.b.guaranteed: all tenants together are guaranteed 71%; write at most 70% in all"]),
    ("origin: a\ndefault-tenant: shp\ntenants:\n  shop: {hosts: x.example}\n",
     ["2:17: default-tenant: there is no tenant of that name; did you mean shop?"]),
    ("origin: a\ntenants:\n  a: {hosts: x.example, memory-soft: 2g, memory-hard: 1g}\n",
     ["3:25: tenants.a.memory-soft: is above memory-hard; write less, or leave one of them out"]),
    ("origin: a\ntenants:\n  a: {}\n", ["3:3: tenants.a.hosts: there are none, so that no request is the tenant's; write its hosts, or name it "
                                       "in default-tenant"]),
    ("origin: a\ntenants:\n  a: {hosts: \"*.x.example\"}\n  a: {hosts: y.example}\n",
     ["4:3: tenants.a: is here twice, first in {path}:3:3; write it once"]),
]


@pytest.mark.parametrize("text, lines", WHOLE, ids=[lines[0].split(": ")[1] for _, lines in WHOLE])
def test_the_whole(write, text, lines):
    path = write(text)
    done = check(path)
    assert done.returncode == 2
    assert done.stderr == "".join(f"{path}:{line.format(path=path)}\n" for line in lines)


def test_all_at_once_in_several_files(write):
    write("tenants:\n\tshop: {}\n", "t/b.yaml")
    write("tenants:\n  blog: {hosts: x.example, ttl: 1s}\nlisen: x\n", "t/a.yaml")
    first = write("memory: much\ninclude: [t/*.yaml, none/*.yaml, gone.yaml]\norigin: a\n")
    done = check(first)
    folder = first.parent
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{first}:1:9: memory: \"much\" is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t",
        f"{first}:2:34: include: \"{folder}/gone.yaml\" cannot be read: is not there; name plain files of at most 16 MiB",
        f"{folder}/t/a.yaml:2:28: tenants.blog.ttl: unknown setting; what there is: hosts, certificates, origins, origin-host, origin-ca, "
        "origin-cert, origin-key, origin-name, origin-insecure, origin-http1, origin-concurrency, requests ...",
        f"{folder}/t/a.yaml:3:1: lisen: unknown setting; did you mean listen?",
        f"{folder}/t/b.yaml:2:1: yaml: a tab; indent with spaces",
    ]


def test_a_file_is_included_once(write):
    write("include: ../warp.yaml\n", "t/a.yaml")
    (write("memory: 1g\n", "t/b.yaml").parent / "c.yaml").symlink_to("b.yaml")
    first = write("include: t/*.yaml\n")
    done = check(first)
    folder = first.parent
    assert done.stderr.splitlines() == [
        f"{first}:1:10: include: \"{folder}/t/c.yaml\" is included twice; write each file once, and patterns that leave out what is named",
        f"{folder}/t/a.yaml:1:10: include: \"{folder}/t/../warp.yaml\" includes itself; write each file once",
    ]


def test_json(write):
    path = write("lisen: x\n")
    good = write("memory: 1g\n", "good.yaml")
    done = check(path, "--json", good, path.parent / "gone.yaml")
    bad, fine, gone = json.loads(done.stdout)
    assert done.returncode == 2
    assert bad == {"file": str(path), "fine": False, "more_problems": 0, "problems": [
        {"file": str(path), "line": 1, "column": 1, "path": "lisen", "problem": "unknown setting; did you mean listen?"}]}
    assert fine["fine"] and fine["tenants"] == 0
    assert gone["problems"][0]["problem"].startswith("cannot be read: is not there")


def test_several_files_and_none(write):
    good, bad = write("memory: 1g\n"), write("memory: x\n", "bad.yaml")
    done = check(good, bad)
    assert done.returncode == 2 and done.stdout.startswith(f"{good}: fine\n") and done.stderr.startswith(f"{bad}:1:9: memory: ")
    assert check(good).returncode == 0
    assert check().returncode == 2
    assert "--json" in check("--jsn", good).stderr


TENANT = "tenants:\n  shop:\n    hosts: a.test\n    origins: %s\n"


@pytest.mark.parametrize("text, said", [
    ("origin: ftp://x\n", '1:9: origin: "ftp://x" is not an origin; write http://host:port'),
    ("admin: nonsense\n", '1:8: admin: "nonsense" is not an address; write 127.0.0.1:8000'),
    ("listen: foo\n", '1:9: listen: "foo" is not an address'),
    ("listen: [':1', ':99999']\n", '1:16: listen[1]: ":99999" is not an address'),
    ("listen-tls: ':0'\n", "1:13: listen-tls: needs a certificate"),
    ("memory: 1g\ncert: one.crt\n", "2:7: cert: needs --key FILE"),
    ("key: one.key\n", "1:6: key: needs --cert FILE"),
    ("listen-tls: ':0'\ncert: /nowhere/one.crt\nkey: /nowhere/one.key\n", "2:7: cert: "),
    ("admin-cert: /nowhere/one.crt\nadmin-key: /nowhere/one.key\n", "1:13: admin-cert: "),
    ("listen-tls: ':0'\n" + TENANT % "http://x" + "    certificates:\n      - key: /nowhere/a.key\n        cert: /nowhere/a.crt\n",
     "8:15: tenants.shop.certificates[0].cert: "),
    (TENANT % "https://x" + "    origin-ca: /nowhere/ca.pem\n", "5:16: tenants.shop.origin-ca: "),
    (TENANT % "http://x" + "    origin-ca: /nowhere/ca.pem\n", "5:16: tenants.shop.origin-ca: "),
    ("origin-ca: /nowhere/ca.pem\n", "1:12: origin-ca: "),
    ("access-log: /nowhere/log\n", "1:13: access-log: /nowhere/log: No such file or directory"),
    ("memory: 1g\n" + TENANT % "http://x" + "    guaranteed: 30%\n    memory-hard: 100m\n",
     "7:18: tenants.shop.memory-hard: is below what is guaranteed (30% of memory: 322122540 bytes)"),
    ("listen: [" + ", ".join(f"':{n}'" for n in range(1, 18)) + "]\n", "1:9: listen: listen, listen-tls: at most 16 addresses"),
])
def test_what_run_refuses_check_refuses_with_the_place(write, text, said):
    path = write(text)
    checked = check(path)
    assert checked.returncode == 2 and f"{path}:{said}" in checked.stderr, checked.stderr
    ran = warp("run", "--config", path)
    assert ran.returncode == 2 and f"{path}:{said}" in ran.stderr, ran.stderr


def test_a_key_of_another_certificate(write, tmp_path):
    authority = pki.Authority()
    one, other = (authority.issue(name).write(tmp_path / f"{name}.crt") for name in ("a.test", "b.test"))
    path = write(f"listen-tls: ':0'\ncert: {one}\nkey: {other.with_suffix('.key')}\n")
    checked = check(path)
    assert checked.returncode == 2 and f"{path}:2:7: cert: " in checked.stderr, checked.stderr
    assert check(write(f"listen-tls: ':0'\ncert: {one}\nkey: {one.with_suffix('.key')}\n")).returncode == 0


def test_run_says_the_same(write):
    path = write("lisen: x\nmemory: much\n")
    done = warp("run", "--config", path, "--cache-dir", "none", "--workers", "none", "--listen", f"127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "warp: --workers: \"none\" is not such a number; write digits only, from 1 to 1024",
        f"warp: {path}:1:1: lisen: unknown setting; did you mean listen?",
        f"warp: {path}:2:9: memory: \"much\" is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t",
    ]


def test_addresses_that_clash(write):
    """Said by check, and by run before anything is waited for."""
    port = free_port()
    path = write(f"listen: ['127.0.0.1:{port}']\nlisten-tls: ':{port}'\n")
    said = f"{path}:2:13: listen-tls: :{port} cannot be listened on beside listen 127.0.0.1:{port}: one is the other, or part of it; " \
           "write another port, or another address"
    assert check(path).stderr.splitlines() == [said] and check(path).returncode == 2
    done = warp("run", "--config", path, "--cache-dir", "none")
    assert (done.returncode, done.stderr.splitlines()) == (2, [f"warp: {said}"])
    done = warp("run", "--listen", f"127.0.0.1:{port}", "--admin", f"0.0.0.0:{port}", "--cache-dir", "none")
    assert (done.returncode, done.stderr.splitlines()) == (2, [
        f"warp: --admin: 0.0.0.0:{port} cannot be listened on beside --listen 127.0.0.1:{port}: one is the other, or part of it; "
        "write another port, or another address"])


def many_tenants(count):
    for i in range(count):
        yield (f"tenants:\n  t{i}:\n    hosts: [www.t{i}.example, \"*.t{i}.example\"]\n    origins: http://10.0.0.1:80\n    rate: 100/s\n"
               "    rules:\n      - match: {path: /img/**}\n        ttl: 1h\n      - key: {query-drop: utm_*}\n")


def test_ten_thousand_tenants(write):
    """In one file, and in as many: all are there, in little memory. What it takes is measured by tests/bench."""
    for name, text in enumerate(many_tenants(10000)):
        write(text, f"t/{name}.yaml")
    one = write("".join(text if i == 0 else text.split("\n", 1)[1] for i, text in enumerate(many_tenants(10000))), "one.yaml")
    done = check("--json", write("include: t/*.yaml\n"), one)
    assert done.stderr == ""
    for found, files in zip(json.loads(done.stdout), (10001, 1)):
        assert (found["tenants"], found["hosts"], found["rules"], found["files"]) == (10000, 20000, 20000, files)
        assert found["memory_bytes"]["tenants"] < 2 * 10000 * 8192
