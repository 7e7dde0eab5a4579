import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import disk as disk_tools  # noqa: E402
from origin import Origin  # noqa: E402
from warp import Warp  # noqa: E402


@pytest.fixture
def origins():
    """origins() makes one more origin."""
    made = []

    def make(**options):
        made.append(Origin(**options))
        return made[-1]

    yield make
    for origin in made:
        origin.stop()
        assert origin.bug is None, repr(origin.bug)


@pytest.fixture
def origin(origins):
    return origins()


@pytest.fixture
def start_warp(tmp_path):
    """start_warp(origin, ..., workers=, args=) starts a WARP that must end well."""
    made = []

    def start(*origins, change=lambda warp: None, **options):
        directory = tmp_path / f"warp{len(made)}"
        directory.mkdir()
        made.append(Warp(directory, origins, **options))
        change(made[-1])
        return made[-1].start()

    yield start
    problems = []
    for warp in made:
        try:
            warp.stop()
        except AssertionError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]


@pytest.fixture
def disk(start_warp, origin, tmp_path):
    """disk(...) starts a WARP on the same directory as often as it is called."""
    origin.serve(disk_tools.handler)
    return disk_tools.Disk(start_warp, origin, tmp_path)


@pytest.fixture
def warp(start_warp, origin):
    """One worker before the scripted origin."""
    return start_warp(origin)


@pytest.fixture
def client(warp):
    with warp.client() as client:
        yield client


def pytest_configure(config):
    config.addinivalue_line("markers", "exact: counts of memory and system calls, for the release binary only")
    config.addinivalue_line("markers", "threads: several workers share something here; worth a run under ThreadSanitizer")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """No test hangs: each has a minute."""
    def expired(*_):
        raise TimeoutError(f"{item.name} took over a minute")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
