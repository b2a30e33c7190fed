"""Taking away what has expired, in bounded batches, each from one range of an index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args
from uuid import UUID

from stakehold.database.port import Connection

BUCKETS: Final = 16

Expiring = Literal["idempotency", "sessions", "events"]

# An hour more than it is good for: an answer that is under way may still rest on it.
_OLD_KEY = "k.expires_at <= now() - INTERVAL '1 hour'"
_IDEMPOTENCY = f"""
DELETE FROM idempotency WHERE (user_id, scope, key) IN (
  SELECT k.user_id, k.scope, k.key FROM idempotency k
   WHERE k.bucket = $1::INT8 AND {_OLD_KEY}
   ORDER BY k.expires_at LIMIT $2::INT8)
RETURNING 1
"""  # noqa: S608 - only a constant is put in
# A day more: access tokens of a session outlive its refresh tokens, and are held against the row.
_OLD_SESSION = "s.expires_at <= now() - INTERVAL '1 day'"
_SESSIONS = f"""
SELECT s.user_id, s.id FROM sessions s
 WHERE s.bucket = $1::INT8 AND {_OLD_SESSION}
 ORDER BY s.expires_at LIMIT $2::INT8
"""  # noqa: S608 - only a constant is put in
_OLD_EVENT = """e.created_at < now() - $1::INTERVAL
                 AND (e.due_at IS NULL OR e.due_at < now() - $1::INTERVAL)"""
_EVENTS = f"""
WITH old AS (
  SELECT e.user_id, e.id FROM events e
   WHERE e.bucket = $2::INT8 AND {_OLD_EVENT}
   ORDER BY e.created_at LIMIT $3::INT8)
DELETE FROM events USING old WHERE events.user_id = old.user_id AND events.id = old.id
RETURNING events.due_at IS NOT NULL AS unsent
"""  # noqa: S608 - only a constant is put in
# (ORDER BY and LIMIT have each bucket looked up in its index, however few rows the planner thinks there are.)
_WHERE_EXPIRED = f"""
SELECT b.bucket, i.found AS idempotency, o.found AS sessions, t.found AS events
  FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
  LEFT JOIN LATERAL (SELECT true AS found FROM idempotency k WHERE k.bucket = b.bucket AND {_OLD_KEY}
                      ORDER BY k.expires_at LIMIT 1) i ON true
  LEFT JOIN LATERAL (SELECT true AS found FROM sessions s WHERE s.bucket = b.bucket AND {_OLD_SESSION}
                      ORDER BY s.expires_at LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT true AS found FROM events e WHERE e.bucket = b.bucket AND {_OLD_EVENT}
                      ORDER BY e.created_at LIMIT 1) t ON true
 ORDER BY b.bucket
"""  # noqa: S608 - only constants are put in
_SPENT = """
DELETE FROM spent_refresh_tokens WHERE (user_id, session_id) IN (
  SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
"""
_ENDED = """
DELETE FROM sessions WHERE (user_id, id) IN (
  SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
"""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many events were deleted, and how many of them were still to be sent."""

    events: int
    unsent: int


async def find_expired(connection: Connection, events_kept: timedelta) -> dict[Expiring, list[int]]:
    """The buckets that have something to sweep, by kind: mostly there are none, and one look is enough."""
    rows = await connection.fetch(_WHERE_EXPIRED, events_kept)
    return {kind: [int(row["bucket"]) for row in rows if row[kind]] for kind in get_args(Expiring)}


async def sweep_idempotency(connection: Connection, bucket: int, limit: int) -> int:
    """Delete at most `limit` expired keys of a bucket; how many."""
    return len(await connection.fetch(_IDEMPOTENCY, bucket, limit))


async def sweep_sessions(connection: Connection, bucket: int, limit: int) -> int:
    """Delete at most `limit` expired sessions of a bucket, with their spent refresh tokens; how many."""
    async with connection.transaction():
        rows = await connection.fetch(_SESSIONS, bucket, limit)
        if rows:
            expired = _json([(row["user_id"], row["id"]) for row in rows])
            await connection.execute(_SPENT, expired)
            await connection.execute(_ENDED, expired)
    return len(rows)


async def sweep_events(connection: Connection, bucket: int, older_than: timedelta, limit: int) -> Swept:
    """Delete at most `limit` events of a bucket that were made longer ago than that.

    One that is still to be sent stays, unless it has been due for as long: then nobody sends them at all.
    """
    rows = await connection.fetch(_EVENTS, older_than, bucket, limit)
    return Swept(len(rows), sum(row["unsent"] for row in rows))


def _json(keys: Sequence[tuple[UUID, UUID]]) -> str:
    return json.dumps([{"user_id": str(user_id), "id": str(identifier)} for user_id, identifier in keys])
