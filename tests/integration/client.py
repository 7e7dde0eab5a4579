"""A raw-socket HTTP/1 client: sends any bytes, reads answers strictly."""
import socket

from message import Incomplete, Malformed, Wire
from wait import TIMEOUT


class Response:
    def __init__(self, line, headers, interims):
        version, _, rest = line.partition(b" ")
        status, space, reason = rest.partition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(status) != 3 or not status.isdigit() or not space:
            raise Malformed(f"status line {line!r}")
        self.version = version.decode()
        self.status = int(status)
        self.reason = reason.decode("latin-1")
        self.headers = headers
        self.interims = interims
        self.body = b""
        self.trailers = None
        self.framing = None

    @property
    def cache_status(self):
        return self.headers.get("Cache-Status", "")

    @property
    def is_hit(self):
        """Answered from the store, fresh."""
        return "warp; hit" in self.cache_status

    @property
    def age(self):
        return int(self.headers["Age"])

    def __repr__(self):
        return f"<{self.status} {self.headers!r} {self.body[:200]!r}>"


def request_bytes(method, target, headers=(), body=None, host="a.test", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"]
    headers = list(headers.items() if isinstance(headers, dict) else headers)
    if host is not None and not any(n.lower() == "host" for n, _ in headers):
        lines.append(f"Host: {host}")
    if body is not None and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
        headers.append(("Content-Length", str(len(body))))
    lines += [f"{n}: {v}" for n, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


class Client(Wire):
    def __init__(self, port, host="127.0.0.1", receive_buffer=None, timeout=TIMEOUT, source=None, tls=None, name=None, session=None):
        """tls: an SSLContext; name: the server name to ask for (None: none)."""
        sock = socket.socket()
        sock.settimeout(timeout)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        sock.connect((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=name, session=session)
        super().__init__(sock, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, target, method="GET", headers=(), body=None, **more):
        self.send(request_bytes(method, target, headers, body, **more))

    def read_head(self):
        """Head of the final answer, with the interim ones before it."""
        interims = []
        while True:
            line, headers = self.head()
            response = Response(line, headers, interims)
            if response.status >= 200 or response.status == 101:
                return response
            interims.append(response)

    def read_body(self, response, method="GET"):
        lengths, codings = response.headers.all("Content-Length"), response.headers.all("Transfer-Encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise Malformed(f"ambiguous framing {response.headers!r}")
        if lengths and not lengths[0].isdigit():
            raise Malformed(f"Content-Length {lengths[0]!r}")
        try:
            if method == "HEAD" or response.status in (101, 204, 304):
                if codings and response.status in (101, 204):
                    raise Malformed("Transfer-Encoding without a body")
                response.framing = "none"
            elif codings:
                if codings[0] != "chunked":
                    raise Malformed(f"Transfer-Encoding {codings[0]!r}")
                response.framing = "chunked"
                response.body, response.trailers = self.chunked()
            elif lengths:
                response.framing = "length"
                response.body = self.exactly(int(lengths[0]))
            else:
                response.framing = "close"
                response.body = self.rest()
        except Incomplete as problem:
            problem.response = response
            raise
        return response

    def read_response(self, method="GET"):
        return self.read_body(self.read_head(), method)

    def get(self, target, headers=(), method="GET", body=None, **more):
        """One request and its answer."""
        self.request(target, method, headers, body, **more)
        return self.read_response(method)

    def assert_closed(self):
        """The server has ended the connection, with nothing more on it."""
        assert self.ended() == b""
