"""The commands that ask a running WARP, completions, man pages."""
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from test_api import TWO, start_api  # noqa: F401
from wait import until
from warp import BINARY, ROOT, Warp


def run(*args, stdin=None, **env):
    return subprocess.run([BINARY, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=30, env={**os.environ, **env})


@pytest.fixture
def cli(start_api):  # noqa: F811
    """cli(...) runs a command against a WARP with two tenants."""
    api = start_api(TWO)

    def command(*args, code=0, stdin=None, token=None):
        done = run(*args, stdin=stdin, WARP_ADMIN=f"127.0.0.1:{api.warp.admin_port}", WARP_TOKEN=token or api.token)
        assert done.returncode == code, done
        return done.stdout if code == 0 else done.stderr

    command.api = api
    command.path = start_api.path
    return command


def rows(text):
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_tenants(cli, tmp_path):
    table = rows(cli("tenants"))
    assert table[0] == ["NAME", "HOSTS", "REQUESTS", "HITS", "RAM", "DISK", "ORIGINS UP"]
    assert {row[0]: row[1:] for row in table[1:]} == {name: [hosts, "0", "0.0 %", "0 B", "0 B", "1/1"] for name, hosts in (("shop", "2"), ("blog", "1"))}
    assert cli("tenants", "list") == cli("tenants")
    assert {t["name"] for t in json.loads(cli("tenants", "--json"))["tenants"]} == {"shop", "blog"}
    shown = dict(row for row in rows(cli("tenants", "show", "shop")) if len(row) == 2)
    assert shown["name"] == "shop" and shown["limits.guaranteed_percent"] == "10" and shown["config.rules.0.ttl"] == "1h"
    file = tmp_path / "new.yaml"
    file.write_text("hosts: new.test\n")
    assert "fine" in cli("tenants", "set", "new", file, "--dry-run")
    cli("tenants", "show", "new", code=1)
    assert cli("tenants", "set", "new", file, "--create").startswith("done; version ")
    assert "there is such a tenant already" in cli("tenants", "set", "new", file, "--create", code=1)
    etag = json.loads(cli("tenants", "show", "new", "--json"))["etag"]
    assert cli("tenants", "set", "new", "-", "--if-match", etag, stdin="{\"hosts\": [\"new.test\", \"more.test\"]}").startswith("done")
    assert "changed meanwhile" in cli("tenants", "set", "new", file, "--if-match", etag, code=1)
    assert cli("tenants", "set", "new", "-", stdin="{\"hosts\": [\"new.test\", \"more.test\"]}").startswith("nothing has changed")
    wrong = cli("tenants", "set", "new", "-", stdin="hots: new.test\n", code=2)
    assert "did you mean hosts?" in wrong and "\nstandard input:1:1: tenants.new.hots" in wrong
    file.write_text("hosts: new.test\nrate: x\n")
    wrong = cli("tenants", "set", "new", file, code=2)
    assert f"\n{file}:2:7: tenants.new.rate" in wrong and "made by the API" not in wrong
    assert f"\n{file}:2:7: tenants.new.rate" in cli("tenants", "set", "new", file, "--dry-run", code=2)
    assert cli("tenants", "delete", "new").startswith("done")
    assert "there is no such tenant" in cli("tenants", "delete", "new", code=1)
    assert "/nonexistent" in cli("tenants", "set", "new", "/nonexistent", code=2)
    for args in (("show",), ("set", "new"), ("nonsense", "x"), ("show", "a", "b"), ("delete", "a", "b"), ("set", "a", "b", "c")):
        assert "usage: warp tenants" in cli("tenants", *args, code=2)


def test_tokens(cli):
    assert rows(cli("tokens")) == [["ID", "NAME", "RIGHTS", "TENANTS", "EXPIRES (UTC)", "LAST USED"]]
    token = cli("tokens", "create", "--name", "ci", "--right", "read", "--right", "purge", "--tenant", "shop", "--expires", "30d").strip()
    assert re.fullmatch("warp_[0-9a-f]{48}", token)
    row = rows(cli("tokens"))[1]
    assert row[1:4] == ["ci", "read, purge", "shop"] and re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", row[4]) and row[5] == "-"
    assert [r[0] for r in rows(cli("tenants", token=token))] == ["NAME", "shop"]
    assert "has not the right" in cli("reload", token=token, code=1)
    assert json.loads(cli("tokens", "--json"))["tokens"][0]["name"] == "ci"
    assert "there is a token with the name" in cli("tokens", "create", "--name", "ci", "--right", "read", code=1)
    assert "there is no tenant sohp; did you mean shop?" in cli("tokens", "create", "--name", "x", "--right", "read", "--tenant", "sohp", code=1)
    assert "there is no tenant nothing-like; " in cli("tokens", "create", "--name", "x", "--right", "read", "--tenant", "nothing-like", code=1)
    cli("tokens", "create", "--name", "short", "--right", "read", "--expires", "1ms")
    until(lambda: {row[1]: row[4].endswith(" expired") for row in rows(cli("tokens"))[1:]} == {"ci": False, "short": True}, "one has expired")
    assert cli("tokens", "revoke", "ci").startswith("revoked ")
    assert "no such token" in cli("tokens", "revoke", "ci", code=1)
    cli("tenants", token=token, code=1)
    for args in (("create",), ("create", "--name", "x"), ("revoke",), ("nonsense",), ("create", "x", "--name", "y")):
        assert "usage: warp tokens" in cli("tokens", *args, code=2)


def test_reload_and_versions(cli):
    assert cli("reload").startswith("nothing has changed")
    cli.path.write_text(TWO.replace("1000/s", "7/s"))
    assert cli("reload").startswith("done; version ")
    table = rows(cli("config"))
    assert table[0][0] == "VERSION" and table[1][1] == "in force" and len(table) == 3
    new, old = table[1][0], table[2][0]
    assert "rate: 7/s" in cli("config", "show") and "rate: 1000/s" in cli("config", "show", old)
    lines = cli("config", "diff", old, new).splitlines()
    assert "-    rate: 1000/s" in lines and "+    rate: 7/s" in lines and cli("config", "diff", old) == cli("config", "diff", old, new)
    assert json.loads(cli("config", "diff", old, "--json"))["from"] == int(old)
    assert cli("config", "rollback", old).startswith("done")
    assert "rate: 1000/s" in cli("config", "show")
    cli.path.write_text(TWO + "  blgo:\n    hots: x\n")
    assert f"{cli.path}:14:5: tenants.blgo.hots" in cli("reload", code=2)
    assert "there is no version 99" in cli("config", "show", "99", code=1)
    for args in (("show", "x"), ("diff",), ("rollback",), ("nonsense",), ("rollback", "1", "2")):
        assert "usage: warp config" in cli("config", *args, code=2)
    audit = rows(cli("audit"))
    assert [row[3] for row in audit[1:]][:2] == ["reload", "reload"] and "result=invalid" in audit[-1][4]
    assert len(rows(cli("audit", "--since", audit[1][0]))) == len(audit) - 1
    assert [json.loads(line)["number"] for line in cli("audit", "--json").splitlines()] == [int(row[0]) for row in audit[1:]]
    assert "usage: warp audit" in cli("audit", "--since", "x", code=2)
    assert len(audit) > 3
    assert rows(cli("audit", "--limit", "2"))[1:] == audit[-2:] and rows(cli("audit", "--limit", "999")) == audit
    assert rows(cli("audit", "--limit", "2", "--since", audit[1][0]))[1:] == audit[2:4]
    for limit in ("x", "0"):
        assert "usage: warp audit" in cli("audit", "--limit", limit, code=2)


def test_check_reads_standard_input(tmp_path):
    done = run("check", "-", stdin="origin: http://o.test\n" + "# long\n" * 30000 + "memory: 5m\n")
    assert done.returncode == 0 and done.stdout.startswith("standard input: fine"), done
    done = run("check", "-", stdin="lissten: x\n")
    assert done.returncode == 2 and done.stderr.startswith("standard input:1:1: lissten: "), done
    (tmp_path / "more.yaml").write_text("nonsense: x\n")
    done = run("check", "--json", "-", stdin=f"include: {tmp_path}/more.yaml\n")
    assert done.returncode == 2 and json.loads(done.stdout)[0]["problems"][0]["file"] == f"{tmp_path}/more.yaml", done
    done = run("check", "-", stdin="#" * (16 * 1024 * 1024 + 1))
    assert done.returncode == 2 and "standard input" in done.stderr, done


def tried(warp, tmp_path, env=()):
    """What the start says to try, tried."""
    path = tmp_path / "stdout"
    with path.open("wb") as stdout:
        warp.start(stdout=stdout)
    until(lambda: path.read_text().count("  curl ") == 3, "what to try")
    commands = [line.strip() for line in path.read_text().split("Try:")[1].strip().splitlines()]
    done = [subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**warp.env, **dict(env)}) for command in commands]
    warp.stop()
    assert done[0].stdout.startswith("HTTP/1.1 "), (commands[0], done[0])
    assert "hit_ratio" in done[1].stdout, (commands[1], done[1])
    assert "warp_requests_total" in done[2].stdout, (commands[2], done[2])
    return path.read_text()


