"""HTTP/1.1 whose answer is read while the body is still being sent: httpx would send all of it first."""

import asyncio
import contextlib
from collections.abc import AsyncIterable

import h11
import httpx

_READ_BYTES = 65536


async def exchange(port: int, request: httpx.Request, timeout_s: float = 30) -> httpx.Response:
    """Send a request to a port of this machine, on a connection of its own; the answer, complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = h11.Connection(h11.CLIENT)
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"connection"]
    begin = h11.Request(
        method=request.method,
        target=request.url.raw_path,
        headers=[*headers, (b"Connection", b"close")],
    )
    writer.write(connection.send(begin) or b"")
    assert isinstance(request.stream, AsyncIterable)
    sending = asyncio.create_task(_send(connection, request.stream, writer))
    try:
        async with asyncio.timeout(timeout_s):
            return await _answer(connection, reader)
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        writer.transport.abort()


async def _send(connection: h11.Connection, body: AsyncIterable[bytes], writer: asyncio.StreamWriter) -> None:
    async for part in body:
        writer.write(connection.send(h11.Data(data=part)) or b"")
        await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> httpx.Response:
    status, headers, body = 0, [], b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return httpx.Response(status, headers=headers, content=body)
