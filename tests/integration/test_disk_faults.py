"""What operators meet: stores that cannot be used, are damaged, change, fail. WARP serves on, and says what to do."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from disk import (BLOCK, CRC, JOURNAL_AT, JOURNAL_BYTES, MIB, SEGMENTS_AT, SNAPSHOT_AT, SNAPSHOT_BYTES, STORE, SUPER_A, SUPER_B,
                  VERSION, change, check, contents, crc32c, errors, fill, kill, number, reasons, recovered, stored)
from wait import until
from warp import BINARY, free_port

pytestmark = pytest.mark.threads

TARGETS = [f"/{n}/{i}" for n in (0, 1000, 4097, 65537, 300000) for i in range(4)]
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and devices are root's")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def mount(tmp_path):
    """mount(size) is a small file system of its own; mount.again(path, option) changes it."""
    made = []

    def make(size):
        path = tmp_path / f"mount{len(made)}"
        path.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
        made.append(path)
        return path
    yield make
    for path in made:
        run("umount", "-l", str(path))


@pytest.fixture
def loop_device(tmp_path):
    """loop_device(file) is a block device over it; the file is made with size bytes."""
    made = []

    def make(path, size):
        with open(path, "ab") as file:
            file.truncate(size)
        made.append(run("losetup", "-f", "--show", str(path)))
        return made[-1]
    yield make
    for device in made:
        run("losetup", "-d", device)


def unusable(warp, path, *words):
    """The store at path is not used, which is told in every place; WARP serves from RAM."""
    said = [reason for reason in reasons(warp) if str(path) in reason]
    assert len(said) == 1 and all(word in said[0] for word in words), (said, words)
    assert said[0] in warp.stderr()
    assert errors(warp, "open") == 1
    target = "/1000/ram"
    assert not check(warp, target) and check(warp, target)
    assert warp.metric("warp_cache_served_hits_total", tier="ram") >= 1


def formatted(warp, path, *words):
    """The store was made anew, and takes objects."""
    said = [line for line in warp.stderr().splitlines() if "formatted anew" in line]
    assert len(said) == 1 and str(path) in said[0] and all(word in said[0] for word in words), warp.stderr()
    assert errors(warp, "formatted") == 1
    assert reasons(warp) == []
    recovered(warp)
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))


def hits(warp, targets=TARGETS):
    return sum(check(warp, target) for target in targets)


def filled(disk, stop=True, **more):
    """A store that holds TARGETS; WARP has ended in order, or been killed."""
    warp = disk(**more)
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    warp.stop() if stop else kill(warp)


# ---- stores that cannot be used -----------------------------------------------------------------------------------------


@is_root
def test_no_room(disk, mount):
    place = mount("8m")
    warp = disk(directory=place)
    unusable(warp, place / STORE, "no room", "--cache-size smaller")
    assert list(place.iterdir()) == []  # what was begun is gone again


@is_root
def test_a_read_only_file_system(disk, mount):
    place = mount("80m")
    filled(disk, directory=place)
    run("mount", "-o", "remount,ro", str(place))
    unusable(disk(directory=place), place / STORE, "read-only", "mount it writable")
    run("mount", "-o", "remount,rw", str(place))
    warp = disk(directory=place)
    recovered(warp)
    assert hits(warp) == len(TARGETS)


@pytest.fixture
def nobodys(disk):
    """A directory that everybody reaches, with a directory of root's in it."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="warp-test-", dir="/var/tmp"))
    place.chmod(0o755)
    (place / "cache").mkdir(mode=0o755)
    disk.token = place / "token"
    disk.token.write_text("secret\n")
    disk.token.chmod(0o644)
    shutil.copy(BINARY, place / "warp")
    yield place
    shutil.rmtree(place)


