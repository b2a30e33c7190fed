"""What can happen to PostgreSQL and to Valkey."""

import asyncio
import contextlib
import signal

import asyncpg

from tests.faults.cluster import APPLICATION
from tests.faults.harm import Harm

_CACHE_KEYS = ("*:stakes", "*:account", "*:marks")
"""What an eviction may take: not the logs of limits, which are promised for a Redis that evicts nothing."""


async def redis_killed(harm: Harm) -> None:
    """kill -9, then a start with what its log on disk has."""
    async with harm.noted("redis_away", detail="killed"):
        await asyncio.to_thread(harm.stores.valkey.kill)
        await harm.a_while(0)
        await asyncio.to_thread(harm.stores.valkey.start)


async def redis_stopped(harm: Harm) -> None:
    """SIGSTOP: connections stand, nothing is answered."""
    process = harm.stores.valkey.process
    assert process is not None
    async with harm.noted("redis_away", detail="stopped"):
        process.send_signal(signal.SIGSTOP)
        try:
            await harm.a_while()
        finally:
            process.send_signal(signal.SIGCONT)


async def redis_wiped(harm: Harm) -> None:
    """Everything forgotten, no connection lost; half the time the scripts as well."""
    forget = [["FLUSHALL"], ["SCRIPT", "FLUSH"]][: harm.random.choice((1, 2))]
    async with harm.noted("redis_wiped", detail="FLUSHALL", until_ready=False):
        await harm.redis(*forget)


async def redis_evicted(harm: Harm) -> None:
    """Some of the cache's keys go, one after the other."""
    async with harm.noted("redis_evicted", detail="keys of the cache", until_ready=False):
        for _ in range(harm.random.randint(1, 5)):
            (keys,) = await harm.redis(["KEYS", harm.random.choice(_CACHE_KEYS)])
            assert isinstance(keys, list)
            names = sorted(key.decode() for key in keys if isinstance(key, bytes))
            if names:
                await harm.redis(["DEL", *harm.random.sample(names, harm.random.randint(1, len(names)))])


async def redis_full(harm: Harm) -> None:
    """No memory left for another key: writes are refused, reads are not."""
    async with harm.noted("redis_away", detail="full"):
        await harm.redis(["CONFIG", "SET", "maxmemory", "1"])
        try:
            await harm.a_while()
        finally:
            await harm.redis(["CONFIG", "SET", "maxmemory", "256mb"])


async def database_killed(harm: Harm) -> None:
    """kill -9 of every process of PostgreSQL, then recovery from its write-ahead log."""
    async with harm.noted("database_away", detail="killed"):
        await harm.stores.kill_postgres()
        await harm.a_while(0)
        await harm.stores.start_postgres()


async def database_restarted(harm: Harm) -> None:
    """An orderly stop, which ends sessions, and a start."""
    async with harm.noted("database_away", detail="restarted"):
        await asyncio.to_thread(harm.stores.postgres.stop)
        await harm.stores.start_postgres()


async def database_locked(harm: Harm) -> None:
    """Somebody holds a table: statements wait, pools run dry, and what waits too long is ended."""
    table = harm.random.choice(("stakes", "sessions", "users", "idempotency"))
    async with harm.noted("database_slow", detail=f"{table} locked"):
        connection = await asyncpg.connect(harm.cluster.database_url, timeout=10)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = '5s'")
                with contextlib.suppress(asyncpg.QueryCanceledError):
                    await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                    await harm.a_while()
        finally:
            await connection.close(timeout=10)


async def connections_taken(harm: Harm) -> None:
    """Others hold every connection that PostgreSQL grants; the servers' own are ended."""
    taken: list[asyncpg.Connection] = []
    async with harm.noted("database_away", detail="every connection taken"):
        try:
            ours = await asyncpg.connect(harm.cluster.database_url, timeout=10)
            taken.append(ours)
            await ours.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
                APPLICATION,
            )
            with contextlib.suppress(asyncpg.TooManyConnectionsError):
                while True:
                    taken.append(await asyncpg.connect(harm.cluster.database_url, timeout=10))
            await harm.a_while()
        finally:
            await asyncio.gather(*(connection.close(timeout=10) for connection in taken))


FAULTS = (
    redis_killed,
    redis_stopped,
    redis_wiped,
    redis_evicted,
    redis_full,
    database_killed,
    database_restarted,
    database_locked,
    connections_taken,
)
