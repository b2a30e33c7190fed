"""Processes of the service on real stores, with proxies between the two that count, cut and hold."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support.fakes import CheapScrypt
from tests.support.native import Process, running_process
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy

StartProcess = Callable[..., Awaitable[Process]]

_LIMITED = ("auth", "stake-create", "stake-read", "global", "sign-up", "refresh", "account", "plan-read")


def roomy_limits(**quotas: int) -> str:
    """Limits that are in nobody's way, but for those given (with `_` for `-`)."""
    limits = dict.fromkeys(_LIMITED, "1000/1")
    limits |= {name.replace("_", "-"): str(quota) for name, quota in quotas.items()}
    return ",".join(f"{name}={limit}" for name, limit in limits.items())


@pytest.fixture(scope="session")
def contract_database_url(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """One migrated database for all tests of this folder, each of which has users of its own."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres.database_url("postgres"))
        await connection.execute(f"CREATE DATABASE contract_tests TEMPLATE {migrated_template}")
        await connection.execute(
            "ALTER DATABASE contract_tests SET default_transaction_isolation = 'serializable'"
        )
        await connection.close()

    asyncio.run(prepare())
    return postgres.database_url("contract_tests")


@pytest.fixture
def database_url(contract_database_url: str) -> str:
    return contract_database_url


@pytest.fixture
async def postgres_proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[RespProxy]:
    proxy = RespProxy(redis_url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def private_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey of this test alone, to be killed and started again: it then has all that it had."""
    server = EmbeddedValkey(tmp_path)
    server.start()
    # Otherwise it may answer before it has written, and come back without what the test is about.
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(f"AUTH {server.password}\r\nCONFIG SET appendfsync always\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            answer += connection.recv(256)
    assert answer == b"+OK\r\n" * 2
    yield server
    server.stop()


@pytest.fixture
async def start_process(database_url: str) -> AsyncIterator[StartProcess]:
    """Start a process of the service on a Redis, with these settings; it is stopped when the test ends."""
    async with AsyncExitStack() as stack:

        async def start(redis_url: str, *, database_url: str = database_url, **settings: str) -> Process:
            settings = {"STAKEHOLD_LIMITS": roomy_limits(), **settings}
            context = running_process(database_url, redis_url, settings, scrypt=CheapScrypt())
            return await stack.enter_async_context(context)

        yield start


async def until_up(*processes: Process) -> None:
    """Wait until these have found their Redis again."""
    async with asyncio.timeout(10):
        while any(process.services.gate.state == "down" for process in processes):
            await asyncio.sleep(0.005)
