"""Upkeep: what has to be done now and then, by whatever machine comes to it.

Settlement, the delivery of events, and sweeping what has expired. All of it is done in bounded batches, may
be cut off anywhere, and may run on any number of machines at once; no answer rests on when it runs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from stakehold.database import events, sweeping
from stakehold.database.port import Connection
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import STATEMENT_TIMEOUT_S
from stakehold.services.context import Services
from stakehold.services.settlement import settle_due
from stakehold.services.webhooks import BATCH_S, Webhook, deliver_due

BATCH_TIME_S: Final = 9.0
"""One batch, retries after conflicts included."""

EVENTS_KEPT: Final = timedelta(days=30)
SWEPT_AT_ONCE_MAX: Final = 500
DELIVERIES_MAX: Final = 1000

Sweep = Callable[[Connection, int, int], Awaitable[int]]


@dataclass(slots=True)
class Upkeep:
    """What a round came to: how many stakes, events and expired rows; and what stopped a part of it."""

    settled: int = 0
    delivered: int = 0
    swept: int = 0
    failed: str | None = None

    @property
    def is_worth_a_line(self) -> bool:
        """Whether it came to anything that a log should have."""
        return any(self.counts().values())

    @property
    def level(self) -> Literal["info", "warning"]:
        """How much a log should make of it."""
        return "warning" if self.failed else "info"

    def counts(self) -> dict[str, int | str | None]:
        """What it came to, by name."""
        return {
            "settled": self.settled,
            "delivered": self.delivered,
            "swept": self.swept,
            "failed": self.failed,
        }


async def keep_up(
    services: Services, webhook: Webhook | None, seconds: float, *, deliveries: int = DELIVERIES_MAX
) -> Upkeep:
    """One round: settle all that is due, then tell and sweep, until nothing is left or `seconds` are over.

    A part that fails does not keep the others from their work: it is for the next round.
    """
    until = Deadline.after(services.clock, seconds)
    done = Upkeep()
    try:
        done.settled = await settle_all(services, until)
    except StakeholdError as error:
        done.failed = error.code
    try:
        if until.left_s() >= BATCH_S:
            done.delivered = await deliver_due(services, webhook, until, deliveries)
    except StakeholdError as error:
        done.failed = error.code
    try:
        done.swept = await sweep(services, until)
    except StakeholdError as error:
        done.failed = error.code
    return done


async def settle_all(services: Services, until: Deadline) -> int:
    """Settle batch after batch until nothing is due or no time is left; how many stakes were settled.

    Raises DatabaseError, OverloadedError; what was settled stays settled.
    """
    settled = 0
    while until.left_s() > STATEMENT_TIMEOUT_S:
        count = await settle_due(services, _batch_deadline(services, until))
        if not count:
            break
        settled += count
    return settled


async def sweep(services: Services, until: Deadline) -> int:
    """Delete what has expired, a batch of each kind and bucket; how many rows."""
    swept = 0
    for work in (sweeping.sweep_idempotency, sweeping.sweep_sessions, _sweep_events):
        for bucket in range(sweeping.BUCKETS):
            if until.left_s() <= STATEMENT_TIMEOUT_S:
                return swept
            swept += await _sweep_bucket(services, work, bucket, until)
    return swept


async def _sweep_bucket(services: Services, work: Sweep, bucket: int, until: Deadline) -> int:
    count = await services.run(
        lambda connection: work(connection, bucket, SWEPT_AT_ONCE_MAX), _batch_deadline(services, until)
    )
    services.counters.count("rows_swept", count)
    return count


async def _sweep_events(connection: Connection, bucket: int, limit: int) -> int:
    return await events.sweep_events(connection, bucket, EVENTS_KEPT, limit)


def _batch_deadline(services: Services, until: Deadline) -> Deadline:
    return Deadline.after(services.clock, until.bound_s(BATCH_TIME_S))