@pytest.mark.parametrize("given", ["nothing", "file", "variable", "socket", "sockets", "closed"])
def test_what_the_start_says_works(origin, tmp_path, given):
    (tmp_path / "warp.yaml").write_text(f"tenants: {{shop: {{hosts: shop.test, origins: '{origin.url}'}}}}\n")
    (tmp_path / "token").write_text("sesame\n")
    args = {"file": ["--admin-token-file", str(tmp_path / "token")], "closed": ["--metrics-auth"]}.get(given, [])
    warp = Warp(tmp_path, args=["--config", str(tmp_path / "warp.yaml"), *args], env={"WARP_TOKEN": "sesame"} if given == "variable" else {})
    if given in ("socket", "sockets"):
        admin = f"{tmp_path}/admin.sock"
        warp.argv[warp.argv.index("--admin") + 1] = f"unix:{admin}"
        warp._is_up = lambda: os.path.exists(admin)
    if given == "sockets":
        warp.argv[warp.argv.index("--listen") + 1] = f"unix:{tmp_path}/data.sock"
    shown = tried(warp, tmp_path)
    assert "http://unix:" not in shown.split("Try:")[1] and "sesame" not in shown


def test_stats_of_a_tenant(cli):
    assert dict(row for row in rows(cli("stats", "--tenant", "shop")) if len(row) == 2)["tenant"] == "shop"
    assert json.loads(cli("stats", "--tenant", "shop", "--json"))["requests"]["all"] == 0
    assert json.loads(cli("stats", "--json"))["tenants"] == 2
    assert "no such tenant" in cli("stats", "--tenant", "none", code=1)


