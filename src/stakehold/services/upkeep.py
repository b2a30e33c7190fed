"""Upkeep: what has to be done now and then, by whatever machine comes to it.

Settlement, the delivery of events, and sweeping what has expired. All of it is done in bounded batches, may
be cut off anywhere, and may run on any number of machines at once; no answer rests on when it runs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from stakehold.database import sweeping
from stakehold.database.port import Connection
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import STATEMENT_TIMEOUT_S
from stakehold.services.context import Services
from stakehold.services.settlement import BATCH_STAKES_MAX, Aside, settle_due
from stakehold.services.webhooks import BATCH_S, Webhook, deliver_due

BATCH_TIME_S: Final = 9.0
"""One batch, retries after conflicts included."""

SETTLING_SHARE: Final = 0.5
"""Of a round's time: however much is due, events are told and rows are swept."""

EVENTS_KEPT: Final = timedelta(days=30)
SWEPT_AT_ONCE_MAX: Final = 500
DELIVERIES_MAX: Final = 10_000
STAKES_MAX: Final = 1_000_000

Sweep = Callable[[Connection, int, int], Awaitable[int]]


@dataclass(slots=True)
class Upkeep:
    """What a round came to: how many stakes, events and expired rows; and what stopped a part of it.

    `failed` is the code of an error of ours; `faults` are exceptions that nobody expected. `aside` counts the
    stakes that could not be settled, for which there is a fault, or an error, as well.
    """

    settled: int = 0
    delivered: int = 0
    swept: int = 0
    aside: int = 0
    failed: str | None = None
    faults: list[Exception] = field(default_factory=list)

    @property
    def is_worth_a_line(self) -> bool:
        """Whether it came to anything that a log should have."""
        return any(self.counts().values())

    @property
    def level(self) -> Literal["info", "warning"]:
        """How much a log should make of it."""
        return "warning" if self.failed or self.aside else "info"

    def counts(self) -> dict[str, int | str | None]:
        """What it came to, by name."""
        return {
            "settled": self.settled,
            "delivered": self.delivered,
            "swept": self.swept,
            "not_settled": self.aside,
            "failed": self.failed,
        }

    def take(self, error: Exception) -> None:
        """Take note of what stopped a part."""
        if isinstance(error, StakeholdError):
            self.failed = error.code
        elif error not in self.faults:
            self.failed = "fault"
            self.faults.append(error)


async def keep_up(
    services: Services,
    webhook: Webhook | None,
    seconds: float,
    *,
    stakes: int = STAKES_MAX,
    deliveries: int = DELIVERIES_MAX,
) -> Upkeep:
    """One round: settle what is due, then tell and sweep, until nothing is left or `seconds` are over.

    At most so many `stakes` are settled and `deliveries` made.
    A part that fails does not keep the others from their work: it is for the next round.
    """
    until = Deadline.after(services.clock, seconds)
    done = Upkeep()
    await _settle(services, Deadline.after(services.clock, seconds * SETTLING_SHARE), stakes, done)
    try:
        if until.left_s() >= BATCH_S:
            done.delivered = await deliver_due(services, webhook, until, deliveries)
    except Exception as error:
        done.take(error)
    try:
        await _sweep(services, webhook, until, done)
    except Exception as error:
        done.take(error)
    return done


async def _settle(services: Services, until: Deadline, stakes: int, done: Upkeep) -> None:
    """Settle batch after batch until nothing is due, no time is left, or `stakes` are settled."""
    aside: Aside = {}
    try:
        while done.settled < stakes and until.left_s() > STATEMENT_TIMEOUT_S:
            batch = min(BATCH_STAKES_MAX, stakes - done.settled)
            settled = await settle_due(services, _batch_deadline(services, until), batch=batch, aside=aside)
            if not settled:
                break
            done.settled += settled
    except Exception as error:
        done.take(error)
    done.aside = len(aside)
    # What stopped the first: likely it is the same with all of them.
    for cause in [*aside.values()][:1]:
        done.take(cause)


async def _sweep(services: Services, webhook: Webhook | None, until: Deadline, done: Upkeep) -> None:
    """Delete what has expired, a batch of each kind and bucket.

    A bucket with a row that cannot be deleted keeps no other from it; after two in a row the rest would fare
    no better.
    """
    failed = False

    async def sweep_events(connection: Connection, bucket: int, limit: int) -> int:
        swept = await sweeping.sweep_events(connection, bucket, EVENTS_KEPT, limit)
        # Without a webhook nobody has waited for them.
        services.counters.count("webhooks_expired", swept.unsent if webhook else 0)
        return swept.events

    if until.left_s() <= STATEMENT_TIMEOUT_S:
        return
    expired = await services.read(
        lambda connection: sweeping.find_expired(connection, EVENTS_KEPT), _batch_deadline(services, until)
    )
    works: tuple[tuple[sweeping.Expiring, Sweep], ...] = (
        ("idempotency", sweeping.sweep_idempotency),
        ("sessions", sweeping.sweep_sessions),
        ("events", sweep_events),
    )
    for kind, work in works:
        for bucket in expired[kind]:
            if until.left_s() <= STATEMENT_TIMEOUT_S:
                return
            try:
                done.swept += await _sweep_bucket(services, work, bucket, until)
                failed = False
            except Exception as error:
                if failed:
                    raise
                done.take(error)
                failed = True


async def _sweep_bucket(services: Services, work: Sweep, bucket: int, until: Deadline) -> int:
    count = await services.run(
        lambda connection: work(connection, bucket, SWEPT_AT_ONCE_MAX), _batch_deadline(services, until)
    )
    services.counters.count("rows_swept", count)
    return count


def _batch_deadline(services: Services, until: Deadline) -> Deadline:
    return Deadline.after(services.clock, until.bound_s(BATCH_TIME_S))
