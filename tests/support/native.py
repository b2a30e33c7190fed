"""The service on the native runtime, inside the test's own process, reached as over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.settings import load_settings

from stakehold.domain.ports import Clock, Entropy
from stakehold.http.app import create_app
from tests.support.service import Service

JWT_SECRET = "of-the-tests-alone-7f3c1d5e9b2a4860"


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
    """Start a service with these settings beside the stores; stop it at the end."""
    environment = {
        "JWT_SECRET": JWT_SECRET,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "STAKEHOLD_PROCESSES": "1",
        **(settings or {}),
    }
    injected: dict[str, Any] = {"clock": clock, "entropy": entropy, "log_stream": log or BytesIO()}
    container = await build_container(
        load_settings(environment, production=True),
        **{name: value for name, value in injected.items() if value is not None},
    )
    app = create_app()

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"container": container}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=with_state, client=("192.0.2.1", 50000), raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://stakehold.test") as client:
            yield Service(client, database_url, redis_url, environment)
    finally:
        await close_container(container)
