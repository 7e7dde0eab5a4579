"""A scripted HTTP/2 origin, over TLS or in cleartext with prior knowledge (python's h2 does the frames).

Each connection has a thread that reads; the test decides what is said, in its own order and from its own thread:
- `stream = origin.expect("/x")` waits for a request, on whichever connection; then stream.answer(...), .reset(code),
  stream.connection.goaway(...), .cut().
- `origin.serve(handler)` calls handler(stream) for each request, in a thread of its own.
"""
import queue
import select
import socket
import ssl
import struct
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (ConnectionTerminated, DataReceived, RemoteSettingsChanged, RequestReceived, StreamEnded, StreamReset,
                       TrailersReceived, WindowUpdated)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from wait import TIMEOUT, Timeout


class Gone(AssertionError):
    """The other side has reset the stream, or left."""


class Stream:
    def __init__(self, connection, number, fields):
        self.connection = connection
        self.id = number
        self.fields = fields
        self.body = b""
        self.trailers = None
        self.is_ended = False
        self.reset_code = None

    def __getitem__(self, name):
        values = [value for key, value in self.fields if key == name]
        assert values, f"no {name} in {self.fields}"
        return ", ".join(values)

    def get(self, name, default=None):
        return ", ".join(value for key, value in self.fields if key == name) or default

    @property
    def path(self):
        return self[":path"]

    def _wait(self, condition, what):
        with self.connection.changed:
            if not self.connection.changed.wait_for(condition, TIMEOUT):
                raise Timeout(f"stream {self.id}: {what} did not come; body so far {len(self.body)} bytes")

    def read_body(self):
        self._wait(lambda: self.is_ended or self.reset_code is not None or self.connection.is_over, "the request's end")
        if not self.is_ended:
            raise Gone(f"stream {self.id}")
        return self.body

    def wait_bytes(self, n):
        self._wait(lambda: len(self.body) >= n, f"{n} bytes")

    def wait_reset(self):
        self._wait(lambda: self.reset_code is not None, "a reset")
        return self.reset_code

    def head(self, status=200, headers=(), end=False):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        self.connection.do(lambda h2: h2.send_headers(self.id, [(":status", str(status))] +
                                                      [(n.lower(), v) for n, v in headers], end_stream=end))

    def fields_raw(self, fields, end=False):
        self.connection.do(lambda h2: h2.send_headers(self.id, fields, end_stream=end))

    def data(self, data=b"", end=False):
        """All of it, as the windows admit; raises Gone when nobody takes it any more."""
        connection = self.connection
        view = memoryview(data)
        while True:
            with connection.changed:
                if not connection.changed.wait_for(
                        lambda: not view or self._is_gone() or connection.h2.local_flow_control_window(self.id) > 0, TIMEOUT):
                    raise Timeout(f"stream {self.id}: no window for {len(view)} bytes")
                if self._is_gone():
                    raise Gone(f"stream {self.id}")
                n = min(len(view), connection.h2.local_flow_control_window(self.id), connection.h2.max_outbound_frame_size)
                last = n == len(view)
                connection.h2.send_data(self.id, bytes(view[:n]), end_stream=end and last)
                connection.flush()
            view = view[n:]
            if last:
                return

    def _is_gone(self):
        return self.reset_code is not None or self.connection.is_over

    def answer(self, status=200, headers=(), body=b"", trailers=None):
        body = body.encode() if isinstance(body, str) else body
        self.head(status, headers, end=not body and trailers is None)
        if body:
            self.data(body, end=trailers is None)
        if trailers is not None:
            self.end(trailers)

    def end(self, trailers=None):
        if trailers is None:
            self.data(b"", end=True)
        else:
            self.connection.do(lambda h2: h2.send_headers(self.id, trailers, end_stream=True))

    def reset(self, code=ErrorCodes.INTERNAL_ERROR):
        self.connection.do(lambda h2: h2.reset_stream(self.id, code))


