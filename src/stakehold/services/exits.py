"""Leaving a stake: early, by a quote that is kept to the unit, or in its grace period; and what it does at
maturity, as long as that is ahead.

Each is one transaction that locks the stake, decides by the database's clock, and writes what moves with it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from stakehold.database import events, ledger, stake_changes, stakes
from stakehold.database.callers import require_caller
from stakehold.database.idempotency import Idempotency, claim, keep_answer
from stakehold.database.ledger import Posting
from stakehold.database.port import Connection
from stakehold.database.stake_changes import StakeChange
from stakehold.domain import events as happened
from stakehold.domain.accrual import accrued_minor
from stakehold.domain.errors import (
    ConflictError,
    FieldError,
    NotFoundError,
    PreconditionFailedError,
    ValidationError,
)
from stakehold.domain.events import Event
from stakehold.domain.exits import Exit, early_exit, exit_refusal
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import Movement
from stakehold.domain.ports import Deadline
from stakehold.domain.settlement import payout
from stakehold.domain.stakes import MaturityInstruction, Stake, StakeState
from stakehold.domain.timestamps import utc_date
from stakehold.domain.timing import QUOTE_TTL_MS
from stakehold.gate import Caller
from stakehold.security.quotes import Quote
from stakehold.services.context import Services
from stakehold.services.settlement import require_as_made

KIND: Final = "exit"

_REFUSALS: Final = {
    "early_exit_not_allowed": "The plan does not let anybody leave before maturity.",
    "minimum_hold": "The stake has not been held for as long as its plan asks for.",
    "stake_matured": "The stake has matured.",
    "stake_ended": "The stake has ended, or is being left already.",
    "grace_period_over": "The grace period is over.",
}


@dataclass(frozen=True, slots=True)
class ExitQuote:
    """What leaving `stake` by `expires_at_ms` with this quote pays, and when it does."""

    id: str
    expires_at_ms: int
    stake: Stake
    exit: Exit
    releases_at_ms: int


@dataclass(frozen=True, slots=True)
class Left:
    """What leaving came to, in minor units. `releases_at_ms`: when it is paid; None where it was at once."""

    stake_id: UUID
    state: StakeState
    scale: int
    principal_minor: int
    reward_minor: int
    forfeited_minor: int
    releases_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Leaving:
    """What came of it, and whether an earlier call had done it."""

    left: Left
    replayed: bool


async def quote_exit(services: Services, caller: Caller, stake_id: UUID, deadline: Deadline) -> ExitQuote:
    """What leaving the stake would pay now, by the database's clock.

    Raises NotFoundError, ConflictError (`early_exit_not_allowed`, `minimum_hold`, `stake_matured`,
    `stake_ended`).
    """

    async def read(connection: Connection) -> tuple[Stake, int]:
        found = await stakes.get_stake_now(connection, caller.user_id, stake_id)
        if found is None:
            raise _not_found()
        await require_as_made(connection, found[:1])
        return found

    stake, now_ms = await services.read(read, deadline)
    day = utc_date(now_ms)
    _require_open(stake, now_ms)
    refusal = exit_refusal(stake.plan, stake.value_date, stake.maturity_date, day)
    if refusal is not None:
        raise _refused(refusal)
    outcome = early_exit(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
    expires_at_ms = now_ms + QUOTE_TTL_MS
    fields: dict[str, str | int] = {
        "stake": str(stake.id),
        "day": day.isoformat(),
        "rewardMinor": str(outcome.reward_minor),
        "forfeitedMinor": str(outcome.forfeited_minor),
    }
    return ExitQuote(
        id=services.quotes.sign(KIND, caller.user_id, fields, expires_at_ms),
        expires_at_ms=expires_at_ms,
        stake=stake,
        exit=outcome,
        releases_at_ms=_releases_at_ms(stake, now_ms),
    )


async def unstake(
    services: Services,
    caller: Caller,
    stake_id: UUID,
    quote_id: str,
    idempotency: Idempotency | None,
    deadline: Deadline,
) -> Leaving:
    """Leave the stake with what was quoted, to the unit. The caller holds the fence on `stakes`.

    Sent again with the same quote it has been done, and is answered so. Raises ValidationError
    (`invalid_quote`, `quote_mismatch`), NotFoundError, ConflictError (`quote_expired`, `stake_matured`,
    `stake_ended`).
    """
    quote = services.quotes.read(KIND, caller.user_id, quote_id)
    if quote.fields.get("stake") != str(stake_id):
        raise ValidationError(
            "The quote is for another stake than this.",
            code="quote_mismatch",
            fields=(FieldError("/quoteId", "quote_mismatch", "Of another stake."),),
        )

    async def leave(connection: Connection, stake: Stake, now_ms: int, event_id: UUID) -> Leaving:
        day, outcome = _quoted(stake, quote)
        if (stake.exited_on, stake.reward_minor) == (day, outcome.reward_minor) and stake.state in (
            "unstaking",
            "closed_early",
        ):
            return Leaving(_left(stake), replayed=True)
        _require_open(stake, now_ms)
        if now_ms >= quote.expires_at_ms:
            raise ConflictError("The quote has expired; ask for another.", code="quote_expired")
        left = await _leave_early(services, connection, stake, day, outcome, now_ms, event_id)
        return Leaving(left, replayed=False)

    return await _change(services, caller, stake_id, idempotency, leave, deadline)


async def cancel(
    services: Services,
    caller: Caller,
    stake_id: UUID,
    idempotency: Idempotency | None,
    deadline: Deadline,
) -> Leaving:
    """Take a stake back in its grace period: the principal returns, and nothing is earned.

    The caller holds the fence on `stakes`. Raises NotFoundError, ConflictError (`grace_period_over`,
    `stake_matured`, `stake_ended`).
    """

    async def take_back(connection: Connection, stake: Stake, now_ms: int, event_id: UUID) -> Leaving:
        if stake.state == "cancelled":
            return Leaving(_left(stake), replayed=True)
        _require_open(stake, now_ms)
        if now_ms >= stake.created_at_ms + stake.plan.grace_s * 1000:
            raise _refused("grace_period_over")
        day = utc_date(now_ms)
        accrued = accrued_minor(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
        change = StakeChange(
            stake, "cancelled", reward_minor=0, forfeited_minor=accrued, exited_on=max(day, stake.value_date)
        )
        told = happened.stake_cancelled(event_id, now_ms, stake)
        await _write(services, connection, change, payout(stake, 0), told, now_ms)
        return Leaving(_left(_changed(change)), replayed=False)

    return await _change(services, caller, stake_id, idempotency, take_back, deadline)


async def instruct(
    services: Services,
    caller: Caller,
    stake_id: UUID,
    instruction: MaturityInstruction,
    is_current: Callable[[Stake], bool],
    deadline: Deadline,
) -> Stake:
    """Say what becomes of the stake at maturity. The caller holds the fence on `stakes`.

    `is_current` says whether the stake is as its owner has seen it last. Raises NotFoundError,
    PreconditionFailedError, ConflictError (`stake_matured`, `stake_ended`).
    """

    written = False

    async def work(connection: Connection) -> Stake:
        nonlocal written
        async with connection.transaction():
            now_ms = await _require(connection, caller)
            stake = await _lock(connection, caller, stake_id)
            # A re-run after a lost answer finds what it has written, which nobody has seen yet.
            if written and stake.maturity_instruction == instruction:
                return stake
            if not is_current(stake):
                raise PreconditionFailedError("The stake is not as If-Match says; read it again.")
            _require_open(stake, now_ms)
            if stake.maturity_instruction != instruction:
                await stake_changes.write_instruction(connection, stake, instruction)
                written = True
            return replace(stake, maturity_instruction=instruction)

    return await services.run(work, deadline)


Act = Callable[[Connection, Stake, int, UUID], Awaitable[Leaving]]
"""What is done with a locked stake, at the transaction's time in milliseconds since the Unix epoch.