def test_what_an_owner_writes_steers_no_terminal(cli, tmp_path):
    """Nor turns a line around; what is harmless is shown as it was written."""
    cli("tenants", "set", "new", "-", stdin=json.dumps({"hosts": "new.test", "rules": [{"response-fields": {
        "set": {"X-A": "caf\u00e9", "X-B": "a\u009b31mb", "X-C": "a\u202eb"}}}]}))
    for shown in (cli("tenants", "show", "new"), cli("config", "show")):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown), shown
    shown = cli("tenants", "show", "new")
    assert "caf\u00e9" in shown and "a\\xc2\\x9b31mb" in shown and "a\\xe2\\x80\\xaeb" in shown


def test_what_is_shown_can_be_used(cli, tmp_path):
    """Configurations are the YAML that they were, ETags are ETags."""
    text = TWO + '  more: {hosts: ["more.test"], rules: [{response-fields: {set: {X: "a\\\\b \\"q\\" \u00e9", Y: "' + "y" * 4000 + '"}}}]}  # a\ttab\r\n'
    cli.path.write_bytes(text.encode())
    cli("reload")
    assert yaml.safe_load(cli("config", "show"))["tenants"] == yaml.safe_load(text)["tenants"]
    assert '+  more: {hosts: ["more.test"], rules: [{response-fields: {set: {X: "a\\\\b \\"q\\"' in cli("config", "diff", "1", "2")
    cli("tenants", "set", "new", "-", stdin="hosts: new.test\n")
    etag = dict(row for row in rows(cli("tenants", "show", "new")) if len(row) == 2)["etag"]
    assert cli("tenants", "set", "new", "-", "--if-match", etag, stdin="hosts: other.test\n").startswith("done")
    assert '"x y" is not a host' in cli("tenants", "set", "new", "-", stdin="hosts: x y\n", code=2)


