"""Stores between the service and the real ones, which fail when told: this statement so, that trip so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import asyncpg

from stakehold.database.pool import Pool
from stakehold.database.port import Connection, Record
from stakehold.domain.ports import Deadline
from stakehold.redis.port import Argument, RedisUnavailableError, Reply, Script
from stakehold.redis.resp import RespRedis
from tests.stateful.machine.stores import MachineClock, Stores
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.postgres_proxy import PostgresProxy

T = TypeVar("T")

LATE_S = 6.0
"""What a late statement takes of its request's time: after it, there is none left for another."""


class StatementFault(Enum):
    """What happens to one statement."""

    CONFLICT = "40001 in place of the statement"
    DEADLOCK = "40P01 in place of the statement"
    UNKNOWN_UNDONE = "40003, and it was not done"
    UNKNOWN_DONE = "40003, and it was done"
    REQUEST_CUT = "the connection ends before PostgreSQL sees it"
    ANSWER_CUT = "the connection ends when it was done"
    KILLED_BEFORE = "the process dies before it"
    KILLED_AFTER = "the process dies when it was done"


_SQLSTATES = {
    StatementFault.CONFLICT: "40001",
    StatementFault.DEADLOCK: "40P01",
    StatementFault.UNKNOWN_UNDONE: "40003",
    StatementFault.UNKNOWN_DONE: "40003",
}
KILLS = (StatementFault.KILLED_BEFORE, StatementFault.KILLED_AFTER)


class TripFault(Enum):
    """What happens to one trip to Redis."""

    AWAY = "it fails, and Redis does not see it"
    REPLY_LOST = "it fails when it was done"
    WIPED = "Redis forgets everything just before it"
    CUT = "Redis ends all connections just before it"


@dataclass(frozen=True)
class Faults:
    """What befalls one request: its statements and trips in their order, None for those that fare well.

    `late`: the last statement befallen takes all the time there is.
    """

    statements: tuple[StatementFault | None, ...] = ()
    late: bool = False
    trips: tuple[TripFault | None, ...] = ()


CALM = Faults()


@dataclass
class Fate:
    """The faults of the request under way, and what came of them so far."""

    faults: Faults = CALM
    statements_left: list[StatementFault | None] = field(default_factory=list)
    trips_left: list[TripFault | None] = field(default_factory=list)
    was_late: bool = False
    redis_away: bool = False
    """Every trip fails, whatever the request."""
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    def meet(self, faults: Faults) -> None:
        """Begin a request that these faults befall."""
        self.faults = faults
        self.statements_left, self.trips_left = list(faults.statements), list(faults.trips)
        self.was_late = False

    def rest(self) -> None:
        """Let nothing befall what comes now, such as work behind the answer."""
        self.statements_left, self.trips_left = [], []

    def next_statement(self) -> tuple[StatementFault | None, bool]:
        """The fault of the next statement, and whether it is late."""
        if not self.statements_left:
            return None, False
        fault = self.statements_left.pop(0)
        late = self.faults.late and not self.statements_left
        self.was_late |= late
        return fault, late

    def next_trip(self) -> TripFault | None:
        """The fault of the next trip."""
        return self.trips_left.pop(0) if self.trips_left else None


