"""Stakes: locking an amount for a period, and reading what was locked."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from stakehold.database import plans, stake_creation, stakes
from stakehold.database.idempotency import Idempotency, key_reused
from stakehold.database.stake_creation import Creation, NewStake, PlanChoice
from stakehold.domain.errors import (
    AuthenticationError,
    ConflictError,
    FieldError,
    NotFoundError,
    StakeholdError,
    ValidationError,
)
from stakehold.domain.ids import new_id
from stakehold.domain.money import format_amount, parse_amount_minor
from stakehold.domain.ports import Deadline
from stakehold.domain.stakes import Stake
from stakehold.gate import Caller
from stakehold.services.context import Services

ASSET = "STK"
ASSET_SCALE = 8
CREATE_SCOPE = "POST /api/stake"


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


def read_amount(token: bytes) -> int:
    """The amount in minor units from its raw JSON token. Raises ValidationError."""
    try:
        return parse_amount_minor(token, ASSET_SCALE)
    except ValueError as error:
        raise ValidationError(
            "The amount is not valid.", fields=(FieldError("/amount", "invalid_amount", str(error)),)
        ) from None


async def create_stake(
    services: Services,
    caller: Caller,
    amount_minor: int,
    period_months: int,
    idempotency_key: str | None,
    deadline: Deadline,
) -> Created:
    """Lock `amount_minor` for `period_months`. The caller holds the fence on `stakes`.

    The id is made before the first attempt and is the key where the client gave none, so that an attempt with
    an unknown outcome is settled by running the same statement again: it finds the stake, or makes it.

    Raises ValidationError (also `unknown_period`, `idempotency_key_reused`, `insufficient_funds`),
    ConflictError (`capacity_exceeded`, `user_cap_exceeded`, `idempotency_in_flight`), AuthenticationError,
    DatabaseError.
    """
    new = NewStake(
        user_id=caller.user_id,
        id=new_id(services.clock, services.entropy),
        session_id=UUID(caller.session_id),
        epoch=caller.epoch,
        amount_minor=amount_minor,
        choice=PlanChoice(ASSET, ASSET_SCALE, period_months=period_months),
        funding=services.funding,
        event_due=services.events_due,
        idempotency=_idempotency(idempotency_key, amount_minor, period_months),
    )
    result = await services.run(lambda connection: stake_creation.create_stake(connection, new), deadline)
    if result.outcome == "no_plan":
        raise await _unknown_period(services, period_months, deadline)
    if result.outcome not in ("created", "replayed"):
        raise refusal_of(result, ASSET_SCALE)
    assert result.stake_id is not None
    return Created(result.stake_id, result.outcome == "replayed")


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
        case "insufficient_funds":
            return ValidationError(
                "There is less available than the amount.",
                code="insufficient_funds",
                fields=(FieldError("/amount", "insufficient_funds", "More than is available."),),
            )
        case _:
            return _amount_refused(result, scale)


def _amount_refused(result: Creation, scale: int) -> ValidationError:
    bound, words = {
        "below_minimum": (result.minimum_minor, "The amount is below the plan's minimum.|At least {}."),
        "above_maximum": (result.maximum_minor, "The amount is above the plan's maximum.|At most {}."),
        "off_step": (result.step_minor, "The amount does not fit the plan's step.|A multiple of {}."),
    }[result.outcome]
    title, detail = words.split("|")
    field = FieldError("/amount", result.outcome, detail.format(format_amount(bound, scale)))
    return ValidationError(title, fields=(field,))


def _idempotency(key: str | None, amount_minor: int, period_months: int) -> Idempotency | None:
    """The key with a hash of what the body means: `1000`, `"1000"` and `1e3` ask for the same."""
    if key is None:
        return None
    meaning = f'{{"amount":"{format_amount(amount_minor, ASSET_SCALE)}","period":{period_months}}}'
    return Idempotency(key=key, scope=CREATE_SCOPE, body_hash=hashlib.sha256(meaning.encode()).digest())


async def _unknown_period(services: Services, period_months: int, deadline: Deadline) -> ValidationError:
    on_sale = await services.read(plans.list_on_sale, deadline)
    periods = sorted({plan.period_months for plan in on_sale if plan.asset == ASSET})
    listed = ", ".join(str(period) for period in periods)
    return ValidationError(
        f"No plan on sale has a period of {period_months} months. Periods on sale: {listed}.",
        code="unknown_period",
        fields=(FieldError("/period", "unknown_period", f"One of {listed}."),),
        extra={"periods": [str(period) for period in periods]},
    )


async def list_page(
    services: Services, caller: Caller, page: int, limit: int, deadline: Deadline
) -> StakeList:
    """Page `page` (from 1) of the caller's stakes, newest first."""
    offset = (page - 1) * limit
    found = await services.read(
        lambda connection: stakes.list_page(connection, caller.user_id, offset, limit + 1), deadline
    )
    return StakeList(found[:limit], len(found) > limit)


async def list_after(
    services: Services, caller: Caller, before: UUID, limit: int, deadline: Deadline
) -> StakeList:
    """The caller's stakes made before the stake `before`, newest first."""
    found = await services.read(
        lambda connection: stakes.list_after(connection, caller.user_id, before, limit + 1), deadline
    )
    return StakeList(found[:limit], len(found) > limit)


async def get_stake(services: Services, caller: Caller, stake_id: UUID, deadline: Deadline) -> Stake:
    """One stake of the caller's. Raises NotFoundError, for another user's too."""
    found = await services.read(
        lambda connection: stakes.get_stake(connection, caller.user_id, stake_id), deadline
    )
    if found is None:
        raise NotFoundError("There is no such stake.")
    return found
