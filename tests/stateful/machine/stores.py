"""PostgreSQL and Valkey that tell the machine's time, and what an eye inside sees of them."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from stakehold.redis.resp import RespRedis
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support.fakes import CountingCounters, SeededEntropy

TIMEOUT_S: Final = 10.0

# An unqualified now() finds this one first. A sequence tells the time, because reading and setting it takes
# part in no transaction: it can cause no serialization failure of its own.
_TELL_THE_MACHINES_TIME = """
CREATE SCHEMA machine;
CREATE SEQUENCE machine.now_ms MINVALUE 0;
CREATE FUNCTION machine.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE AS
  $$ SELECT 'epoch'::TIMESTAMPTZ + (SELECT last_value FROM machine.now_ms) * INTERVAL '1 millisecond' $$;
"""

_EMPTY = """
TRUNCATE stakes, idempotency, spent_refresh_tokens, sessions, users, transfers, ledger_heads, balances,
  events, plan_usage, plan_user_usage;
"""

# What Redis itself forgets by time: keys whose life ends within ARGV[1] milliseconds.
_AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left_ms = redis.call('PTTL', key)
  if left_ms >= 0 then
    if left_ms <= tonumber(ARGV[1]) then redis.call('DEL', key)
    else redis.call('PEXPIRE', key, left_ms - tonumber(ARGV[1])) end
  end
end
return 1
"""


class MachineClock:
    """The time of day, for what waits on real connections."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class StoreUrls:
    """A database that tells the machine's time, and a Redis that is the machine's own while it runs."""

    database: str
    redis: str


def prepare_stores(
    postgres: EmbeddedPostgres, migrated_template: str, valkey: EmbeddedValkey, name: str = "machine"
) -> StoreUrls:
    """Make the machine's database, called `name`, beside the tests' others. Valkey is shared, and emptied."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres.database_url("postgres"))
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "search_path = machine, pg_catalog, public",
            # Nothing here is to survive a crash of PostgreSQL.
            "synchronous_commit = off",
        ):
            await connection.execute(f"ALTER DATABASE {name} SET {setting}")
        await connection.close()
        connection = await asyncpg.connect(postgres.database_url(name))
        await connection.execute(_TELL_THE_MACHINES_TIME)
        await connection.close()

    asyncio.run(prepare())
    return StoreUrls(postgres.database_url(name), valkey.url)


@dataclass(frozen=True)
class StakeRow:
    """A stake as the database has it."""

    id: str
    amount_minor: int
    period_months: int


@dataclass(frozen=True)
class SessionRow:
    """A session as the database has it: whether it has ended, and the hash of its refresh token."""

    ended: bool
    refresh_hash: bytes


@dataclass(frozen=True)
class UserRow:
    """A user as the database has it, with all that is the user's."""

    id: str
    active: bool
    password_hash: str
    stakes: dict[str, StakeRow]
    sessions: dict[str, SessionRow]
    keys: dict[str, str]
    """The stake of each Idempotency-Key that has not expired."""


