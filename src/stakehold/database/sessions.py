"""Sessions: families of refresh tokens, each made under the user's epoch of its day."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from stakehold.database.port import Connection
from stakehold.domain.accounts import Scope


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to start: under which epoch, and the SHA-256 of its first refresh token."""

    user_id: UUID
    id: UUID
    epoch: int
    refresh_hash: bytes
    expires_at_ms: int

    @property
    def expires_at(self) -> datetime:
        """`expires_at_ms` as the database takes it."""
        return datetime.fromtimestamp(self.expires_at_ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What came of presenting a refresh token; its session's epoch (0 when refused); its user's scope."""

    outcome: Literal["rotated", "spent", "refused"]
    epoch: int
    scope: Scope = ""


_INSERT = """
WITH started AS (
  INSERT INTO sessions (user_id, id, epoch, refresh_hash, expires_at)
  SELECT u.id, $2::UUID, u.epoch, $4::BYTEA, $5::TIMESTAMPTZ
    FROM users u WHERE u.id = $1::UUID AND u.status = 'active' AND u.epoch = $3::INT8
  ON CONFLICT (user_id, id) DO NOTHING
  RETURNING id)
SELECT EXISTS (SELECT 1 FROM started)
    OR EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = $1::UUID AND s.id = $2::UUID)
"""


async def insert_session(connection: Connection, session: NewSession) -> bool:
    """Start a session; False when the user is disabled or the epoch has moved on."""
    started = await connection.fetchval(
        _INSERT, session.user_id, session.id, session.epoch, session.refresh_hash, session.expires_at
    )
    return bool(started)


_ROTATE = """
WITH rotated AS (
  UPDATE sessions SET refresh_hash = $4::BYTEA
    FROM users u
   WHERE sessions.user_id = $1::UUID AND sessions.id = $2::UUID AND sessions.refresh_hash = $3::BYTEA
     AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
     AND u.id = sessions.user_id AND u.status = 'active' AND u.epoch = sessions.epoch
  RETURNING sessions.epoch),
spent AS (
  INSERT INTO spent_refresh_tokens (user_id, session_id, token_hash)
  SELECT $1::UUID, $2::UUID, $3::BYTEA FROM rotated
  RETURNING session_id)
SELECT CASE WHEN EXISTS (SELECT 1 FROM spent) THEN 'rotated'
            WHEN s.revoked_at IS NOT NULL OR s.expires_at <= now()
              OR u.status <> 'active' OR u.epoch <> s.epoch THEN 'refused'
            WHEN s.refresh_hash = $4::BYTEA THEN 'rotated'
            WHEN EXISTS (SELECT 1 FROM spent_refresh_tokens t
                          WHERE t.user_id = $1::UUID AND t.session_id = $2::UUID AND t.token_hash = $3::BYTEA)
                 THEN 'spent'
            ELSE 'refused' END AS outcome,
       s.epoch, u.scope
  FROM sessions s JOIN users u ON u.id = s.user_id
 WHERE s.user_id = $1::UUID AND s.id = $2::UUID
"""


async def rotate(
    connection: Connection, user_id: UUID, session_id: UUID, old_hash: bytes, new_hash: bytes
) -> Rotation:
    """Replace a session's refresh token by the next, given the SHA-256 of both.

    `rotated` also when `new_hash` is current already (this call, run again). `spent` when the old token was
    replaced earlier by another: it was stolen or sent twice, and the caller ends the family. `refused` when
    the token or the session is unknown, expired, revoked, of an earlier epoch, or the user is disabled.
    """
    row = await connection.fetchrow(_ROTATE, user_id, session_id, old_hash, new_hash)
    if row is None or row["outcome"] == "refused":
        return Rotation("refused", 0)
    return Rotation(row["outcome"], row["epoch"], row["scope"])


# The last of a full set of revoked sessions takes all the user's sessions with it, so that what a reader must
# be told about a user stays bounded. One user signs out that often only by machine.
_REVOKE = """
WITH revoked AS (
  UPDATE sessions SET revoked_at = now()
   WHERE user_id = $1::UUID AND id = $2::UUID AND revoked_at IS NULL
  RETURNING epoch)
UPDATE users SET epoch = epoch + 1
 WHERE id = $1::UUID AND epoch = (SELECT r.epoch FROM revoked r)
   AND (SELECT count(*) FROM sessions s
         WHERE s.user_id = $1::UUID AND s.epoch = users.epoch
           AND s.revoked_at > now() - INTERVAL '20 minutes') >= 255
"""


async def revoke_session(connection: Connection, user_id: UUID, session_id: UUID) -> None:
    """End one session: its refresh tokens, and its access tokens through `users.load_user_state`."""
    await connection.execute(_REVOKE, user_id, session_id)
