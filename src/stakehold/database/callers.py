"""Who asks, as the database knows them now: the cached user entry that let them in may be older."""

from uuid import UUID

from stakehold.database.plans import moment_ms
from stakehold.database.port import Connection
from stakehold.domain.errors import AuthenticationError

_CALLER = """
SELECT now() AS at
  FROM users u
 WHERE u.id = $1::UUID AND u.status = 'active' AND u.epoch = $3::INT8
   AND NOT EXISTS (SELECT 1 FROM sessions r
                    WHERE r.user_id = $1::UUID AND r.id = $2::UUID AND r.revoked_at IS NOT NULL)
"""


async def require_caller(connection: Connection, user_id: UUID, session_id: UUID, epoch: int) -> int:
    """The time of the transaction, in milliseconds since the Unix epoch, if the session is still good in it.

    Raises AuthenticationError (`session_ended`) for a user who was disabled or signed out meanwhile.
    """
    row = await connection.fetchrow(_CALLER, user_id, session_id, epoch)
    if row is None:
        raise AuthenticationError("The session has ended; sign in again.", code="session_ended")
    return moment_ms(row["at"])
