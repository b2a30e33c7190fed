"""A receiver of webhooks on loopback, which does as a test says and keeps what it got."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = hashlib.sha256(b"of the tests alone").digest()
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, key: bytes) -> bool:
        """Verified by the words of the specification, not by the code under test."""
        content = self.id.encode() + b"." + self.headers["webhook-timestamp"].encode() + b"." + self.body
        expected = base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
        return "v1," + expected in self.headers["webhook-signature"].split(" ")


Answer = Callable[[Received], Awaitable[web.StreamResponse]]


async def take_it(_: Received) -> web.StreamResponse:
    return web.Response(status=204)


@dataclass
class Receiver:
    """`answer` decides; `received` is in order of arrival."""

    url: str
    answer: Answer = take_it
    received: list[Received] = field(default_factory=list)

    def answers(self, status: int, headers: dict[str, str] | None = None) -> None:
        """From now on answer so."""

        async def answer(_: Received) -> web.StreamResponse:
            return web.Response(status=status, headers=headers)

        self.answer = answer


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver("")

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(headers, await request.read())
        receiver.received.append(received)
        return await receiver.answer(received)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
