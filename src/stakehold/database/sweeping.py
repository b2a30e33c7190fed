"""Taking away what has expired, in bounded batches, each from one range of an index."""

import json
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from stakehold.database.port import Connection

BUCKETS: Final = 16

# An hour more than it is good for: an answer that is under way may still rest on it.
_IDEMPOTENCY = """
DELETE FROM idempotency WHERE (user_id, scope, key) IN (
  SELECT k.user_id, k.scope, k.key FROM idempotency k
   WHERE k.bucket = $1::INT8 AND k.expires_at <= now() - INTERVAL '1 hour'
   ORDER BY k.expires_at LIMIT $2::INT8)
RETURNING 1
"""
# A day more: access tokens of a session outlive its refresh tokens, and are held against the row.
_SESSIONS = """
SELECT s.user_id, s.id FROM sessions s
 WHERE s.bucket = $1::INT8 AND s.expires_at <= now() - INTERVAL '1 day'
 ORDER BY s.expires_at LIMIT $2::INT8
"""
_SPENT = """
DELETE FROM spent_refresh_tokens WHERE (user_id, session_id) IN (
  SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
"""
_ENDED = """
DELETE FROM sessions WHERE (user_id, id) IN (
  SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
"""


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


def _json(keys: Sequence[tuple[UUID, UUID]]) -> str:
    return json.dumps([{"user_id": str(user_id), "id": str(identifier)} for user_id, identifier in keys])
