"""A scripted origin: the test decides, byte by byte and in its own order, what each request gets.

Two ways to use it:
- `exchange = origin.expect()` waits for the next request on any connection; the test answers with
  exchange.send(...), .close(), .reset(). Everything happens in the test's own thread: client asks, origin sees,
  origin says.
- `origin.serve(handler)` answers in the background, a thread for each connection: handler(exchange) for each request.
"""
import selectors
import socket
import threading
import time

from message import Incomplete, Wire
from wait import TIMEOUT, Timeout


def answer(status=200, headers=(), body=b"", length=True, reason="OK", version="HTTP/1.1"):
    """The bytes of a whole answer."""
    headers = list(headers.items() if isinstance(headers, dict) else headers)
    if length and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
        headers.append(("Content-Length", str(len(body))))
    head = f"{version} {status} {reason}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
    return head.encode("latin-1") + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Exchange:
    """One request and what is said to it."""

    def __init__(self, connection, line, headers, head):
        self.connection = connection
        self.method, self.target, self.version = line.decode("latin-1").split(" ")
        self.headers = headers
        self.head = head
        self.body = None
        self.trailers = None

    def read_body(self):
        """The rest of the request; the framing is the strict reader's."""
        wire = self.connection.wire
        if "Transfer-Encoding" in self.headers:
            assert self.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in self.headers
            self.body, self.trailers = wire.chunked()
        else:
            self.body = wire.exactly(int(self.headers.get("Content-Length", "0")))
        return self.body

    def send(self, data):
        self.connection.wire.send(data)

    def answer(self, status=200, headers=(), body=b"", **more):
        if isinstance(body, str):
            body = body.encode()
        data = answer(status, headers, body, **more)
        if self.method == "HEAD" or status in (204, 304):
            data = data[:data.index(b"\r\n\r\n") + 4]
        self.send(data)

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.reset()

    @property
    def has_body(self):
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0"


class Connection:
    def __init__(self, origin, sock, number):
        self.origin = origin
        self.wire = Wire(sock)
        self.number = number
        self.requests = 0
        self.is_open = True

    def next_exchange(self):
        """Reads one head; None when the peer has left between requests."""
        wire = self.wire
        try:
            line, headers = wire.head()
        except Incomplete as problem:
            if problem.got:
                raise
            return None
        self.requests += 1
        head = b""
        exchange = Exchange(self, line, headers, head)
        self.origin.note(exchange)
        return exchange

    def close(self):
        self.is_open = False
        self.wire.close()

    def reset(self):
        self.is_open = False
        self.wire.reset()


class Origin:
    def __init__(self, tls=None, backlog=1024, port=0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.tls = tls
        self.connections = []
        self.exchanges = []  # every request seen, in order
        self.errors = []
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.threads = []
        self.handler = None
        self.stopping = False

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def note(self, exchange):
        with self.changed:
            self.exchanges.append(exchange)
            self.changed.notify_all()

    def accept(self, timeout=TIMEOUT):
        """The next new connection."""
        self.listener.settimeout(timeout)
        try:
            sock, _ = self.listener.accept()
        except socket.timeout:
            raise Timeout("no connection to the origin")
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True)
        connection = Connection(self, sock, len(self.connections))
        self.connections.append(connection)
        return connection

    def expect(self, target=None, timeout=TIMEOUT, body=True):
        """The next request, on whichever connection; with its body unless body=False."""
        end = time.monotonic() + timeout
        while True:
            for connection in self.connections:
                if connection.is_open and connection.wire.buffer:
                    return self._begin(connection, target, body)
            with selectors.PollSelector() as selector:
                selector.register(self.listener, selectors.EVENT_READ)
                for connection in self.connections:
                    if connection.is_open and not connection.wire.eof:
                        selector.register(connection.wire.sock, selectors.EVENT_READ, connection)
                ready = selector.select(max(0, end - time.monotonic()))
            if not ready:
                raise Timeout("no request at the origin")
            for key, _ in ready:
                if key.data is None:
                    self.accept()
                elif not key.data.wire.receive():
                    key.data.close()

    def _begin(self, connection, target, body):
        exchange = connection.next_exchange()
        assert exchange is not None
        if target is not None:
            assert exchange.target == target, f"origin was asked for {exchange.target}"
        if body:
            exchange.read_body()
        return exchange

    def silent(self):
        """No request has come that expect() has not returned (as far as can be seen now)."""
        try:
            self.expect(timeout=0, body=False)
        except Timeout:
            return True
        return False

    def serve(self, handler):
        """Answers in the background from now on."""
        self.handler = handler
        thread = threading.Thread(target=self._accept_loop, daemon=True)
        thread.start()
        self.threads.append(thread)
        return self

    def _accept_loop(self):
        while not self.stopping:
            try:
                connection = self.accept(timeout=0.2)
            except Timeout:
                continue
            except OSError as problem:
                if self.stopping:
                    return
                self.errors.append(problem)
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()

    def _serve(self, connection):
        connection.wire.timeout = 60
        try:
            while connection.is_open:
                exchange = connection.next_exchange()
                if exchange is None:
                    break
                exchange.read_body()
                self.handler(exchange)
            if connection.is_open:
                connection.close()
        except (Timeout, Incomplete, ConnectionError, OSError) as problem:
            self.errors.append(problem)
        except Exception as problem:  # a bug of the test: shown when the fixture ends
            self.errors.append(problem)
            self.bug = problem
            connection.close()

    bug = None

    @property
    def count(self):
        with self.lock:
            return len(self.exchanges)

    def wait_count(self, n, timeout=TIMEOUT):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.exchanges) >= n, timeout):
                raise Timeout(f"origin saw {len(self.exchanges)} requests, not {n}")

    def close_connections(self):
        for connection in self.connections:
            if connection.is_open:
                connection.close()

    def stop(self):
        """Refuses from now on."""
        self.stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for thread in self.threads:
            thread.join(TIMEOUT)
        self.listener.close()
        for connection in self.connections:
            if connection.is_open:
                connection.is_open = False
                try:
                    connection.wire.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                connection.wire.close()
