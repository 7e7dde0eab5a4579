"""A large object and an origin that has it: every byte says where it belongs, however large it is."""
import struct
import threading

from wait import Timeout, until

MIB = 1 << 20
PIECE = 1 << 16
BASE = bytes((i * 7 + i // 251) & 255 for i in range(PIECE - 16))


def content(version, first, end):
    """Bytes [first, end) of that version."""
    parts, at = [], first - first % PIECE
    while at < end:
        piece = struct.pack("<QQ", at, version) + BASE
        parts.append(piece[max(first - at, 0):min(end - at, PIECE)])
        at += PIECE
    return b"".join(parts)


class Film:
    """Answers as a file server does, in the background. What it is asked, and what it sends, is counted."""

    def __init__(self, origin, size, version=1, tag='"v%d"', headers=()):
        self.size, self.version, self.tag = size, version, tag
        self.headers = dict({"Cache-Control": "max-age=3600"}, **dict(headers))
        self.sent = 0
        self.asked = []  # Range of each request, None: the whole
        self.seen = []   # exchanges
        self.cut_at = None  # bytes of a body after which the next answer breaks off; once
        self.gate = None    # (bytes, event): the next answer waits there; once
        self.lie = None     # lie(exchange, status, headers) changes the next partial answer; once
        self.no_ranges = False
        self.chunked = False  # says no length of a whole answer
        self.lock = threading.Lock()
        origin.serve(self.answer)

    def etag(self):
        return self.tag % self.version if self.tag is not None and "%d" in self.tag else self.tag

    def bytes(self, first=0, end=None):
        return content(self.version, first, self.size if end is None else end)

    def span(self, value):
        """(first, end) of a Range, None: not satisfiable."""
        first, last = value.removeprefix("bytes=").split("-")
        if first == "":
            return max(self.size - int(last), 0), self.size
        if int(first) >= self.size:
            return None
        return int(first), min(int(last) + 1, self.size) if last else self.size

    def answer(self, exchange):
        asked = exchange.headers.get("Range")
        with self.lock:
            self.asked.append(asked)
            self.seen.append(exchange)
        status, headers, span = 200, dict(self.headers), (0, self.size)
        if self.etag() is not None:
            headers["ETag"] = self.etag()
        if "If-Match" in exchange.headers and exchange.headers["If-Match"] != self.etag():
            exchange.answer(412, {})
            return
        if "If-None-Match" in exchange.headers and exchange.headers["If-None-Match"] == self.etag():
            exchange.answer(304, headers)
            return
        if asked is not None and not self.no_ranges:
            span = self.span(asked)
            if span is None:
                exchange.answer(416, {"Content-Range": f"bytes */{self.size}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{self.size}"
        lie, self.lie = (self.lie, None) if status == 206 else (None, self.lie)
        if lie is not None:
            status, span = lie(self, status, headers, span)
        self.send(exchange, status, headers, span)

    def send(self, exchange, status, headers, span):
        cut, self.cut_at = self.cut_at, None
        gate, self.gate = self.gate, None
        version = self.version
        chunked = self.chunked and status == 200
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {span[1] - span[0]}"
        fields = "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        exchange.send(f"HTTP/1.1 {status} Fine\r\n{framing}\r\n{fields}\r\n")
        at, end = span[0], span[1] if cut is None else min(span[0] + cut, span[1])
        while at < end:
            stop = min(at + 16 * PIECE, end)
            if gate is not None and at < span[0] + gate[0]:
                stop = min(stop, span[0] + gate[0])
            if gate is not None and at == span[0] + gate[0]:
                gate[1].wait(30)
                gate = None
                continue
            body = content(version, at, stop)
            exchange.send(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
            self.sent += stop - at
            at = stop
        if cut is not None:
            exchange.close()
        elif chunked:
            exchange.send("0\r\n\r\n")

    def wait_asked(self, n):
        until(lambda: len(self.asked) >= n, f"the origin is asked {n} times")


def check(film, response, first, end, version=None):
    body = content(film.version if version is None else version, first, end)
    assert len(response.body) == end - first, f"{len(response.body)} bytes, not {end - first}"
    if response.body != body:
        at = next(i for i in range(len(body)) if body[i] != response.body[i])
        raise AssertionError(f"byte {at} of [{first}, {end}) is another one")
