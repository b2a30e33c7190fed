"""The bodies and queries of stakes."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.domain.money import MAX_TOKEN_CHARACTERS
from stakehold.http.schemas.base import (
    CURSOR,
    PAGE_LIMIT_MAX,
    STAKE_ID_EXAMPLE,
    Amount,
    Asset,
    Body,
    Moment,
    Period,
    Rate,
    Reply,
    StakeId,
)

PAGE_MAX = 100_000

Status = Annotated[
    Literal["active", "matured", "unstaking", "paid_out", "renewed", "closed_early", "cancelled"],
    Meta(
        description="`matured`: its time has come, and it is about to be paid out or renewed. "
        "`unstaking`: its owner leaves early, and is paid when the cooldown is over."
    ),
]

# What a JSON schema can say of an amount; domain/money.py says the rest.
_AMOUNT_TO_LOCK = {
    "oneOf": [
        {"type": "number", "minimum": 0.00000001, "exclusiveMaximum": 1e30},
        {
            "type": "string",
            "maxLength": MAX_TOKEN_CHARACTERS,
            "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$",
        },
    ]
}


class CreateStake(Body):
    """Lock `amount` for `period` months.

    `amount` is a JSON number or a decimal string; it is read exactly, never through a binary float.
    """

    amount: Annotated[
        msgspec.Raw,
        Meta(description="More than 0, exact in 8 decimal places.", extra_json_schema=_AMOUNT_TO_LOCK),
    ]
    period: Annotated[int, Meta(ge=1, le=1200, description="Months; one of the periods on sale.")]


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
)

EXAMPLES = (
    CreateStake(amount=msgspec.Raw(b"1000"), period=12),
    StakeCreated(success=True, stake_id=STAKE_ID_EXAMPLE),
    _STAKE,
    StakePage(items=[_STAKE], from_cache=True, has_more=True, next_cursor="AaIFCUwjfQuKVcD_7l7tAQ"),
)
