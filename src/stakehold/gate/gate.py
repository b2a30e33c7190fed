"""The gate: the one trip to Redis at a request's door, and the one that leaves it again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID

from stakehold.cache.entries import FillTicket, NewEntry
from stakehold.cache.flights import Flights, Joining
from stakehold.domain.accounts import UserState
from stakehold.domain.ports import Background, Clock, Counters, Deadline, Entropy
from stakehold.gate.passage import Entered, Entering, Fence, Resource
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policies, Policy
from stakehold.redis.ring import Ring


class Gate:
    """Session, limits, then page or fence, in one trip to Redis; without Redis, what can be known locally."""

    def __init__(
        self,
        ring: Ring,
        *,
        policies: Policies,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        background: Background,
        processes: int = 1,
        ring_epoch: int = 0,
        flights: Joining | None = None,
        serverless: bool = False,
    ) -> None:
        """`processes` share the limits among them while Redis is away.

        `serverless`: no task outlives a request, so requests look themselves whether Redis has returned, and
        the cache is trusted from the start. Otherwise call `start` first.
        """
        self.policies = policies
        self.flights: Joining = flights or Flights()

    @property
    def state(self) -> Literal["up", "down"]:
        """Whether every Redis of the ring serves, as far as is known."""
        raise NotImplementedError

    async def start(self) -> None:
        """Begin as after a loss: trust no entry from before now. Goes on behind if Redis is away."""
        raise NotImplementedError

    async def enter(self, entering: Entering, deadline: Deadline) -> Entered:
        """Let a request in. Raises LimitedError, SessionRefusedError; both leave everything as it was."""
        raise NotImplementedError

    async def leave(self, fence: Fence, deadline: Deadline) -> None:
        """Close a fence, before the answer, once the write's outcome is known. Never raises."""
        raise NotImplementedError

    async def fill(self, ticket: FillTicket, entry: NewEntry) -> None:
        """Store a page, unless somebody has written since its reader entered. Never raises."""
        raise NotImplementedError

    async def fill_account(self, ticket: FillTicket, state: UserState) -> None:
        """Store a user entry, under the same condition. Never raises."""
        raise NotImplementedError

    @asynccontextmanager
    async def fence(self, user_ids: Sequence[UUID], resource: Resource) -> AsyncIterator[None]:
        """A fence around a change of these users' rows that is made outside a request's own."""
        raise NotImplementedError
        yield

    async def charge(
        self, subject: str, policies: tuple[Policy, ...], request_id: str, deadline: Deadline
    ) -> tuple[LimitState, ...]:
        """Charge limits that `release` can give back. Raises LimitedError."""
        raise NotImplementedError

    async def release(self, subject: str, policy: Policy, request_id: str) -> None:
        """Take a charge back. Never raises."""
        raise NotImplementedError

    async def ping(self) -> bool:
        """Whether every Redis of the ring answers now."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop looking for the return of Redis; drop first what is still to be dropped, if it answers."""
        raise NotImplementedError
