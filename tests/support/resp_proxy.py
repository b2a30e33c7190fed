"""A TCP proxy before a Redis: reads along which commands pass; cuts, delays or stalls the connection."""

import asyncio
import contextlib
import ssl
from typing import Any
from urllib.parse import urlsplit

import hiredis


class RespProxy:
    """Give clients `url` in place of the server's. `commands` are those seen since it was last cleared.

    With `tls` it speaks TLS to clients, and `url` is `rediss://`.
    """

    def __init__(self, redis_url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.commands: list[list[bytes]] = []
        self.connections = 0
        self.delay_s = 0.0
        """Hold back every chunk of replies this long."""
        self.commands_delay_s = 0.0
        """Hold back every chunk of commands this long."""
        self.cut_at: bytes | None = None
        """Cut every connection when the reply to this command comes, instead of passing it on. Works once."""
        self.url = ""
        self._upstream = urlsplit(redis_url)
        self._tls = tls
        self._cut_next_reply = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on loopback at a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        parts = self._upstream
        self.url = parts._replace(
            scheme="rediss" if self._tls else "redis",
            netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}",
        ).geturl()

    async def stop(self) -> None:
        """Stop listening, cut what is connected, and pass nothing on any more."""
        self._stopped = True
        self.refuse()
        self.resume()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def trips(self) -> list[bytes]:
        """Names of the commands seen, without those that set a connection up."""
        return [
            command[0].upper() for command in self.commands if command[0].upper() not in (b"AUTH", b"SELECT")
        ]

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self) -> None:
        """Stop listening; connections that stand go on."""
        if self._server is not None:
            self._server.close()

    async def listen_again(self) -> None:
        """Take connections again after `refuse`, at the same address."""
        assert self._server is not None
        await self._server.wait_closed()
        port = urlsplit(self.url).port
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=self._tls)

    def stall(self) -> None:
        """Let replies pass no more; commands still do."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let replies pass again, those held back first."""
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            # Taken before the stop, its turn may come only now: a server that is back must not see it.
            if not self._stopped:
                await self._pass(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        except OSError:
            return
        pair = {writer, up_writer}
        self._writers |= pair
        tasks = [
            asyncio.create_task(self._pass_commands(reader, up_writer)),
            asyncio.create_task(self._pass_replies(up_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._writers -= pair
            up_writer.transport.abort()

    async def _pass_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()  # a command is framed as a reply that is an array
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.commands_delay_s:
                    await asyncio.sleep(self.commands_delay_s)
                parser.feed(data)
                seen = list(_parsed(parser))
                self.commands += seen
                if any(command[0].upper() == self.cut_at for command in seen):
                    self.cut_at, self._cut_next_reply = None, True
                writer.write(data)
                await writer.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                if self._cut_next_reply:
                    self._cut_next_reply = False
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()


def _parsed(parser: hiredis.Reader) -> Any:
    while (command := parser.gets()) is not False:
        yield command
