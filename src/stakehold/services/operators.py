"""What operators do to balances: deposits, withdrawals and reversals, each with a reason, in the ledger."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from uuid import UUID

import msgspec

from stakehold.database import balances, events, ledger, users
from stakehold.database.callers import require_caller
from stakehold.database.idempotency import Idempotency, claim, keep_answer
from stakehold.database.ledger import OVERDRAWN, Posting
from stakehold.database.port import Connection
from stakehold.database.stakes import database_now_ms
from stakehold.domain import accounts as names
from stakehold.domain import events as happened
from stakehold.domain.accounts import ADMIN
from stakehold.domain.errors import (
    ConflictError,
    FieldError,
    InsufficientScopeError,
    NotFoundError,
    ValidationError,
)
from stakehold.domain.events import BalanceEventType
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import AVAILABLE, CUSTODY, Movement, Transfer, TransferKind
from stakehold.domain.money import format_amount
from stakehold.domain.ports import Deadline
from stakehold.domain.reasons import check_reason
from stakehold.gate import Caller
from stakehold.services import settlement
from stakehold.services.context import Services
from stakehold.services.orders import read_amount

COMMAND_LINE: Final = "cli"

Direction = Literal["deposit", "withdrawal"]
T = TypeVar("T")

_TOLD: Final[dict[TransferKind, BalanceEventType]] = {
    "deposit": "balance.deposited",
    "withdrawal": "balance.withdrawn",
    "reversal": "balance.reversed",
}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an operator asks for: to move an amount, as its raw JSON token, for a user, and why."""

    direction: Direction
    username: str
    asset: str
    amount: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The transfer that it came to. `at_ms` is in milliseconds since the Unix epoch."""

    user_id: UUID
    seq: int
    kind: TransferKind
    asset: str
    scale: int
    amount_minor: int
    at_ms: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Once:
    """What lets an attempt find that an earlier one was done: made before the first, the same for all.

    `holder` is whose key it is. `event_id` is of the event that tells of what was done.
    """

    holder: UUID
    idempotency: Idempotency
    event_id: UUID


async def adjust(
    services: Services, asked: Adjustment, operator: Caller | None, key: str | None, deadline: Deadline
) -> tuple[Adjusted, bool]:
    """Deposit to, or withdraw from, a user's available balance; and whether an earlier call had done it.

    `operator` None: the command line; `key` is the client's. Raises NotFoundError, ValidationError (also
    `insufficient_funds`, `unknown_asset`, `idempotency_key_reused`), ConflictError (`idempotency_in_flight`),
    InsufficientScopeError.
    """
    _require_reason(asked.reason)
    user_id = await _find_user(services, asked.username, deadline)
    scale = await services.read(lambda connection: balances.find_scale(connection, asked.asset), deadline)
    if scale is None:
        raise ValidationError(
            "There is no such asset.",
            code="unknown_asset",
            fields=(FieldError("/asset", "unknown_asset", "One that a plan is, or was, counted in."),),
        )
    amount_minor = read_amount(asked.amount, scale)
    is_deposit = asked.direction == "deposit"
    movement = Movement(
        asked.direction,
        CUSTODY if is_deposit else AVAILABLE,
        AVAILABLE if is_deposit else CUSTODY,
        asked.asset,
        amount_minor,
        reason=asked.reason,
    )
    once = _Once(
        holder=operator.user_id if operator else user_id,
        idempotency=_own_key(services) if key is None else _of_client(key, user_id, movement, scale),
        event_id=new_id(services.clock, services.entropy),
    )

    async def work(connection: Connection) -> tuple[Adjusted, bool]:
        async with connection.transaction():
            now_ms, actor = await _actor(connection, operator)
            kept = await claim(connection, once.holder, once.idempotency)
            if kept is not None:
                is_ours = await events.is_written(connection, user_id, once.event_id)
                return msgspec.json.decode(kept, type=Adjusted), not is_ours
            return await _move(services, connection, once, user_id, movement, scale, actor, now_ms), False

    return await _with_all_that_matured(services, user_id, work, deadline)


async def reverse(services: Services, username: str, seq: int, reason: str, deadline: Deadline) -> Adjusted:
    """Undo a deposit or a withdrawal by a transfer the other way, from the command line.

    Raises NotFoundError, ValidationError (also `insufficient_funds`), ConflictError: for a transfer of
    another kind, and for one that was reversed before.
    """
    _require_reason(reason)
    user_id = await _find_user(services, username, deadline)
    once = _Once(user_id, _own_key(services), new_id(services.clock, services.entropy))

    async def work(connection: Connection) -> Adjusted:
        async with connection.transaction():
            now_ms = await database_now_ms(connection)
            kept = await claim(connection, once.holder, once.idempotency)
            if kept is not None:
                return msgspec.json.decode(kept, type=Adjusted)
            wrong = await _lock_reversible(connection, user_id, seq)
            scale = await balances.find_scale(connection, wrong.asset)
            assert scale is not None
            movement = Movement(
                "reversal",
                wrong.credit_account,
                wrong.debit_account,
                wrong.asset,
                wrong.amount_minor,
                reverses=seq,
                reason=reason,
            )
            return await _move(services, connection, once, user_id, movement, scale, COMMAND_LINE, now_ms)

    return await _with_all_that_matured(services, user_id, work, deadline)


async def _lock_reversible(connection: Connection, user_id: UUID, seq: int) -> Movement:
    """What the user's `seq`-th transfer moved; the ledger is locked. Raises NotFoundError, ConflictError."""
    await ledger.lock_head(connection, user_id)
    found = await ledger.list_after(connection, user_id, seq - 1, 1)
    if not found or found[0].seq != seq:
        raise NotFoundError(f"The user has no transfer {seq}.")
    wrong = found[0].movement
    if wrong.kind not in ("deposit", "withdrawal"):
        raise ConflictError(f"Transfer {seq} is a {wrong.kind}: only deposits and withdrawals are reversed.")
    done = await ledger.find_reversal(connection, user_id, seq)
    if done is not None:
        raise ConflictError(f"Transfer {seq} was reversed by transfer {done}.")
    return wrong


