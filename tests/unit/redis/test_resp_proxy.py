"""Once it is stopped the proxy passes nothing on, so that a process behind it is truly cut off."""

import asyncio
import socket
from urllib.parse import urlsplit

from tests.support.resp_proxy import RespProxy


async def test_what_is_connected_when_it_stops_reaches_nobody_afterwards() -> None:
    """A client connects and asks; after any number of turns the proxy is stopped, and Redis is back."""

    async def redis(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    upstream = await asyncio.start_server(redis, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    for turns in range(12):
        proxy = RespProxy(f"redis://127.0.0.1:{port}/0")
        await proxy.start()
        with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), 5) as client:
            client.sendall(b"*1\r\n$4\r\nPING\r\n")
            for _ in range(turns):
                await asyncio.sleep(0)
            await proxy.stop()
            seen = list(proxy.commands)
            # Whoever connects is served in order: this one comes after all that the proxy may have begun.
            probe, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(probe.read(), 5) == b""
            writer.close()
            assert proxy.commands == seen, turns
    upstream.close()
