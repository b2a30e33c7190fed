"""The bodies of quotes."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.http.schemas.base import (
    TRACE_EXAMPLE,
    Amount,
    Asset,
    Body,
    Day,
    Moment,
    Period,
    PlanId,
    Reply,
    Trace,
    Version,
)
from stakehold.http.schemas.stakes import PERIOD_OR_PLAN, AmountToLock, ChosenPeriod, ChosenPlan

Percent = Annotated[
    str, Meta(description="A year, in percent, with four decimal places.", pattern=r"^[0-9]+\.[0-9]{4}$")
]


class QuoteStake(Body):
    """Ask what `amount` pays after `period` months, or under `plan`: the one or the other."""

    JSON_SCHEMA: ClassVar = PERIOD_OR_PLAN

    amount: AmountToLock
    period: ChosenPeriod | UnsetType = UNSET
    plan: ChosenPlan | UnsetType = UNSET


class EarlyExitRow(Reply):
    """What leaving on a day comes to. `returned` is all that is paid: the amount and the reward."""

    date: Annotated[Day, Meta(description="The day of leaving, which does not earn any more.")]
    returned: Amount
    reward: Amount
    forfeited: Amount


class StakeQuote(Reply):
    """What a stake will be, and will pay to the unit, when it is made with `quoteId` before `expiresAt`.

    It reserves nothing: a capacity or a cap may be used up meanwhile.
    """

    quote_id: Annotated[str, Meta(description="Send it with the same amount and period or plan.")]
    expires_at: Moment
    plan: PlanId
    plan_version: Version
    asset: Asset
    amount: Amount
    period: Period
    value_date: Annotated[Day, Meta(description="The first day that earns.")]
    matures_at: Moment
    days: Annotated[int, Meta(description="How many days earn.")]
    reward: Annotated[Amount, Meta(description="At maturity.")]
    payout: Annotated[Amount, Meta(description="At maturity: `amount` and `reward`.")]
    apr_percent: Percent
    apy_percent: Percent
    early_exit: Annotated[
        list[EarlyExitRow],
        Meta(description="The first and the last day on which it can be left, and months in between."),
    ]
    trace: Trace


EXAMPLES = (
    QuoteStake(amount=msgspec.Raw(b'"1000"'), period=12),
    StakeQuote(
        quote_id="shq_eyJleHBpcmVzX2F0X21zIjoxNzk1MzgxMjg1MTIzfQ.q0Zb8m2Yw1r3",
        expires_at="2026-11-22T20:54:45.123Z",
        plan="STK-12M",
        plan_version=1,
        asset="STK",
        amount="1000",
        period="12",
        value_date="2026-11-22",
        matures_at="2027-11-22T00:00:00.000Z",
        days=365,
        reward="120",
        payout="1120",
        apr_percent="12.0000",
        apy_percent="12.0000",
        early_exit=[EarlyExitRow(date="2026-11-22", returned="1000", reward="0", forfeited="0")],
        trace=TRACE_EXAMPLE,
    ),
)
