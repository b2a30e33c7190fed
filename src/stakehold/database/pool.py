"""A pool of connections that outlives its database: aged, checked and replaced, never waited for without end."""

from contextlib import AbstractAsyncContextManager

from stakehold.database.port import Connection
from stakehold.domain.ports import Clock, Counters, Deadline, Entropy


class Pool:
    """At most `size` connections to `url`, the most recently used first. Implements `Database`."""

    def __init__(self, url: str, *, size: int, clock: Clock, entropy: Entropy, counters: Counters) -> None:
        raise NotImplementedError

    def connection(self, deadline: Deadline) -> AbstractAsyncContextManager[Connection]:
        """See `Database.connection`."""
        raise NotImplementedError

    async def ping(self, deadline: Deadline) -> None:
        """See `Database.ping`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection and refuse new ones."""
        raise NotImplementedError
