"""The bodies of what operators do."""

from typing import Annotated

import msgspec
from msgspec import Meta

from stakehold.domain.reasons import REASON_CHARACTERS_MAX, REASON_PATTERN
from stakehold.http.schemas.accounts import Username
from stakehold.http.schemas.base import PLAN_ID_PATTERN, USER_ID_EXAMPLE, Amount, Asset, Body, Moment, Reply
from stakehold.http.schemas.ledger import Hash, Kind, Seq
from stakehold.http.schemas.stakes import AmountToLock

# The pattern is for readers: domain/reasons.py holds the text to it, to the last character.
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=REASON_CHARACTERS_MAX,
        description="Kept in the ledger for ever. No control characters, and not only blanks.",
        extra_json_schema={"pattern": REASON_PATTERN},
    ),
]


class Adjust(Body):
    """Move an amount for a user, and say why."""

    username: Username
    asset: Annotated[str, Meta(description="What the amount is counted in.", pattern=PLAN_ID_PATTERN)]
    amount: AmountToLock
    reason: Reason


class Adjusted(Reply):
    """The transfer that it came to."""

    user_id: Annotated[str, Meta(description="Whose it is.", extra_json_schema={"format": "uuid"})]
    seq: Seq
    kind: Kind
    asset: Asset
    amount: Amount
    created_at: Moment
    hash: Hash


EXAMPLES = (
    Adjust(username="testuser", asset="STK", amount=msgspec.Raw(b'"100"'), reason="Wire 4711"),
    Adjusted(
        user_id=USER_ID_EXAMPLE,
        seq=2,
        kind="deposit",
        asset="STK",
        amount="100",
        created_at="2026-11-22T20:53:45.123Z",
        hash="9f1c" * 16,
    ),
)
