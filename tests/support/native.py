"""The service on the native runtime, inside the test's own process, reached as over HTTP."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx

from stakehold.domain.ports import Background, Clock, Entropy
from stakehold.http.app import create_app
from stakehold.runtime.container import NativeContainer, build_container, close_container
from stakehold.runtime.settings import load_settings
from stakehold.security.passwords import Scrypt
from stakehold.services.context import Services
from tests.support.service import Service

JWT_SECRET = "of-the-tests-alone-7f3c1d5e9b2a4860"


@dataclass
class NativeService(Service):
    """A service inside the test's process: what an operator sees of it."""

    container: NativeContainer = None  # type: ignore[assignment]
    log_stream: BytesIO = field(default_factory=BytesIO)
    log_read_bytes: int = 0

    async def log(self) -> list[str]:
        """See Service."""
        self.container.log.flush()
        written = self.log_stream.getvalue()[self.log_read_bytes :]
        self.log_read_bytes += len(written)
        return written.decode().splitlines()


@dataclass
class Process:
    """A service inside the test's process, and its insides."""

    service: NativeService
    container: NativeContainer

    @property
    def services(self) -> Services:
        """What its use cases work with."""
        return self.container.services


@asynccontextmanager
async def running_process(
    database_url: str,
    redis_url: str,
    settings: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    scrypt: Scrypt | None = None,
    background: Background | None = None,
    log: BytesIO | None = None,
) -> AsyncIterator[Process]:
    """Start a service with these settings beside the stores; stop it at the end.

    `background` takes the work behind answers in place of the native runtime's tasks.
    """
    environment = {
        "JWT_SECRET": JWT_SECRET,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "STAKEHOLD_PROCESSES": "1",
        **(settings or {}),
    }
    log = log or BytesIO()
    container = await build_container(
        load_settings(environment, production=True),
        clock=clock,
        entropy=entropy,
        scrypt=scrypt,
        log_stream=log,
    )
    if background is not None:
        services = dataclasses.replace(container.services, background=background)
        container = dataclasses.replace(container, services=services)
    app = create_app()

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"container": container}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=with_state, client=("192.0.2.1", 50000), raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://stakehold.test") as client:
            service = NativeService(
                client, database_url, redis_url, environment, container=container, log_stream=log
            )
            yield Process(service, container)
    finally:
        await close_container(container)


@asynccontextmanager
async def running_service(
    database_url: str,
    redis_url: str,
    settings: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    log: BytesIO | None = None,
) -> AsyncIterator[Service]:
    """The same, of which nothing is shown but what an operator sees."""
    async with running_process(
        database_url, redis_url, settings, clock=clock, entropy=entropy, log=log
    ) as process:
        yield process.service
