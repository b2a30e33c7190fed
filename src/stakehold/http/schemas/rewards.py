"""The bodies and queries of rewards."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.http.schemas.base import (
    CURSOR,
    PAGE_LIMIT_MAX,
    STAKE_ID_EXAMPLE,
    Amount,
    Asset,
    Day,
    Reply,
    StakeId,
)

Earned = Annotated[Amount, Meta(description="What accrued on the days of the range that are over.")]
Paid = Annotated[Amount, Meta(description="What was paid on its days, beside the principal.")]
Forfeited = Annotated[Amount, Meta(description="What was given up on its days, by leaving or cancelling.")]


class StakeRewards(Reply):
    """The rewards of a stake. Once it has ended, all it earned without all it forfeited is what was paid."""

    stake_id: StakeId
    asset: Asset
    earned: Earned
    paid: Paid
    forfeited: Forfeited


class AssetRewards(Reply):
    """The rewards of all stakes in an asset."""

    asset: Asset
    earned: Earned
    paid: Paid
    forfeited: Forfeited


class RewardPage(Reply):
    """Rewards on the days of [`from`, `to`). Ranges that follow on one another add up, to the unit."""

    from_: Annotated[Day, Meta(description="The first day of the range.")] = msgspec.field(name="from")
    to: Annotated[Day, Meta(description="The first day after it.")]
    items: Annotated[list[StakeRewards], Meta(description="By stake, newest first.")]
    totals: Annotated[
        list[AssetRewards] | None,
        Meta(description="Of all stakes, on this page or not, by asset; null after the first page."),
    ]
    has_more: Annotated[bool, Meta(description="Whether there are older stakes.")]
    next_cursor: Annotated[str | None, Meta(description="The `cursor` to go on with; null at the end.")]


class ListRewards(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Of which days."""

    from_: (
        Annotated[
            date,
            Meta(
                description="The first day, in UTC; without it everything from the beginning.",
                extra_json_schema={"maxLength": 10},
            ),
        ]
        | UnsetType
    ) = UNSET
    to: (
        Annotated[
            date,
            Meta(
                description="The first day after it, not before `from`; without it the day after today.",
                extra_json_schema={"maxLength": 10},
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT_MAX, description="Items to a page.")] = 10
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="`nextCursor` of the answer before; with its `from` and `to`.",
                extra_json_schema=CURSOR,
            ),
        ]
        | UnsetType
    ) = UNSET


EXAMPLES = (
    RewardPage(
        from_="2027-01-01",
        to="2028-01-01",
        items=[
            StakeRewards(
                stake_id=STAKE_ID_EXAMPLE, asset="STK", earned="106.84931507", paid="120", forfeited="0"
            )
        ],
        totals=[AssetRewards(asset="STK", earned="106.84931507", paid="120", forfeited="0")],
        has_more=False,
        next_cursor=None,
    ),
)
