"""Users: who may sign in, and the epoch that ends all of a user's sessions at once when it is raised."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from stakehold.database.port import Connection, Record, RunAgainError
from stakehold.database.sessions import NewSession
from stakehold.domain.accounts import Scope, UserState
from stakehold.domain.errors import ConflictError
from stakehold.domain.ids import created_at_ms

Status = Literal["active", "disabled"]

REVOKED_SESSIONS_READ_MAX = 512
"""Twice what revoke_session lets come together under one epoch, before it raises the epoch instead."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signing in needs of a user."""

    user_id: UUID
    username: str
    password_hash: str
    status: Status
    epoch: int
    scope: Scope = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as shown to the user and to operators."""

    id: UUID
    username: str
    status: Status
    scope: Scope = ""

    @property
    def created_at_ms(self) -> int:
        """When the user was made, in milliseconds since the Unix epoch."""
        return created_at_ms(self.id)


_INSERT = """
WITH made AS (
  INSERT INTO users (id, username, password_hash, status, epoch)
  VALUES ($1::UUID, $2::TEXT, $3::TEXT, 'active', 1)
  ON CONFLICT (username) DO NOTHING
  RETURNING id)
SELECT COALESCE((SELECT m.id FROM made m), (SELECT u.id FROM users u WHERE u.username = $2::TEXT))
"""


async def insert_user(connection: Connection, user_id: UUID, username: str, password_hash: str) -> bool:
    """Make an active user; False when another has the name, True again for this very user."""
    holder = await connection.fetchval(_INSERT, user_id, username, password_hash)
    if holder is None:
        # Another made the name after our snapshot was taken: visible to the next run.
        raise RunAgainError(ConflictError("Another user is taking this username.", code="username_taken"))
    return bool(holder == user_id)


_CREDENTIALS = """
SELECT u.id, u.username, u.password_hash, u.status, u.epoch, u.scope FROM users u WHERE u.username = $1::TEXT
"""
_CREDENTIALS_BY_ID = """
SELECT u.id, u.username, u.password_hash, u.status, u.epoch, u.scope FROM users u WHERE u.id = $1::UUID
"""


async def find_credentials(connection: Connection, username: str) -> Credentials | None:
    """The credentials of the user with this normalised name."""
    return await _credentials(connection, _CREDENTIALS, username)


async def find_credentials_by_id(connection: Connection, user_id: UUID) -> Credentials | None:
    """The credentials of the user with this id."""
    return await _credentials(connection, _CREDENTIALS_BY_ID, user_id)


async def _credentials(connection: Connection, statement: str, key: str | UUID) -> Credentials | None:
    row = await connection.fetchrow(statement, key)
    if row is None:
        return None
    return Credentials(
        row["id"], row["username"], row["password_hash"], row["status"], row["epoch"], row["scope"]
    )


_STATE = f"""
SELECT u.status, u.epoch, s.id AS revoked_session
  FROM users u
  LEFT JOIN sessions s
    ON s.user_id = u.id AND s.epoch = u.epoch AND s.revoked_at > now() - INTERVAL '20 minutes'
 WHERE u.id = $1::UUID
 LIMIT {REVOKED_SESSIONS_READ_MAX}
"""  # noqa: S608 - only a constant is put in


async def load_user_state(connection: Connection, user_id: UUID) -> UserState | None:
    """What decides whether the user's access tokens are still good.

    Sessions revoked longer than 20 minutes ago are left out: no access token of theirs lives that long. So
    are those of earlier epochs, whose tokens are refused by the epoch.
    """
    rows = await connection.fetch(_STATE, user_id)
    if not rows:
        return None
    revoked = frozenset(str(row["revoked_session"]) for row in rows if row["revoked_session"] is not None)
    return UserState(status=rows[0]["status"], epoch=rows[0]["epoch"], revoked_sessions=revoked)


_PROFILE = "SELECT u.id, u.username, u.status, u.scope FROM users u WHERE u.id = $1::UUID"


async def load_profile(connection: Connection, user_id: UUID) -> Profile | None:
    """The user's own record."""
    row = await connection.fetchrow(_PROFILE, user_id)
    return None if row is None else _profile(row)


_LIST = """
SELECT u.id, u.username, u.status, u.scope FROM users u
 WHERE $1::TEXT IS NULL OR u.username > $1::TEXT
 ORDER BY u.username LIMIT $2::INT8
"""