async def _move(
    services: Services,
    connection: Connection,
    once: _Once,
    user_id: UUID,
    movement: Movement,
    scale: int,
    actor: str,
    now_ms: int,
) -> Adjusted:
    """Write a transfer, who is to be told of it, and what is answered to whoever comes with the key again."""
    [transfer] = await ledger.post(
        connection,
        [Posting(user_id, [movement])],
        actor=actor,
        now_ms=now_ms,
        clock=services.clock,
        entropy=services.entropy,
    )
    told = happened.balance_changed(
        _TOLD[movement.kind],
        once.event_id,
        transfer.at_ms,
        user_id,
        asset=movement.asset,
        scale=scale,
        amount_minor=movement.amount_minor,
        seq=transfer.seq,
        reverses=movement.reverses,
    )
    await events.insert_events(connection, [told])
    adjusted = _adjusted(transfer, scale)
    await keep_answer(connection, once.holder, once.idempotency, msgspec.json.encode(adjusted).decode())
    return adjusted


async def _with_all_that_matured(
    services: Services, user_id: UUID, work: Callable[[Connection], Awaitable[T]], deadline: Deadline
) -> T:
    """Run `work`; where there is too little for it, once more when what is due of the user was settled."""
    try:
        return await services.run(work, deadline)
    except ValidationError as error:
        if error.code == OVERDRAWN and await settlement.settle_user(services, user_id, deadline):
            return await services.run(work, deadline)
        raise


def _require_reason(text: str) -> None:
    try:
        check_reason(text)
    except ValueError as error:
        raise ValidationError(
            "The reason is not valid.", fields=(FieldError("/reason", "invalid_reason", str(error)),)
        ) from None


async def _actor(connection: Connection, operator: Caller | None) -> tuple[int, str]:
    """The time of the transaction, and who acts in it. Raises AuthenticationError, InsufficientScopeError."""
    if operator is None:
        return await database_now_ms(connection), COMMAND_LINE
    now_ms = await require_caller(connection, operator.user_id, UUID(operator.session_id), operator.epoch)
    if not await users.is_operator(connection, operator.user_id, operator.epoch):
        raise InsufficientScopeError(ADMIN)
    return now_ms, f"operator:{operator.user_id}"


async def _find_user(services: Services, username: str, deadline: Deadline) -> UUID:
    try:
        name = names.normalise_username(username)
    except ValueError:
        raise NotFoundError("There is no such user.") from None
    found = await services.read(lambda connection: users.find_credentials(connection, name), deadline)
    if found is None:
        raise NotFoundError("There is no such user.")
    return found.user_id


def _of_client(key: str, user_id: UUID, movement: Movement, scale: int) -> Idempotency:
    """The key with a hash of what the body means: `7`, `"7"` and `7.0` ask for the same."""
    amount = format_amount(movement.amount_minor, scale)
    meaning = json.dumps([str(user_id), movement.asset, amount, movement.reason])
    return Idempotency(key, f"POST /api/admin/{movement.kind}s", hashlib.sha256(meaning.encode()).digest())


def _own_key(services: Services) -> Idempotency:
    """A key for this call alone, by which a re-run after a lost answer finds what the first attempt did."""
    key = services.entropy.random_bytes(16).hex()
    return Idempotency(key, "adjustment", hashlib.sha256(key.encode()).digest())


def _adjusted(transfer: Transfer, scale: int) -> Adjusted:
    movement = transfer.movement
    return Adjusted(
        transfer.user_id,
        transfer.seq,
        movement.kind,
        movement.asset,
        scale,
        movement.amount_minor,
        transfer.at_ms,
        transfer.hash,
    )