class Stores:
    """Both stores, by connections of the test's own that no fault touches."""

    def __init__(self, urls: StoreUrls) -> None:
        self.urls = urls
        self._sql: Any = None
        self._redis = RespRedis(
            urls.redis, clock=MachineClock(), entropy=SeededEntropy(1), counters=CountingCounters()
        )
        self._now_ms = 0
        self._remembered: dict[bytes, tuple[bytes, int]] | None = None

    async def open(self) -> None:
        """Connect. `close` undoes it."""
        self._sql = await asyncpg.connect(self.urls.database, command_timeout=TIMEOUT_S)

    async def close(self) -> None:
        """Leave Redis empty, and go."""
        await self.wipe_redis()
        await self._redis.close()
        await self._sql.close()

    async def begin(self, now_ms: int) -> None:
        """Empty both, and set their time."""
        await self._sql.execute(_EMPTY)
        await self.wipe_redis()
        self._remembered = None
        self._now_ms = now_ms
        await self._tell(now_ms)

    async def follow(self, now_ms: int) -> None:
        """Move the stores' time on to `now_ms`, and let Redis forget what it forgets by then."""
        passed_ms, self._now_ms = now_ms - self._now_ms, now_ms
        if passed_ms:
            await self._tell(now_ms)
            await self._command("EVAL", _AGE, 0, passed_ms)

    async def remember_redis(self) -> None:
        """Note all that Redis holds."""
        self._remembered = {}
        for key in await self._keys_in_redis():
            dump = await self._redis.command("DUMP", key, timeout_s=TIMEOUT_S)
            left_ms = await self._redis.command("PTTL", key, timeout_s=TIMEOUT_S)
            assert isinstance(dump, bytes)
            assert isinstance(left_ms, int)
            self._remembered[key] = dump, left_ms

    async def restore_redis(self) -> None:
        """Put back what was noted, as after a crash: the connections are gone as well."""
        if self._remembered is None:
            return
        await self.wipe_redis()
        for key, (dump, left_ms) in self._remembered.items():
            await self._command("RESTORE", key, max(0, left_ms), dump)
        self._remembered = None
        await self.drop_redis_connections()

    async def wipe_redis(self) -> None:
        """Make Redis forget everything."""
        await self._command("FLUSHALL")

    async def drop_redis_connections(self) -> None:
        """Have Redis end everybody's connections but this one."""
        await self._command("CLIENT", "KILL", "TYPE", "normal")

    async def evict(self, pick: int) -> None:
        """Delete one key, whichever it is."""
        keys = await self._keys_in_redis()
        if keys:
            await self._command("DEL", keys[pick % len(keys)])

    async def _keys_in_redis(self) -> list[bytes]:
        found = await self._redis.command("KEYS", "*", timeout_s=TIMEOUT_S)
        assert isinstance(found, list)
        return sorted(key for key in found if isinstance(key, bytes))

    @property
    def sql(self) -> Any:
        """The connection to the database."""
        return self._sql

    async def users(self) -> dict[str, UserRow]:
        """All there is in the database, by username."""
        stakes, sessions, keys = await self._stakes(), await self._sessions(), await self._keys()
        rows = await self._sql.fetch("SELECT id, username, status, password_hash FROM users")
        return {
            row["username"]: UserRow(
                id=str(row["id"]),
                active=row["status"] == "active",
                password_hash=row["password_hash"],
                stakes=stakes.get(row["id"], {}),
                sessions=sessions.get(row["id"], {}),
                keys=keys.get(row["id"], {}),
            )
            for row in rows
        }

    async def _stakes(self) -> dict[UUID, dict[str, StakeRow]]:
        found: dict[UUID, dict[str, StakeRow]] = {}
        for row in await self._sql.fetch(
            "SELECT s.user_id, s.id, s.amount_minor, p.period_months FROM stakes s"
            " JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version"
        ):
            stake = StakeRow(str(row["id"]), int(row["amount_minor"]), row["period_months"])
            found.setdefault(row["user_id"], {})[stake.id] = stake
        return found

    async def _sessions(self) -> dict[UUID, dict[str, SessionRow]]:
        found: dict[UUID, dict[str, SessionRow]] = {}
        for row in await self._sql.fetch(
            "SELECT s.user_id, s.id, s.refresh_hash,"
            " s.revoked_at IS NOT NULL OR s.epoch < u.epoch AS ended"
            " FROM sessions s JOIN users u ON u.id = s.user_id"
        ):
            session = SessionRow(row["ended"], row["refresh_hash"])
            found.setdefault(row["user_id"], {})[str(row["id"])] = session
        return found

    async def _keys(self) -> dict[UUID, dict[str, str]]:
        found: dict[UUID, dict[str, str]] = {}
        for row in await self._sql.fetch(
            "SELECT user_id, key, stake_id FROM idempotency WHERE expires_at > now()"
        ):
            found.setdefault(row["user_id"], {})[row["key"]] = str(row["stake_id"])
        return found

    async def _tell(self, now_ms: int) -> None:
        await self._sql.execute("SELECT setval('machine.now_ms', $1)", now_ms)

    async def _command(self, *arguments: str | bytes | int) -> None:
        await self._redis.command(*arguments, timeout_s=TIMEOUT_S)
