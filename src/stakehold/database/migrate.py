"""Bringing a database's schema up to date: one statement a migration, under a lease, safe to run twice at once."""

from stakehold.database.port import Connection
from stakehold.domain.ports import Clock, Entropy


async def migrate(url: str, *, clock: Clock, entropy: Entropy) -> list[str]:
    """Apply what is pending and return the names of what was applied, in order."""
    raise NotImplementedError


async def pending(connection: Connection) -> list[str]:
    """The names of the migrations that are not applied, in order."""
    raise NotImplementedError
