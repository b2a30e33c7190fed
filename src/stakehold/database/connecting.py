"""What a pool and a request's own connection have in common: how one is opened, and when it is given up."""

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import asyncpg

from stakehold.database.port import Connection
from stakehold.database.transactions import Failure, failure_of, unavailable
from stakehold.domain.errors import OverloadedError
from stakehold.domain.ports import Counters, Deadline
from stakehold.domain.timing import STATEMENT_TIMEOUT_S

WAIT_S: Final = 2.0
"""How long anyone waits for a connection that others use."""

CONNECT_TIMEOUT_S: Final = 2.0
CHECK_TIMEOUT_S: Final = 1.0
ANSWER_GRACE_S: Final = 0.5
"""How much longer than the server's own timeout we wait for its word that it ended a statement."""

SERVER_SETTINGS: Final = {
    "application_name": "stakehold",
    "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1000)),
    # A client machine that vanished inside a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "10000",
}

LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What comes of a connection that can not be made, or is asked whether it works and does not."""


class After(Enum):
    """What a connection is good for after an error."""

    SOUND = "the next statement"
    CUT_SHORT = "nothing: a statement was cancelled or ran out of time"
    BROKEN = "nothing, and others to the same server may have broken too"


async def connect(where: Mapping[str, Any], deadline: Deadline, counters: Counters) -> Any:
    """An asyncpg connection to `where`, its arguments. Raises DatabaseError when there is none to be had."""
    try:
        connection = await asyncpg.connect(
            **where,
            timeout=max(deadline.bound_s(CONNECT_TIMEOUT_S), 0.001),
            command_timeout=STATEMENT_TIMEOUT_S + ANSWER_GRACE_S,
        )
    except (*LOST, NotImplementedError) as error:
        # The latter on Workers, when the address names a Unix socket.
        counters.count("sql_connect_failures")
        raise unavailable() from error
    counters.count("sql_connects")
    return connection


def after(error: BaseException) -> After:
    """Whether a connection may be used again after `error`, which may be wrapped in another.

    Not after a timeout or a cancellation, even one the server reported: a cancel request is on its way then,
    and could end the next user's statement.
    """
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, Exception) or isinstance(cause, asyncpg.QueryCanceledError):
            return After.CUT_SHORT
        if failure_of(cause) is Failure.UNKNOWN:
            return After.BROKEN
        cause = cause.__cause__
    return After.SOUND


async def ping(connection: Connection, deadline: Deadline) -> None:
    """Have the server answer one statement. Raises DatabaseError."""
    try:
        await asyncio.wait_for(connection.fetchval("SELECT 1"), deadline.bound_s(CHECK_TIMEOUT_S))
    except LOST as error:
        raise unavailable() from error


def overloaded() -> OverloadedError:
    """What a caller is told when there is no connection for it in time."""
    return OverloadedError("Too many requests wait for the database.", retry_after_s=1)
