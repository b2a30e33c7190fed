"""The outbox: events, written with what they tell of, taken by deliverers, and kept for 30 days.

An event is due from its making until somebody has a result for it, whoever wrote it: also where there is
nobody to send it to yet. To take it is to move `due_at` on by a lease, and only
who holds that very lease writes the result: another deliverer, or an operator's replay, moves `due_at` again.
So two never send one event at a time, and what a deliverer took with it when it died is due again after the
lease.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from stakehold.database.port import Connection
from stakehold.domain.events import Event

BUCKETS: Final = 16
LEASE_S: Final = 60
"""Longer than an attempt and the writing of its result may take."""

ERROR_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event taken to be sent. `attempts` were made before; `taken_at_ms` is the database's time."""

    user_id: UUID
    id: UUID
    payload: str
    attempts: int
    leased_until: datetime
    taken_at_ms: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt: `error` is None when it was delivered.

    After an error the next attempt is `retry_after_s` later; None: the event is given up.
    """

    event: DueEvent
    error: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as an operator sees it."""

    user_id: UUID
    id: UUID
    type: str
    created_at: datetime
    attempts: int
    due_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    last_error: str | None


# `created_at` is said, since a column's default is bound to the now() of the schema's making.
_INSERT = """
INSERT INTO events (user_id, id, type, payload, created_at, due_at)
SELECT x.user_id, x.id, x.type, x.payload, now(), now()
  FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID, type TEXT, payload TEXT)
"""
_IS_WRITTEN = "SELECT EXISTS (SELECT 1 FROM events e WHERE e.user_id = $1::UUID AND e.id = $2::UUID)"


async def insert_events(connection: Connection, events: Sequence[Event]) -> None:
    """Write events, in the caller's transaction; they are due at once."""
    if events:
        rows = [
            {"user_id": event.user_id, "id": event.id, "type": event.type, "payload": event.payload}
            for event in events
        ]
        await connection.execute(_INSERT, _json(rows))


async def is_written(connection: Connection, user_id: UUID, event_id: UUID) -> bool:
    """Whether there is this event: what it tells of was done by whoever made its id."""
    found: bool = await connection.fetchval(_IS_WRITTEN, user_id, event_id)
    return found


_BUSY = f"""
SELECT b.bucket FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
 CROSS JOIN LATERAL (SELECT 1 FROM events e WHERE e.bucket = b.bucket AND e.due_at <= now()
                      ORDER BY e.due_at LIMIT 1) e
"""  # noqa: S608 - only a constant is put in


async def busy_buckets(connection: Connection) -> list[int]:
    """The buckets with events that are due."""
    return [row["bucket"] for row in await connection.fetch(_BUSY)]


_TAKE = f"""
WITH taken AS (
  SELECT e.user_id, e.id FROM events e
   WHERE e.bucket = $1::INT8 AND e.due_at <= now()
   ORDER BY e.due_at LIMIT $2::INT8
   FOR UPDATE SKIP LOCKED)
UPDATE events SET due_at = now() + INTERVAL '{LEASE_S} seconds'
  FROM taken
 WHERE events.user_id = taken.user_id AND events.id = taken.id
RETURNING events.user_id, events.id, events.payload, events.attempts, events.due_at,
          floor(extract(epoch FROM now()) * 1000)::INT8 AS now_ms
"""  # noqa: S608 - only a constant is put in


async def take_due(connection: Connection, bucket: int, limit: int) -> list[DueEvent]:
    """At most `limit` due events of a bucket, the longest due, which are this caller's for LEASE_S.

    Run again after an unknown outcome it takes others: those it did take come back when their lease ends.
    """
    return [
        DueEvent(
            row["user_id"], row["id"], row["payload"], row["attempts"], row["due_at"], int(row["now_ms"])
        )
        for row in await connection.fetch(_TAKE, bucket, limit)
    ]


_RECORD = """
UPDATE events SET
    attempts = events.attempts + 1,
    delivered_at = CASE WHEN x.error IS NULL THEN now() END,
    failed_at = CASE WHEN x.error IS NOT NULL AND x.delay_ms IS NULL THEN now() END,
    due_at = CASE WHEN x.error IS NOT NULL THEN now() + x.delay_ms * INTERVAL '1 millisecond' END,
    last_error = x.error
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, id UUID, leased_until TIMESTAMPTZ, error TEXT, delay_ms INT8)
 WHERE events.user_id = x.user_id AND events.id = x.id AND events.due_at = x.leased_until
"""


