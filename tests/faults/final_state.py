"""What is in the database when a run is over."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from stakehold.domain.money import format_amount


@dataclass(frozen=True, slots=True)
class UserRow:
    """A row of `users`."""

    id: str
    username: str
    status: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StakeRow:
    """A row of `stakes`, with its amount and period as the API says them."""

    user_id: str
    id: str
    amount: str
    period: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of `idempotency`."""

    user_id: str
    key: str
    stake_id: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row of `sessions`."""

    user_id: str
    id: str
    epoch: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class FinalState:
    """All rows that the promises are about."""

    users: Sequence[UserRow] = ()
    stakes: Sequence[StakeRow] = ()
    keys: Sequence[KeyRow] = ()
    sessions: Sequence[SessionRow] = ()


async def read_final_state(database_url: str) -> FinalState:
    """Read it, from a database that nobody writes to any more."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
    try:
        users = await connection.fetch("SELECT id, username, status, epoch FROM users")
        stakes = await connection.fetch(
            "SELECT s.user_id, s.id, s.amount_minor, p.scale, p.period_months FROM stakes s "
            "LEFT JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version"
        )
        keys = await connection.fetch("SELECT user_id, key, stake_id FROM idempotency")
        sessions = await connection.fetch(
            "SELECT user_id, id, epoch, revoked_at IS NOT NULL AS revoked FROM sessions"
        )
    finally:
        await connection.close(timeout=10)
    return FinalState(
        users=[UserRow(str(row["id"]), row["username"], row["status"], row["epoch"]) for row in users],
        stakes=[_stake(row) for row in stakes],
        keys=[KeyRow(str(row["user_id"]), row["key"], str(row["stake_id"])) for row in keys],
        sessions=[
            SessionRow(str(row["user_id"]), str(row["id"]), row["epoch"], row["revoked"]) for row in sessions
        ],
    )


def _stake(row: asyncpg.Record) -> StakeRow:
    amount = format_amount(int(row["amount_minor"]), row["scale"])
    return StakeRow(str(row["user_id"]), str(row["id"]), amount, str(row["period_months"]))
