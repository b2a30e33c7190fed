"""HTTP/1.1 as bytes, for requests that no client library would send, and answers read without one."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 15.0


@dataclass
class RawAnswer:
    """One answer as it came: status, header fields in their order, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> list[str]:
        """All values of a header field."""
        return [value for key, value in self.headers if key == name]

    def problem(self) -> dict[str, Any]:
        """The body, which must be a problem of this status."""
        assert self.get("content-type") == ["application/problem+json"], self
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert [problem["request_id"]] == self.get("x-request-id")
        return problem


@dataclass
class Connection:
    """One connection to the service."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    unread: list[bytes] = field(default_factory=list)

    def send(self, *parts: bytes) -> None:
        """Hand the bytes over; nothing is waited for."""
        self.writer.write(b"".join(parts))

    async def answer(self, *, to_head: bool = False, timeout_s: float = TIMEOUT_S) -> RawAnswer:
        """The next answer. EOFError when the connection ends before it, TimeoutError when neither happens."""
        async with asyncio.timeout(timeout_s):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except ConnectionError:
                raise EOFError from None
            except asyncio.IncompleteReadError as error:
                raise EOFError(error.partial) from None
            lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = [
                (name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:])
            ]
            answer = RawAnswer(int(lines[0].split(" ")[1]), headers, b"")
            if not to_head and answer.status not in (100, 204, 304):
                answer.body = await self._body(answer)
            return answer

    async def _body(self, answer: RawAnswer) -> bytes:
        """What is streamed comes in chunks, all else with its length. EOFError where it is cut short."""
        if answer.get("transfer-encoding") != ["chunked"]:
            [length] = answer.get("content-length")
            return await self.reader.readexactly(int(length))
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def ended(self, *, timeout_s: float = TIMEOUT_S) -> bytes:
        """What still comes until the server ends the connection. TimeoutError when it does not."""
        async with asyncio.timeout(timeout_s):
            rest = b""
            with contextlib.suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    rest += part
            return rest


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection to the service at `url`, cut at the end."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def request(method: str, target: str | bytes, *fields: bytes, host: bytes = b"x", body: bytes = b"") -> bytes:
    """A request with one Host, these header fields and this body."""
    target = target.encode() if isinstance(target, str) else target
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: " + host, *fields]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


async def exchange(url: str, *parts: bytes) -> RawAnswer | None:
    """Send the bytes on a new connection; the first answer, or None when the connection just ends."""
    async with connected(url) as connection:
        connection.send(*parts)
        try:
            return await connection.answer(to_head=parts[0].startswith(b"HEAD "))
        except EOFError:
            return None
