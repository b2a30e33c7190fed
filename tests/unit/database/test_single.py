"""A request's own connection, over a real PostgreSQL, through a proxy that can cut and stall."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from stakehold.database import connecting, single
from stakehold.database.single import SingleConnection
from stakehold.domain.errors import DatabaseError, OverloadedError
from stakehold.domain.ports import Deadline
from tests.support.fakes import CountingCounters
from tests.support.postgres_proxy import PostgresProxy

PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def database(proxy: PostgresProxy, counters: CountingCounters) -> AsyncIterator[SingleConnection]:
    database = SingleConnection(lambda: {"dsn": proxy.url, "statement_cache_size": 0}, counters=counters)
    yield database
    await database.close()


async def _pid(database: SingleConnection, deadline: Deadline) -> int:
    async with database.connection(deadline) as connection:
        pid: int = await connection.fetchval(PID)
        return pid


async def test_nothing_is_opened_before_it_is_needed(
    proxy: PostgresProxy, counters: CountingCounters
) -> None:
    """A request that asks the database nothing opens nothing, and its close costs nothing."""
    database = SingleConnection(lambda: {"dsn": proxy.url}, counters=counters)
    await database.close()
    assert proxy.connections == 0
    assert counters.counts == {}


async def test_all_of_a_request_shares_one_connection(
    database: SingleConnection, deadline: Deadline, proxy: PostgresProxy
) -> None:
    """One after the other or at once: one connection, and no statement besides one's own."""
    first = await _pid(database, deadline)
    assert set(await asyncio.gather(*(_pid(database, deadline) for _ in range(8)))) == {first}
    assert proxy.connections == 1
    assert proxy.executed == [PID] * 9


async def test_where_is_asked_at_the_opening(
    database_url: str, deadline: Deadline, counters: CountingCounters
) -> None:
    """A binding is read when a connection is made, in the request that makes it: host, port and so on."""
    parts = urlsplit(database_url)
    asked: list[str] = []

    def where() -> Mapping[str, Any]:
        asked.append("asked")
        return {
            "host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password,
            "database": parts.path[1:], "ssl": False, "statement_cache_size": 0,
        }  # fmt: skip

    database = SingleConnection(where, counters=counters)
    assert asked == []
    await database.ping(deadline)
    await database.ping(deadline)
    await database.close()
    assert asked == ["asked"]


async def test_it_is_closed_by_its_request(
    database: SingleConnection, deadline: Deadline, proxy: PostgresProxy, counters: CountingCounters
) -> None:
    """Closing says goodbye to the server, and what comes later is refused and opens nothing."""
    pid = await _pid(database, deadline)
    await database.close()
    with pytest.raises(DatabaseError):
        await _pid(database, deadline)
    assert proxy.connections == 1
    assert counters.counts == {"sql_connects": 1, "sql_disconnects": 1}
    await _until_gone(proxy.url, pid)


async def test_a_statement_that_takes_too_long_leaves_the_connection_closed(
    database: SingleConnection,
    deadline: Deadline,
    counters: CountingCounters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past its time nothing waits on, and the next use opens another connection."""
    monkeypatch.setattr(connecting, "STATEMENT_TIMEOUT_S", -0.4)
    first = await _pid(database, deadline)
    with pytest.raises(TimeoutError):
        async with database.connection(deadline) as connection:
            await connection.fetchval("SELECT pg_sleep(60)")
    assert await _pid(database, deadline) != first
    assert counters.counts == {"sql_connects": 2, "sql_disconnects": 1}


async def test_what_was_cut_short_is_not_used_again(
    database: SingleConnection, deadline: Deadline, proxy: PostgresProxy
) -> None:
    """A cancelled statement, a lost connection and a transaction left open each cost the connection."""
    first = await _pid(database, deadline)

    async def slow() -> None:
        async with database.connection(deadline) as connection:
            await connection.fetchval("SELECT pg_sleep(60)")

    task = asyncio.create_task(slow())
    async with asyncio.timeout(5):
        while len(proxy.executed) < 2:
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = await _pid(database, deadline)
    async with database.connection(deadline) as connection:
        await connection.execute("BEGIN")
    third = await _pid(database, deadline)
    with pytest.raises(asyncpg.PostgresError):
        async with database.connection(deadline) as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    fourth = await _pid(database, deadline)
    assert len({first, second, third, fourth}) == 4


async def test_what_the_server_ended_in_between_is_not_used_again(
    database: SingleConnection, deadline: Deadline, database_url: str, counters: CountingCounters
) -> None:
    """A connection that goes while the request does something else is noticed, and another one opened."""
    async with database.connection(deadline) as connection:
        first = await connection.fetchval(PID)
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", first)
    await other.close()
    async with asyncio.timeout(10):
        while not connection.is_closed():  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
    assert await _pid(database, deadline) != first
    assert counters.counts["sql_disconnects"] == 1


async def test_a_close_under_work_ends_it(
    database: SingleConnection, deadline: Deadline, counters: CountingCounters
) -> None:
    """What still uses the connection when the request is over fails; it is closed and counted once."""

    async def outlive_the_request() -> None:
        async with database.connection(deadline) as connection:
            await database.close()
            await connection.fetchval(PID)

    with pytest.raises(asyncpg.InterfaceError):
        await outlive_the_request()
    assert counters.counts["sql_disconnects"] == 1


async def test_an_error_of_the_statement_alone_keeps_the_connection(
    database: SingleConnection, deadline: Deadline, proxy: PostgresProxy
) -> None:
    """What the server refuses, it refuses on a connection that goes on."""
    with pytest.raises(asyncpg.PostgresError):
        async with database.connection(deadline) as connection:
            await connection.execute("SELECT 1 / 0")
    await _pid(database, deadline)
    assert proxy.connections == 1


async def test_no_connection_is_an_answer(deadline: Deadline, counters: CountingCounters) -> None:
    """Nobody there: DatabaseError, counted, and a later use tries again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    where = {"host": "127.0.0.1", "port": port, "user": "u", "database": "d", "ssl": False}
    database = SingleConnection(lambda: where, counters=counters)
    for _ in range(2):
        with pytest.raises(DatabaseError) as refused:
            await _pid(database, deadline)
        assert refused.value.code == "database_unavailable"
    assert counters.counts == {"sql_connect_failures": 2}


async def test_no_way_to_connect_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, deadline: Deadline, counters: CountingCounters
) -> None:
    """As on a platform without Unix sockets, where an address names one."""

    async def connect(**where: Any) -> None:
        raise NotImplementedError("there are no Unix sockets here")

    monkeypatch.setattr(asyncpg, "connect", connect)
    database = SingleConnection(lambda: {"dsn": "postgresql://u@/d?host=/run"}, counters=counters)
    with pytest.raises(DatabaseError) as refused:
        await database.ping(deadline)
    assert refused.value.code == "database_unavailable"
    assert counters.counts == {"sql_connect_failures": 1}


async def test_nobody_waits_for_ever_for_its_turn(
    database: SingleConnection,
    deadline: Deadline,
    counters: CountingCounters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second use of the same request waits its turn, for a bounded time."""
    monkeypatch.setattr(single, "WAIT_S", 0.02)
    async with database.connection(deadline):
        with pytest.raises(OverloadedError):
            await _pid(database, deadline)
    await _pid(database, deadline)
    assert counters.counts["sql_pool_refused"] == 1


async def _until_gone(url: str, pid: int) -> None:
    watcher = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(5):
            while await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
                await asyncio.sleep(0.005)
    finally:
        await watcher.close()
