"""What a use case needs of the world; built once by the runtime and passed to every service."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from stakehold.database.port import Connection, Database
from stakehold.database.stake_creation import Funding
from stakehold.database.transactions import run
from stakehold.domain.errors import DatabaseError
from stakehold.domain.plans import Offer
from stakehold.domain.ports import Background, Clock, Counters, Deadline, Entropy
from stakehold.domain.timing import REQUEST_DEADLINE_S
from stakehold.gate import Gate
from stakehold.security.passwords import PasswordHasher
from stakehold.security.quotes import QuoteSigner
from stakehold.security.tokens import AccessTokens

T = TypeVar("T")

REFRESH_TTL_S = 30 * 24 * 3600


@dataclass(slots=True)
class Catalogue:
    """The plans on sale as this process read them last, and until when that counts as fresh.

    `assets` has the asset and scale of every plan that was asked for, by its name; `scales` that of assets.
    """

    offers: list[Offer] | None = None
    fresh_until_s: float = 0.0
    assets: dict[str, tuple[str, int]] = field(default_factory=dict)
    scales: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Services:
    """The stores, the gate, the clocks and the keys. Nothing in it belongs to one request."""

    clock: Clock
    entropy: Entropy
    counters: Counters
    background: Background
    database: Database
    gate: Gate
    passwords: PasswordHasher
    tokens: AccessTokens
    quotes: QuoteSigner
    sign_up_open: bool = True
    refresh_ttl_s: int = REFRESH_TTL_S
    funding: Funding = "external"
    catalogue: Catalogue = field(default_factory=Catalogue)

    def background_deadline(self) -> Deadline:
        """The deadline of work that goes on after an answer."""
        return Deadline.after(self.clock, REQUEST_DEADLINE_S)

    async def run(self, work: Callable[[Connection], Awaitable[T]], deadline: Deadline) -> T:
        """Run a write on a connection: whole again after a conflict, and after an unknown outcome.

        So `work` must find its own effect when an earlier attempt did come through: by an id made before
        the first attempt, or by comparing before it sets. database/transactions.py says what it raises.
        """
        return await run(
            self.database,
            work,
            deadline=deadline,
            counters=self.counters,
            entropy=self.entropy,
            idempotent=True,
        )

    async def read(self, work: Callable[[Connection], Awaitable[T]], deadline: Deadline) -> T:
        """Run a read on a connection. It changes nothing, so its outcome is never called unknown."""
        try:
            return await self.run(work, deadline)
        except DatabaseError as error:
            raise DatabaseError("The database did not answer.", retry_after_s=error.retry_after_s) from error
