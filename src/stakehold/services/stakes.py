"""Stakes: locking an amount under a plan, and reading what was locked."""

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from stakehold.database import stake_creation, stakes
from stakehold.database.idempotency import Idempotency, key_reused
from stakehold.database.ledger import overdrawn
from stakehold.database.port import Connection
from stakehold.database.stake_creation import Creation, NewStake, PlanChoice
from stakehold.domain.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    StakeholdError,
)
from stakehold.domain.ids import new_id
from stakehold.domain.money import format_amount
from stakehold.domain.ports import Deadline
from stakehold.domain.stakes import Stake
from stakehold.gate import Caller
from stakehold.services import settlement
from stakehold.services.context import Services
from stakehold.services.orders import (
    ASSET,
    ASSET_SCALE,
    Order,
    amount_refused,
    no_plan,
    read_amount,
    unknown_plan,
)
from stakehold.services.plans import asset_of
from stakehold.services.quotes import read_stake_quote

CREATE_SCOPE = "POST /api/stake"
_FOR_WANT = ("insufficient_funds", "user_cap_exceeded", "capacity_exceeded")
"""The refusals that the settlement of a user's own stakes may do away with."""


@dataclass(frozen=True, slots=True)
class Created:
    """The stake, and whether an earlier request with the same key had made it."""

    stake_id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class StakeList:
    """Some of a user's stakes, newest first, and whether there are more after them."""

    stakes: list[Stake]
    has_more: bool


async def create_stake(services: Services, caller: Caller, order: Order, deadline: Deadline) -> Created:
    """Make the stake of `order`. The caller holds the fence on `stakes`.

    The id is made before the first attempt and is the key where the client gave none, so that an attempt with
    an unknown outcome is settled by running the same statement again: it finds the stake, or makes it.

    Raises ValidationError (also `unknown_period`, `unknown_plan`, `idempotency_key_reused`, `invalid_quote`,
    `quote_mismatch`, `insufficient_funds`), ConflictError (`quote_expired`, `capacity_exceeded`,
    `user_cap_exceeded`, `idempotency_in_flight`), AuthenticationError, DatabaseError.
    """
    new = await _new_stake(services, caller, order, deadline)

    async def create(connection: Connection) -> Creation:
        return await stake_creation.create_stake(connection, new)

    result = await services.run(create, deadline)
    # What has matured may be what there is too little of, or be in the way.
    if result.outcome in _FOR_WANT and await settlement.settle_user(services, caller.user_id, deadline):
        result = await services.run(create, deadline)
    if result.outcome == "no_plan":
        raise await no_plan(services, order, deadline)
    if result.outcome not in ("created", "replayed"):
        raise refusal_of(result, new.choice.scale)
    assert result.stake_id is not None
    return Created(result.stake_id, result.outcome == "replayed")


async def _new_stake(services: Services, caller: Caller, order: Order, deadline: Deadline) -> NewStake:
    asset, scale = ASSET, ASSET_SCALE
    if order.plan_id:
        found = await asset_of(services, order.plan_id, deadline)
        if found is None:
            raise unknown_plan()
        asset, scale = found
    amount_minor = read_amount(order.amount, scale)
    choice = PlanChoice(asset, scale, order.period_months, order.plan_id)
    if order.quote_id is not None:
        plan_id, quoted = read_stake_quote(services, caller.user_id, order.quote_id, order, amount_minor)
        choice = replace(choice, plan_id=plan_id, quoted=quoted)
    return NewStake(
        user_id=caller.user_id,
        id=new_id(services.clock, services.entropy),
        session_id=UUID(caller.session_id),
        epoch=caller.epoch,
        amount_minor=amount_minor,
        choice=choice,
        funding=services.funding,
        maturity_instruction=order.maturity_instruction,
        idempotency=_idempotency(order, format_amount(amount_minor, scale)),
    )


def refusal_of(result: Creation, scale: int) -> StakeholdError:
    """What is answered when no stake was made. `scale` is of the amount's asset."""
    match result.outcome:
        case "mismatch":
            return key_reused()
        case "disabled" | "session_ended":
            return AuthenticationError("The session has ended; sign in again.", code="session_ended")
        case "quote_expired":
            return ConflictError("The quote has expired; ask for another.", code="quote_expired")
        case "capacity_exceeded":
            return ConflictError("The plan has not as much room left.", code="capacity_exceeded")
        case "user_cap_exceeded":
            return ConflictError("That is more than one user may have in the plan.", code="user_cap_exceeded")
        case "below_minimum" | "above_maximum" | "off_step":
            return amount_refused(
                result.outcome,
                minimum_minor=result.minimum_minor,
                maximum_minor=result.maximum_minor,
                step_minor=result.step_minor,
                scale=scale,
            )
        case _:
            assert result.outcome == "insufficient_funds"
            return overdrawn()


def _idempotency(order: Order, amount: str) -> Idempotency | None:
    """The key with a hash of what the body means: `1000`, `"1000"` and `1e3` ask for the same."""
    if order.idempotency_key is None:
        return None
    meaning: dict[str, str | int] = {"amount": amount}
    if order.plan_id:
        meaning["plan"] = order.plan_id
    else:
        meaning["period"] = order.period_months
    if order.quote_id is not None:
        meaning["quoteId"] = order.quote_id
    if order.maturity_instruction != "payout":
        meaning["maturityInstruction"] = order.maturity_instruction
    # Of an amount and a period alone it stays what it was: keys are kept across versions of the service.
    text = json.dumps(meaning, separators=(",", ":"))
    return Idempotency(order.idempotency_key, CREATE_SCOPE, hashlib.sha256(text.encode()).digest())


async def list_page(
    services: Services, caller: Caller, page: int, limit: int, deadline: Deadline
) -> StakeList:
    """Page `page` (from 1) of the caller's stakes, newest first."""
    offset = (page - 1) * limit
    found = await _settled(
        services,
        caller,
        lambda connection: stakes.list_page(connection, caller.user_id, offset, limit + 1),
        deadline,
    )
    return StakeList(found[:limit], len(found) > limit)


async def list_after(
    services: Services, caller: Caller, before: UUID, limit: int, deadline: Deadline
) -> StakeList:
    """The caller's stakes made before the stake `before`, newest first."""
    found = await _settled(
        services,
        caller,
        lambda connection: stakes.list_after(connection, caller.user_id, before, limit + 1),
        deadline,
    )
    return StakeList(found[:limit], len(found) > limit)


async def get_stake(services: Services, caller: Caller, stake_id: UUID, deadline: Deadline) -> Stake:
    """One stake of the caller's. Raises NotFoundError, for another user's too."""

    async def load(connection: Connection) -> list[Stake]:
        found = await stakes.get_stake(connection, caller.user_id, stake_id)
        return [] if found is None else [found]

    found = await _settled(services, caller, load, deadline)
    if not found:
        raise NotFoundError("There is no such stake.")
    return found[0]


async def _settled(
    services: Services,
    caller: Caller,
    load: Callable[[Connection], Awaitable[list[Stake]]],
    deadline: Deadline,
) -> list[Stake]:
    """The stakes that `load` finds, after what is due of them was settled: nobody waits for the next run.

    Where that fails, they are told as they are.
    """
    found = await services.read(load, deadline)
    now_ms = services.clock.now_ms()
    if not any(stake.is_due(now_ms) for stake in found):
        return found
    # Whatever goes wrong here the loop meets as well, and logs.
    with contextlib.suppress(Exception):
        if await settlement.settle_user(services, caller.user_id, deadline):
            return await services.read(load, deadline)
    return found
