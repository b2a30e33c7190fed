"""The stores of a benchmark, the users in them, and the settings of the service that is measured.

The limits do their whole work and refuse nobody. Their quotas are raised, since a benchmark's users ask far
more often than people; that alone would let the logs grow to a size that none has by default. So the window
is shortened as well, to half a round or less, and requests go round 400 users: at 10,000 requests a second a
log holds the 50 of the last 2 seconds, and from the third second on each request sweeps the oldest. That is
what a log of 60 or 100 a minute is like when its user never stops. The report says how many were in them.
"""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg

from bench.ledgers import Made, write_stakes
from stakehold.database.migrate import migrate
from stakehold.domain.ids import new_id
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.security.tokens import AccessTokens

LIMIT_QUOTA = 1000
LIMIT_WINDOW_S = 2
_LIMITED = ("auth", "auth-failure", "stake-create", "stake-read", "global")
LIMITS = ",".join(f"{name}={LIMIT_QUOTA}/{LIMIT_WINDOW_S}" for name in _LIMITED)
STAKES_A_USER = 10
STAKE_MINOR = 1_250_000_000
PASSWORD = "correct horse battery staple"
_PASSWORD_HASH = "$scrypt$ln=14,r=8,p=5$c2FsdC1vZi10aGUtdGVzdA$oc9pxqeedZwatM4BKgVlJ+trExBjK2qSn5Y4yu/9VdY"


@dataclass(frozen=True)
class Person:
    """A user with a session's token."""

    id: UUID
    session_id: UUID
    name: str
    token: str


@dataclass(frozen=True)
class Stores:
    """Running stores, and what the service is told of them."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    directory: Path
    secret: str

    @property
    def settings(self) -> dict[str, str]:
        """The environment of the service."""
        return {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "JWT_SECRET": self.secret,
            "STAKEHOLD_PROCESSES": "1",
            "STAKEHOLD_LIMITS": LIMITS,
            "STAKEHOLD_DRAIN_S": "0",
        }

    async def enrol(self, count: int) -> list[Person]:
        """Users with ten stakes each and a token, put straight into the database."""
        clock, entropy = SystemClock(), SystemEntropy()
        tokens = AccessTokens(secret=self.secret, previous_secret=None, clock=clock, entropy=entropy)
        people = []
        for _ in range(count):
            user_id, session_id = new_id(clock, entropy), new_id(clock, entropy)
            name = f"bench-{user_id.hex}"
            people.append(Person(user_id, session_id, name, tokens.issue(user_id, session_id, 1)))
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.copy_records_to_table(
                "users",
                records=[(person.id, person.name, _PASSWORD_HASH, "active", 1) for person in people],
                columns=("id", "username", "password_hash", "status", "epoch"),
            )
        finally:
            await connection.close()
        today = datetime.now(UTC).date()
        await write_stakes(
            self.postgres.url,
            (
                Made(person.id, STAKE_MINOR, "STK-12M", today, 12)
                for person in people
                for _ in range(STAKES_A_USER)
            ),
        )
        return people


@contextlib.asynccontextmanager
async def running_stores() -> AsyncIterator[Stores]:
    """PostgreSQL, migrated, with fsync on as it comes, and Valkey, whose file is synced every second."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stakehold-bench-")))
        postgres = EmbeddedPostgres(directory, announce=lambda _: None)
        valkey = EmbeddedValkey(directory)
        for store in (postgres, valkey):
            store.start()
            stack.callback(store.stop)
        await migrate(postgres.url, clock=SystemClock(), entropy=SystemEntropy())
        yield Stores(postgres, valkey, directory, secrets.token_urlsafe(48))
