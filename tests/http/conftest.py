"""A running service for every HTTP test, on real stores of its own.

Every answer that any test gets is held against the service's own OpenAPI document.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import httpx
import pytest

from stakehold.runtime.embedded import EmbeddedPostgres
from tests.support.conformance import Conformance
from tests.support.native import running_service
from tests.support.service import Person, Service

StartService = Callable[..., Awaitable[Service]]

_conformance: list[Conformance] = []


async def _check_conformance(client: httpx.AsyncClient) -> None:
    if not _conformance:
        _conformance.append(Conformance((await client.get("/openapi.json")).json()))

    async def check(answer: httpx.Response) -> None:
        await answer.aread()
        _conformance[0].check(answer)

    client.event_hooks["response"] = [check]


@pytest.fixture(scope="session")
def http_database_url(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """One migrated database for all HTTP tests: to empty it takes a tenth of the time of making another."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres.database_url("postgres"))
        await connection.execute(f"CREATE DATABASE http_tests TEMPLATE {migrated_template}")
        await connection.execute(
            "ALTER DATABASE http_tests SET default_transaction_isolation = 'serializable'"
        )
        # Nothing here is to survive a crash.
        await connection.execute("ALTER DATABASE http_tests SET synchronous_commit = off")
        await connection.close()

    asyncio.run(prepare())
    return postgres.database_url("http_tests")


_EMPTY = """
DELETE FROM stakes;
DELETE FROM idempotency;
DELETE FROM spent_refresh_tokens;
DELETE FROM sessions;
DELETE FROM users;
DELETE FROM plans WHERE version > 1;
UPDATE plans SET on_sale_until = NULL WHERE on_sale_until IS NOT NULL;
"""


@pytest.fixture
async def database_url(http_database_url: str) -> str:
    """A database as `migrate` leaves it."""
    connection = await asyncpg.connect(http_database_url)
    await connection.execute(_EMPTY)
    await connection.close()
    return http_database_url


@pytest.fixture
async def start_service(database_url: str, redis_url: str) -> AsyncIterator[StartService]:
    """Start a service with these settings (environment variables); it is stopped when the test ends.

    A second one is another process on the same stores.
    """
    stops = []

    async def start(**settings: str) -> Service:
        urls = settings.pop("DATABASE_URL", database_url), settings.pop("REDIS_URL", redis_url)
        context = running_service(*urls, settings)
        service = await context.__aenter__()
        stops.append(context)
        # The tests look at the stores themselves, whatever stands between them and the service.
        service.database_url, service.redis_url = database_url, redis_url
        await _check_conformance(service.client)
        return service

    yield start
    for context in reversed(stops):
        await context.__aexit__(None, None, None)


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service with the limits as they come."""
    return await start_service()


ROOMY = (
    "auth=1000,stake-create=1000,stake-read=1000,global=1000,"
    "sign-up=1000,refresh=1000,account=1000,plan-read=1000"
)


@pytest.fixture
async def roomy_service(start_service: StartService) -> Service:
    """A service whose limits are out of the way."""
    return await start_service(STAKEHOLD_LIMITS=ROOMY)


@pytest.fixture
async def person(roomy_service: Service) -> Person:
    """A user of the service whose limits are out of the way, with a session."""
    return await roomy_service.enrol()


@pytest.fixture
async def limited_person(service: Service) -> Person:
    """A user of the service with the limits as they come."""
    return await service.enrol()
