"""Real stores for every test: one PostgreSQL and one Valkey a test session, on loopback, gone at its end."""

import asyncio
import itertools
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support.cockroach import COCKROACH_URL, Cockroach
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

if TYPE_CHECKING:
    from tests.support.worker import WorkerHost


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """The test's own directory, not below pytest's: each start of pytest closes that to PostgreSQL's user."""
    directory = Path(tempfile.mkdtemp(prefix="stakehold-test-")).resolve()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def stores_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stakehold-tests-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(stores_directory: Path) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the session. Tests that stop or kill it start one of their own."""
    server = EmbeddedPostgres(stores_directory, announce=lambda _: None)
    server.start()
    asyncio.run(_make_connecting_cheap(server))
    yield server
    server.stop()


async def _make_connecting_cheap(postgres: EmbeddedPostgres) -> None:
    """Set the same password again, proven by one round of SCRAM: 4096 in Python take 10 ms a connection."""
    url = postgres.database_url("postgres")
    parts = urlsplit(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET scram_iterations = 1")
        await connection.execute(f"ALTER ROLE {parts.username} PASSWORD '{unquote(parts.password or '')}'")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def valkey(stores_directory: Path) -> Iterator[EmbeddedValkey]:
    """One Valkey for the session. Tests that stop or kill it start one of their own."""
    server = EmbeddedValkey(stores_directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def worker_role(postgres: EmbeddedPostgres, stores_directory: Path) -> None:
    """Lets Workers into the session's PostgreSQL, which come as a role of their own."""
    from tests.support.worker import admit_workers

    asyncio.run(admit_workers(postgres, stores_directory))


@pytest.fixture(scope="session")
def worker_host(stores_directory: Path, worker_role: None) -> Iterator["WorkerHost"]:
    """What is deployed to Workers, in WebAssembly: one Node process for all of the session's services."""
    from deploy import bundle
    from tests.support.worker import WorkerHost, WorkerStartError

    directory = stores_directory / "worker"
    bundle.make(directory)
    host = WorkerHost(directory)
    host.start()
    try:
        if host.startup.error is not None:
            raise WorkerStartError(host.startup.error)
        yield host
    finally:
        host.stop()


_database_numbers = itertools.count(1)


async def _create_database(postgres: EmbeddedPostgres, name: str, template: str | None) -> None:
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that the others are copied from."""
    from stakehold.database.migrate import migrate

    async def prepare() -> None:
        await _create_database(postgres, "migrated_template", None)
        await migrate(
            postgres.database_url("migrated_template"), clock=ManualClock(), entropy=SeededEntropy(1)
        )

    asyncio.run(prepare())
    return "migrated_template"


@pytest.fixture(scope="session")
def cockroach() -> Iterator[Cockroach | None]:
    """The real cluster on which databases are made instead, where COCKROACH_URL names one."""
    cluster = Cockroach(COCKROACH_URL) if COCKROACH_URL else None
    yield cluster
    if cluster is not None:
        cluster.drop_all()


@pytest.fixture
def empty_database_url(cockroach: Cockroach | None, request: pytest.FixtureRequest) -> str:
    """A new database with nothing in it."""
    name = f"empty_{next(_database_numbers)}"
    if cockroach is not None:
        return cockroach.create(name, migrated=False)
    postgres: EmbeddedPostgres = request.getfixturevalue("postgres")
    asyncio.run(_create_database(postgres, name, None))
    return postgres.database_url(name)


@pytest.fixture
def database_url(cockroach: Cockroach | None, request: pytest.FixtureRequest) -> str:
    """A new, migrated database."""
    name = f"test_{next(_database_numbers)}"
    if cockroach is not None:
        return cockroach.create(name, migrated=True)
    postgres: EmbeddedPostgres = request.getfixturevalue("postgres")
    asyncio.run(_create_database(postgres, name, request.getfixturevalue("migrated_template")))
    return postgres.database_url(name)


@pytest.fixture
async def database_clock(database_url: str) -> DatabaseClock:
    """The clock of `database_url`, to be asked for before anything that connects."""
    return await DatabaseClock.install(database_url)


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The session's Valkey, emptied."""
    with socket.create_connection(("127.0.0.1", valkey.port), 5) as connection:
        connection.sendall(f"AUTH {valkey.password}\r\nFLUSHALL\r\nSCRIPT FLUSH\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 3:
            answer += connection.recv(256)
    assert answer == b"+OK\r\n" * 3
    return valkey.url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def entropy() -> SeededEntropy:
    """Seeded randomness; the seed is printed when a test fails and can be set by STAKEHOLD_TEST_SEED."""
    seed = int(os.environ.get("STAKEHOLD_TEST_SEED") or secrets.randbelow(2**32))
    print(f"STAKEHOLD_TEST_SEED={seed}")
    return SeededEntropy(seed)


@pytest.fixture
def counters() -> CountingCounters:
    return CountingCounters()
