"""The bodies and queries of balances, the ledger and statements."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stakehold.http.schemas.base import (
    PAGE_LIMIT_MAX,
    STAKE_ID_EXAMPLE,
    Amount,
    Asset,
    Moment,
    Reply,
    StakeId,
)

SignedAmount = Annotated[
    str,
    Meta(
        description="A decimal in canonical form; less than zero with a `-`.",
        pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$",
    ),
]
When = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=35,
        description="A date (2027-01-31: its first moment, in UTC), or RFC 3339 with its offset.",
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))?$",
    ),
]
Hash = Annotated[str, Meta(description="SHA-256 in hexadecimal.", pattern="^[0-9a-f]{64}$")]
Seq = Annotated[int, Meta(ge=1, description="Its number among the user's transfers, from 1 without gaps.")]
Kind = Annotated[
    Literal["stake", "principal", "reward", "renewal", "deposit", "withdrawal", "reversal"],
    Meta(description="What it is for."),
]


class BalanceItem(Reply):
    """What a user has in an asset."""

    asset: Asset
    available: Amount
    staked: Annotated[Amount, Meta(description="The principal of all stakes that have not ended.")]
    total: Annotated[Amount, Meta(description="Both together.")]


class Balances(Reply):
    """A user's balances, by asset."""

    items: Annotated[list[BalanceItem], Meta(description="By asset; none that was never moved.")]


class BalancesAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Balances as they are, or were."""

    as_of: Annotated[When, Meta(description="As they were at this moment; now without it.")] | UnsetType = (
        UNSET
    )


class TransferItem(Reply):
    """A row of the ledger: an amount that moved from one account to another."""

    id: Annotated[str, Meta(description="The transfer's id.", extra_json_schema={"format": "uuid"})]
    seq: Seq
    kind: Kind
    debit_account: Annotated[str, Meta(description="Where it came from.")]
    credit_account: Annotated[str, Meta(description="Where it went.")]
    asset: Asset
    amount: Amount
    stake_id: Annotated[StakeId | None, Meta(description="The stake that it belongs to.")]
    reverses: Annotated[int | None, Meta(description="The `seq` of the transfer that it undoes.")]
    actor: Annotated[str, Meta(description="Who brought it about.")]
    reason: Annotated[str | None, Meta(description="An operator's, or what was agreed of a new stake.")]
    created_at: Moment
    hash: Hash


class TransferPage(Reply):
    """A user's transfers, newest first. `nextCursor` continues after the last item."""

    items: Annotated[list[TransferItem], Meta(description="Newest first.")]
    has_more: Annotated[bool, Meta(description="Whether there are older ones.")]
    next_cursor: Annotated[str | None, Meta(description="The `cursor` to go on with; null at the end.")]


class ListTransfers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which transfers to list."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT_MAX, description="Items to a page.")] = 10
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=19,
                description="`nextCursor` of the answer before.",
                pattern="^[1-9][0-9]{0,17}$",
            ),
        ]
        | UnsetType
    ) = UNSET


class VerifyAfter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where to verify."""

    after: Annotated[
        int, Meta(ge=0, le=2**53, description="Begin after this transfer: `last` of the answer before.")
    ] = 0


class FaultItem(Reply):
    """What is wrong with the ledger."""

    seq: Annotated[int, Meta(description="The first transfer that is not right.")]
    what: Annotated[str, Meta(description="What is wrong with it.")]


class LedgerVerification(Reply):
    """What came of computing hashes again, of at most 5,000 transfers."""

    valid: Annotated[bool, Meta(description="Whether nothing was found to be wrong.")]
    complete: Annotated[
        bool, Meta(description="Whether the end was reached and compared; else go on after `last`.")
    ]
    first: Annotated[int, Meta(description="The first transfer that was verified.")]
    last: Annotated[int, Meta(description="The last one.")]
    last_hash: Annotated[str, Meta(description="Its hash. Keep it: nothing before it can change unseen.")]
    fault: Annotated[FaultItem | None, Meta(description="Null where nothing was found.")]


class StatementQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Of which time, and in which form."""

    from_: Annotated[When, Meta(description="The first moment of it.")]
    to: Annotated[When, Meta(description="The first moment after it.")]
    format: Annotated[Literal["json", "csv"], Meta(description="JSON, or CSV as of RFC 4180.")] = "json"


class StatementEntry(Reply):
    """A transfer on a statement."""

    seq: Seq
    created_at: Moment
    kind: Kind
    asset: Asset
    available_change: Annotated[SignedAmount, Meta(description="By it.")]
    staked_change: Annotated[SignedAmount, Meta(description="By it.")]
    available: Annotated[Amount, Meta(description="After it.")]
    staked: Annotated[Amount, Meta(description="After it.")]
    stake_id: Annotated[StakeId | None, Meta(description="The stake that it belongs to.")]
    actor: Annotated[str, Meta(description="Who brought it about.")]
    reason: Annotated[str | None, Meta(description="An operator's, or what was agreed of a new stake.")]


class Statement(Reply):
    """A statement: the opening balances and all entries come to the closing balances."""

    from_: Annotated[Moment, Meta(description="The first moment of it.")] = msgspec.field(name="from")
    to: Annotated[Moment, Meta(description="The first moment after it.")]
    final: Annotated[bool, Meta(description="Whether nothing can be added to it any more.")]
    opening: Annotated[list[BalanceItem], Meta(description="By asset.")]
    closing: Annotated[list[BalanceItem], Meta(description="By asset.")]
    entries: Annotated[list[StatementEntry], Meta(description="Oldest first.")]


_BALANCE = BalanceItem(asset="STK", available="120", staked="1000", total="1120")
_AT = "2026-11-22T20:53:45.123Z"
_TERMS = "1000 STK in STK-12M version 1 from 2026-11-22 to 2027-11-22, month 12 from 2026-11-22"

EXAMPLES = (
    Balances(items=[_BALANCE]),
    TransferPage(
        items=[
            TransferItem(
                id=STAKE_ID_EXAMPLE,
                seq=1,
                kind="stake",
                debit_account="custody",
                credit_account=f"stake:{STAKE_ID_EXAMPLE}",
                asset="STK",
                amount="1000",
                stake_id=STAKE_ID_EXAMPLE,
                reverses=None,
                actor="user",
                reason=_TERMS,
                created_at=_AT,
                hash="9f1c" * 16,
            )
        ],
        has_more=False,
        next_cursor=None,
    ),
    LedgerVerification(valid=True, complete=True, first=1, last=1, last_hash="9f1c" * 16, fault=None),
    Statement(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-12-01T00:00:00.000Z",
        final=False,
        opening=[BalanceItem(asset="STK", available="0", staked="0", total="0")],
        closing=[BalanceItem(asset="STK", available="0", staked="1000", total="1000")],
        entries=[
            StatementEntry(
                seq=1,
                created_at=_AT,
                kind="stake",
                asset="STK",
                available_change="0",
                staked_change="1000",
                available="0",
                staked="1000",
                stake_id=STAKE_ID_EXAMPLE,
                actor="user",
                reason=_TERMS,
            )
        ],
    ),
)
