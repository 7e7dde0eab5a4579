"""A network of the benchmark's own: loopback only, with `reno`. Pacing congestion controls distort loopback."""
import ctypes
import fcntl
import os
import pathlib
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CONTROL = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def enter():
    """Moves this process, and so all it starts, into the new network. Returns what the table says of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    said = {"namespace": False}
    if libc.unshare(CLONE_NEWNET) == 0:
        loopback_up()
        said["namespace"] = True
        try:
            CONTROL.write_text("reno")
        except OSError as problem:
            said["why"] = f"reno: {problem.strerror}"
    else:
        said["why"] = f"no network namespace: {os.strerror(ctypes.get_errno())}"
    said["congestion_control"] = CONTROL.read_text().strip()
    return said
