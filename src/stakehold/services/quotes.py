"""Quotes: what a stake will pay, to the unit, and the promise to keep to it for a minute.

A quote is about terms alone. It reserves nothing: a capacity, a cap or a balance may be used up meanwhile.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from stakehold.database import plans
from stakehold.database.stake_creation import QuotedTerms
from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.exits import Exit, exit_table
from stakehold.domain.plan_terms import check_amount
from stakehold.domain.plans import Plan
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import utc_date
from stakehold.domain.timing import QUOTE_TTL_MS
from stakehold.gate import Caller
from stakehold.services.context import Services
from stakehold.services.orders import ASSET, Order, amount_refused, no_plan, read_amount

KIND: Final = "stake"


@dataclass(frozen=True, slots=True)
class StakeQuote:
    """What a stake made by `expires_at_ms` with this quote will be, and what it will pay."""

    id: str
    expires_at_ms: int
    plan: Plan
    amount_minor: int
    value_date: date
    maturity_date: date
    reward_minor: int
    exits: list[tuple[date, Exit]]


async def quote_stake(services: Services, caller: Caller, order: Order, deadline: Deadline) -> StakeQuote:
    """What `order` would pay if it were made now, by the database's clock.

    Raises ValidationError (also `unknown_period`, `unknown_plan`).
    """
    found = await services.read(
        lambda connection: plans.find_on_sale(
            connection, plan_id=order.plan_id, asset=ASSET, period_months=order.period_months
        ),
        deadline,
    )
    if found is None:
        raise await no_plan(services, order, deadline)
    plan, now_ms = found
    amount_minor = _read_amount(order, plan)
    value_date = utc_date(now_ms)
    maturity_date = add_months(value_date, plan.period_months)
    expires_at_ms = now_ms + QUOTE_TTL_MS
    fields: dict[str, str | int] = {
        "plan": plan.id,
        "version": plan.version,
        "asset": plan.asset,
        "period": plan.period_months,
        "amountMinor": str(amount_minor),
        "valueDate": value_date.isoformat(),
    }
    return StakeQuote(
        id=services.quotes.sign(KIND, caller.user_id, fields, expires_at_ms),
        expires_at_ms=expires_at_ms,
        plan=plan,
        amount_minor=amount_minor,
        value_date=value_date,
        maturity_date=maturity_date,
        reward_minor=accrued_minor(plan, amount_minor, value_date, maturity_date, maturity_date),
        exits=exit_table(plan, amount_minor, value_date, maturity_date),
    )


def _read_amount(order: Order, plan: Plan) -> int:
    amount_minor = read_amount(order.amount, plan.scale)
    refusal = check_amount(plan, amount_minor)
    if refusal is not None:
        raise amount_refused(
            refusal,
            minimum_minor=plan.minimum_minor,
            maximum_minor=plan.maximum_minor or 0,
            step_minor=plan.step_minor,
            scale=plan.scale,
        )
    return amount_minor


def read_stake_quote(
    services: Services, user_id: UUID, quote_id: str, order: Order, amount_minor: int
) -> tuple[str, QuotedTerms]:
    """The plan of a quote, and the terms that it promised for this very order.

    Whether it has expired is not looked at here. Raises ValidationError (`invalid_quote`, `quote_mismatch`).
    """
    quote = services.quotes.read(KIND, user_id, quote_id)
    fields = quote.fields
    if order.plan_id and fields["plan"] != order.plan_id:
        raise _mismatch("/plan")
    if not order.plan_id and (fields["asset"], fields["period"]) != (ASSET, order.period_months):
        raise _mismatch("/period")
    # In minor units, and so after the plan, which says what they are.
    if fields["amountMinor"] != str(amount_minor):
        raise _mismatch("/amount")
    value_date = date.fromisoformat(str(fields["valueDate"]))
    return str(fields["plan"]), QuotedTerms(int(fields["version"]), value_date, quote.expires_at_ms)


def _mismatch(pointer: str) -> ValidationError:
    return ValidationError(
        "The quote is for another stake than this.",
        code="quote_mismatch",
        fields=(FieldError(pointer, "quote_mismatch", "Not as it was quoted."),),
    )