It writes an event of the id that it is given, unless it finds that it had been done.
"""


async def _change(
    services: Services,
    caller: Caller,
    stake_id: UUID,
    idempotency: Idempotency | None,
    act: Act,
    deadline: Deadline,
) -> Leaving:
    """`act` on the locked stake, once for a key: whoever comes with it again is answered as the first."""
    event_id = new_id(services.clock, services.entropy)
    acted = False

    async def work(connection: Connection) -> Leaving:
        nonlocal acted
        async with connection.transaction():
            now_ms = await _require(connection, caller)
            kept = await claim(connection, caller.user_id, idempotency)
            if kept is not None:
                leaving = Leaving(msgspec.json.decode(kept, type=Left), replayed=True)
            else:
                stake = await _lock(connection, caller, stake_id)
                leaving = await act(connection, stake, now_ms, event_id)
                answer = msgspec.json.encode(leaving.left).decode()
                await keep_answer(connection, caller.user_id, idempotency, answer)
            if leaving.replayed and acted and await events.is_written(connection, caller.user_id, event_id):
                leaving = replace(leaving, replayed=False)  # by an attempt of this call whose answer was lost
            acted = acted or not leaving.replayed
            return leaving

    return await services.run(work, deadline)


async def _require(connection: Connection, caller: Caller) -> int:
    return await require_caller(connection, caller.user_id, UUID(caller.session_id), caller.epoch)


async def _lock(connection: Connection, caller: Caller, stake_id: UUID) -> Stake:
    locked = await stake_changes.lock_stakes(connection, [(caller.user_id, stake_id)])
    if not locked:
        raise _not_found()
    await require_as_made(connection, locked)
    return locked[0]


async def _leave_early(
    services: Services,
    connection: Connection,
    stake: Stake,
    day: date,
    outcome: Exit,
    now_ms: int,
    event_id: UUID,
) -> Left:
    """Fix what is paid, and pay it, unless there is a cooldown to wait for."""
    releases_at_ms = _releases_at_ms(stake, now_ms)
    waits = releases_at_ms > now_ms
    change = StakeChange(
        stake,
        "unstaking" if waits else "closed_early",
        due_at_ms=releases_at_ms if waits else None,
        reward_minor=outcome.reward_minor,
        forfeited_minor=outcome.forfeited_minor,
        exited_on=day,
    )
    amounts = (outcome.reward_minor, outcome.forfeited_minor)
    if waits:
        told = happened.stake_unstaking(event_id, now_ms, stake, *amounts, releases_at_ms)
        moved: Sequence[Movement] = ()
    else:
        told = happened.stake_closed_early(event_id, now_ms, stake, *amounts)
        moved = payout(stake, outcome.reward_minor)
    await _write(services, connection, change, moved, told, now_ms)
    return _left(_changed(change))


async def _write(
    services: Services,
    connection: Connection,
    change: StakeChange,
    moved: Sequence[Movement],
    told: Event,
    now_ms: int,
) -> None:
    """Write a stake's change, what moves with it, and who is to be told."""
    stake = change.stake
    await stake_changes.write_changes(connection, [change])
    await ledger.post(
        connection,
        [Posting(stake.user_id, moved)],
        actor="user",
        now_ms=now_ms,
        clock=services.clock,
        entropy=services.entropy,
    )
    if change.due_at_ms is None:
        await stake_changes.change_usage(connection, {(stake.user_id, stake.plan.id): -stake.amount_minor})
    await events.insert_events(connection, [told])


