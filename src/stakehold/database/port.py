"""The database as the rest of the service sees it."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline


class Record(Protocol):
    """One row: columns by position or by name."""

    def __getitem__(self, column: int | str) -> Any:
        """The value of a column."""
        ...


class Connection(Protocol):
    """What we use of an asyncpg connection. Outside `transaction()` each statement commits by itself."""

    async def fetch(self, statement: str, /, *arguments: object) -> list[Record]:
        """Run a statement and return all its rows."""
        ...

    async def fetchrow(self, statement: str, /, *arguments: object) -> Record | None:
        """Run a statement and return its first row."""
        ...

    async def fetchval(self, statement: str, /, *arguments: object) -> Any:
        """Run a statement and return the first column of its first row."""
        ...

    async def execute(self, statement: str, /, *arguments: object) -> str:
        """Run a statement and return its command tag."""
        ...

    def transaction(
        self, *, isolation: Literal["read_committed"] | None = None
    ) -> AbstractAsyncContextManager[object]:
        """Make the statements inside one transaction, at the database's default isolation.

        What locks all the rows that it decides by may be `read_committed`, and meets nobody's reads then.
        """
        ...


class Database(Protocol):
    """Where connections come from: a pool natively, one for the request on Workers."""

    def connection(self, deadline: Deadline) -> AbstractAsyncContextManager[Connection]:
        """A connection nobody else uses meanwhile.

        Entering raises DatabaseError (`database_unavailable`) when there is none to be had, and
        OverloadedError when too many wait for one; nothing was sent to the database in either case. A
        connection whose last statement was cancelled, timed out or broke off is closed when the block ends.
        """
        ...

    async def ping(self, deadline: Deadline) -> None:
        """Have the database answer one statement. Raises DatabaseError or OverloadedError."""
        ...

    async def close(self) -> None:
        """Close every connection and refuse new ones."""
        ...


class RunAgainError(Exception):
    """A statement met another's unfinished work, had no effect, and must be run again.

    `transactions.run` does so, and raises `otherwise` when there is no time left for it.
    """

    def __init__(self, otherwise: StakeholdError) -> None:
        super().__init__(otherwise.detail)
        self.otherwise = otherwise
