"""Running work on the database: whole again where that is safe, and honest about what is not known.

A failure is one of three kinds. *Rolled back*: the database says that nothing was committed. *Not sent*:
there was no connection to send anything on. *Unknown*: the connection broke, or the time ran out, after
something was sent; it may have been committed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, TypeVar

import asyncpg

from stakehold.database.port import Connection, Database, RunAgainError
from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.errors import DatabaseError, OverloadedError, StakeholdError
from stakehold.domain.ports import Counters, Deadline, Entropy
from stakehold.domain.time_limit import TimeLimit
from stakehold.domain.timing import STATEMENT_TIMEOUT_S

T = TypeVar("T")

ATTEMPTS_MAX: Final = 40
"""About as many as a deadline leaves time for: of many writes of one user, each commit undoes the others."""

BACKOFF_BASE_S: Final = 0.005
BACKOFF_CAP_S: Final = 0.25


class Failure(Enum):
    """What is known of a failed attempt."""

    CONFLICT = "rolled back; the same work may succeed when run again"
    REFUSED = "rolled back; running it again would not help"
    NOT_SENT = "nothing was sent"
    UNKNOWN = "it may have been committed"


_COUNTERS: Final = {
    Failure.CONFLICT: "sql_conflicts",
    Failure.REFUSED: "sql_refused",
    Failure.NOT_SENT: "sql_no_connection",
    Failure.UNKNOWN: "sql_unknown_outcomes",
}

# InvalidCachedStatementError: a table changed under a prepared statement, which asyncpg then prepares anew.
_CONFLICTS: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,
)

# Errors that come with the end of the session, or say themselves that the outcome is not known: the commit
# may have gone through before them. CockroachDB sends 40003 for a commit it lost track of.
_AMBIGUOUS: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.StatementCompletionUnknownError,
)


def failure_of(error: BaseException) -> Failure | None:
    """What is known after `error` came out of work on a connection; None for an error that is not its own."""
    if isinstance(error, _CONFLICTS):
        return Failure.CONFLICT
    if isinstance(error, asyncpg.QueryCanceledError):
        return Failure.REFUSED  # The one intervention that leaves the session up: the statement was undone.
    if isinstance(error, _AMBIGUOUS):
        return Failure.UNKNOWN
    if isinstance(error, asyncpg.PostgresError):
        return Failure.REFUSED
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)):
        return Failure.UNKNOWN
    return None


async def run(
    database: Database,
    work: Callable[[Connection], Awaitable[T]],
    *,
    deadline: Deadline,
    counters: Counters,
    entropy: Entropy,
    idempotent: bool,
) -> T:
    """Run `work` on a connection and return its result.

    It is run again, whole, after a conflict with another transaction, and when there was no connection; with
    `idempotent` also after an unknown outcome, on another connection. `work` is one statement, or uses
    `connection.transaction()`, and has no effect but on the database.

    Raises DatabaseError: `database_unavailable` when nothing was committed, `outcome_unknown` when something
    may have been; OverloadedError when too little time is left to begin. Violated constraints pass through.
    """
    unknown = False
    for attempt in range(ATTEMPTS_MAX):
        try:
            deadline.require_s(STATEMENT_TIMEOUT_S)
            return await _attempt(database, work, deadline)
        except _AttemptError as failed:
            unknown = unknown or failed.failure is Failure.UNKNOWN
            last = failed
        except OverloadedError:
            if unknown:
                raise _outcome_unknown() from last
            if attempt:
                raise last.answer from last
            raise
        counters.count(_COUNTERS[last.failure])
        if last.failure is Failure.REFUSED or (last.failure is Failure.UNKNOWN and not idempotent):
            break
        wait_s = full_jitter_s(entropy, attempt, base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S)
        await asyncio.sleep(deadline.bound_s(wait_s))
    raise (_outcome_unknown() if unknown else last.answer) from last


class _AttemptError(Exception):
    """One attempt failed; `answer` is what the caller is told if it was the last."""

    def __init__(self, failure: Failure, answer: StakeholdError) -> None:
        super().__init__(failure.value)
        self.failure = failure
        self.answer = answer


async def _attempt(database: Database, work: Callable[[Connection], Awaitable[T]], deadline: Deadline) -> T:
    sent = False
    try:
        with TimeLimit(deadline.left_s()):
            async with database.connection(deadline) as connection:
                sent = True
                return await work(connection)
    except RunAgainError as error:
        raise _AttemptError(Failure.CONFLICT, error.otherwise) from error
    except asyncpg.IntegrityConstraintViolationError:
        raise
    except DatabaseError as error:
        if sent:
            raise
        raise _AttemptError(Failure.NOT_SENT, error) from error
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        if failure is Failure.UNKNOWN and not sent:
            failure = Failure.NOT_SENT
        raise _AttemptError(failure, unavailable()) from error


def unavailable() -> DatabaseError:
    """What a caller is told when the database did not do the work."""
    return DatabaseError("The database is unavailable.", retry_after_s=1)


def _outcome_unknown() -> DatabaseError:
    return DatabaseError(
        "The database did not confirm whether this was done.", code="outcome_unknown", retry_after_s=1
    )
