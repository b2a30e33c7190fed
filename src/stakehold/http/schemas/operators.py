"""The bodies of what operators do."""

from typing import Annotated

import msgspec
from msgspec import Meta

from stakehold.http.schemas.accounts import Username
from stakehold.http.schemas.base import USER_ID_EXAMPLE, Amount, Asset, Body, Moment, Reply
from stakehold.http.schemas.ledger import Hash, Kind, Seq
from stakehold.http.schemas.stakes import AmountToLock


class Adjust(Body):
    """Move an amount for a user, and say why."""

    username: Username
    asset: Annotated[str, Meta(min_length=1, max_length=32, description="What the amount is counted in.")]
    amount: AmountToLock
    reason: Annotated[str, Meta(min_length=1, max_length=500, description="Kept in the ledger for ever.")]


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