@is_root
@pytest.mark.parametrize("case", ["directory", "store", "above"])
def test_no_rights(disk, nobodys, case):
    place = nobodys / "cache"
    if case == "store":
        filled(disk, directory=place)
        place.chmod(0o777)
        (place / STORE).chmod(0o644)
    elif case == "above":
        place = place / "made" / "for" / "it"
    warp = disk(directory=place, under=(*NOBODY, "--no-new-privs", "env", "--"))
    unusable(warp, place if case == "above" else place / STORE, "permission denied", "give the user")


def test_a_second_process(disk):
    first = disk()
    fill(first, TARGETS)
    stored(first, len(TARGETS))
    second = disk()
    unusable(second, disk.store, "another process", "stop that one")
    second.stop()
    assert hits(first) == len(TARGETS)
    first.stop()
    third = disk()
    recovered(third)
    assert reasons(third) == [] and hits(third) == len(TARGETS)


def test_links_are_not_followed(disk):
    disk.directory.mkdir()
    real = disk.path / "real"
    real.write_bytes(bytes(64 * MIB))
    disk.store.symlink_to(real)
    before = contents(real)
    unusable(disk(), disk.store, "symbolic link", "name the place")
    assert contents(real) == before


@pytest.mark.parametrize("what", ["text", "large", "directory", "fifo", "socket"])
def test_what_is_not_a_store_is_left_alone(disk, what):
    disk.directory.mkdir()
    texts = {"text": b"the only copy of my thesis\n", "large": b"the only copy of my thesis\n" * 100000}
    if what in texts:
        disk.store.write_bytes(texts[what])
    elif what == "directory":
        (disk.store / "inside").mkdir(parents=True)
    elif what == "fifo":
        os.mkfifo(disk.store)
    else:
        import socket
        socket.socket(socket.AF_UNIX).bind(os.path.relpath(disk.store))
    kind = os.lstat(disk.store).st_mode
    unusable(disk(), disk.store, "not WARP's" if what in texts else "neither a plain file nor a block device")
    assert os.lstat(disk.store).st_mode == kind
    if what in texts:
        assert disk.store.read_bytes() == texts[what]


def test_the_directory_is_a_file(disk):
    disk.directory.write_text("mine")
    unusable(disk(), disk.directory, "in the place of a directory")
    assert disk.directory.read_text() == "mine"


def test_another_version_is_left_alone(disk):
    filled(disk)
    for at in (SUPER_A, SUPER_B):
        with open(disk.store, "rb") as file:
            file.seek(at)
            block = bytearray(file.read(BLOCK))
        block[VERSION:VERSION + 4] = (77).to_bytes(4, "little")
        block[CRC:CRC + 4] = bytes(4)
        block[CRC:CRC + 4] = crc32c(block).to_bytes(4, "little")
        change(disk.store, at, bytes(block))
    before = contents(disk.store)
    warp = disk()
    unusable(warp, disk.store, "another version", "left alone")
    warp.stop()
    assert contents(disk.store) == before


def test_purges_without_the_store_are_not_called_durable(disk):
    filled(disk)
    blocker = disk()
    warp = disk()
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=b'{"everything": true}')
    assert answer.status == 503 and b'"durable":false' in answer.body.replace(b" ", b"")
    blocker.stop()


# ---- block devices ------------------------------------------------------------------------------------------------------


@is_root
def test_a_block_device(disk, loop_device):
    device = loop_device(disk.path / "disk.img", 64 * MIB)
    warp = disk(directory=device)
    assert reasons(warp) == []
    assert 32 * MIB < warp.metric("warp_cache_max_bytes", tier="disk") <= 64 * MIB
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    kill(warp)
    warp = disk(directory=device)
    recovered(warp)
    assert hits(warp) == len(TARGETS)
    assert "formatted" not in warp.stderr()


@is_root
def test_a_device_with_a_file_system_is_left_alone(disk, loop_device):
    image = disk.path / "disk.img"
    device = loop_device(image, 64 * MIB)
    run("mkfs.ext4", "-q", device)
    before = contents(image)
    warp = disk(directory=device)
    unusable(warp, device, "not WARP's", "left alone")
    warp.stop()
    assert contents(image) == before


