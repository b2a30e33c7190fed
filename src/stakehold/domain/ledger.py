"""The ledger: transfers between accounts, each user's chained by hashes so that none can be altered unseen.

A transfer debits one account and credits another with the same amount, so that the sum over all accounts is
zero by construction. An account's balance is what it was credited less what it was debited.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

TransferKind = Literal["stake", "principal", "reward", "renewal", "deposit", "withdrawal", "reversal"]

AVAILABLE = "available"
"""The user's own: what stakes have returned and operators have paid in."""

CUSTODY = "custody"
"""What lies outside: its balance is less than zero by as much as came in."""

REWARDS = "rewards"
"""The house's, which pays rewards: its balance is less than zero by as much as was paid."""

_STAKE_PREFIX = "stake:"


@dataclass(frozen=True, slots=True)
class Movement:
    """An amount on its way from one account to another, before it has its place in the ledger.

    `reason` is an operator's, or the terms of the stake that is made by it.
    """

    kind: TransferKind
    debit_account: str
    credit_account: str
    asset: str
    amount_minor: int
    stake_id: UUID | None = None
    reverses: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of the ledger: the `seq`-th transfer of a user, counted from 1.

    `actor` is who brought it about: `user`, `settlement`, `cli`, or `operator:<user id>`. `at_ms` is the
    database's time, in milliseconds since the Unix epoch, and never less than that of the transfer before.
    """

    user_id: UUID
    seq: int
    id: UUID
    movement: Movement
    actor: str
    at_ms: int
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a user's chain: how many transfers there are, the last one's time and its hash."""

    seq: int = 0
    at_ms: int = 0
    hash: str = ""


def stake_account(stake_id: UUID) -> str:
    """The account that holds a stake's principal."""
    return f"{_STAKE_PREFIX}{stake_id}"


def is_stake_account(account: str) -> bool:
    """Whether an account holds a stake's principal."""
    return account.startswith(_STAKE_PREFIX)


def append(
    head: Head, user_id: UUID, identifier: UUID, movement: Movement, actor: str, now_ms: int
) -> Transfer:
    """The transfer that comes after `head`."""
    seq, at_ms = head.seq + 1, max(now_ms, head.at_ms)
    hashed = transfer_hash(head.hash, user_id, seq, identifier, movement, actor, at_ms)
    return Transfer(user_id, seq, identifier, movement, actor, at_ms, hashed)


def transfer_hash(
    previous_hash: str,
    user_id: UUID,
    seq: int,
    identifier: UUID,
    movement: Movement,
    actor: str,
    at_ms: int,
) -> str:
    """The SHA-256, in hexadecimal, of all that a transfer says and of the hash before it.

    The text that is hashed has the values in the order below with `|` between, and nothing where there is no
    value. The reason comes last, since it alone may hold a `|`: see `is_well_formed`.
    """
    values = (
        previous_hash,
        user_id,
        seq,
        identifier,
        movement.kind,
        movement.debit_account,
        movement.credit_account,
        movement.asset,
        movement.amount_minor,
        movement.stake_id,
        movement.reverses,
        actor,
        at_ms,
        movement.reason,
    )
    text = "|".join("" if value is None else str(value) for value in values)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of(transfer: Transfer, previous_hash: str) -> str:
    """What a transfer's hash has to be, after a transfer whose hash is `previous_hash`."""
    return transfer_hash(
        previous_hash,
        transfer.user_id,
        transfer.seq,
        transfer.id,
        transfer.movement,
        transfer.actor,
        transfer.at_ms,
    )


def is_well_formed(transfer: Transfer) -> bool:
    """Whether no other transfer has the same text to be hashed.

    No value but the reason has a `|` in it, or what stands on both sides of it could belong to either; and a
    reason is not empty, which would be hashed as none.
    """
    movement = transfer.movement
    texts = (movement.kind, movement.debit_account, movement.credit_account, movement.asset, transfer.actor)
    return movement.reason != "" and not any("|" in text for text in texts)


def fold(movements: Iterable[Movement]) -> Counter[tuple[str, str]]:
    """The balance in minor units of each (asset, account) that movements touch."""
    balances: Counter[tuple[str, str]] = Counter()
    for movement in movements:
        balances[movement.asset, movement.debit_account] -= movement.amount_minor
        balances[movement.asset, movement.credit_account] += movement.amount_minor
    return balances
