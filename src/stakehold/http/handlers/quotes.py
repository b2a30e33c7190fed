"""Quotes over HTTP."""

from stakehold.domain.money import format_amount
from stakehold.domain.returns import apr_percent, apy_percent
from stakehold.domain.timestamps import midnight_ms, rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.handlers.stakes import read_order
from stakehold.http.handlers.terms import trace_item
from stakehold.http.schemas.quotes import EarlyExitRow, QuoteStake, StakeQuote
from stakehold.services import quotes
from stakehold.services.orders import Order


def parse_order(call: Call) -> Order:
    """Read what is asked about. Raises ValidationError."""
    body = call.body_as(QuoteStake)
    return read_order(body.amount, body.period, body.plan)


async def quote_stake(call: Call) -> Answer:
    """POST /api/stake/quote"""
    quote = await quotes.quote_stake(
        call.container.services, call.signed_in(), call.parsed_as(Order), call.deadline
    )
    return json_answer(200, _content(quote), NO_STORE)


def _content(quote: quotes.StakeQuote) -> StakeQuote:
    plan, first, end = quote.plan, quote.value_date, quote.maturity_date
    days = (end - first).days
    return StakeQuote(
        quote_id=quote.id,
        expires_at=rfc3339(quote.expires_at_ms),
        plan=plan.id,
        plan_version=plan.version,
        asset=plan.asset,
        amount=format_amount(quote.amount_minor, plan.scale),
        period=str(plan.period_months),
        value_date=first.isoformat(),
        matures_at=rfc3339(midnight_ms(end)),
        days=days,
        reward=format_amount(quote.reward_minor, plan.scale),
        payout=format_amount(quote.amount_minor + quote.reward_minor, plan.scale),
        apr_percent=apr_percent(plan, quote.amount_minor),
        apy_percent=apy_percent(quote.amount_minor, quote.reward_minor, days),
        early_exit=[
            EarlyExitRow(
                date=day.isoformat(),
                returned=format_amount(leaving.payout_minor, plan.scale),
                reward=format_amount(leaving.reward_minor, plan.scale),
                forfeited=format_amount(leaving.forfeited_minor, plan.scale),
            )
            for day, leaving in quote.exits
        ],
        trace=trace_item(plan, quote.amount_minor, first, end, end),
    )