@is_root
def test_a_device_in_use(disk, loop_device):
    image = disk.path / "disk.img"
    device = loop_device(image, 64 * MIB)
    run("mkfs.ext4", "-q", device)
    place = disk.path / "mounted"
    place.mkdir()
    run("mount", device, str(place))
    try:
        unusable(disk(directory=device), device, "in use")
    finally:
        run("umount", str(place))


@is_root
def test_a_device_that_is_too_small(disk, loop_device):
    device = loop_device(disk.path / "disk.img", 8 * MIB)
    unusable(disk(directory=device), device, "too small")


# ---- damaged while WARP was away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [SUPER_A, SUPER_B])
def test_one_damaged_superblock_costs_nothing(disk, at):
    filled(disk)
    change(disk.store, at + 300)
    warp = disk()
    recovered(warp)
    assert hits(warp) == len(TARGETS) and reasons(warp) == []
    warp.stop()
    change(disk.store, (SUPER_A if at == SUPER_B else SUPER_B) + 300)  # the first one was mended meanwhile
    warp = disk()
    recovered(warp)
    assert hits(warp) == len(TARGETS)


def test_both_superblocks_damaged(disk):
    filled(disk)
    change(disk.store, SUPER_A + 300)
    change(disk.store, SUPER_B + 300)
    warp = disk()
    formatted(warp, disk.store, "superblock is damaged")


@pytest.mark.parametrize("size", ["48m", "96m"])
def test_another_size(disk, size):
    filled(disk)
    warp = disk(size=size)
    formatted(warp, disk.store, "its size has changed")
    assert disk.store.stat().st_size == int(size[:-1]) * MIB


@pytest.mark.parametrize("left", [0, 100, 4096, 70000, 20 * MIB, 64 * MIB - 4096])
def test_a_file_cut_short(disk, left):
    filled(disk)
    os.truncate(disk.store, left)
    warp = disk()
    recovered(warp)
    assert reasons(warp) == [] and disk.store.stat().st_size == 64 * MIB
    for target in TARGETS:
        check(warp, target)  # right, hit or not
    stored(warp, len(TARGETS))


@pytest.mark.parametrize("area", ["journal", "snapshot", "segments", "all"])
def test_bits_turned_anywhere(disk, area):
    """What is damaged is fetched again; bytes are right in any case, purged objects stay away."""
    warp = disk()
    fill(warp, [*TARGETS, "/1000/purged"])
    stored(warp, len(TARGETS) + 1)
    warp.purge(url="http://a.test/1000/purged")
    warp.stop()
    journal, journal_bytes = number(disk.store, JOURNAL_AT), number(disk.store, JOURNAL_BYTES)
    snapshot, snapshot_bytes = number(disk.store, SNAPSHOT_AT), number(disk.store, SNAPSHOT_BYTES)
    segments, end = number(disk.store, SEGMENTS_AT), disk.store.stat().st_size
    first, last = {"journal": (journal, journal + journal_bytes), "snapshot": (snapshot, snapshot + 2 * snapshot_bytes),
                   "segments": (segments, end), "all": (journal, end)}[area]
    for at in range(first, last, 1009):
        change(disk.store, at)
    warp = disk()
    recovered(warp)
    assert not check(warp, "/1000/purged")
    n = hits(warp)
    assert n == (len(TARGETS) if area == "snapshot" else 0), warp.stderr()
    if area != "segments":
        assert errors(warp, "journal" if area != "snapshot" else "snapshot") >= 1
    assert "damaged" in warp.stderr() or area == "segments"
    assert hits(warp) == len(TARGETS)


