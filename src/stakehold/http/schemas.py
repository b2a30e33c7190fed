"""The bodies and queries of the API. Unknown fields are refused; names are what clients see."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.domain.accounts import (
    NEW_PASSWORD_CHARACTERS_MAX,
    NEW_PASSWORD_CHARACTERS_MIN,
    USERNAME_CHARACTERS_MAX,
    USERNAME_CHARACTERS_MIN,
)
from stakehold.domain.money import MAX_TOKEN_CHARACTERS

PAGE_LIMIT_MAX = 100
PAGE_MAX = 100_000

Username = Annotated[str, Meta(min_length=1, max_length=256, description="Without regard to case.")]
Password = Annotated[str, Meta(min_length=1, max_length=1024, description="The password in force.")]
# What a JSON schema can say of these two; domain/accounts.py says the rest.
NewUsername = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Letters and digits of any script and . _ - + @, beginning with a letter or digit.",
        extra_json_schema={"minLength": USERNAME_CHARACTERS_MIN, "maxLength": USERNAME_CHARACTERS_MAX},
    ),
]
NewPassword = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description="Not a common password, nor the username.",
        extra_json_schema={
            "minLength": NEW_PASSWORD_CHARACTERS_MIN,
            "maxLength": NEW_PASSWORD_CHARACTERS_MAX,
        },
    ),
]
RefreshToken = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=512,
        description="Gets the next tokens, once.",
    ),
]
Moment = Annotated[
    str, Meta(description="RFC 3339, in UTC, to the millisecond.", extra_json_schema={"format": "date-time"})
]
Amount = Annotated[
    str,
    Meta(
        description="A decimal in canonical form: no exponent, no trailing zeros.",
        pattern=r"^(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$",
    ),
]
Period = Annotated[str, Meta(description="A number of months.", pattern="^[1-9][0-9]*$")]
Rate = Annotated[
    str, Meta(description="A fraction a year: 0.12 is 12 %.", pattern=r"^(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")
]
Asset = Annotated[str, Meta(description="What the amount is counted in.")]
StakeId = Annotated[str, Meta(description="The stake's id.", extra_json_schema={"format": "uuid"})]

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
_CURSOR = {"minLength": 22, "maxLength": 22, "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A body we read."""


class _Answer(msgspec.Struct, rename="camel"):
    """A body we send."""


# Accounts


class SignUp(_Body):
    """A new user. The password has 8 to 128 characters and is not a common one."""

    username: NewUsername
    password: NewPassword


class SignIn(_Body):
    """Credentials."""

    username: Username
    password: Password


class Refresh(_Body):
    """The refresh token that the last answer gave; each can be used once."""

    refresh_token: RefreshToken


class SignOut(_Body):
    """`all` ends every session of the user, not this one alone."""

    all: Annotated[bool, Meta(description="End every session of the user.")] = False


class ChangePassword(_Body):
    """Every session of the user ends; the answer starts a new one."""

    current_password: Password
    new_password: NewPassword


class User(_Answer):
    """A user, as the user sees it."""

    id: Annotated[str, Meta(description="The user's id.", extra_json_schema={"format": "uuid"})]
    username: Annotated[str, Meta(description="In normal form.")]
    created_at: Moment


class TokenAnswer(_Answer):
    """An access token (JWT, HS256), its life in seconds, and the token that gets the next one."""

    token: Annotated[str, Meta(description="Sent as `Authorization: Bearer <token>`.")]
    expires_in: Annotated[int, Meta(description="How long the token is good, in seconds.")]
    refresh_token: RefreshToken


# Stakes and plans


class CreateStake(_Body):
    """Lock `amount` for `period` months.

    `amount` is a JSON number or a decimal string; it is read exactly, never through a binary float.
    """

    amount: Annotated[
        msgspec.Raw,
        Meta(description="More than 0, exact in 8 decimal places.", extra_json_schema=_AMOUNT_TO_LOCK),
    ]
    period: Annotated[int, Meta(ge=1, le=1200, description="Months; one of the periods on sale.")]


class StakeCreated(_Answer):
    """The stake was made, or had been made by an earlier request with the same Idempotency-Key."""

    success: Annotated[bool, Meta(description="Always true.")]
    stake_id: StakeId


class StakeItem(_Answer):
    """One stake. `amount` is a decimal in its asset, `period` is in months, `rate` is a fraction a year."""

    id: StakeId
    amount: Amount
    period: Period
    asset: Asset
    rate: Rate
    status: Annotated[Literal["active", "matured"], Meta(description="Whether it has matured.")]
    created_at: Moment
    matures_at: Moment


class StakePage(_Answer):
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
                extra_json_schema=_CURSOR,
            ),
        ]
        | UnsetType
    ) = UNSET


class PlanItem(_Answer):
    """A plan on sale. `rate` is a fraction a year, `period` is in months."""

    id: Annotated[str, Meta(description="The plan's name.")]
    version: Annotated[int, Meta(description="Counted from 1; the terms of a version never change.")]
    asset: Asset
    period: Period
    rate: Rate
    minimum_amount: Amount


class PlanList(_Answer):
    """The plans on sale, shortest first."""

    items: Annotated[list[PlanItem], Meta(description="Shortest first.")]


# Health


class Health(_Answer):
    """The process is up."""

    status: Annotated[Literal["up"], Meta(description="Always this.")]


class Check(_Answer):
    """One thing the service depends on."""

    state: Annotated[Literal["up", "down"], Meta(description="Whether it answered just now.")]


class Checks(_Answer):
    """What the service depends on."""

    database: Check
    redis: Check


class Readiness(_Answer):
    """Whether the service can serve, and what it depends on."""

    status: Annotated[
        Literal["ready", "degraded", "unready", "draining"],
        Meta(
            description="`degraded`: Redis is away, and the service goes on without. "
            "`draining`: the process is about to stop."
        ),
    ]
    checks: Checks
