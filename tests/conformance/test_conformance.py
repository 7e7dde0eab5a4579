"""The public HTTP cache suite (npm: http-cache-tests) against the binary; expected.json says what fails and why."""
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

from wait import until  # noqa: E402
from warp import Warp, free_port  # noqa: E402

SUITE = HERE / "node_modules/http-cache-tests"


def listens(port):
    try:
        socket.create_connection(("localhost", port), 1).close()
        return True
    except OSError:
        return False


@pytest.fixture
def suite_server(tmp_path):
    port = free_port()
    env = dict(os.environ, npm_config_protocol="http", npm_config_port=str(port), npm_config_pidfile=str(tmp_path / "pid"))
    process = subprocess.Popen(["node", "server/server.mjs"], cwd=SUITE, env=env, stdout=subprocess.DEVNULL)
    until(lambda: listens(port), "the suite's server")
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture
def warp(tmp_path, suite_server):
    directory = tmp_path / "warp"
    directory.mkdir()
    warp = Warp(directory, [f"http://localhost:{suite_server}"], workers=2).start()
    yield warp
    warp.stop()


def differences(kind, results, expected):
    """What failed and was not expected to, and the other way round."""
    for name, result in results.items():
        if result is not True and name not in expected:
            yield f"{kind} {name}: {json.dumps(result)}"
        if result is True and name in expected:
            yield f"{kind} {name}: passes, take it out of expected.json"
    for name in expected:
        if name not in results:
            yield f"{kind} {name}: in expected.json, not in the suite"


def test_the_public_suite(warp, suite_server, capsys):
    done = subprocess.run(["node", "--no-warnings", "run.mjs", str(suite_server), f"http://127.0.0.1:{warp.port}"],
                          cwd=HERE, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    expected = json.loads((HERE / "expected.json").read_text())
    counts = {kind: f"{sum(r is True for r in results[kind].values())}/{len(results[kind])}" for kind in results}
    with capsys.disabled():
        print(f"\nconformance: required {counts['required']} passed, optimal {counts['optimal']} passed")
    problems = [line for kind in ("required", "optimal") for line in differences(kind, results[kind], expected[kind])]
    assert not problems, "\n".join(problems)
