"""What the native sender adds: it stops reading in time, and says whether a request got out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from stakehold.redis.aiohttp_sender import AiohttpSender
from stakehold.redis.upstash import SendFailedError
from stakehold.runtime.embedded_server import free_port

ANSWER_BYTES_MAX = 200_000


@contextlib.asynccontextmanager
async def server_that_says(*chunks: bytes, endless: bool = False) -> AsyncIterator[str]:
    """A server that answers each request with these bytes, the last of them without end if so wished."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for chunk in chunks:
                writer.write(chunk)
            while endless:
                writer.write(chunks[-1])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


async def post(sender: AiohttpSender, url: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
    return await sender.post(
        url, headers={}, body=b"[]", timeout_s=timeout_s, answer_bytes_max=ANSWER_BYTES_MAX
    )


async def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    """A little more than the limit is returned, for the caller to see, and no more is read."""
    sender = AiohttpSender()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with server_that_says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, endless=True
    ) as url:
        status, answer = await post(sender, url)
        assert status == 200
        assert ANSWER_BYTES_MAX < len(answer) <= ANSWER_BYTES_MAX + 0x10000
        await sender.close()


async def test_an_answer_that_breaks_off_may_have_been_a_request_that_ran() -> None:
    """Cut in its middle, without any, or garbled: the request reached the server."""
    sender = AiohttpSender()
    for said in (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"", b"not HTTP\r\n\r\n"):
        async with server_that_says(said) as url:
            with pytest.raises(SendFailedError) as cut:
                await post(sender, url)
            assert cut.value.reached
    await sender.close()


async def test_nobody_there_means_not_reached() -> None:
    """A refused connection carried no request."""
    sender = AiohttpSender()
    with pytest.raises(SendFailedError) as refused:
        await post(sender, f"http://127.0.0.1:{free_port()}/")
    assert refused.value.reached is False
    await sender.close()


async def test_a_slow_answer_times_out() -> None:
    """The timeout is for the whole answer, not for each of its parts."""
    sender = AiohttpSender()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        await post(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout_s=0.2)
    await sender.close()
    server.close()


async def test_closed_it_refuses() -> None:
    """After close no connection is opened any more."""
    sender = AiohttpSender()
    await sender.close()
    async with server_that_says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url:
        with pytest.raises(SendFailedError, match="closed") as refused:
            await post(sender, url)
    assert refused.value.reached is False
