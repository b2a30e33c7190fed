"""Orders: which stake a client asks for or about, and why there is none of it."""

from dataclasses import dataclass
from typing import Final

from stakehold.database import plans
from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.money import format_amount, parse_amount_minor
from stakehold.domain.plan_terms import AmountRefusal
from stakehold.domain.ports import Deadline
from stakehold.domain.stakes import MaturityInstruction
from stakehold.services.context import Services

ASSET: Final = "STK"
"""What an order by period alone is in."""

ASSET_SCALE: Final = 8


@dataclass(frozen=True, slots=True)
class Order:
    """An amount, as its raw JSON token, in a plan: of a name, or by the months of its period."""

    amount: bytes
    period_months: int = 0
    plan_id: str = ""
    quote_id: str | None = None
    maturity_instruction: MaturityInstruction = "payout"
    idempotency_key: str | None = None


def read_amount(token: bytes, scale: int) -> int:
    """The amount in minor units from its raw JSON token. Raises ValidationError."""
    try:
        return parse_amount_minor(token, scale)
    except ValueError as error:
        raise ValidationError(
            "The amount is not valid.", fields=(FieldError("/amount", "invalid_amount", str(error)),)
        ) from None


def amount_refused(
    refusal: AmountRefusal, *, minimum_minor: int, maximum_minor: int, step_minor: int, scale: int
) -> ValidationError:
    """What is answered to an amount that a plan does not take."""
    title, detail, bound_minor = {
        "below_minimum": ("The amount is below the plan's minimum.", "At least", minimum_minor),
        "above_maximum": ("The amount is above the plan's maximum.", "At most", maximum_minor),
        "off_step": ("The amount does not fit the plan's step.", "A multiple of", step_minor),
    }[refusal]
    field = FieldError("/amount", refusal, f"{detail} {format_amount(bound_minor, scale)}.")
    return ValidationError(title, fields=(field,))


async def no_plan(services: Services, order: Order, deadline: Deadline) -> ValidationError:
    """What is answered to an order in a plan that is not on sale."""
    if order.plan_id:
        return unknown_plan()
    on_sale = await services.read(plans.list_on_sale, deadline)
    periods = sorted({plan.period_months for plan in on_sale if plan.asset == ASSET})
    listed = ", ".join(str(period) for period in periods) or "none"
    return ValidationError(
        f"No plan on sale has a period of {order.period_months} months. Periods on sale: {listed}.",
        code="unknown_period",
        fields=(FieldError("/period", "unknown_period", f"On sale: {listed}."),),
        extra={"periods": [str(period) for period in periods]},
    )


def unknown_plan() -> ValidationError:
    """What is answered to the name of a plan that is not on sale, or is none."""
    return ValidationError(
        "No plan of this name is on sale.",
        code="unknown_plan",
        fields=(FieldError("/plan", "unknown_plan", "One that GET /api/plans has."),),
    )
