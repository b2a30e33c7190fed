"""A running service for every HTTP test, on real stores of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.native import running_service
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start_service(database_url: str, redis_url: str) -> AsyncIterator[StartService]:
    """Start a service with these settings (environment variables); it is stopped when the test ends."""
    stops = []

    async def start(**settings: str) -> Service:
        context = running_service(database_url, redis_url, settings)
        service = await context.__aenter__()
        stops.append(context)
        return service

    yield start
    for context in reversed(stops):
        await context.__aexit__(None, None, None)


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service with the limits as they come."""
    return await start_service()


ROOMY = ",".join(
    f"{name}=1000"
    for name in ("auth", "stake-create", "stake-read", "global", "sign-up", "refresh", "account", "plan-read")
)


@pytest.fixture
async def roomy_service(start_service: StartService) -> Service:
    """A service whose limits are out of the way."""
    return await start_service(STAKEHOLD_LIMITS=ROOMY)
