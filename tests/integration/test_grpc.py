"""gRPC through WARP, real client and server: HTTP/2 in cleartext on both sides, both directions of a call at once."""
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from wait import TIMEOUT, until


class Echo(grpc.GenericRpcHandler):
    """What the calls do; bytes in, bytes out."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.deadlines = []
        self.metadata = []
        self.started = threading.Event()

    def service(self, details):
        kind = details.method.rsplit("/", 1)[1]
        make = {"unary": grpc.unary_unary_rpc_method_handler, "fail": grpc.unary_unary_rpc_method_handler,
                "wait": grpc.unary_unary_rpc_method_handler, "list": grpc.unary_stream_rpc_method_handler,
                "sum": grpc.stream_unary_rpc_method_handler, "talk": grpc.stream_stream_rpc_method_handler}.get(kind)
        return make and make(getattr(self, kind))

    def unary(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        context.send_initial_metadata((("x-initial", "1"),))
        context.set_trailing_metadata((("x-trailing", "2"), ("x-bytes-bin", b"\0\1\xff")))
        return b"<" + request + b">"

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: \u00e4")

    def wait(self, request, context):
        self.deadlines.append(context.time_remaining())
        context.add_callback(self.cancelled.set)
        self.started.set()
        self.cancelled.wait(TIMEOUT)
        return b"late"

    def list(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def sum(self, requests, context):
        return b"%d" % sum(int(request) for request in requests)

    def talk(self, requests, context):
        for request in requests:
            yield request[::-1]


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def origin(echo):
    server = grpc.server(ThreadPoolExecutor(16), handlers=[echo])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"h2c://127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def channel(start_warp, origin):
    warp = start_warp(origin)
    with grpc.insecure_channel(f"127.0.0.1:{warp.port}") as channel:
        yield channel


def test_unary(channel, echo):
    call = channel.unary_unary("/test.Echo/unary")
    answer, info = call.with_call(b"hello", metadata=(("x-sent", "3"),), timeout=TIMEOUT)
    assert answer == b"<hello>" and info.code() == grpc.StatusCode.OK
    assert ("x-initial", "1") in info.initial_metadata()
    assert ("x-trailing", "2") in info.trailing_metadata() and ("x-bytes-bin", b"\0\1\xff") in info.trailing_metadata()
    assert echo.metadata[0]["x-sent"] == "3"


def test_many_at_once(channel):
    call = channel.unary_unary("/test.Echo/unary")
    futures = [call.future(b"%d" % i, timeout=TIMEOUT) for i in range(200)]
    assert [future.result() for future in futures] == [b"<%d>" % i for i in range(200)]


def test_large_messages(channel):
    message = bytes(range(256)) * 8192  # 2 MiB, past every window
    assert channel.unary_unary("/test.Echo/unary")(message, timeout=TIMEOUT) == b"<" + message + b">"


def test_a_status_in_trailers(channel):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/test.Echo/fail")(b"", timeout=TIMEOUT)
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "not like this: \u00e4"


def test_an_unknown_method(channel):
    """The status comes with the head, and there is nothing else."""
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/test.Echo/nothing")(b"", timeout=TIMEOUT)
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_server_streaming(channel):
    assert list(channel.unary_stream("/test.Echo/list")(b"1000", timeout=TIMEOUT)) == [b"%d" % i for i in range(1000)]
    assert list(channel.unary_stream("/test.Echo/list")(b"0", timeout=TIMEOUT)) == []


def test_client_streaming(channel):
    assert channel.stream_unary("/test.Echo/sum")((b"%d" % i for i in range(1000)), timeout=TIMEOUT) == b"499500"


def test_ping_pong(channel):
    """Each word is said only when the answer to the one before it is here."""
    heard = threading.Semaphore(1)

    def words():
        for i in range(100):
            assert heard.acquire(timeout=TIMEOUT)
            yield b"word %d" % i

    answers = channel.stream_stream("/test.Echo/talk")(words(), timeout=TIMEOUT)
    for i in range(100):
        assert next(answers) == (b"word %d" % i)[::-1]
        heard.release()
    with pytest.raises(StopIteration):
        next(answers)
    assert answers.code() == grpc.StatusCode.OK


def test_a_deadline_reaches_the_origin(channel, echo):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/test.Echo/wait")(b"", timeout=2)
    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert echo.cancelled.wait(TIMEOUT)
    assert echo.deadlines[0] is not None and echo.deadlines[0] < TIMEOUT


def test_cancelling_reaches_the_origin(channel, echo):
    future = channel.unary_unary("/test.Echo/wait").future(b"")
    assert echo.started.wait(TIMEOUT)
    future.cancel()
    assert echo.cancelled.wait(TIMEOUT)


def test_cancelling_a_stream_reaches_the_origin(channel, echo):
    ended = threading.Event()

    def talk(requests, context):
        context.add_callback(ended.set)
        for request in requests:
            yield request

    echo.talk = talk
    more = threading.Event()

    def words():
        yield b"one"
        more.wait(TIMEOUT)

    answers = channel.stream_stream("/test.Echo/talk")(words())
    assert next(answers) == b"one"
    answers.cancel()
    assert ended.wait(TIMEOUT)
    more.set()


def test_an_origin_that_is_gone(start_warp):
    warp = start_warp("h2c://127.0.0.1:1")
    with grpc.insecure_channel(f"127.0.0.1:{warp.port}") as channel:
        with pytest.raises(grpc.RpcError) as failure:
            channel.unary_unary("/test.Echo/unary")(b"", timeout=TIMEOUT)
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    until(lambda: warp.outcome("error") == 1, "the error")
