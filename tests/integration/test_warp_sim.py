"""warp-sim, the replay of traces: what it says, and what the eviction reaches (docs/eviction.md)."""
import collections
import pathlib
import subprocess

import pytest

from warp import BINARY, TEST_IO

HEAD = "policy size requests object_hit_ratio byte_hit_ratio written_bytes"
Row = collections.namedtuple("Row", HEAD)


def find_sim():
    """Beside the binary, or where a build folder of its own has it."""
    here = pathlib.Path(BINARY)
    return next(path for path in (here.parent / "warp-sim", here.parents[2] / "warp-sim") if path.exists())


SIM = find_sim()


def sim(*args, stdin=""):
    return subprocess.run([SIM, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=600)


def rows(*args, stdin=""):
    """What it printed, by policy and size as given."""
    done = sim(*args, stdin=stdin)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == HEAD
    return [Row(words[0], int(words[1]), int(words[2]), float(words[3]), float(words[4]), int(words[5]))
            for words in map(str.split, lines)]


def refused(*args, stdin="", code=2):
    done = sim(*args, stdin=stdin)
    assert done.returncode == code and done.stdout == "", done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def trace(*lines):
    return "".join(f"{line}\n" for line in lines)


# ---- what it says -------------------------------------------------------------------------------------------------


def test_a_trace_by_hand():
    lines = trace("0 a 100", "1 b 200", "1.5 a 100", "2 c 300", "3 a 100", "4 b 200")
    lru, fifo = rows("--size", 400, "--policy", "lru", "--policy", "fifo", "-", stdin=lines)
    # LRU: a, b, a again; c takes b's place; a again; b is fetched anew. The log: c takes the place of a and b.
    assert lru == Row("lru", 400, 6, 0.3333, 0.2, 800)
    assert fifo == Row("fifo", 400, 6, 0.1667, 0.1, 900)


def test_warp_keeps_what_fits():
    warp, lru, fifo = rows("--size", "32m", "-", stdin=trace("0 a 1000", "0 b 2000", "1 a 1000", "1 a 1001"))
    assert [row.policy for row in (warp, lru, fifo)] == ["warp", "lru", "fifo"]
    for row in (warp, lru, fifo):
        assert (row.size, row.requests, row.object_hit_ratio, row.byte_hit_ratio) == (32 << 20, 4, 0.25, 0.2)
    assert lru.written_bytes == fifo.written_bytes == 4001
    assert 4001 <= warp.written_bytes <= 4001 + 3 * 512 + 4096


def test_sizes_and_policies_in_the_order_given(tmp_path):
    path = tmp_path / "trace"
    path.write_text(trace("0 a 1000", "1 b 3000", "2 a 1000"))
    got = rows("--size", "50%", "--policy=fifo", "--size=1k", "--size", "100%", "--policy", "lru", path)
    assert [(row.policy, row.size) for row in got] == [("fifo", 2000), ("lru", 2000), ("fifo", 1024), ("lru", 1024),
                                                       ("fifo", 4000), ("lru", 4000)]


def test_an_empty_trace():
    assert rows("--size", "1k", "--policy", "lru", "-") == [Row("lru", 1024, 0, 0, 0, 0)]


def test_printed_and_read_is_the_same(tmp_path):
    for like in "syn", "short":
        made = sim("--generate", 4, "--generate-like", like, "--requests", 20000, "--print")
        assert made.returncode == 0 and made.stderr == ""
        lines = made.stdout.splitlines()
        assert len(lines) == 20000 and lines[0].split()[0] == "0.000" and lines[-1].split()[0] == "19.999"
        path = tmp_path / like
        path.write_text(made.stdout)
        direct = rows("--generate", 4, "--generate-like", like, "--requests", 20000, "--size", "10%", "--size", "300m")
        assert rows("--size", "10%", "--size", "300m", path) == direct
        assert rows("--size", "300m", "-", stdin=made.stdout) == direct[3:]


def test_help():
    done = sim("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in "--size", "--policy", "--memory", "--write-budget", "--generate", "--requests", "--print", HEAD:
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 140


def test_details():
    done = sim("--generate", 1, "--requests", 20000, "--size", "20%", "--policy", "warp", "--details")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    assert "segments of" in done.stderr and "small log" in done.stderr


# ---- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, why", [
    ("2 b", "has not the three fields of a request: time, key, size"),
    ("", "has not the three fields"),
    ("2 b 10 20", "has not the three fields"),
    ("two b 10", 'the time "two" is no number of seconds, such as 12 or 12.345'),
    ("-2 b 10", "is no number of seconds"),
    ("0.5 b 10", "is before that of the request before it; sort -n puts requests in order"),
    ("2 b ten", 'the size "ten" is no number of bytes from 0 to 1099511627776'),
    ("2 b 1099511627777", "is no number of bytes"),
    ("2 b 99999999999999999999999999", "is no number of bytes"),
    ("2 b\x1b[31m 10", 'the key "b\\x1b[31m" holds a control character'),
    ("2 " + "k" * 70000 + " 10", "the line is longer than 65536 bytes"),
])
def test_a_bad_line_is_named(tmp_path, line, why):
    path = tmp_path / "trace"
    path.write_text(trace("1 a 10", line, "3 c 10"))
    for size in "1k", "10%":  # also where the working set is read first
        assert refused("--size", size, "--policy", "lru", path).startswith(f"{path}:2: ")
        assert why in refused("--size", size, "--policy", "lru", path)
    assert refused("--size", "1k", "--policy", "lru", "-", stdin=path.read_text()).startswith("standard input:2: ")