class Connection:
    def __init__(self, origin, sock, number):
        self.origin = origin
        self.sock = sock
        self.number = number
        self.changed = threading.Condition()
        self.is_over = False
        self.streams = {}
        self.goaway_code = None
        config = H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False,
                                 normalize_outbound_headers=False, validate_inbound_headers=True)
        sock.setblocking(False)
        self.h2 = H2Connection(config)
        self.h2.local_settings = Settings(client=False, initial_values=origin.settings)
        self.h2.initiate_connection()
        if origin.connection_window > 65535:
            self.h2.increment_flow_control_window(origin.connection_window - 65535)
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            try:
                self._send(data)
            except OSError:
                self.is_over = True

    def _send(self, data):
        view = memoryview(data)
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        while view:
            try:
                view = view[self.sock.send(view):]
            except (BlockingIOError, ssl.SSLWantWriteError):
                poll.poll(TIMEOUT * 1000)

    def _receive(self):
        """Bytes, b"" at the end, None when there are none now. One thread at a time is in a TLS socket."""
        try:
            return self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def do(self, what):
        with self.changed:
            if self.is_over:
                raise Gone("the connection is over")
            what(self.h2)
            self.flush()

    def raw(self, data):
        with self.changed:
            self.flush()
            self._send(data)

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.raw(struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload)

    def goaway(self, last, code=ErrorCodes.NO_ERROR):
        """As a frame of its own: h2 would take nothing more after it."""
        self.frame(7, payload=struct.pack("!II", last, int(code)))

    def cut(self, reset=False):
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                self.sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)  # wakes the thread, which closes
            except OSError:
                pass

    def wait_over(self):
        with self.changed:
            if not self.changed.wait_for(lambda: self.is_over, TIMEOUT):
                raise Timeout("the connection goes on")

    def run(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        while True:
            poll.poll(TIMEOUT * 1000)
            with self.changed:
                data = b"" if self.is_over else self._receive()
                while data is not None and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0:
                    data += self._receive() or b""
                if data is None:
                    continue
                if not data:
                    break
                try:
                    events = self.h2.receive_data(data)
                except ProtocolError as problem:
                    self.origin.errors.append(problem)
                    self.flush()
                    break
                for event in events:
                    self.handle(event)
                self.flush()
                self.changed.notify_all()
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
        self.sock.close()

    def handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, RequestReceived):
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
            self.origin.note(stream)
        elif isinstance(event, DataReceived) and stream is not None:
            stream.body += event.data
            if event.flow_controlled_length and self.origin.opens_windows:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, StreamEnded):
            stream.is_ended = True
        elif isinstance(event, StreamReset) and stream is not None:
            stream.reset_code = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self.goaway_code = event.error_code
        else:
            assert event is None or isinstance(event, (WindowUpdated, RemoteSettingsChanged, object))


class H2Origin:
    def __init__(self, tls=None, settings=(), connection_window=1 << 24, opens_windows=True, port=0, scheme=None):
        self.tls = tls
        self.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 100, **dict(settings)}
        self.connection_window = connection_window
        self.opens_windows = opens_windows
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.scheme = scheme or ("https" if tls else "h2c")
        self.connections = []
        self.requests = queue.Queue()
        self.streams = []
        self.errors = []
        self.handshake_errors = []
        self.resumed = []
        self.handler = None
        self.bug = None
        self.is_stopping = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def _accept(self):
        while not self.is_stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._begin, args=(sock,), daemon=True).start()

    def _begin(self, sock):
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except (OSError, ssl.SSLError) as problem:
                self.handshake_errors.append(problem)
                sock.close()
                return
            self.resumed.append(sock.session_reused)
        connection = Connection(self, sock, len(self.connections))
        self.connections.append(connection)
        connection.run()

    def note(self, stream):
        self.streams.append(stream)
        if self.handler is None:
            self.requests.put(stream)
        else:
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        try:
            self.handler(stream)
        except Gone:
            pass
        except Exception as problem:  # a bug of the test: shown when the fixture ends
            self.bug = problem

    def serve(self, handler):
        self.handler = handler
        return self

    def expect(self, path=None):
        try:
            stream = self.requests.get(timeout=TIMEOUT)
        except queue.Empty:
            raise Timeout("no request at the origin")
        if path is not None:
            assert stream.path == path, f"the origin was asked for {stream.path}"
        return stream

    def stop(self):
        self.is_stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            if not connection.is_over:
                connection.cut()
