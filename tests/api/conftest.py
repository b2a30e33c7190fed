"""`stakehold serve` as a process of its own, reached by an address alone, for abuse of its API."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
import pytest_asyncio

from stakehold.limits.policies import DEFAULTS, QUOTA_MAX
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support.conformance import Conformance
from tests.support.served import ServedService, served
from tests.support.service import Person

NO_LIMITS = ",".join(f"{policy.name}={QUOTA_MAX}/{policy.window_s}" for policy in DEFAULTS)


async def make_database(postgres: EmbeddedPostgres, template: str, name: str) -> str:
    """A migrated database of which nothing is to survive a crash. Returns its address."""
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    finally:
        await connection.close()
    return postgres.database_url(name)


@pytest.fixture(scope="session")
def api_database_url(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """One migrated database for all tests here."""
    return asyncio.run(make_database(postgres, migrated_template, "api_tests"))


@pytest.fixture(scope="session")
def api_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey that no other test empties."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("api-valkey"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(
    api_database_url: str, api_valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServedService]:
    """One server process whose limits are out of the way. Its own client is for this fixture's loop alone."""
    settings = {"REDIS_URL": api_valkey.url, "STAKEHOLD_LIMITS": NO_LIMITS}
    async with served(tmp_path_factory.mktemp("api"), api_database_url, settings, processes=1) as service:
        yield service


@pytest.fixture(scope="session")
def api_url(api: ServedService) -> str:
    """Where it is, without a slash at the end."""
    return str(api.client.base_url).rstrip("/")


@pytest.fixture(scope="session")
def conformance(api_url: str) -> Conformance:
    """Its own OpenAPI document, to hold its answers against."""
    return Conformance(httpx.get(f"{api_url}/openapi.json").json())


@pytest_asyncio.fixture
async def person(api: ServedService, api_url: str, conformance: Conformance) -> AsyncIterator[Person]:
    """A new user with a session, and a client of this test's own that checks every answer."""

    async def check(answer: httpx.Response) -> None:
        await answer.aread()
        conformance.check(answer)

    async with httpx.AsyncClient(base_url=api_url, timeout=15, event_hooks={"response": [check]}) as client:
        service = ServedService(client, api.database_url, api.redis_url, api.settings, process=api.process)
        yield await service.enrol(f"person-{secrets.token_hex(8)}")


@pytest.fixture(scope="session")
def resident(api: ServedService) -> bytes:
    """The Authorization field of a user with a session who owns nothing, for requests that change nothing."""
    return b"Authorization: Bearer " + asyncio.run(api.enrol("resident")).token.encode()


@pytest.fixture(scope="session")
def seed() -> int:
    """Of what is generated; STAKEHOLD_TEST_SEED sets it."""
    return int(os.environ.get("STAKEHOLD_TEST_SEED") or secrets.randbelow(2**32))