def test_the_readme(start_warp, origin, tmp_path):
    """Its lines about tenants, against a WARP with flags alone; what was there before is there after."""
    text = (ROOT / "README.md").read_text().split("**Tenants and tokens.**")[1].split("```")[1]
    warp = start_warp(origin, args=["--state-dir", str(tmp_path / "state")])
    env = {**os.environ, "WARP_ADMIN": f"127.0.0.1:{warp.admin_port}", "WARP_TOKEN": warp.token}
    commands = [line.split("   #")[0] for line in text.strip().splitlines()]
    assert len(commands) == 4
    for n, command in enumerate(commands):
        done = subprocess.run(["bash", "-c", command.replace("build/release/warp", BINARY)], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done
        if n == 2:
            assert warp.get("/", host="any.test").status == 421
            assert "shop-ci" in done.stdout and "tenant shop" in done.stdout
    with warp.client() as client:
        client.request("/", host="any.test")
        origin.expect("/").answer(200)
        assert client.read_response().status == 200


# ---- help, completions, man pages -----------------------------------------------------------------------------------


def commands():
    text = run("help").stdout.split("commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in text.splitlines()]


def test_help_of_each_command():
    names = commands()
    assert {"run", "purge", "tenants", "tokens", "reload", "config", "audit", "stats", "completion"} <= set(names)
    for name in names:
        text = run(name, "--help")
        assert text.returncode == 0 and text.stdout.startswith(f"usage: warp {name}") and text.stderr == "", name
        assert run("help", name).stdout == text.stdout
        assert "exit codes:" in text.stdout
    done = run("tenats")
    assert done.returncode == 2 and "did you mean tenants?" in done.stderr
    assert run("help", "nonsense").returncode == 2


def bash_complete(*words):
    script = run("completion", "bash").stdout + "\nCOMP_WORDS=(" + " ".join(f"'{w}'" for w in words) + \
        f")\nCOMP_CWORD={len(words) - 1}\n_warp\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes(tmp_path):
    assert bash_complete("warp", "to") == ["tokens"]
    assert set(bash_complete("warp", "")) == set(commands())
    assert bash_complete("warp", "tokens", "") == ["list", "create", "revoke"]
    assert bash_complete("warp", "tokens", "create", "--ri") == ["--right"]
    assert bash_complete("warp", "purge", "--so") == ["--soft"]
    assert bash_complete("warp", "run", "--cache-d") == ["--cache-dir"]
    assert bash_complete("warp", "tokens", "create", "--name", "") == []
    (tmp_path / "some.yaml").touch()
    assert bash_complete("warp", "run", "--config", f"{tmp_path}/so") == [f"{tmp_path}/some.yaml"]
    some = f"{tmp_path}/so", [f"{tmp_path}/some.yaml"]
    for words in (("check",), ("check", "x"), ("check", "--json"), ("tenants", "set", "shop"), ("tenants", "--create", "set", "--if-match", "x", "shop"),
                  ("run", "--config", "="), ("tenants", "--admin-ca")):
        assert bash_complete("warp", *words, some[0]) == some[1], words
    for words in (("tenants", "show"), ("tenants", "show", "shop"), ("tenants", "set"), ("tenants", "set", "shop", "file"), ("purge",), ("tokens", "revoke"),
                  ("reload",), ("config", "show"), ("config", "diff"), ("audit",), ("audit", "--since"), ("run",), ("completion", "bash")):
        assert bash_complete("warp", *words, some[0]) == [] and bash_complete("warp", *words, "") == [], words
    assert bash_complete("warp", "tokens", "create", "--right", "") == ["read", "purge", "configure", "admin"]
    assert bash_complete("warp", "tokens", "create", "--right", "=", "c") == ["configure"]
    assert bash_complete("warp", "tokens", "create", "--right", "=") == ["read", "purge", "configure", "admin"]
    assert bash_complete("warp", "run", "--io", "") == ["auto", "uring", "epoll"]
    assert bash_complete("warp", "run", "--log-level", "d") == ["debug"]
    assert bash_complete("warp", "run", "--access-log", "of") == ["off"]
    assert bash_complete("warp", "tokens", "--json", "cr") == ["create"]
    assert bash_complete("warp", "help", "ten") == ["tenants"]


def test_words_of_flags_are_those_it_takes():
    for flag, words in (("--io", "auto uring epoll"), ("--log-level", "error warn info debug")):
        assert bash_complete("warp", "run", flag, "") == words.split()
        for word in words.split():
            assert "nonsense" in (done := run("run", flag, word, "--nonsense")).stderr and flag[2:] not in done.stderr, done


def fish_complete(line):
    script = run("completion", "fish").stdout + f"\ncomplete -C '{line}'\n"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


def test_fish_completes(tmp_path):
    assert fish_complete("warp to") == ["tokens"]
    assert {"list", "create", "revoke"} <= set(fish_complete("warp tokens "))
    assert fish_complete("warp tokens create --ri") == ["--right"]
    assert fish_complete("warp purge --so") == ["--soft"]
    assert fish_complete("warp tokens create --right c") == ["configure"]
    assert fish_complete("warp tenants show ") == [] and fish_complete("warp purge ") == []
    (tmp_path / "some.yaml").touch()
    for words, found in (("check", 1), ("tenants set shop", 1), ("tenants show", 0), ("config show", 0), ("tokens revoke", 0)):
        assert fish_complete(f"warp {words} {tmp_path}/so") == [f"{tmp_path}/some.yaml"] * found, words


# A terminal of zsh's own, in which a key is pressed.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D; source {script}; bindkey "^I" complete-word; zle_bracketed_paste=(); echo READY$((1+1))'
zpty -r shell out '*READY2*'
zpty -n -w shell $'{line}\t'
zpty -n -w shell $' ; echo DONE$((1+1))\n'
zpty -r shell out '*DONE2*'
print -r -- $out
zpty -d shell
"""


@pytest.mark.parametrize("line,completed", [("warp toke", "warp tokens"), ("warp tokens cre", "warp tokens create"),
                                            ("warp purge --so", "warp purge --soft"), ("warp tokens create --right conf", "warp tokens create --right configure"),
                                            ("warp check /etc/passw", "warp check /etc/passwd"), ("warp help tena", "warp help tenants"),
                                            ("warp tenants set shop /etc/passw", "warp tenants set shop /etc/passwd"),
                                            ("warp tenants show /etc/passw", "warp tenants show /etc/passw\x07 ;")])
def test_zsh_completes(tmp_path, line, completed):
    script = tmp_path / "warp.zsh"
    script.write_text(run("completion", "zsh").stdout)
    assert subprocess.run(["zsh", "-n", str(script)], capture_output=True).stderr == b""
    done = subprocess.run(["zsh", "-f", "-c", ZSH.replace("{script}", str(script)).replace("{line}", line)], capture_output=True, text=True,
                          timeout=30, env={**os.environ, "TERM": "dumb"})
    assert completed in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout), done


def test_other_shells():
    for args in ((), ("tcsh",), ("bash", "x")):
        assert run("completion", *args).returncode == 2


def test_man_pages_are_current():
    folder = ROOT / "docs/man"
    names = ["warp.1"] + [f"warp-{name}.1" for name in commands()]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        done = run("reference", name)
        assert done.returncode == 0 and done.stdout == (folder / name).read_text(), f"tools/reference.py writes {name}"
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(folder / name)], capture_output=True, text=True)
        assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []
    assert run("reference", "warp-nonsense.1").returncode == 2
    assert shutil.which("mandoc")