def test_endless_input_is_not_read_to_its_end():
    assert "longer than 65536" in refused("--size", "1k", "--policy", "lru", "/dev/zero")


@pytest.mark.parametrize("args, why", [
    ([], "which trace?"),
    (["trace"], "how large is the cache?"),
    (["--size", "1g"], "which trace?"),
    (["--size", "1g", "a", "b"], '"b" is one argument too many'),
    (["--size", "1g", "-x"], '"-x" is one argument too many'),
    (["--size", "1g", "--generate", "1", "a"], "a trace is read or made"),
    (["--size", "1x", "a"], '--size "1x" is neither a size'),
    (["--size", "0", "a"], '--size "0" is neither a size'),
    (["--size", "0%", "a"], "is neither a size"),
    (["--size", "101%", "a"], "is neither a size"),
    (["--size", "100.001%", "a"], "is neither a size"),
    (["--size", "%", "a"], "is neither a size"),
    (["--size", "1.0005%", "a"], "is neither a size"),
    (["--size"], "--size has no value; write --size SIZE|N%"),
    (["--size", "--policy", "lru"], "--size has no value"),
    (["--sizes", "1g", "a"], "unknown flag --sizes; did you mean --size?"),
    (["--writebudget", "1g", "a"], "did you mean --write-budget?"),
    (["--write-budget", "0", "a"], '--write-budget "0" is no size'),
    (["--policy", "arc", "a"], '--policy "arc" is unknown; write warp, lru or fifo'),
    (["--policy", "lru", "--policy", "lru", "a"], "--policy lru is there twice"),
    (["--generate", "x"], '--generate "x" is no number from 0 to 18446744073709551615'),
    (["--generate", "1", "--requests", "999"], '--requests "999" is no number from 1000 to 1000000000'),
    (["--generate-like", "long"], '--generate-like "long" is unknown; write syn or short'),
    (["--print", "a"], "--print prints a made trace"),
    (["--print=1"], "--print takes no value"),
    (["--size", "1m"] * 65 + ["a"], "there are more than 64 sizes"),
    (["--size", "16m", "--generate", "1", "--requests", "1000"], "warp needs a disk of 16777216 bytes at least"),
    (["--size", "1g", "--memory", "1g", "--generate", "1", "--requests", "1000"], "warp needs a disk of"),
    (["--size", "\x1b[31m", "a"], '--size "\\x1b[31m" is neither'),
])
def test_what_is_no_command(args, why):
    said = refused(*args)
    assert said.startswith("warp-sim: ") and why in said


def test_a_share_of_what_cannot_be_read_twice():
    assert "give it as a file, or --size in bytes" in refused("--size", "10%", "-", stdin=trace("1 a 10"))


def test_what_cannot_be_read_or_written(tmp_path):
    assert "No such file" in refused("--size", "1g", tmp_path / "none", code=1)
    assert "Is a directory" in refused("--size", "1g", "--policy", "lru", tmp_path, code=1)
    with open("/dev/full", "w") as full:
        done = subprocess.run([SIM, "--size", "1k", "--policy", "lru", "/dev/null"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr


# ---- what the eviction reaches ---------------------------------------------------------------------------------------
# Exact for a seed, so these fail only where something changed. They take seconds each and know no door: once is enough.


def once(test):
    return None if TEST_IO == "uring" else pytest.mark.exact(test)


def compared(*args):
    """By size as given: byte hit ratio of warp by that of LRU, bytes it writes by those of the log."""
    got = rows(*args)
    return [(warp.byte_hit_ratio / lru.byte_hit_ratio, warp.written_bytes / fifo.written_bytes)
            for warp, lru, fifo in zip(got[::3], got[1::3], got[2::3])]


@once
def test_syn():
    """What the eviction is built for: a tenth more bytes from the cache than LRU, half the writes of a log."""
    (ratio, written), (small_ratio, _) = compared("--generate", 1, "--size", "10%", "--size", "1%")
    print(f"numbers: byte hit ratio of syn at 10 %: {ratio:.3f} x LRU, {written:.2f} of the bytes a cyclic log writes")
    assert ratio >= 1.10
    assert written <= 0.5
    assert small_ratio >= 1.20


@once
@pytest.mark.parametrize("seed", [4, 5])
def test_syn_by_other_seeds(seed):
    """How large the most popular objects are is chance, and what they bring is the same for all policies."""
    (ratio, written), = compared("--generate", seed, "--size", "10%")
    assert ratio >= 1.10
    assert written <= 0.5


@once
def test_short():
    """Where objects live for a second, a filter may not lose what LRU has."""
    small, middle, large = compared("--generate", 1, "--generate-like", "short", "--size", "1%", "--size", "3%", "--size", "10%")
    assert min(ratio for ratio, _ in (small, middle, large)) >= 0.97
    assert large[1] <= 0.65


@once
def test_write_budgets():
    """The less may be written, the less is hit, and never is more written than the rate, ten minutes of it, and the first filling."""
    seconds, before = 1000, 0
    for budget in 1, 5, 20:
        row, = rows("--generate", 1, "--requests", 1000 * seconds, "--size", "10%", "--policy", "warp", "--write-budget", f"{budget}m")
        assert row.written_bytes <= row.size + budget * (1 << 20) * (seconds + 600)
        assert row.byte_hit_ratio >= before
        before = row.byte_hit_ratio