def test_a_journal_without_room(disk):
    """As a power failure leaves it that comes again and again while the journal is written anew: all its blocks count."""
    warp = disk()
    fill(warp, [*TARGETS, "/1000/purged"])
    stored(warp, len(TARGETS) + 1)
    warp.purge(url="http://a.test/1000/purged")
    kill(warp)
    at, half = number(disk.store, JOURNAL_AT), number(disk.store, JOURNAL_BYTES) // 2
    blocks = half // BLOCK
    newest = max(range(blocks), key=lambda place: number(disk.store, at + place * BLOCK + 8))
    bytes_before = disk.store.read_bytes()
    block = bytearray(bytes_before[at + newest * BLOCK:][:BLOCK])
    last, first = (int.from_bytes(block[i:i + 8], "little") for i in (8, 16))
    store_id = bytes_before[24:40]
    block[24:32] = (last + 1).to_bytes(8, "little")
    block[48:] = bytes(BLOCK - 48)
    for n in range(last + 1, first + blocks - 1):
        block[4:16] = bytes(4) + n.to_bytes(8, "little")
        block[4:8] = crc32c(store_id + (n % blocks).to_bytes(8, "little") + block).to_bytes(4, "little")
        for place in (n % blocks, blocks + n % blocks):
            change(disk.store, at + place * BLOCK, block)
    warp = disk()
    recovered(warp)
    assert "no longer fit the purge journal" in warp.stderr()
    assert errors(warp, "journal") == 1
    assert not check(warp, "/1000/purged")
    assert hits(warp) == 0
    assert hits(warp) == len(TARGETS)
    stored(warp, len(TARGETS) + 1)
    kill(warp)
    warp = disk()
    recovered(warp)
    assert errors(warp, "journal") == 0
    assert hits(warp) == len(TARGETS) and check(warp, "/1000/purged")


def test_a_few_bits_in_segments(disk):
    """One object is damaged: the others are not."""
    filled(disk)
    at = disk.store.read_bytes().index(b"/300000/1")
    change(disk.store, at + 100000)
    warp = disk()
    recovered(warp)
    assert hits(warp) == len(TARGETS) - 1
    assert errors(warp, "corrupt") == 1 and f"{disk.store}: an object in segment" in warp.stderr()
    assert hits(warp) == len(TARGETS)


# ---- several directories ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(disk):
    return [disk.path / "one", disk.path / "two"]


def test_two_stores_share_the_size(disk, pair):
    filled(disk, directories=pair)
    assert [(d / STORE).stat().st_size for d in pair] == [32 * MIB] * 2
    warp = disk(directories=pair)
    recovered(warp)
    assert hits(warp) == len(TARGETS)
    assert warp.metric("warp_disk_devices", state="in") == 2


def test_one_of_two_missing(disk, pair):
    filled(disk, directories=pair)
    (pair[1] / STORE).unlink()
    pair[1].rmdir()
    pair[1].write_text("no directory")
    warp = disk(directories=pair)
    unusable(warp, pair[1], "in the place of a directory")
    recovered(warp)
    n = hits(warp)
    assert 0 < n < len(TARGETS)
    fill(warp, ["/1000/new"])
    stored(warp, len(TARGETS))
    warp.stop()
    pair[1].unlink()
    warp = disk(directories=pair)
    recovered(warp)
    assert hits(warp) >= n
    assert warp.metric("warp_disk_devices", state="in") == 2 and reasons(warp) == []


def test_one_was_away(disk, pair):
    """What was purged meanwhile does not come back with it."""
    filled(disk, directories=pair)
    os.rename(pair[1], disk.path / "away")
    pair[1].write_text("no directory")
    warp = disk(directories=pair)
    recovered(warp)
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=b'{"everything": true}')
    assert answer.status == 200, answer
    warp.stop()
    pair[1].unlink()
    os.rename(disk.path / "away", pair[1])
    warp = disk(directories=pair)
    formatted(warp, pair[1] / STORE, "WARP has run without it")


def test_swapped(disk, pair):
    filled(disk, directories=pair)
    warp = disk(directories=pair[::-1])
    recovered(warp)
    hits(warp)
    assert errors(warp, "formatted") == 2 and reasons(warp) == []
    stored(warp, len(TARGETS))


