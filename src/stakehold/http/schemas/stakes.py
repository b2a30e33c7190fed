"""The bodies and queries of stakes."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.domain.money import MAX_TOKEN_CHARACTERS
from stakehold.http.schemas.base import (
    CURSOR,
    PAGE_LIMIT_MAX,
    PLAN_ID_PATTERN,
    STAKE_ID_EXAMPLE,
    TRACE_EXAMPLE,
    Amount,
    Asset,
    Body,
    Day,
    DayCount,
    Moment,
    Period,
    PlanId,
    Rate,
    Reply,
    StakeId,
    Trace,
    Version,
)
from stakehold.security.quotes import MAX_QUOTE_CHARACTERS

PAGE_MAX = 100_000

Status = Annotated[
    Literal["active", "matured", "unstaking", "paid_out", "renewed", "closed_early", "cancelled"],
    Meta(
        description="`matured`: its time has come, and it is about to be paid out or renewed. "
        "`unstaking`: its owner leaves early, and is paid when the cooldown is over."
    ),
]
MaturityInstruction = Annotated[
    Literal["payout", "renew_principal", "renew_all"],
    Meta(description="What becomes of it at maturity: paid out, or renewed without or with its reward."),
]

# What a JSON schema can say of an amount; domain/money.py says the rest.
_AMOUNT_TO_LOCK = {
    "oneOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e38},
        {
            "type": "string",
            "maxLength": MAX_TOKEN_CHARACTERS,
            "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$",
        },
    ]
}
AmountToLock = Annotated[
    msgspec.Raw,
    Meta(
        description="More than 0, exact in as many decimal places as the asset has: 8 by period.",
        extra_json_schema=_AMOUNT_TO_LOCK,
    ),
]
ChosenPeriod = Annotated[int, Meta(ge=1, le=1200, description="Months; one of the periods on sale.")]
ChosenPlan = Annotated[
    str, Meta(description="The name of a plan on sale; not with `period`.", pattern=PLAN_ID_PATTERN)
]
QuoteId = Annotated[
    str,
    Meta(description="Of a quote for this very stake.", min_length=1, max_length=MAX_QUOTE_CHARACTERS),
]
PERIOD_OR_PLAN: dict[str, Any] = {"oneOf": [{"required": ["period"]}, {"required": ["plan"]}]}


class CreateStake(Body):
    """Lock `amount` for `period` months, or under `plan`: the one or the other.

    `amount` is a JSON number or a decimal string; it is read exactly, never through a binary float. With
    `quoteId` the stake is what was quoted, or there is none.
    """

    JSON_SCHEMA: ClassVar = PERIOD_OR_PLAN

    amount: AmountToLock
    period: ChosenPeriod | UnsetType = UNSET
    plan: ChosenPlan | UnsetType = UNSET
    quote_id: QuoteId | UnsetType = UNSET
    maturity_instruction: MaturityInstruction = "payout"


class StakeCreated(Reply):
    """The stake was made, or had been made by an earlier request with the same Idempotency-Key."""

    success: Annotated[bool, Meta(description="Always true.")]
    stake_id: StakeId


class StakeItem(Reply):
    """One stake. `amount` is a decimal in its asset, `period` is in months, `rate` is a fraction a year."""

    id: StakeId
    amount: Amount
    period: Period
    asset: Asset
    rate: Rate
    status: Status
    created_at: Moment
    matures_at: Moment
    plan: PlanId
    plan_version: Version
    maturity_instruction: MaturityInstruction


class Outcome(Reply):
    """What a stake came to: what was paid beside the principal, and what of the accrued was not."""

    reward: Amount
    forfeited: Amount
    exited_on: Annotated[Day | None, Meta(description="The first day that an early leaver did not earn.")]
    ended_at: Annotated[Moment | None, Meta(description="When it was paid; null while a cooldown runs.")]


class StakeDetail(StakeItem):
    """One stake, with what it has accrued so far, and how that is computed."""

    value_date: Annotated[Day, Meta(description="The first day that earns.")]
    day_count: DayCount
    accrued: Annotated[Amount, Meta(description="So far: what `trace` comes to.")]
    reward: Annotated[Amount, Meta(description="At maturity.")]
    payout: Annotated[Amount, Meta(description="At maturity: `amount` and `reward`.")]
    trace: Trace
    realised: Annotated[Outcome | None, Meta(description="Null until it is certain what is paid.")]
    renewed_from: Annotated[StakeId | None, Meta(description="The stake that this one continues.")]
    renewed_to: Annotated[StakeId | None, Meta(description="The stake that continues this one.")]
    grace_period_ends_at: Annotated[
        Moment | None, Meta(description="Until when it can be cancelled; null where it cannot be.")
    ]
    releases_at: Annotated[Moment | None, Meta(description="When `unstaking` is over, and it is paid.")]


class StakePage(Reply):
    """A user's stakes, newest first. `nextCursor` continues after the last item."""

    items: Annotated[list[StakeItem], Meta(description="Newest first.")]
    from_cache: Annotated[bool, Meta(description="Whether the database was not asked.")]
    has_more: Annotated[bool, Meta(description="Whether there are older ones.")]
    next_cursor: Annotated[str | None, Meta(description="The `cursor` to go on with; null at the end.")]


class ListStakes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stakes to list: by page, or by cursor, which stays right while stakes are added."""

    page: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Counted from 1.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT_MAX, description="Items to a page.")] = 10
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="`nextCursor` of the answer before; not with `page`.",
                extra_json_schema=CURSOR,
            ),
        ]
        | UnsetType
    ) = UNSET


_STAKE = StakeItem(
    id=STAKE_ID_EXAMPLE,
    amount="1000",
    period="12",
    asset="STK",
    rate="0.12",
    status="active",
    created_at="2026-11-22T20:53:45.123Z",
    matures_at="2027-11-22T00:00:00.000Z",
    plan="STK-12M",
    plan_version=1,
    maturity_instruction="payout",
)

EXAMPLES = (
    CreateStake(amount=msgspec.Raw(b"1000"), period=12),
    StakeCreated(success=True, stake_id=STAKE_ID_EXAMPLE),
    _STAKE,
    StakeDetail(
        **msgspec.structs.asdict(_STAKE),
        value_date="2026-11-22",
        day_count="ACT/365F",
        accrued="120",
        reward="120",
        payout="1120",
        trace=TRACE_EXAMPLE,
        realised=None,
        renewed_from=None,
        renewed_to=None,
        grace_period_ends_at="2026-11-22T21:53:45.123Z",
        releases_at=None,
    ),
    StakePage(items=[_STAKE], from_cache=True, has_more=True, next_cursor="AaIFCUwjfQuKVcD_7l7tAQ"),
)