class FaultyDatabase:
    """The service's own pool, through a proxy that cuts; implements `Database`."""

    def __init__(self, pool: Pool, proxy: PostgresProxy, fate: Fate, clock: ManualClock) -> None:
        self.proxy = proxy
        self.fate = fate
        self.clock = clock
        self._pool = pool

    @asynccontextmanager
    async def connection(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """See `Database.connection`."""
        async with self._pool.connection(deadline) as connection:
            yield _FaultyConnection(self, connection)

    async def ping(self, deadline: Deadline) -> None:
        """See `Database.ping`."""
        await self._pool.ping(deadline)

    async def close(self) -> None:
        """See `Database.close`."""
        await self._pool.close()


class _FaultyConnection:
    def __init__(self, database: FaultyDatabase, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    async def fetch(self, statement: str, /, *arguments: object) -> list[Record]:
        return await self._run(lambda: self._connection.fetch(statement, *arguments))

    async def fetchrow(self, statement: str, /, *arguments: object) -> Record | None:
        return await self._run(lambda: self._connection.fetchrow(statement, *arguments))

    async def fetchval(self, statement: str, /, *arguments: object) -> Any:
        return await self._run(lambda: self._connection.fetchval(statement, *arguments))

    async def execute(self, statement: str, /, *arguments: object) -> str:
        return await self._run(lambda: self._connection.execute(statement, *arguments))

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """The connection's own, whose commit is a statement like others: what befalls them befalls it."""
        transaction: Any = self._connection.transaction(**options)
        await transaction.start()
        try:
            yield
            await self._run(transaction.commit)
        except BaseException:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await transaction.rollback()
            raise

    async def _run(self, statement: Callable[[], Awaitable[T]]) -> T:
        fault, late = self._database.fate.next_statement()
        try:
            return await self._meet(fault, statement)
        finally:
            if late:
                self._database.clock.advance(LATE_S)

    async def _meet(self, fault: StatementFault | None, statement: Callable[[], Awaitable[T]]) -> T:
        proxy = self._database.proxy
        if fault is StatementFault.KILLED_BEFORE:
            await self._die()
        if fault is StatementFault.REQUEST_CUT:
            proxy.cut_requests(1)
        elif fault is StatementFault.ANSWER_CUT:
            proxy.cut_answers(1)
        elif fault in _SQLSTATES and fault is not StatementFault.UNKNOWN_DONE:
            await self._fail(_SQLSTATES[fault])
        done = await statement()
        if fault is StatementFault.KILLED_AFTER:
            await self._die()
        if fault is StatementFault.UNKNOWN_DONE:
            await self._fail(_SQLSTATES[fault])
        return done

    async def _fail(self, sqlstate: str) -> None:
        """Have PostgreSQL itself answer with this error."""
        await self._connection.execute(
            f"DO $$ BEGIN RAISE EXCEPTION 'by the machine' USING ERRCODE = '{sqlstate}'; END $$"
        )

    async def _die(self) -> None:
        self._database.fate.killed.set()
        await asyncio.Event().wait()


class FaultyRedis:
    """A client of the real Redis on which scripts see the machine's clock; implements `Redis`."""

    def __init__(self, url: str, stores: Stores, fate: Fate, now_us: Callable[[], int]) -> None:
        self.fate = fate
        self._stores = stores
        self._now_us = now_us
        self._timed: dict[Script, Script] = {}
        # The client waits between attempts to connect by a clock that must move on.
        self._redis = RespRedis(
            url, clock=MachineClock(), entropy=SeededEntropy(2), counters=CountingCounters()
        )

    @property
    def connection_losses(self) -> int:
        """See `Redis.connection_losses`."""
        return self._redis.connection_losses

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        """See `Redis.command`."""
        return await self._pass(lambda: self._redis.command(*arguments, timeout_s=timeout_s))

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        """See `Redis.script`."""
        timed = self._timed.get(script)
        if timed is None:
            timed = self._timed[script] = _timed(script)
        told = arguments if timed is script else [*arguments, self._now_us()]
        return await self._pass(lambda: self._redis.script(timed, keys, told, timeout_s))

    async def close(self) -> None:
        """See `Redis.close`."""
        await self._redis.close()

    async def _pass(self, trip: Callable[[], Awaitable[Reply]]) -> Reply:
        fault = self.fate.next_trip()
        if self.fate.redis_away or self.fate.killed.is_set():
            fault = TripFault.AWAY
        if fault is TripFault.AWAY:
            raise RedisUnavailableError("away, says the machine", outcome_unknown=False)
        if fault is TripFault.WIPED:
            await self._stores.wipe_redis()
        elif fault is TripFault.CUT:
            await self._stores.drop_redis_connections()
        reply = await trip()
        if fault is TripFault.REPLY_LOST:
            raise RedisUnavailableError("the reply is lost, says the machine", outcome_unknown=True)
        return reply


_TIME = "redis.call('TIME')"


def _timed(script: Script) -> Script:
    """The script with its last argument for the time, in microseconds."""
    if _TIME not in script.source:
        return script
    told = script.source.replace(_TIME, "{math.floor(machine_us / 1000000), machine_us % 1000000}")
    return Script(f"local machine_us = tonumber(table.remove(ARGV))\n{told}")
