"""Stakes as rewards need them: those with something in a range of days."""

from uuid import UUID

from stakehold.database.port import Connection
from stakehold.database.stakes import STAKE_COLUMNS, STAKES, stake_of
from stakehold.domain.rewards import Days
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import midnight_ms

# Whatever a stake earns, is paid or forfeits, it does from its value date until it ends.
_ALIVE_IN = f"""
SELECT {STAKE_COLUMNS} FROM {STAKES}
 WHERE s.user_id = $1::UUID AND s.id < $2::UUID AND s.value_date < $4::DATE
   AND (s.ended_at IS NULL OR s.ended_at >= to_timestamp(0) + $3::INT8 * INTERVAL '1 millisecond')
 ORDER BY s.id DESC LIMIT $5::INT8
"""  # noqa: S608 - only constants are put in


async def list_alive_in(
    connection: Connection, user_id: UUID, days: Days, before_id: UUID, limit: int
) -> list[Stake]:
    """At most `limit` of the user's stakes that are alive on one of `days`, newest first, before `before_id`.

    A stake is alive from its value date to the day that it ends on, that one included.
    """
    rows = await connection.fetch(_ALIVE_IN, user_id, before_id, midnight_ms(days.start), days.end, limit)
    return [stake_of(row) for row in rows]
