"""HTTP/2 clients: python-h2 for conversations, single bytes for what no library says."""
import socket
import struct

import h2.config
import h2.connection
import h2.events
import h2.settings

from wait import TIMEOUT

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PRIORITY_UPDATE = 0x10
ENHANCE_YOUR_CALM = 0xb


class Answer:
    def __init__(self):
        self.interim, self.headers, self.body, self.trailers = [], None, b"", None
        self.ended, self.reset = False, None

    @property
    def status(self):
        return int(dict(self.headers)[":status"])

    def __getitem__(self, name):
        return dict(self.headers)[name]


class H2Client:
    """One connection. Flow control is answered as bytes arrive unless windows=False."""

    def __init__(self, address, sock=None, windows=True, settings=None):
        self.sock = sock or socket.create_connection(address, TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(TIMEOUT)
        self.windows = windows
        self.authority = f"127.0.0.1:{address[1]}"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.answers, self.goaway, self.closed, self.acks = {}, None, False, 0
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def headers(self, method="GET", path="/", more=(), scheme="http"):
        more = list(more.items() if isinstance(more, dict) else more)
        return [(":method", method), (":scheme", scheme), (":authority", self.authority), (":path", path)] + more

    def send(self, headers, end=True):
        """Begins a stream; its number."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def request(self, path="/", method="GET", more=(), body=None):
        stream = self.send(self.headers(method, path, more), end=body is None)
        if body is not None:
            self.send_body(stream, body)
        return stream

    def send_body(self, stream, body, end=True):
        """As the server's windows allow."""
        at = 0
        while at < len(body):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body) - at)
            if room == 0:
                self.receive()
                if self.answers[stream].reset is not None:
                    return
                continue
            self.h2.send_data(stream, body[at:at + room])
            at += room
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            self.closed = True
            raise ConnectionError("the server has closed")
        for event in self.h2.receive_data(data):
            self.on(event)
        self.flush()

    def on(self, event):
        answer = self.answers.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(event.headers)
        elif isinstance(event, h2.events.ResponseReceived):
            answer.headers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.windows and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self.acks += 1

    def until(self, condition):
        while not condition():
            self.receive()

    def ping(self):
        """There and back: what was sent before has been seen."""
        seen = self.acks
        self.h2.ping(b"numbered")
        self.flush()
        self.until(lambda: self.acks > seen)

    def answer(self, stream):
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def get(self, path, more=(), method="GET", body=None):
        return self.answer(self.request(path, method, more, body))


# ---- frames by hand ----------------------------------------------------------------------------------------------


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(text):
    """A string of HPACK, as it is."""
    text = text if isinstance(text, bytes) else text.encode("latin-1")
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return length + bytes([rest]) + text


def block(*fields):
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in fields)


def get_block(path="/", *more, authority="h"):
    return block((":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path), *more)


class Raw:
    """A connection whose client says what it likes."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, TIMEOUT)
        self.sock.settimeout(TIMEOUT)
        self.buffer = b""
        self.say(PREFACE + frame(SETTINGS))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def say(self, data):
        """What the server does not take any more, because it has closed, is nobody's loss."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def next(self):
        """(type, flags, stream, payload), or None at the end."""
        try:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                data = self.sock.recv(65536)
                if not data:
                    return None
                self.buffer += data
        except ConnectionResetError:
            return None
        length = int.from_bytes(self.buffer[:3], "big")
        head, payload, self.buffer = self.buffer[:9], self.buffer[9:9 + length], self.buffer[9 + length:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def expect(self, kind):
        """The next frame of that type, whatever comes before it."""
        while True:
            found = self.next()
            assert found is not None, "the connection has ended"
            if found[0] == kind:
                return found

    def expect_goaway(self):
        """Its code; then nothing but the end."""
        code = int.from_bytes(self.expect(GOAWAY)[3][4:8], "big")
        self.sock.shutdown(socket.SHUT_WR) if self.sock.fileno() >= 0 else None
        while self.next() is not None:
            pass
        return code
