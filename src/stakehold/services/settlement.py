"""Settlement: paying and renewing what is due, in batches, on as many machines as there are.

A batch is one transaction under the fences of its users. It takes only what is still due, so that a batch
that comes late, twice, or after one that was cut off, finds what is left to do and nothing else.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from stakehold.database import events, ledger, settlement, stake_changes
from stakehold.database.ledger import Posting
from stakehold.database.port import Connection
from stakehold.database.settlement import Key
from stakehold.database.stake_changes import StakeChange
from stakehold.domain import events as happened
from stakehold.domain.events import Event
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import Movement
from stakehold.domain.ports import Deadline
from stakehold.domain.settlement import Settlement, renewal_of, settle
from stakehold.domain.stakes import Stake
from stakehold.services.context import Services

ACTOR: Final = "settlement"
BATCH_STAKES_MAX: Final = 200
EACH_BUCKET_MAX: Final = 50
USER_BATCHES_MAX: Final = 20
"""Of one user while they wait; what is left after that is settled by the loop."""


async def settle_due(services: Services, deadline: Deadline, *, batch: int = BATCH_STAKES_MAX) -> int:
    """Settle one batch of at most `batch` stakes, whoever's. Returns how many were settled; 0: none is due.

    Where others settle at the same time it may be fewer than there are. Raises DatabaseError,
    OverloadedError.
    """
    first = services.entropy.random_bytes(1)[0] % settlement.BUCKETS
    found = await services.read(
        lambda connection: settlement.find_due(connection, first, EACH_BUCKET_MAX), deadline
    )
    return await _settle(services, found[:batch], deadline)


async def settle_user(services: Services, user_id: UUID, deadline: Deadline) -> bool:
    """Settle what is due of one user, renewals that are due again included. Whether anything was.

    Raises DatabaseError, OverloadedError.
    """
    settled = 0
    for _ in range(USER_BATCHES_MAX):
        found = await services.read(
            lambda connection: settlement.find_due_of(connection, user_id, BATCH_STAKES_MAX), deadline
        )
        if not found:
            break
        settled += await _settle(services, found, deadline)
    return settled > 0


async def _settle(services: Services, keys: Sequence[Key], deadline: Deadline) -> int:
    if not keys:
        return 0
    users = sorted({user_id for user_id, _ in keys})

    async def work(connection: Connection) -> int:
        async with connection.transaction():
            stakes, now_ms = await settlement.lock_due(connection, keys)
            return await _settle_locked(services, connection, stakes, now_ms)

    async with services.gate.fence(users, "stakes"):
        settled = await services.run(work, deadline)
    services.counters.count("stakes_settled", settled)
    return settled


async def _settle_locked(
    services: Services, connection: Connection, stakes: Sequence[Stake], now_ms: int
) -> int:
    """Settle stakes that are due and locked, in the caller's transaction."""
    if not stakes:
        return 0
    settlements = await _decide(services, connection, stakes)
    movements: defaultdict[UUID, list[Movement]] = defaultdict(list)
    for settled in settlements:
        movements[settled.stake.user_id] += settled.movements
    await stake_changes.write_changes(
        connection,
        [
            StakeChange(
                settled.stake,
                settled.state,
                reward_minor=settled.reward_minor,
                forfeited_minor=settled.forfeited_minor,
                exited_on=settled.stake.exited_on,
                renewed_to=settled.renewal.id if settled.renewal else None,
            )
            for settled in settlements
        ],
    )
    renewals = [settled.renewal for settled in settlements if settled.renewal]
    await stake_changes.insert_renewals(connection, renewals)
    await ledger.post(
        connection,
        [Posting(user_id, moved) for user_id, moved in sorted(movements.items())],
        actor=ACTOR,
        now_ms=now_ms,
        clock=services.clock,
        entropy=services.entropy,
    )
    await stake_changes.change_usage(connection, _usage_changes(settlements))
    told = [_event(services, settled, now_ms) for settled in settlements]
    await events.insert_events(connection, told, due=services.events_due)
    return len(settlements)


async def _decide(services: Services, connection: Connection, stakes: Sequence[Stake]) -> list[Settlement]:
    """What becomes of each. A renewal that would go beyond a cap or a capacity is paid out instead."""
    wanting = [stake for stake in stakes if stake.maturity_instruction != "payout"]
    on_sale = await settlement.plans_on_sale_at(
        connection, ((stake.plan.id, stake.matures_at_ms) for stake in wanting)
    )
    by_plan: dict[str, int] = {}
    by_user: dict[tuple[UUID, str], int] = {}
    if any(plan.capacity_minor or plan.user_cap_minor for plan in on_sale.values()):
        by_plan, by_user = await settlement.read_usage(
            connection, ((stake.user_id, stake.plan.id) for stake in stakes)
        )
    settlements = []
    for stake in stakes:
        plan = on_sale.get((stake.plan.id, stake.matures_at_ms))
        renewal = renewal_of(stake, plan, new_id(services.clock, services.entropy))
        used, used_by_user = by_plan.get(stake.plan.id, 0), by_user.get((stake.user_id, stake.plan.id), 0)
        if renewal is not None:
            more_minor = renewal.amount_minor - stake.amount_minor
            capacity, cap = renewal.plan.capacity_minor, renewal.plan.user_cap_minor
            if (capacity is not None and used + more_minor > capacity) or (
                cap is not None and used_by_user + more_minor > cap
            ):
                renewal = None
        change_minor = (renewal.amount_minor if renewal else 0) - stake.amount_minor
        by_plan[stake.plan.id] = used + change_minor
        by_user[stake.user_id, stake.plan.id] = used_by_user + change_minor
        settlements.append(settle(stake, renewal))
    return settlements


def _usage_changes(settlements: Sequence[Settlement]) -> dict[tuple[UUID, str], int]:
    changes: defaultdict[tuple[UUID, str], int] = defaultdict(int)
    for settled in settlements:
        kept_minor = settled.renewal.amount_minor if settled.renewal else 0
        changes[settled.stake.user_id, settled.stake.plan.id] += kept_minor - settled.stake.amount_minor
    return changes


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
