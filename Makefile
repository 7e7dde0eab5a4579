# Meson and Ninja do the work; these are the words to remember.
#   make          the release binaries: build/release/warp, and warp-sim, which replays traces (docs/eviction.md)
#   make run      install packages, build, start WARP with its demo origin
#   make test     install packages, build, pass all tests (what CI runs)
#   make check    quick: layers, format of the tree, unit tests
#   make asan     unit and integration tests with AddressSanitizer and UBSan
#   make tsan     the threaded tests with ThreadSanitizer
#   make sim      the simulator's seeds: the whole cache, and the store with its disks (SEEDS=500 FROM=1)
#   make fuzz T=h1_request    a fuzz target with libFuzzer (TIME=60 seconds)
#   make bench    install the peers, compare (docs/benchmarks.md): ARGS='--only hit-1k --servers warp-epoll,nginx'
#   make bench-store    what threads do to each other in the store: counters, and instructions of a hit
#   make bench-disk     millions of objects on a disk: memory, restarts, a kill, the purge of a tag
#   make bench-flood    a tenant's hit ratio while another asks for unique URLs as fast as it can
#   make profile  where the time and the instructions of a hit go (docs/performance.md)
#   make fmt      clang-format over the sources
SHELL := /bin/bash
SEEDS ?= 500
FROM  ?= 1
TIME  ?= 60
T     ?= h1_request
PY    := /usr/bin/python3

.PHONY: all run test check asan tsan sim fuzz bench bench-disk bench-flood bench-store profile fmt deps clean

all: build/release/build.ninja
	ninja -C build/release src/main/warp warp-sim
	@ln -sf src/main/warp build/release/warp

build/release/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: make deps installs what the build needs" >&2; exit 1; }
	meson setup build/release --buildtype=release -Ddebug=true -Db_pie=true

build/asan/build.ninja:
	meson setup build/asan -Db_sanitize=address,undefined -Db_lundef=false

build/tsan/build.ninja:
	meson setup build/tsan -Db_sanitize=thread -Db_lundef=false

deps:
	tools/deps.sh

run: deps all
	build/release/warp run

test: deps
	tools/test.sh

check: build/release/build.ninja
	$(PY) tools/check_layers.py
	ninja -C build/release
	meson test -C build/release --no-rebuild --suite unit --suite fuzz --print-errorlogs

asan: build/asan/build.ninja
	tools/test.sh asan

tsan: build/tsan/build.ninja
	tools/test.sh tsan

sim: build/release/build.ninja
	ninja -C build/release tests/sim/sim_cache tests/sim/sim_store
	build/release/tests/sim/sim_cache --from $(FROM) --seeds $(SEEDS)
	build/release/tests/sim/sim_store --from $(FROM) --seeds $(SEEDS)

fuzz:
	[ -d build/fuzz ] || CC=clang meson setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link
	ninja -C build/fuzz tests/fuzz/fuzz_$(T)
	build/fuzz/tests/fuzz/fuzz_$(T) -max_total_time=$(TIME) -max_len=65536 tests/fuzz/corpus/$(T)

bench:
	tools/deps.sh bench
	$(MAKE) all
	ninja -C build/release bench-tools
	$(PY) tests/bench/bench.py $(ARGS)

profile:
	tools/deps.sh bench
	$(MAKE) all
	ninja -C build/release bench-tools
	$(PY) tests/bench/profile.py $(ARGS)

# Millions of objects on a disk: memory of each, restarts, a kill, the purge of a tag.
bench-disk: all
	ninja -C build/release bench-tools
	$(PY) tests/bench/disk_many.py $(ARGS)

bench-flood: all
	ninja -C build/release bench-tools
	$(PY) tests/bench/flood.py $(ARGS)

bench-store: build/release/build.ninja
	ninja -C build/release tests/bench/store_threads tests/bench/store_lookup
	build/release/tests/bench/store_threads
	tests/bench/store_lookup.sh build/release/tests/bench/store_lookup
	$(PY) tests/bench/store_writes.py build/release/tests/bench/store_lookup

fmt:
	git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

clean:
	rm -rf build
