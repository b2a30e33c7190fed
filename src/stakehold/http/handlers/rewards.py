"""Rewards over HTTP."""

from msgspec import UNSET

from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.money import format_amount
from stakehold.domain.rewards import Rewards
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.handlers.stakes import cursor_of, read_cursor
from stakehold.http.schemas.rewards import AssetRewards, ListRewards, RewardPage, StakeRewards
from stakehold.services import rewards
from stakehold.services.rewards import RewardQuery


def parse_query(call: Call) -> RewardQuery:
    """Read the range and the cursor. Raises ValidationError."""
    query = call.query_as(ListRewards)
    start = rewards.FIRST_DAY if query.from_ is UNSET else query.from_
    end = None if query.to is UNSET else query.to
    if end is not None and end < start:
        raise ValidationError(
            "The range ends before it begins.",
            fields=(FieldError("?to", "before_from", "Not before from."),),
        )
    before = None if query.cursor is UNSET else read_cursor(query.cursor)
    return RewardQuery(start, end, before, query.limit)


async def list_rewards(call: Call) -> Answer:
    """GET /api/rewards"""
    page = await rewards.list_rewards(
        call.container.services, call.signed_in(), call.parsed_as(RewardQuery), call.deadline
    )
    totals = page.totals
    content = RewardPage(
        from_=page.days.start.isoformat(),
        to=page.days.end.isoformat(),
        items=[
            StakeRewards(
                stake_id=str(item.stake.id),
                asset=item.stake.plan.asset,
                **_amounts(item.rewards, item.stake.plan.scale),
            )
            for item in page.items
        ],
        totals=None
        if totals is None
        else [AssetRewards(asset=of.asset, **_amounts(of.rewards, of.scale)) for of in totals],
        has_more=page.has_more,
        next_cursor=cursor_of(page.items[-1].stake.id) if page.has_more else None,
    )
    return json_answer(200, content, NO_STORE)


def _amounts(of: Rewards, scale: int) -> dict[str, str]:
    return {
        "earned": format_amount(of.earned_minor, scale),
        "paid": format_amount(of.paid_minor, scale),
        "forfeited": format_amount(of.forfeited_minor, scale),
    }
