"""A small and strict HTTP/1 reader over a socket, for both ends of a test."""
import select
import socket
import ssl

from wait import TIMEOUT, Timeout

CRLF = b"\r\n"


class Incomplete(AssertionError):
    """The other side ended in the middle of a message; `got` is the body until there."""

    def __init__(self, text, got=b"", response=None):
        super().__init__(text)
        self.got = got
        self.response = response


class Malformed(AssertionError):
    """The other side sent what no HTTP/1.1 sender may."""


class Headers:
    def __init__(self, lines):
        self.list = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b"\0" in line or b"\r" in line:
                raise Malformed(f"field line {line!r}")
            self.list.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    def all(self, name):
        return [v for n, v in self.list if n.lower() == name.lower()]

    def get(self, name, default=None):
        """All values of that name as one, or default."""
        values = self.all(name)
        return ", ".join(values) if values else default

    def __getitem__(self, name):
        value = self.get(name)
        assert value is not None, f"no {name} in {self.list}"
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def __repr__(self):
        return repr(self.list)


class Wire:
    """A connected socket with a buffer. Every read has a deadline."""

    def __init__(self, sock, timeout=TIMEOUT):
        self.sock = sock
        self.timeout = timeout
        self.buffer = b""
        self.eof = False
        self.was_reset = False
        sock.setblocking(False)

    def send(self, data):
        """All of it; raises ConnectionError when the other side is gone."""
        if isinstance(data, str):
            data = data.encode("latin-1")
        view = memoryview(data)
        poll = select.poll()  # select() ends at 1024 descriptors
        poll.register(self.sock, select.POLLOUT)
        while view:
            try:
                view = view[self.sock.send(view):]
            except (BlockingIOError, ssl.SSLWantWriteError):
                if not poll.poll(self.timeout * 1000):
                    raise Timeout(f"{len(view)} bytes could not be sent")

    def send_some(self, data):
        """What the socket takes now."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def receive(self, timeout=None):
        """One read into the buffer. False at the end (see was_reset)."""
        if self.eof:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        limit = self.timeout if timeout is None else timeout
        if not poll.poll(max(0, limit * 1000)):
            raise Timeout(f"no bytes within {limit} s; so far {self.buffer[-300:]!r}")
        try:
            data = self.sock.recv(262144)
        except ssl.SSLWantReadError:
            return True  # part of a record
        except ConnectionError:
            self.was_reset = True
            data = b""
        if not data:
            self.eof = True
            return False
        self.buffer += data
        return True

    def take(self, n):
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def until(self, end, limit=1 << 20):
        """Bytes up to and with `end`."""
        while end not in self.buffer:
            assert len(self.buffer) < limit, "no end in sight"
            if not self.receive():
                raise Incomplete(f"ended ({'RST' if self.was_reset else 'FIN'}) before {end!r}", self.buffer)
        return self.take(self.buffer.index(end) + len(end))

    def exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            if not self.receive():
                raise Incomplete(f"ended ({'RST' if self.was_reset else 'FIN'}) after {have} of {n} bytes", b"".join(parts))
            part = self.take(n - have)
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def rest(self):
        """Everything up to FIN; a reset is a failure."""
        while self.receive():
            pass
        if self.was_reset:
            raise Incomplete("reset", self.take(len(self.buffer)))
        return self.take(len(self.buffer))

    def ended(self):
        """Waits for the other side's end and returns what came before it; FIN and RST are both fine."""
        while self.receive():
            pass
        return self.take(len(self.buffer))

    def silent(self):
        """Nothing has come (as far as can be seen now)."""
        try:
            self.receive(0)
        except Timeout:
            pass
        return not self.buffer and not self.eof

    def sock_is_readable_within(self, seconds):
        return bool(select.select([self.sock], [], [], seconds)[0])

    def head(self):
        lines = self.until(CRLF + CRLF)[:-4].split(CRLF)
        for line in lines:
            if b"\n" in line or b"\r" in line:
                raise Malformed(f"bare line end in {line!r}")
        return lines[0], Headers(lines[1:])

    def chunk(self):
        """One chunk of a chunked body; b"" for the last."""
        line = self.until(CRLF)[:-2]
        if not line or any(c not in b"0123456789abcdefABCDEF" for c in line):
            raise Malformed(f"chunk line {line!r}")
        size = int(line, 16)
        if size == 0:
            return b""
        data = self.exactly(size)
        if self.exactly(2) != CRLF:
            raise Malformed("no CRLF after a chunk")
        return data

    def chunked(self):
        parts = []
        try:
            while True:
                part = self.chunk()
                if not part:
                    break
                parts.append(part)
        except Incomplete as problem:
            raise Incomplete(str(problem), b"".join(parts) + problem.got)
        lines = []
        while True:
            line = self.until(CRLF)[:-2]
            if not line:
                return b"".join(parts), Headers(lines)
            lines.append(line)

    def fileno(self):
        return self.sock.fileno()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends with RST."""
        import struct
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