def test_one_from_another_set(disk, pair):
    filled(disk, directories=pair)
    filled(disk, directories=[disk.path / "three", disk.path / "four"])
    shutil.copy(disk.path / "four" / STORE, pair[1] / STORE)
    warp = disk(directories=pair)
    assert errors(warp, "formatted") == 1 and reasons(warp) == []
    recovered(warp)
    hits(warp)
    stored(warp, len(TARGETS))
    assert hits(warp) == len(TARGETS)


def test_the_same_directory_twice(disk):
    warp = disk(directories=[disk.directory, disk.directory])
    unusable(warp, disk.store, "another process")
    assert warp.metric("warp_disk_devices", state="in") == 1


# ---- options ------------------------------------------------------------------------------------------------------------------


def refused(*args, env=()):
    done = subprocess.run([BINARY, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *args],
                          capture_output=True, text=True, timeout=20, env={**os.environ, **dict(env)})
    assert done.returncode == 2, done
    return done.stderr


@pytest.mark.parametrize("size", ["0", "1m", "16777215"])
def test_a_size_below_the_least(tmp_path, size):
    said = refused("--cache-dir", str(tmp_path / "cache"), "--cache-size", size)
    assert "--cache-size" in said and "16m" in said
    assert not (tmp_path / "cache").exists()
    said = refused("--cache-dir", str(tmp_path / "cache"), env={"WARP_CACHE_SIZE": size})
    assert "WARP_CACHE_SIZE" in said and "16m" in said


def test_too_many_directories(tmp_path):
    dirs = [word for i in range(17) for word in ("--cache-dir", str(tmp_path / str(i)))]
    said = refused(*dirs, "--cache-size", "1g")
    assert "--cache-dir" in said and "16" in said


def test_none(start_warp, origin):
    warp = start_warp(origin)
    assert reasons(warp) == []
    names = {name.split("{")[0] for name in warp.metrics()}
    assert not any(name.startswith("warp_disk_") for name in names)
    assert warp.stats()["disk"] is None


def test_the_smallest(disk):
    warp = disk(size="16m")
    assert reasons(warp) == [] and disk.store.stat().st_size == 16 * MIB
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    kill(warp)
    warp = disk(size="16m")
    recovered(warp)
    assert hits(warp) == len(TARGETS)


def test_stores_that_share_too_little(disk, pair):
    warp = disk(directories=pair, size="16m")
    said = reasons(warp)
    assert len(said) == 2 and all("too small" in reason for reason in said)
    assert not check(warp, "/1000/a") and check(warp, "/1000/a")


def test_the_environment(disk, start_warp, origin):
    """WARP_CACHE_DIR, WARP_CACHE_SIZE and WARP_MEMORY do what the flags do."""
    env = {"WARP_CACHE_DIR": str(disk.directory), "WARP_CACHE_SIZE": "32m", "WARP_MEMORY": "0"}
    for again in (False, True):
        warp = start_warp(origin, cache=(), env=env)
        recovered(warp)
        assert disk.store.stat().st_size == 32 * MIB
        assert check(warp, "/1000/a") == again
        if not again:
            stored(warp, 1)
        warp.stop()


@is_root
def test_the_directory_of_a_user(disk, nobodys, start_warp, origin):
    """Nobody told where, /var/cache/warp not to be written: ~/.cache/warp."""
    home = nobodys / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    if pathlib.Path("/var/cache/warp").exists():
        assert os.stat("/var/cache/warp").st_uid != 65534
    warp = start_warp(origin, cache=("--cache-size", "16m"), env={"HOME": str(home)}, under=NOBODY)
    assert (home / ".cache/warp" / STORE).stat().st_size == 16 * MIB
    assert reasons(warp) == []


# ---- while it runs --------------------------------------------------------------------------------------------------------------


def test_the_worker_process_dies(disk):
    """The next one finds the disk, and is warm."""
    warp = disk()
    warp.may_lose_workers = True
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    pid = warp.worker_pid()
    os.kill(pid, 9)
    until(lambda: warp.children() not in ([], [pid]), "another worker process")
    until(warp._is_up, "it serves")
    recovered(warp)
    assert reasons(warp) == [] and hits(warp) == len(TARGETS)


