"""Rewards: what a user's stakes have earned, were paid and have forfeited, over any range of days."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from stakehold.database import plans
from stakehold.database.port import Connection
from stakehold.database.rewards import list_alive_in
from stakehold.domain.ports import Deadline
from stakehold.domain.rewards import Days, Rewards, rewards_of
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import utc_date
from stakehold.gate import Caller
from stakehold.services import settlement
from stakehold.services.context import Services

FIRST_DAY: Final = date.min
STAKES_AT_ONCE: Final = 200
"""How many are read by one statement, and computed without a pause, while all are summed."""

_NEWEST: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class RewardQuery:
    """The days of [start, end), without `end` up to today; at most `limit` stakes, those before `before`."""

    start: date
    end: date | None
    before: UUID | None
    limit: int


@dataclass(frozen=True, slots=True)
class StakeRewards:
    """The rewards of one stake."""

    stake: Stake
    rewards: Rewards


@dataclass(frozen=True, slots=True)
class AssetRewards:
    """The rewards of all stakes in one asset."""

    asset: str
    scale: int
    rewards: Rewards


@dataclass(frozen=True, slots=True)
class RewardPage:
    """Some of a user's stakes with their rewards, newest first.

    `totals` are those of all stakes, by asset; None after the first page.
    """

    days: Days
    items: list[StakeRewards]
    totals: list[AssetRewards] | None
    has_more: bool


async def list_rewards(
    services: Services, caller: Caller, query: RewardQuery, deadline: Deadline
) -> RewardPage:
    """The rewards of the caller's stakes. The day is the database's.

    What is due is settled first: a renewal that settlement has not come to yet would else appear later, in a
    range that was told without it.
    """
    if query.before is None:
        # Whatever goes wrong here the loop meets as well, and logs.
        with contextlib.suppress(Exception):
            await settlement.settle_user(services, caller.user_id, deadline)
    today = utc_date(await services.read(plans.now_ms, deadline))
    # Of days that have not begun there is none up to today.
    days = Days(query.start, query.end or max(query.start, today + timedelta(1)))
    if query.before is not None:
        found = await _read(services, caller, days, query.before, query.limit + 1, deadline)
        items = [StakeRewards(stake, rewards_of(stake, days, today)) for stake in found[: query.limit]]
        return RewardPage(days, items, None, len(found) > query.limit)
    items, count = [], 0
    totals: defaultdict[tuple[str, int], Rewards] = defaultdict(Rewards)
    async for stake in _all(services, caller, days, deadline):
        rewards = rewards_of(stake, days, today)
        totals[stake.plan.asset, stake.plan.scale] += rewards
        if count < query.limit:
            items.append(StakeRewards(stake, rewards))
        count += 1
    by_asset = [AssetRewards(*key, total) for key, total in sorted(totals.items())]
    return RewardPage(days, items, by_asset, count > query.limit)


async def _all(services: Services, caller: Caller, days: Days, deadline: Deadline) -> AsyncIterator[Stake]:
    """Every stake that is alive on one of the days, newest first."""
    before = _NEWEST
    while True:
        found = await _read(services, caller, days, before, STAKES_AT_ONCE, deadline)
        for stake in found:
            yield stake
        if len(found) < STAKES_AT_ONCE:
            return
        before = found[-1].id


async def _read(
    services: Services, caller: Caller, days: Days, before: UUID, limit: int, deadline: Deadline
) -> list[Stake]:
    async def read(connection: Connection) -> list[Stake]:
        return await list_alive_in(connection, caller.user_id, days, before, limit)

    return await services.read(read, deadline)
