"""What a connection may do before it is a request, and after its answer."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
import uvicorn

from stakehold.http.reading import BODY_BYTES_MAX
from stakehold.runtime import http_protocol
from stakehold.runtime.http_protocol import HEAD_BYTES_MAX, BoundedHttpProtocol

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_TIMEOUT_S = 0.3
WRITE_TIMEOUT_S = 1.0


async def early_answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def names_of_headers(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers with the names of the header fields it sees by then."""
    while (await receive()).get("more_body"):
        pass
    names = b" ".join(name for name, _ in scope["headers"])
    length = (b"content-length", str(len(names)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": names})


class Held:
    """What requests of /held wait for, and say when they have begun."""

    begun = asyncio.Event()
    released = asyncio.Event()


STREAMED = b"x" * 100_000
LARGE = b"x" * 2**23
"""More than the kernel takes for a client that does not read."""

WRONG_HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "/injected": [(b"content-length", b"2"), (b"etag", b'"x"\r\nset-cookie: stolen=1')],
    "/injected-name": [(b"content-length", b"2"), (b"etag: x\r\nset-cookie", b"stolen=1")],
    "/half-injected": [(b"content-length", b"2"), (b"etag", b'"x"\nset-cookie: stolen=1')],
    "/nul": [(b"content-length", b"2"), (b"etag", b'"\0"')],
    "/too-long": [(b"content-length", b"1")],
    "/too-short": [(b"content-length", b"3")],
}
FRAMED_OTHERWISE: dict[str, list[tuple[bytes, bytes]]] = {
    "/unframed": [],
    "/last": [(b"content-length", b"2"), (b"connection", b"close")],
}


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The application of these tests."""
    path = scope["path"]
    if path in WRONG_HEADERS or path in FRAMED_OTHERWISE:
        headers = (WRONG_HEADERS | FRAMED_OTHERWISE)[path]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
    elif path == "/held":
        while (await receive()).get("more_body"):
            pass
        Held.begun.set()
        await Held.released.wait()
        await early_answer(scope, receive, send)
    elif path == "/streamed":
        length = (b"content-length", str(2 * len(STREAMED)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": STREAMED, "more_body": True})
        await send({"type": "http.response.body", "body": STREAMED})
    elif path == "/large":
        headers = [(b"content-length", str(len(LARGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": LARGE})
    else:
        await (names_of_headers if path == "/names" else early_answer)(scope, receive, send)


@pytest_asyncio.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", HEAD_TIMEOUT_S)
    Held.begun, Held.released = asyncio.Event(), asyncio.Event()
    config = uvicorn.Config(
        answer,
        port=0,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
    )
    server = uvicorn.Server(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            server, "capture_signals", contextlib.nullcontext
        )
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await serving


async def until_closed(port: int, *parts: bytes) -> bytes:
    """Send the parts and read until the server closes; fails when it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                return await reader.read()
            return b""
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: ", GET[:-2]])
async def test_a_head_that_does_not_end_is_cut_off(port: int, begun: bytes) -> None:
    """Whoever sends nothing, or stops in the middle, holds a connection for the head's time-out at most."""
    assert await until_closed(port, begun) == b""


async def test_after_an_answer_the_next_head_is_bounded_as_well(port: int) -> None:
    """Keeping alive is for those who ask again, whole."""
    answer = await until_closed(port, GET, b"GET / HT")
    assert answer.count(b"HTTP/1.1 200 OK") == 1


async def test_a_head_without_end_is_answered_431(port: int) -> None:
    """It is never kept in memory whole, nor shown to the application."""
    line = b"x-large: " + b"x" * 1000 + b"\r\n"
    answer = await until_closed(port, b"GET / HTTP/1.1\r\n", *[line] * (HEAD_BYTES_MAX // 1000 + 5))
    # The answer may be lost when the client is still sending: then the connection has just ended.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_requests_on_one_connection_are_all_answered(port: int) -> None:
    """The bounds are for what is no request: many requests together may be longer than one head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 20_000 + b"\r\n\r\n"
    async with asyncio.timeout(5):
        for _ in range(5):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(2) == b"ok"
    writer.close()


async def test_connections_beyond_the_bound_are_cut_off_at_once(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that there were go on, and whoever comes after one of them has gone is served."""
    monkeypatch.setattr(http_protocol, "CONNECTIONS_MAX", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        for _ in range(2):
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            assert await until_closed(port, GET) == b""
        writer.close()
        while not await until_closed(port, b"GET /" + LAST):
            pass


async def test_an_answer_to_head_has_no_body(port: int) -> None:
    """Though the application gave one: the next answer follows the head."""
    received = await until_closed(port, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /" + LAST)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 2" in head
    assert rest.startswith(b"HTTP/1.1 200 ")


async def test_the_rest_of_a_body_answered_early_is_bounded_in_time(port: int) -> None:
    """A refused upload cannot go on for ever."""
    answer = await until_closed(
        port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1000, b"x" * 1000
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_is_no_http_is_told_so_as_a_problem(port: int) -> None:
    """Never the parser's words, and in the form of every other error."""
    answer = await until_closed(port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["code"] == "malformed_request"
    assert f"x-request-id: {problem['request_id']}\r\n".encode() in head
    assert b"x-content-type-options: nosniff" in head
    other = await until_closed(port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert problem["request_id"].encode() not in other


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"1.2"])
async def test_a_version_that_is_not_spoken_is_refused(port: int, version: bytes) -> None:
    """Its rules of framing are not ours."""
    answer = await until_closed(port, b"GET / HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


CHUNKED = b"POST /names HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_trailer_is_no_header(port: int, *, at_once: bool) -> None:
    """Whatever it is called, and whether or not it arrives together with the head."""
    body = b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    parts = [CHUNKED + body] if at_once else [CHUNKED, body]
    answer = await until_closed(port, *parts)
    assert answer.endswith(b"\r\n\r\nhost transfer-encoding connection")


@pytest.mark.parametrize("around", [b"0\r\nX: ", b"1;x=", b"0\r\n"])
async def test_trailers_and_extensions_without_end_are_cut_off(port: int, around: bytes) -> None:
    """They are read by nobody, so nobody may fill the memory with them."""
    line = b"x" * 1000 if not around.endswith(b"\n") else b"X: y\r\n" * 200
    assert await until_closed(port, CHUNKED, around, *[line] * 200) == b""


async def test_a_large_body_in_chunks_is_not_cut_off(port: int) -> None:
    """Its content is for the application to bound, which can say so."""
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    answer = await until_closed(port, CHUNKED, *[chunk] * 30, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_body_in_the_smallest_chunks_is_not_cut_off(port: int) -> None:
    """The largest body that the application takes may come a byte at a time."""
    chunks = b"1\r\nx\r\n" * BODY_BYTES_MAX
    answer = await until_closed(port, CHUNKED, chunks, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


LAST = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_an_answer_leaves_in_one_piece_with_its_date(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Head and body cost one write, and have what RFC 9110 (section 6.6.1) wants of every answer."""
    pieces: list[bytes] = []
    made = BoundedHttpProtocol.connection_made

    def watched(self: BoundedHttpProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.transport = cast(asyncio.Transport, _Watched(transport, pieces))

    monkeypatch.setattr(BoundedHttpProtocol, "connection_made", watched)
    await until_closed(port, GET, b"GET / HT")
    assert len(pieces) == 1
    assert re.fullmatch(rb"HTTP/1.1 200 OK\r\ndate: [^\r]+ GMT\r\ncontent-length: 2\r\n\r\nok", pieces[0])


class _Watched:
    """A transport that notes what is written."""

    def __init__(self, transport: asyncio.Transport, pieces: list[bytes]) -> None:
        self._transport = transport
        self._pieces = pieces

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.mark.parametrize("path", WRONG_HEADERS)
async def test_an_answer_that_would_be_misread_is_not_sent(port: int, path: str) -> None:
    """A header that ends its line, or a length that is not the body's, is our fault and ends it."""
    received = await until_closed(port, b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert b"stolen" not in received
    assert received.count(b"HTTP/1.1 ") <= 1
    assert b"content-length: 2\r\n" not in received


@pytest.mark.parametrize("path", FRAMED_OTHERWISE)
async def test_an_answer_framed_otherwise_is_sent_by_uvicorn(port: int, path: str) -> None:
    """Chunked where no length is given; the last of its connection where it says so."""
    received = await until_closed(port, b"GET " + path.encode() + LAST)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert body == (b"2\r\nok\r\n0\r\n\r\n" if path == "/unframed" else b"ok")


async def test_a_streamed_answer_arrives_whole(port: int) -> None:
    """What comes in several pieces is never held back until it is complete."""
    received = await until_closed(port, b"GET /streamed" + LAST)
    assert received.partition(b"\r\n\r\n")[2] == STREAMED * 2


HELD = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
TO_HELD = b"POST /held HTTP/1.1\r\nHost: x\r\n"
BROKEN_CHUNK = b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HELD + b"\x00 / HTTP/1.1\r\n\r\n", id="garbage after a request"),
        pytest.param(TO_HELD + b"Content-Length: 2\r\n\r\nabc", id="a body longer than it says"),
        pytest.param(HELD + TO_HELD + BROKEN_CHUNK, id="a second request whose body is broken"),
        pytest.param(HELD + b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", id="a version that is not spoken"),
        pytest.param(
            HELD[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI", id="an offer to upgrade, taken up"
        ),
    ],
)
async def test_a_refusal_never_overtakes_an_answer(port: int, sent: bytes) -> None:
    """A request under way gets its own answer, as the last of its connection: it may have had its effect."""
    asyncio.get_running_loop().call_later(0.05, Held.released.set)
    received = await until_closed(port, sent)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received


async def test_requests_behind_one_under_way_are_bounded(port: int) -> None:
    """As many as may wait are answered, the last as the last; no more are read."""
    asyncio.get_running_loop().call_later(0.05, Held.released.set)
    received = await until_closed(port, HELD + GET * 200)
    assert received.count(b"HTTP/1.1 200 ") == received.count(b"ok") == 1 + http_protocol.PIPELINED_MAX
    assert received.count(b"connection: close") == 1


async def test_a_head_behind_a_request_under_way_is_bounded(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read on until the answer has left, and then as any other."""
    taken, receive = 0, BoundedHttpProtocol.data_received

    def counting(self: BoundedHttpProtocol, data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        receive(self, data)

    monkeypatch.setattr(BoundedHttpProtocol, "data_received", counting)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELD + b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_send_much(writer), 1)
    assert taken < 1_000_000
    Held.released.set()
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionError):
            after = await reader.read()
            assert after == b"" or after.startswith(b"HTTP/1.1 431 ")
    writer.transport.abort()


async def _send_much(writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def test_after_the_rest_of_a_body_answered_early_the_connection_goes_on(port: int) -> None:
    """However large its last piece is: it is no head, and no answer follows it but those asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"x" * 200_000)
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 2 * HEAD_TIMEOUT_S)
        writer.write(GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_client_that_takes_no_last_answer_is_cut_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing waits for what is still to be sent, and that has a limit too."""
    aborted = asyncio.Event()
    made = BoundedHttpProtocol.connection_made

    def never_closing(self: BoundedHttpProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.transport = cast(asyncio.Transport, _NeverClosing(transport, aborted))

    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(BoundedHttpProtocol, "connection_made", never_closing)
    await until_closed(port, b"GET /" + LAST)
    assert aborted.is_set()


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when an answer has to wait for its client."""
    paused, pause = asyncio.Event(), BoundedHttpProtocol.pause_writing

    def noted(self: BoundedHttpProtocol) -> None:
        pause(self)
        paused.set()

    monkeypatch.setattr(BoundedHttpProtocol, "pause_writing", noted)
    return paused


async def test_a_client_that_reads_on_has_no_further_limit(
    port: int, paused: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that had to wait arrives whole, and its connection is not cut off for the wait later."""
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", WRITE_TIMEOUT_S)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await paused.wait()
        cut_at_s = loop.time() + WRITE_TIMEOUT_S
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(LARGE)) == LARGE
        while loop.time() < cut_at_s + 0.1:
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize("rest_of_head", [GET.removeprefix(b"GET /"), LAST])
async def test_a_client_that_stops_reading_is_cut_off(
    port: int, paused: asyncio.Event, monkeypatch: pytest.MonkeyPatch, rest_of_head: bytes
) -> None:
    """Whether its connection was to go on after the answer, or to end with it."""
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.1)
    gone, lost = asyncio.Event(), BoundedHttpProtocol.connection_lost

    def noted(self: BoundedHttpProtocol, exc: Exception | None) -> None:
        lost(self, exc)
        gone.set()

    monkeypatch.setattr(BoundedHttpProtocol, "connection_lost", noted)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    async with asyncio.timeout(5):
        writer.write(b"GET /large" + rest_of_head)
        await gone.wait()
        assert paused.is_set()
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                received += part
    assert len(received) < len(LARGE)
    writer.close()


class _NeverClosing(_Watched):
    """A transport whose peer takes nothing more: it closes only by force."""

    def __init__(self, transport: asyncio.Transport, aborted: asyncio.Event) -> None:
        super().__init__(transport, [])
        self._aborted = aborted
        self._closing = False

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        self._aborted.set()
        self._transport.abort()


async def test_a_client_that_goes_while_another_request_waits_is_no_fault(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request under way learns of it, and its answer goes nowhere without an error."""
    gone, lost = asyncio.Event(), BoundedHttpProtocol.connection_lost

    def noted(self: BoundedHttpProtocol, exc: Exception | None) -> None:
        lost(self, exc)
        gone.set()

    monkeypatch.setattr(BoundedHttpProtocol, "connection_lost", noted)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELD + GET)
    await asyncio.wait_for(Held.begun.wait(), 5)
    writer.transport.abort()
    await asyncio.wait_for(gone.wait(), 5)
    Held.released.set()
    await until_closed(port, b"GET /" + LAST)
    assert "Exception" not in caplog.text
