#!/usr/bin/env bash
# All tests, or one part of them:
#   tools/test.sh            everything: layers, release, ASan+UBSan, TSan
#   tools/test.sh release    unit, fuzz corpus, simulator; integration and public cache suite on epoll and on io_uring
#   tools/test.sh asan       unit, fuzz corpus and integration with AddressSanitizer and UBSan, on both
#   tools/test.sh tsan       the threaded tests with ThreadSanitizer, on both
# Where the kernel forbids io_uring, its half is not run; the run says so and how many tests that are.
# Ends with "N passed, N failed"; the exit code is 1 when anything failed or nothing ran.
set -uo pipefail
cd "$(dirname "$0")/.."
part=${1:-all}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

setup() { # folder, options...
    local folder=$1
    shift
    [ -f "$folder/build.ninja" ] || meson setup "$folder" "$@" >"$results/setup.log" || { cat "$results/setup.log"; return 1; }
    ninja -C "$folder" >"$results/build.log" || { tail -n 60 "$results/build.log"; return 1; }
}

broken() { # what did not even run counts as one failure
    echo "FAILED: $1"
    echo "0 1" >>"$results/counts"
}

checked() { # a command that says what is wrong by its exit code
    if "$@"; then echo "1 0" >>"$results/counts"; else echo "0 1" >>"$results/counts"; fi
}

meson_tests() { # name, folder, options...
    local name=$1 folder=$2
    shift 2
    echo "== $name"
    meson test -C "$folder" --no-rebuild --print-errorlogs "$@" >"$results/meson.log" 2>&1
    grep -E '(FAIL|TIMEOUT|ERROR)' "$results/meson.log" && tail -n 80 "$results/meson.log"
    /usr/bin/python3 - "$folder/meson-logs/testlog.json" >>"$results/counts" <<'PY'
import json, sys
good = bad = skipped = 0
for line in open(sys.argv[1]):
    result = json.loads(line)["result"]
    good += result in ("OK", "EXPECTEDFAIL")
    skipped += result == "SKIP"
    bad += result not in ("OK", "EXPECTEDFAIL", "SKIP")
print(good, bad if good or bad else 1, skipped)
PY
    tail -n 1 "$results/counts" | awk '{print "   " $1 " passed, " $2 " failed"}'
}

# The unit test of that door says by its exit code whether there is one.
uring_is_there() { # build folder
    "$1/tests/unit/os/test_os_uring" >/dev/null 2>&1
    [ $? -ne 77 ]
}

both_doors() { # name, build folder, binary, options and files...
    local name=$1 folder=$2 binary=$3
    shift 3
    TEST_IO=epoll pytests "$name, epoll" "$binary" "$@"
    if uring_is_there "$folder"; then
        TEST_IO=uring pytests "$name, io_uring" "$binary" "$@"
    else
        echo "== $name, io_uring: refused by this kernel or container, not run"
        tail -n 1 "$results/counts" | awk '{print 0, 0, $1}' >>"$results/counts"
    fi
}

pytests() { # name, binary, files...
    local name=$1 binary=$2
    shift 2
    echo "== $name"
    WARP_BIN=$binary /usr/bin/python3 -m pytest -q -x --maxfail=25 -p no:cacheprovider --junitxml="$results/junit.xml" "$@" \
        >"$results/pytest.log" 2>&1
    local code=$?
    [ $code -ne 0 ] && tail -n 150 "$results/pytest.log"
    grep -E '^(conformance|numbers):' "$results/pytest.log"
    /usr/bin/python3 - "$results/junit.xml" $code >>"$results/counts" <<'PY'
import sys, xml.etree.ElementTree as tree
suite = next(tree.parse(sys.argv[1]).iter("testsuite"))
total, bad = int(suite.get("tests")), int(suite.get("failures")) + int(suite.get("errors"))
skipped = int(suite.get("skipped"))
print(total - bad - skipped, bad if bad or total else 1, skipped)
PY
    tail -n 1 "$results/counts" | awk '{print "   " $1 " passed, " $2 " failed"}'
}

conformance_packages() {
    [ -d tests/conformance/node_modules/http-cache-tests ] || (cd tests/conformance && npm ci --no-audit --no-fund --ignore-scripts) >"$results/npm.log" 2>&1 ||
        { cat "$results/npm.log"; return 1; }
}

part_release() {
    echo "== layers and reference pages"
    checked /usr/bin/python3 tools/check_layers.py
    checked /usr/bin/python3 tools/reference.py --check
    setup build/release --buildtype=release -Ddebug=true -Db_pie=true || { broken "release build"; return; }
    ln -sf src/main/warp build/release/warp
    meson_tests "release: unit, fuzz corpus, simulator" build/release
    conformance_packages || { broken "npm ci"; return; }
    both_doors "release: integration and the public cache suite" build/release "$PWD/build/release/warp" tests/integration tests/conformance
}

part_asan() {
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    setup build/asan -Db_sanitize=address,undefined -Db_lundef=false || { broken "ASan build"; return; }
    meson_tests "ASan+UBSan: unit, fuzz corpus" build/asan --suite unit --suite fuzz
    both_doors "ASan+UBSan: integration" build/asan "$PWD/build/asan/src/main/warp" -m "not exact" tests/integration
}

part_tsan() {
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    setup build/tsan -Db_sanitize=thread -Db_lundef=false || { broken "TSan build"; return; }
    meson_tests "TSan: threaded unit tests" build/tsan --suite threads
    both_doors "TSan: integration with threads" build/tsan "$PWD/build/tsan/src/main/warp" -m "threads and not exact" tests/integration
}

: >"$results/counts"
case "$part" in
all) part_release; part_asan; part_tsan ;;
release | asan | tsan) "part_$part" ;;
*) echo "usage: tools/test.sh [release|asan|tsan]" >&2; exit 2 ;;
esac
awk '{good += $1; bad += $2; skipped += $3}
    END {if (good + bad == 0) bad = 1
         if (skipped > 0) printf "%d not run\n", skipped
         printf "%d passed, %d failed\n", good, bad; exit bad > 0}' "$results/counts"