async def record_results(connection: Connection, results: Sequence[Result]) -> None:
    """Write what came of attempts, where the lease still holds. It may be run again."""
    rows = [
        {
            "user_id": result.event.user_id,
            "id": result.event.id,
            "leased_until": result.event.leased_until.isoformat(),
            "error": None if result.error is None else result.error[:ERROR_LENGTH_MAX],
            "delay_ms": None if result.retry_after_s is None else round(result.retry_after_s * 1000),
        }
        for result in results
    ]
    await connection.execute(_RECORD, _json(rows))


_NAMES: Final = (
    "user_id", "id", "type", "created_at", "attempts", "due_at", "delivered_at", "failed_at", "last_error",
)  # fmt: skip
_COLUMNS: Final = ", ".join(f"e.{name}" for name in _NAMES)
_LIST = {
    failed: f"""
SELECT {_COLUMNS} FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
 CROSS JOIN LATERAL (
   SELECT {_COLUMNS} FROM events e
    WHERE e.bucket = b.bucket {"AND e.failed_at IS NOT NULL" if failed else ""}
    ORDER BY e.created_at DESC LIMIT $1::INT8) e
 ORDER BY e.created_at DESC, e.id DESC LIMIT $1::INT8
"""  # noqa: S608 - only constants are put in
    for failed in (False, True)
}


async def list_events(connection: Connection, *, failed: bool, limit: int) -> list[EventRow]:
    """The newest events, or the newest of those that were given up; newest first."""
    rows = await connection.fetch(_LIST[failed], limit)
    return [EventRow(*(row[name] for name in _NAMES)) for row in rows]


_MAKE_DUE: Final = (
    "UPDATE events SET due_at = now(), attempts = 0, delivered_at = NULL, failed_at = NULL, last_error = NULL"
)
_REPLAY = f"""
{_MAKE_DUE}
 WHERE (events.user_id, events.id) IN (
   SELECT e.user_id, e.id FROM events e WHERE e.bucket = $1::INT8 AND e.id = $2::UUID)
"""  # noqa: S608 - only a constant is put in


async def replay_event(connection: Connection, identifier: UUID) -> bool:
    """Have an event sent again, whatever became of it; False when there is none of this id."""
    tag = await connection.execute(_REPLAY, identifier.bytes[-1] % BUCKETS, identifier)
    return tag != "UPDATE 0"


_PAGE = {
    failed: f"""
SELECT e.user_id, e.id, e.created_at FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
 CROSS JOIN LATERAL (
   SELECT p.user_id, p.id, p.created_at FROM events p
    WHERE p.bucket = b.bucket {"AND p.failed_at IS NOT NULL" if failed else ""}
      AND p.created_at >= $1::TIMESTAMPTZ AND p.created_at <= $2::TIMESTAMPTZ
      AND (p.created_at > $1::TIMESTAMPTZ OR p.id > $3::UUID)
    ORDER BY p.created_at, p.id LIMIT $4::INT8) e
 ORDER BY e.created_at, e.id LIMIT $4::INT8
"""  # noqa: S608 - only constants are put in
    for failed in (False, True)
}
_REPLAY_PAGE = f"""
{_MAKE_DUE}
  FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID)
 WHERE events.user_id = x.user_id AND events.id = x.id
"""


@dataclass(frozen=True, slots=True)
class ReplayPosition:
    """How far a replay has come: up to and including the event of this time and id."""

    created_at: datetime
    id: UUID


async def replay_page(
    connection: Connection, after: ReplayPosition, until: datetime, *, failed: bool, limit: int
) -> tuple[int, ReplayPosition]:
    """Have events sent again, oldest first, at most `limit` after a position: how many, and the next one.

    With `failed` only those that were given up. When there were none, none are left.
    """
    async with connection.transaction():
        rows = await connection.fetch(_PAGE[failed], after.created_at, until, after.id, limit)
        if not rows:
            return 0, after
        await connection.execute(
            _REPLAY_PAGE, _json({"user_id": row["user_id"], "id": row["id"]} for row in rows)
        )
    return len(rows), ReplayPosition(rows[-1]["created_at"], rows[-1]["id"])


async def database_time(connection: Connection) -> datetime:
    """The moment, by the database's clock."""
    moment: datetime = await connection.fetchval("SELECT now()")
    return moment


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as one parameter; ids as text."""
    return json.dumps(list(rows), default=str)
