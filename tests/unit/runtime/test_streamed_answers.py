"""Answers in pieces on a real connection: the application, its native server, clients that read or do not."""

import asyncio
import contextlib
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import uvicorn

from stakehold.gate import Policies
from stakehold.http import app
from stakehold.runtime import http_protocol
from stakehold.runtime.http_protocol import BoundedHttpProtocol
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.telemetry.logs import JsonLog
from tests.support import streaming

PIECE_BYTES = 2**16
PIECES = 320
LARGE_PIECE_BYTES = 2**23
WAIT_S = 10.0


class Streaming:
    """A server with the operations of tests/support/streaming.py, and its log."""

    def __init__(self, port: int, log: BytesIO) -> None:
        self.port = port
        self.log = log

    async def connect(
        self, *, buffer_bytes: int = 2**16
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client for whom the kernel keeps little."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=connection, limit=buffer_bytes)

    async def ask(
        self, path: str, version: str = "1.1", method: str = "GET", **headers: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and return the connection."""
        reader, writer = await self.connect()
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{method} {path} HTTP/{version}\r\nHost: x\r\n{named}\r\n".encode())
        return reader, writer

    async def until_line(self, event: str) -> dict[str, Any]:
        """The first line of the log with this event."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in map(json.loads, self.log.getvalue().splitlines()):
                    if line["event"] == event:
                        found: dict[str, Any] = line
                        return found
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Streaming]:
    monkeypatch.setattr(app, "OPERATIONS", app.OPERATIONS)
    streaming.add_operations()
    vars(streaming.state).update(made=0, begun=0, closed=0, released=False)
    log = BytesIO()
    clock = SystemClock()
    container = SimpleNamespace(
        services=SimpleNamespace(
            clock=clock, entropy=SystemEntropy(), gate=SimpleNamespace(policies=Policies())
        ),
        log=JsonLog(log, clock, collect=False), client_address=lambda scope: "192.0.2.1",
        cors_origins=frozenset(), hsts=False, draining=lambda: False,
    )  # fmt: skip
    application = app.create_app()

    async def with_container(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"container": container}
        await application(scope, receive, send)

    config = uvicorn.Config(
        with_container, port=0, http=BoundedHttpProtocol, ws="none", lifespan="off", log_config=None,
        server_header=False, access_log=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    yield Streaming(server.servers[0].sockets[0].getsockname()[1], log)
    server.should_exit = True
    await serving


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readuntil(b"\r\n\r\n")


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a body; the last one is empty. Raises IncompleteReadError where it breaks off."""
    async with asyncio.timeout(WAIT_S):
        length = int(await reader.readuntil(b"\r\n"), 16)
        content = await reader.readexactly(length + 2)
    return content[:-2]


async def until_it_rests() -> int:
    """How many pieces were made, once no more are."""
    made = -1
    async with asyncio.timeout(WAIT_S):
        while streaming.state.made != made:
            made = streaming.state.made
            await asyncio.sleep(0.1)
    return made


async def all_of(reader: asyncio.StreamReader) -> None:
    while await chunk_of(reader):
        pass


async def test_pieces_arrive_before_the_last_is_made(server: Streaming) -> None:
    """Each as soon as it is there; afterwards the connection is as good as before."""
    reader, writer = await server.ask("/streamed/3/5", x_hold_after="2")
    head = await head_of(reader)
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert [await chunk_of(reader) for _ in range(2)] == [b"\0" * 5, b"\1" * 5]
    assert streaming.state.made == 2
    streaming.state.released = True
    assert [await chunk_of(reader) for _ in range(2)] == [b"\2" * 5, b""]
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await head_of(reader)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_no_more_is_made_than_is_taken(server: Streaming) -> None:
    """20 MB for a client that reads nothing: making stops where buffers are full, and goes on later."""
    reader, writer = await server.ask(f"/streamed/{PIECES}/{PIECE_BYTES}")
    await head_of(reader)
    await chunk_of(reader)
    assert await until_it_rests() < PIECES / 2
    for number in range(1, PIECES):
        assert await chunk_of(reader) == bytes([number % 256]) * PIECE_BYTES
    assert await chunk_of(reader) == b""
    assert streaming.state.closed == 1
    writer.close()


async def test_not_one_piece_is_made_ahead(server: Streaming) -> None:
    """One that is larger than all buffers of the way: the next is not made while it lies here."""
    reader, writer = await server.ask(f"/streamed/2/{LARGE_PIECE_BYTES}")
    await head_of(reader)
    assert await until_it_rests() == 1
    assert len(await chunk_of(reader)) == len(await chunk_of(reader)) == LARGE_PIECE_BYTES
    assert streaming.state.made == 2
    writer.close()


async def test_memory_is_a_few_pieces(server: Streaming) -> None:
    """20 MB pass through a hundredth of that, both ends together."""
    tracemalloc.start()
    try:
        reader, writer = await server.ask(f"/streamed/{PIECES}/{PIECE_BYTES}")
        await head_of(reader)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        await all_of(reader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert streaming.state.made == PIECES
    assert peak - before < 20 * PIECE_BYTES
    writer.close()


@pytest.mark.parametrize("reading", [True, False])
async def test_a_client_that_leaves_ends_the_making(server: Streaming, reading: bool) -> None:
    """Whether it has read all there was, or none: the generator is closed, and the log says so."""
    headers = {"x_hold_after": "2"} if reading else {}
    reader, writer = await server.ask(f"/streamed/{PIECES}/{PIECE_BYTES}", **headers)
    await head_of(reader)
    await chunk_of(reader)
    writer.transport.abort()
    streaming.state.released = True
    line = await server.until_line("request")
    assert line["gone"]
    assert streaming.state.closed == 1
    assert streaming.state.made < PIECES


async def test_a_client_that_takes_nothing_is_left(
    server: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that a piece has; nothing is held for it any longer."""
    monkeypatch.setattr(app, "_PIECE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.4)
    reader, writer = await server.ask(f"/streamed/{PIECES}/{PIECE_BYTES}")
    await head_of(reader)
    assert (await server.until_line("request"))["gone"]
    assert streaming.state.closed == 1
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await all_of(reader)
    writer.close()


@pytest.mark.parametrize("how", ["database", "fault"])
async def test_a_cut_answer_has_no_end(server: Streaming, how: str) -> None:
    """The pieces before arrive, the last chunk does not: no client takes it for the whole."""
    reader, writer = await server.ask("/streamed/9/5", x_fail_after="2", x_fail_how=how)
    await head_of(reader)
    assert [await chunk_of(reader) for _ in range(2)] == [b"\0" * 5, b"\1" * 5]
    with pytest.raises(asyncio.IncompleteReadError):
        await chunk_of(reader)
    assert (await server.until_line("request"))["cut"]
    writer.close()


async def test_http_1_0_has_no_chunks(server: Streaming) -> None:
    """The pieces as they are, until the connection ends; where it is cut, by a reset."""
    reader, writer = await server.ask("/streamed/3/5", version="1.0")
    head = await head_of(reader)
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b"\0" * 5 + b"\1" * 5 + b"\2" * 5
    writer.close()
    reader, writer = await server.ask("/streamed/3/5", version="1.0", x_fail_after="1", x_fail_how="fault")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), WAIT_S)
    writer.close()


async def test_head_has_no_body_and_makes_none(server: Streaming) -> None:
    """The connection goes on behind the head."""
    reader, writer = await server.ask("/streamed/3/5", method="HEAD")
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"octet-stream" in await head_of(reader)
    assert (await head_of(reader)).startswith(b"HTTP/1.1 200")
    assert streaming.state.begun == 0
    writer.close()
