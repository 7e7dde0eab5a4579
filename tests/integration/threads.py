"""One thread of a process is stopped while the others go on: what happens between two steps stays so until it goes on."""
import ctypes
import os

PTRACE_CONT, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 17, 0x4206, 0x4207
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def _ptrace(what, thread):
    if libc.ptrace(what, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def named(pid, name):
    """The thread of that name."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise AssertionError(f"no thread {name} in {pid}")


class Stopped:
    """with Stopped(pid, "warp-1"): that thread does nothing inside. To be left by the thread that entered it."""

    def __init__(self, pid, name):
        self.thread = named(pid, name)

    def __enter__(self):
        _ptrace(PTRACE_SEIZE, self.thread)
        _ptrace(PTRACE_INTERRUPT, self.thread)
        pid, status = os.waitpid(self.thread, WALL)
        assert pid == self.thread and os.WIFSTOPPED(status), status
        return self

    def __exit__(self, *_):
        _ptrace(PTRACE_DETACH, self.thread)