def test_a_stop_saves_the_index(disk):
    filled(disk)
    warp = disk()
    recovered(warp)
    line = next(line for line in warp.stderr().splitlines() if "recovered" in line)
    assert f": {len(TARGETS)} objects by the saved index, 0 by segments" in line, line


def test_a_truncated_file_while_running(disk):
    """Reads behind its end are damage: misses, and WARP goes on."""
    warp = disk(memory="0")
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    os.truncate(disk.store, number(disk.store, SEGMENTS_AT))
    assert hits(warp) == 0
    assert errors(warp, "corrupt") + errors(warp, "read") >= 1
    assert str(disk.store) in warp.stderr()
    assert warp.get("/1000/else").status == 200


@is_root
@pytest.mark.parametrize("memory", ["16m", "0"])
def test_a_device_that_fails(disk, mount, loop_device, memory):
    """Its file is gone beneath it: reads and writes fail until it is taken out; nothing else fails."""
    place = mount("100m")
    device = loop_device(place / "disk.img", 64 * MIB)
    warp = disk(directory=device, memory=memory)
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    run("fallocate", "-p", "-o", "0", "-l", str(64 * MIB), str(place / "disk.img"))
    (place / "ballast").write_bytes(bytes(99 * MIB))
    for i in range(200):
        check(warp, f"/300000/{i}")
        if warp.metric("warp_disk_devices", state="out") == 1:
            break
    until(lambda: warp.metric("warp_disk_devices", state="out") == 1, "it is out of use")
    assert errors(warp, "offline") == 1 and errors(warp, "write") >= 1
    said = reasons(warp)
    assert len(said) == 1 and device in said[0] and "out of use" in said[0] and said[0] in warp.stderr()
    until(lambda: warp.metric("warp_cache_objects", tier="disk") == 0, "its entries are gone")
    fill(warp, ["/1000/new"])
    if memory != "0":
        assert check(warp, "/1000/new")
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=b'{"everything": true}')
    assert answer.status == 503 and b'"durable":false' in answer.body.replace(b" ", b"")
    assert not check(warp, "/1000/new")


@is_root
def test_one_of_two_devices_fails(disk, mount, loop_device):
    """A purge finds out: that device is out of use, which the other one has on record; the purge is durable, the rest serves on."""
    place = mount("40m")
    device = loop_device(place / "disk.img", 32 * MIB)
    dirs = [disk.path / "one", device]
    warp = disk(directories=dirs)
    fill(warp, TARGETS)
    stored(warp, len(TARGETS))
    run("fallocate", "-p", "-o", "0", "-l", str(32 * MIB), str(place / "disk.img"))
    with contextlib.suppress(OSError), open(place / "ballast", "wb", buffering=0) as file:
        while file.write(bytes(BLOCK)):  # to the last block
            pass
    warp.purge(url=f"http://a.test{TARGETS[0]}")
    until(lambda: warp.metric("warp_disk_devices", state="out") == 1, "it is out of use")
    answer = warp.admin("POST", "/api/v1/purge", token=True, body=b'{"url": "http://a.test/1000/0"}')
    assert answer.status == 200 and b'"durable":true' in answer.body.replace(b" ", b"")
    assert warp.metric("warp_disk_off") == 0
    said = reasons(warp)
    assert len(said) == 1 and device in said[0] and "purge journal" in said[0] and "look at the device" in said[0]
    fill(warp, ["/1000/new"])
    kill(warp)
    (place / "ballast").unlink()
    warp = disk(directories=dirs)
    recovered(warp)
    assert reasons(warp) == [] and warp.metric("warp_disk_devices", state="in") == 2
    assert not check(warp, TARGETS[0]) and not check(warp, "/1000/0")
    assert 0 < hits(warp) < len(TARGETS)
