"""The bodies and queries of the API. Unknown fields are refused; names are what clients see."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

PAGE_LIMIT_MAX = 100
PAGE_MAX = 100_000

Username = Annotated[str, Meta(min_length=1, max_length=256, description="Compared without regard to case.")]
Password = Annotated[str, Meta(min_length=1, max_length=1024)]


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A body we read."""


class _Answer(msgspec.Struct, rename="camel"):
    """A body we send."""


# Accounts


class SignUp(_Body):
    """A new user. The password has 8 to 128 characters and is not a common one."""

    username: Username
    password: Password


class SignIn(_Body):
    """Credentials."""

    username: Username
    password: Password


class Refresh(_Body):
    """The refresh token that the last answer gave; each can be used once."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=512)]


class SignOut(_Body):
    """`all` ends every session of the user, not this one alone."""

    all: bool = False


class ChangePassword(_Body):
    """Every session of the user ends; the answer starts a new one."""

    current_password: Password
    new_password: Password


class User(_Answer):
    """A user, as the user sees it."""

    id: str
    username: str
    created_at: str


class TokenAnswer(_Answer):
    """An access token (JWT, HS256), its life in seconds, and the token that gets the next one."""

    token: str
    expires_in: int
    refresh_token: str


# Stakes and plans


class CreateStake(_Body):
    """Lock `amount` for `period` months.

    `amount` is a JSON number or a decimal string; it is read exactly, never through a binary float.
    """

    amount: msgspec.Raw
    period: Annotated[int, Meta(ge=1, le=1200, description="Months; one of the periods on sale.")]


class StakeCreated(_Answer):
    """The stake was made, or had been made by an earlier request with the same Idempotency-Key."""

    success: bool
    stake_id: str


class StakeItem(_Answer):
    """One stake. `amount` is a decimal in its asset, `period` is in months, `rate` is a fraction a year."""

    id: str
    amount: str
    period: str
    asset: str
    rate: str
    status: str
    created_at: str
    matures_at: str


class StakePage(_Answer):
    """A user's stakes, newest first. `nextCursor` continues after the last item."""

    items: list[StakeItem]
    from_cache: bool
    has_more: bool
    next_cursor: str | None


class ListStakes(msgspec.Struct, forbid_unknown_fields=True):
    """Which stakes to list: by page, or by cursor, which stays right while stakes are added."""

    page: Annotated[int, Meta(ge=1, le=PAGE_MAX)] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT_MAX)] = 10
    cursor: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class PlanItem(_Answer):
    """A plan on sale. `rate` is a fraction a year, `period` is in months."""

    id: str
    version: int
    asset: str
    period: str
    rate: str
    minimum_amount: str


class PlanList(_Answer):
    """The plans on sale, shortest first."""

    items: list[PlanItem]


# Health


class Health(_Answer):
    """The process is up."""

    status: str


class Check(_Answer):
    """One thing the service depends on."""

    state: str


class Checks(_Answer):
    """What the service depends on."""

    database: Check
    redis: Check


class Readiness(_Answer):
    """`ready`; `degraded` (Redis is away: slower, and limits are kept by each process); or `unready`."""

    status: str
    checks: Checks
