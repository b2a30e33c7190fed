"""Settlement: paying and renewing what is due, in batches, on as many machines as there are.

A batch is one transaction under the fences of its users. It takes only what is still due, so that a batch
that comes late, twice, or after one that was cut off, finds what is left to do and nothing else.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from stakehold.database import events, ledger, settlement, stake_changes
from stakehold.database.ledger import Posting
from stakehold.database.port import Connection
from stakehold.database.settlement import Key
from stakehold.database.stake_changes import StakeChange
from stakehold.domain import events as happened
from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.errors import AlteredRowError, DatabaseError, OverloadedError
from stakehold.domain.events import Event
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import Movement
from stakehold.domain.plans import Plan
from stakehold.domain.ports import Deadline
from stakehold.domain.settlement import Settlement, fault_of_making, renewal_of, settle
from stakehold.domain.stakes import Stake
from stakehold.services.context import Services

ACTOR: Final = "settlement"
BATCH_STAKES_MAX: Final = 200
USER_BATCHES_MAX: Final = 20
"""Of one user while they wait; what is left after that is settled by the loop."""

OTHERS_BASE_S: Final = 0.02
OTHERS_CAP_S: Final = 0.5
"""Where others work on all that was found: until it is looked at again."""

Aside = dict[Key, Exception]
"""What could not be settled in this run, by (user id, stake id), and why: it is not tried again."""


async def settle_due(
    services: Services, deadline: Deadline, *, batch: int = BATCH_STAKES_MAX, aside: Aside | None = None
) -> int:
    """Settle one batch of at most `batch` stakes, whoever's. Returns how many were settled; 0: none is due.

    Stakes that cannot be settled, for a row that is not as it should be, keep no others from it: they are
    put into `aside`, which is passed on from batch to batch. What others work on is waited for, in case they
    do not come to an end. Raises DatabaseError, OverloadedError.
    """
    aside = {} if aside is None else aside
    attempt = 0
    while True:
        keys = await _find(services, batch, aside, deadline)
        if not keys:
            return 0
        settled = await _settle(services, keys, aside, deadline)
        if settled:
            return settled
        if _raise_outage(keys, aside):
            continue
        wait_s = full_jitter_s(services.entropy, attempt, base_s=OTHERS_BASE_S, cap_s=OTHERS_CAP_S)
        await asyncio.sleep(deadline.bound_s(wait_s))
        attempt += 1


async def settle_user(services: Services, user_id: UUID, deadline: Deadline) -> bool:
    """Settle what is due of one user, renewals that are due again included. Whether anything was due.

    Raises DatabaseError, OverloadedError.
    """
    was_due = False
    aside: Aside = {}
    for _ in range(USER_BATCHES_MAX):
        found = await services.read(
            lambda connection: settlement.find_due_of(connection, user_id, BATCH_STAKES_MAX + len(aside)),
            deadline,
        )
        keys = [key for key in found if key not in aside]
        if not keys:
            break
        was_due = True
        if not await _settle(services, keys, aside, deadline, of_one_user=True):
            _raise_outage(keys, aside)
    return was_due


async def _find(services: Services, batch: int, aside: Aside, deadline: Deadline) -> list[Key]:
    """All that is due, or where that is too much a batch of one bucket: others likely draw another."""
    each = batch // settlement.BUCKETS + 1 + len(aside)
    found = await services.read(lambda connection: settlement.find_due(connection, each), deadline)
    full = [bucket for bucket, keys in found.items() if len(keys) == each]
    if full:
        bucket = full[services.entropy.random_bytes(1)[0] % len(full)]
        limit = batch + len(aside)
        keys = await services.read(
            lambda connection: settlement.find_due_in(connection, bucket, limit), deadline
        )
    else:
        keys = [key for of_bucket in found.values() for key in of_bucket]
    return [key for key in keys if key not in aside][:batch]


async def _settle(
    services: Services,
    keys: Sequence[Key],
    aside: Aside,
    deadline: Deadline,
    *,
    of_one_user: bool = False,
) -> int:
    """Settle stakes together; where that fails for one of them, or for want of room, part by part."""
    try:
        return await _settle_together(services, keys, deadline, of_one_user=of_one_user)
    except OverloadedError:
        raise
    except Exception as error:
        if isinstance(error, DatabaseError) and error.code == "outcome_unknown":
            raise
        if len(keys) == 1:
            services.counters.count("stakes_not_settled")
            aside[keys[0]] = error
            return 0
    half = len(keys) // 2
    settled = 0
    for part in (keys[:half], keys[half:]):
        settled += await _settle(services, part, aside, deadline, of_one_user=of_one_user)
    return settled


def _raise_outage(keys: Sequence[Key], aside: Aside) -> bool:
    """Whether stakes of which none was settled are to blame themselves. Raises what says otherwise."""
    errors = [aside[key] for key in keys if key in aside]
    for error in errors:
        if isinstance(error, DatabaseError):
            raise error
    return bool(errors)


async def _settle_together(
    services: Services, keys: Sequence[Key], deadline: Deadline, *, of_one_user: bool
) -> int:
    users = sorted({user_id for user_id, _ in keys})
    take = settlement.lock_due if of_one_user else settlement.take_due

    async def work(connection: Connection) -> int:
        # Stakes, ledgers and usage are locked before they are looked at, and plans never change. When
        # serializable, two batches of different users abort one another, for reads that PostgreSQL keeps
        # track of by the page: of 10,000 stakes settled by four, each batch was run three times.
        async with connection.transaction(isolation="read_committed"):
            stakes, now_ms = await take(connection, keys)
            return await _settle_locked(services, connection, stakes, now_ms, room_stays=len(keys) == 1)

    async with services.gate.fence(users, "stakes"):
        settled = await services.run(work, deadline)
    services.counters.count("stakes_settled", settled)
    return settled


async def _settle_locked(
    services: Services, connection: Connection, stakes: Sequence[Stake], now_ms: int, *, room_stays: bool
) -> int:
    """Settle stakes that are due and locked, in the caller's transaction.

    With `room_stays` nobody else takes room in plans meanwhile. Otherwise who does has it, and this raises
    ConflictError: with many stakes it would be too long that nobody can stake in those plans.
    """
    if not stakes:
        return 0
    await require_as_made(connection, stakes)
    settlements = await _decide(services, connection, stakes, room_stays=room_stays)
    renewals = [settled.renewal for settled in settlements if settled.renewal]
    await stake_changes.write_changes(connection, [_change(settled) for settled in settlements])
    await stake_changes.insert_renewals(connection, renewals)
    await ledger.post(
        connection,
        _postings(settlements),
        actor=ACTOR,
        now_ms=now_ms,
        clock=services.clock,
        entropy=services.entropy,
    )
    told = [_event(services, settled, now_ms) for settled in settlements]
    await events.insert_events(connection, told)
    # Last, since every stake that is made in a plan with a capacity waits for its row.
    await stake_changes.change_usage(connection, _usage_changes(settlements), renewals)
    return len(settlements)


async def require_as_made(connection: Connection, stakes: Sequence[Stake]) -> None:
    """Raise AlteredRowError where a stake is not as it was made: by no row that was altered is paid."""
    makings = await ledger.find_makings(connection, ((stake.user_id, stake.id) for stake in stakes))
    for stake in stakes:
        fault = fault_of_making(stake, makings.get(stake.id))
        if fault is not None:
            raise AlteredRowError(f"stake {stake.id}", fault)


async def _decide(
    services: Services, connection: Connection, stakes: Sequence[Stake], *, room_stays: bool
) -> list[Settlement]:
    """What becomes of each. A renewal that would go beyond a cap or a capacity is paid out instead."""
    wanting = [stake for stake in stakes if stake.maturity_instruction != "payout"]
    on_sale = await settlement.plans_on_sale_at(
        connection, ((stake.plan.id, stake.matures_at_ms) for stake in wanting)
    )
    room = await _read_room(connection, stakes, on_sale, stays=room_stays)
    settlements = []
    for stake in stakes:
        plan = on_sale.get((stake.plan.id, stake.matures_at_ms))
        renewal = renewal_of(stake, plan, new_id(services.clock, services.entropy))
        if renewal is not None and not room.has(renewal, stake):
            renewal = None
        room.change(stake, renewal)
        settlements.append(settle(stake, renewal))
    return settlements


class _Room:
    """What is staked in plans and by users, as one settlement after the other changes it."""

    def __init__(self, by_plan: dict[str, int], by_user: dict[tuple[UUID, str], int]) -> None:
        self._by_plan = by_plan
        self._by_user = by_user

    def has(self, renewal: Stake, stake: Stake) -> bool:
        """Whether there is room for a renewal in the place of what is renewed."""
        plan, more_minor = renewal.plan, renewal.amount_minor - stake.amount_minor
        capacity, cap = plan.capacity_minor, plan.user_cap_minor
        return (capacity is None or self._by_plan.get(plan.id, 0) + more_minor <= capacity) and (
            cap is None or self._by_user[renewal.user_id, plan.id] + more_minor <= cap
        )

    def change(self, stake: Stake, renewal: Stake | None) -> None:
        """Take note that a stake has ended, and of what comes after it."""
        change_minor = _change_minor(stake, renewal)
        if stake.plan.id in self._by_plan:
            self._by_plan[stake.plan.id] += change_minor
        if (stake.user_id, stake.plan.id) in self._by_user:
            self._by_user[stake.user_id, stake.plan.id] += change_minor


async def _read_room(
    connection: Connection,
    stakes: Sequence[Stake],
    on_sale: Mapping[tuple[str, int], Plan],
    *,
    stays: bool,
) -> _Room:
    """What is staked where there are limits; with `stays` until the end of the transaction."""
    limited = {plan.id for plan in on_sale.values() if plan.capacity_minor is not None}
    capped = {plan.id for plan in on_sale.values() if plan.user_cap_minor is not None}
    by_user: dict[tuple[UUID, str], int] = {}
    by_plan: dict[str, int] = {}
    if limited or capped:
        await settlement.lock_ledgers(connection, {stake.user_id for stake in stakes})
    if limited:
        by_plan = await settlement.read_usage(connection, limited, lock=stays)
    if capped:
        keys = {(stake.user_id, stake.plan.id) for stake in stakes if stake.plan.id in capped}
        by_user = await settlement.read_user_usage(connection, keys)
    return _Room(by_plan, by_user)


def _change(settled: Settlement) -> StakeChange:
    return StakeChange(
        settled.stake,
        settled.state,
        reward_minor=settled.reward_minor,
        forfeited_minor=settled.forfeited_minor,
        exited_on=settled.stake.exited_on,
        renewed_to=settled.renewal.id if settled.renewal else None,
    )


def _postings(settlements: Sequence[Settlement]) -> list[Posting]:
    movements: defaultdict[UUID, list[Movement]] = defaultdict(list)
    for settled in settlements:
        movements[settled.stake.user_id] += settled.movements
    return [Posting(user_id, moved) for user_id, moved in sorted(movements.items())]


def _usage_changes(settlements: Sequence[Settlement]) -> dict[tuple[UUID, str], int]:
    changes: defaultdict[tuple[UUID, str], int] = defaultdict(int)
    for settled in settlements:
        stake = settled.stake
        changes[stake.user_id, stake.plan.id] += _change_minor(stake, settled.renewal)
    return changes


def _change_minor(stake: Stake, renewal: Stake | None) -> int:
    return (renewal.amount_minor if renewal else 0) - stake.amount_minor


def _event(services: Services, settled: Settlement, now_ms: int) -> Event:
    identifier = new_id(services.clock, services.entropy)
    stake, reward_minor = settled.stake, settled.reward_minor
    if settled.state == "closed_early":
        return happened.stake_closed_early(identifier, now_ms, stake, reward_minor, settled.forfeited_minor)
    if settled.renewal is None:
        return happened.stake_matured(identifier, now_ms, stake, reward_minor)
    return happened.stake_renewed(
        identifier, now_ms, stake, reward_minor, stake.maturity_instruction, settled.renewal.id
    )
