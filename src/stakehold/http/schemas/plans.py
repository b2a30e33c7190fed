"""The bodies of plans."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.http.schemas.base import (
    Amount,
    Asset,
    DayCount,
    Moment,
    Period,
    PlanId,
    Rate,
    RateBand,
    Reply,
    Scale,
    Version,
)


class EarlyExit(Reply):
    """What leaving before maturity costs.

    `not_allowed` is that there is no leaving. `forfeit_all` is all that has accrued, `forfeit_part` the
    `share` of it, and with `reduced_rate` the days so far earn the flat `rate`. The principal always comes
    back whole.
    """

    policy: Annotated[
        Literal["not_allowed", "forfeit_all", "forfeit_part", "reduced_rate"],
        Meta(description="What an early exit forfeits."),
    ]
    share: Annotated[str, Meta(description="A fraction of what has accrued: 0.5 is a half.")] | UnsetType = (
        UNSET
    )
    rate: Rate | UnsetType = UNSET


class PlanItem(Reply):
    """One version of a plan. `rate` is that of the first band, `period` is in months; null is no limit.

    `userCap` and `capacity` are how much one user, and all together, may have staked in the plan at a time.
    `availableCapacity` is not among the versions of a plan, since all of them have the same room.
    """

    id: PlanId
    version: Version
    asset: Asset
    period: Period
    rate: Rate
    minimum_amount: Amount
    scale: Scale
    day_count: DayCount
    rate_bands: Annotated[list[RateBand], Meta(description="Marginal: each rate is on its own part.")]
    maximum_amount: Annotated[Amount | None, Meta(description="The most that one stake may have.")]
    step: Annotated[Amount, Meta(description="An amount is a multiple of it.")]
    user_cap: Annotated[Amount | None, Meta(description="The most that one user may have staked.")]
    capacity: Annotated[Amount | None, Meta(description="The most that all together may have staked.")]
    on_sale_from: Moment
    on_sale_until: Annotated[Moment | None, Meta(description="The end of the sale, if it has one.")]
    early_exit: EarlyExit
    minimum_hold_days: Annotated[int, Meta(description="Days before an early exit.")]
    cooldown_seconds: Annotated[int, Meta(description="From an early exit until it is paid.")]
    grace_period_seconds: Annotated[int, Meta(description="How long a new stake can be cancelled.")]
    available_capacity: (
        Annotated[Amount | None, Meta(description="What was left of `capacity`, a minute or two ago.")]
        | UnsetType
    ) = UNSET


class PlanList(Reply):
    """The plans on sale, shortest first."""

    items: Annotated[list[PlanItem], Meta(description="Shortest first.")]


class PlanVersions(Reply):
    """Versions of a plan, newest first. With `hasMore` go on with `before` and the last version here."""

    items: Annotated[list[PlanItem], Meta(description="Newest first.")]
    has_more: Annotated[bool, Meta(description="Whether there are older ones.")]


class ListVersions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions to list."""

    before: Annotated[int, Meta(ge=1, le=2**31, description="Only versions before this one.")] = 2**31


_PLAN = PlanItem(
    id="STK-12M",
    version=1,
    asset="STK",
    period="12",
    rate="0.12",
    minimum_amount="0.00000001",
    scale=8,
    day_count="ACT/365F",
    rate_bands=[RateBand(from_amount="0", rate="0.12")],
    maximum_amount=None,
    step="0.00000001",
    user_cap=None,
    capacity=None,
    on_sale_from="2026-01-01T00:00:00.000Z",
    on_sale_until=None,
    early_exit=EarlyExit(policy="forfeit_all"),
    minimum_hold_days=0,
    cooldown_seconds=0,
    grace_period_seconds=3600,
)

_OFFER = msgspec.structs.replace(_PLAN, available_capacity=None)

EXAMPLES = (_OFFER, PlanList(items=[_OFFER]), PlanVersions(items=[_PLAN], has_more=False))
