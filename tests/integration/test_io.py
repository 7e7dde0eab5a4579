"""The I/O backend: chosen at start, and what happens where the kernel or a container forbids io_uring."""
import ctypes
import errno
import os
import resource
import struct
import subprocess

import pytest

from warp import BINARY, Warp, free_port

HELLO = {"Cache-Control": "max-age=60"}
IO_URING_SETUP = 425  # the same number on every architecture
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
BPF_LOAD_WORD, BPF_JUMP_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
SECCOMP_ERRNO, SECCOMP_ALLOW = 0x00050000, 0x7FFF0000


def forbid_io_uring(error):
    """For a child before exec: io_uring_setup fails with that errno, as container runtimes make it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def instruction(code, yes, no, value):
        return struct.pack("HBBI", code, yes, no, value)

    program = (instruction(BPF_LOAD_WORD, 0, 0, 0) + instruction(BPF_JUMP_EQUAL, 0, 1, IO_URING_SETUP)
               + instruction(BPF_RETURN, 0, 0, SECCOMP_ERRNO | error) + instruction(BPF_RETURN, 0, 0, SECCOMP_ALLOW))
    code = ctypes.create_string_buffer(program)

    def apply():
        filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_):
            os._exit(99)

    return apply


def no_locked_memory():
    """A user without CAP_IPC_LOCK who may lock nothing: what rings and buffers take is charged to him."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def serves(warp, origin):
    with warp.client() as client:
        client.request("/hello")
        origin.expect("/hello").answer(200, HELLO, b"hello")
        assert client.read_response().body == b"hello"
        client.request("/hello")
        assert client.read_response().body == b"hello"



@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.ENOMEM])
def test_auto_takes_epoll_where_io_uring_is_refused(start_warp, origin, error):
    warp = start_warp(origin, workers=2, args=["--io", "auto"], before_exec=forbid_io_uring(error))
    assert warp.io() == "epoll"
    assert warp.metric("warp_uring_refused") == 2
    assert f"io_uring is refused here ({os.strerror(error)}): 2 of 2 workers run on epoll" in warp.stderr()
    serves(warp, origin)


def test_uring_by_name_says_why_it_cannot(tmp_path):
    port, admin = free_port(), free_port()
    ended = subprocess.run([BINARY, "run", "--io", "uring", "--cache-dir", "none", "--listen", f"127.0.0.1:{port}",
                            "--admin", f"127.0.0.1:{admin}"], env={"XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True,
                           text=True, timeout=20, preexec_fn=forbid_io_uring(errno.EPERM))
    assert ended.returncode == 1
    assert "no io_uring for us (Operation not permitted); --io auto takes epoll then" in ended.stderr


def test_epoll_by_name_is_no_refusal(start_warp, origin):
    warp = start_warp(origin, args=["--io", "epoll"])
    assert warp.io() == "epoll"
    assert warp.metric("warp_uring_refused") == 0
    assert "io_uring" not in warp.stderr()


def test_serves_without_memory_to_lock(start_warp, origin, tmp_path):
    """Kernels that charge rings to RLIMIT_MEMLOCK refuse them; others do not: both serve, and both say the truth."""
    os.chmod(tmp_path, 0o777)
    warp = start_warp(origin, workers=2, args=["--io", "auto"], before_exec=no_locked_memory)
    refused = warp.metric("warp_uring_refused")
    assert (warp.io() == "epoll") == (refused > 0)
    assert ("io_uring is refused here (Cannot allocate memory)" in warp.stderr()) == (refused > 0)
    serves(warp, origin)