def _changed(change: StakeChange) -> Stake:
    """The stake as it is from now on."""
    return replace(
        change.stake,
        state=change.state,
        due_at_ms=change.due_at_ms,
        reward_minor=change.reward_minor,
        forfeited_minor=change.forfeited_minor,
        exited_on=change.exited_on,
    )


def _left(stake: Stake) -> Left:
    return Left(
        stake_id=stake.id,
        state=stake.state,
        scale=stake.plan.scale,
        principal_minor=stake.amount_minor,
        reward_minor=stake.reward_minor or 0,
        forfeited_minor=stake.forfeited_minor or 0,
        releases_at_ms=stake.due_at_ms,
    )


def _quoted(stake: Stake, quote: Quote) -> tuple[date, Exit]:
    """The day and the outcome that a quote of ours promised."""
    fields = quote.fields
    outcome = Exit(stake.amount_minor, int(fields["rewardMinor"]), int(fields["forfeitedMinor"]))
    return date.fromisoformat(str(fields["day"])), outcome


def _releases_at_ms(stake: Stake, now_ms: int) -> int:
    """When who leaves now is paid: after the cooldown, but not later than who stays."""
    return min(now_ms + stake.plan.cooldown_s * 1000, stake.matures_at_ms)


def _require_open(stake: Stake, now_ms: int) -> None:
    """One that has matured is told so whether settlement has come to it or not."""
    if stake.state in ("paid_out", "renewed") or stake.status_at(now_ms) == "matured":
        raise _refused("stake_matured")
    if stake.state != "active":
        raise _refused("stake_ended")


def _refused(code: str) -> ConflictError:
    return ConflictError(_REFUSALS[code], code=code)


def _not_found() -> NotFoundError:
    return NotFoundError("There is no such stake.")