async def list_users(connection: Connection, after: str | None, limit: int) -> list[Profile]:
    """At most `limit` users by name, those after the name `after`."""
    rows = await connection.fetch(_LIST, after, limit)
    return [_profile(row) for row in rows]


def _profile(row: Record) -> Profile:
    return Profile(row["id"], row["username"], row["status"], row["scope"])


# Disabling raises the epoch too: enabling the user again must not bring old tokens back.
_SET_STATUS = """
UPDATE users
   SET status = $2::TEXT,
       epoch = epoch + CASE WHEN status = 'active' AND $2::TEXT = 'disabled' THEN 1 ELSE 0 END
 WHERE username = $1::TEXT
RETURNING id
"""


async def set_status(connection: Connection, username: str, status: Status) -> UUID | None:
    """Enable or disable a user; the user's id, or None when there is no such user.

    Disabling ends every session for good.
    """
    changed: UUID | None = await connection.fetchval(_SET_STATUS, username, status)
    return changed


# A token says what its user may do: whoever may do more or less from now on signs in again.
_SET_SCOPE = """
UPDATE users
   SET scope = $2::TEXT,
       epoch = epoch + CASE WHEN scope <> $2::TEXT THEN 1 ELSE 0 END
 WHERE username = $1::TEXT
RETURNING id
"""


async def set_scope(connection: Connection, username: str, scope: Scope) -> UUID | None:
    """Grant a scope, or take it with ''; the user's id, or None when there is no such user.

    A change ends every session of the user for good.
    """
    changed: UUID | None = await connection.fetchval(_SET_SCOPE, username, scope)
    return changed


_IS_OPERATOR = """
SELECT EXISTS (
  SELECT 1 FROM users u
   WHERE u.id = $1::UUID AND u.status = 'active' AND u.scope = 'admin' AND u.epoch = $2::INT8)
"""


async def is_operator(connection: Connection, user_id: UUID, epoch: int) -> bool:
    """Whether the user is an operator now, under the epoch of their token.

    For the transaction that writes as an operator: a token alone may be older than what it says.
    """
    return bool(await connection.fetchval(_IS_OPERATOR, user_id, epoch))


_REHASH = """
UPDATE users SET password_hash = $3::TEXT WHERE id = $1::UUID AND password_hash = $2::TEXT RETURNING id
"""


async def update_password_hash(connection: Connection, user_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Replace the hash of an unchanged password; False when the hash is no longer `old_hash`."""
    return await connection.fetchval(_REHASH, user_id, old_hash, new_hash) is not None


_CHANGE = """
WITH changed AS (
  UPDATE users SET password_hash = $3::TEXT, epoch = epoch + 1
   WHERE id = $1::UUID AND password_hash = $2::TEXT AND status = 'active' AND epoch = $4::INT8 - 1
  RETURNING id, epoch),
started AS (
  INSERT INTO sessions (user_id, id, epoch, refresh_hash, expires_at)
  SELECT c.id, $5::UUID, c.epoch, $6::BYTEA, $7::TIMESTAMPTZ FROM changed c
  RETURNING id)
SELECT EXISTS (SELECT 1 FROM started)
    OR EXISTS (SELECT 1 FROM users u WHERE u.id = $1::UUID AND u.password_hash = $3::TEXT)
"""


async def change_password(
    connection: Connection, user_id: UUID, old_hash: str, new_hash: str, session: NewSession
) -> bool:
    """Set a new hash, end every session of the user by raising the epoch, and start `session` under it.

    `session.epoch` is the epoch it raises to. False when the hash, the epoch or the status is not what the
    caller saw. True again when this very change was made before: a hash with its salt is never made twice.
    """
    changed = await connection.fetchval(
        _CHANGE,
        user_id,
        old_hash,
        new_hash,
        session.epoch,
        session.id,
        session.refresh_hash,
        session.expires_at,
    )
    return bool(changed)


_END_ALL_SESSIONS = """
UPDATE users SET epoch = epoch + 1 WHERE id = $1::UUID AND epoch = $2::INT8 RETURNING id
"""


async def end_all_sessions(connection: Connection, user_id: UUID, epoch: int) -> None:
    """End every session made under `epoch` by raising it; nothing when that was done already."""
    await connection.fetchval(_END_ALL_SESSIONS, user_id, epoch)
