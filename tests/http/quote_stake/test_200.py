"""POST /api/stake/quote answers 200 with what a stake will pay, to the unit."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stakehold.domain.plans import Band, Plan
from tests.http.conftest import ROOMY
from tests.support.database_clock import DatabaseClock
from tests.support.native import running_service
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person

MIDNIGHT_MS = 1_801_267_200_000
"""2027-01-30T00:00:00Z."""

BANDED = make_plan(
    id="GLD-2M", asset="GLD", scale=6, period_months=2, bands=(Band(0, 10_000), Band(10**9, 70_000)),
    day_count="ACT/ACT", minimum_minor=10**6, maximum_minor=10**12, step_minor=10**5,
    early_exit="forfeit_part", early_exit_ppm=333_333, minimum_hold_days=3,
)  # fmt: skip


async def quoted(person: Person, **body: object) -> dict[str, Any]:
    answer = await person.post("/api/stake/quote", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    quote: dict[str, Any] = answer.json()
    return quote


def recomputed_minor(trace: dict[str, Any]) -> int:
    """What a trace comes to, computed as docs/api.md tells its reader to."""
    scale, amount = 10 ** trace["scale"], Decimal(trace["amountMinor"])
    starts = [Decimal(band["from"]) * scale for band in trace["rateBands"]] + [amount]
    weight = sum(
        max(Decimal(0), min(amount, end) - start) * Decimal(band["rate"]) * 1_000_000
        for band, start, end in zip(trace["rateBands"], starts, starts[1:], strict=False)
    )
    assert weight == int(trace["yearlyWeight"])
    if trace["dayCount"] == "ACT/365F":
        numerator, denominator = int(weight) * trace["days"], 10**6 * 365
    else:
        days = trace["daysInCommonYears"] * 366 + trace["daysInLeapYears"] * 365
        numerator, denominator = int(weight) * days, 10**6 * 365 * 366
    assert (str(numerator), str(denominator)) == (trace["numerator"], trace["denominator"])
    return numerator // denominator


async def test_the_stake_is_what_was_quoted(person: Person) -> None:
    """By period or by plan: every member that both have is the same of the quote and of the stake."""
    await put_on_sale(person.service.database_url, BANDED)
    for choice in ({"period": 12}, {"plan": "STK-3M"}, {"plan": "GLD-2M"}):
        body = {"amount": "1234.5", **choice}
        quote = await quoted(person, **body)
        made = await person.post("/api/stake", {**body, "quoteId": quote["quoteId"]})
        assert made.status_code == 201, made.text
        stake = (await person.get(made.headers["location"])).json()
        for member in ("plan", "planVersion", "asset", "amount", "period", "valueDate", "maturesAt"):
            assert stake[member] == quote[member], member
        assert (stake["reward"], stake["payout"]) == (quote["reward"], quote["payout"])
        assert Decimal(quote["payout"]) == Decimal(quote["amount"]) + Decimal(quote["reward"])


async def test_the_trace_can_be_computed_again(person: Person) -> None:
    """By the formula of the documentation, with bands and either day count, it comes to the reward."""
    await put_on_sale(person.service.database_url, BANDED)
    for amount, plan in (("0.00000001", "STK-12M"), ("98765.4321", "STK-6M"), ("43210.1", "GLD-2M")):
        quote = await quoted(person, amount=amount, plan=plan)
        trace = quote["trace"]
        assert recomputed_minor(trace) == int(trace["accruedMinor"])
        assert Decimal(quote["reward"]) * 10 ** trace["scale"] == int(trace["accruedMinor"])
        assert trace["from"] == quote["valueDate"]
        assert quote["maturesAt"].startswith(trace["to"])
        assert trace["days"] == quote["days"]
        assert trace["days"] == trace["daysInCommonYears"] + trace["daysInLeapYears"]


async def test_early_exits_are_told_from_hold_to_maturity(person: Person) -> None:
    """The first and last day and months between; returned and forfeited are amount and accrued together."""
    await put_on_sale(person.service.database_url, BANDED)
    quote = await quoted(person, amount="5000", plan="GLD-2M")
    rows = quote["earlyExit"]
    first = date.fromisoformat(quote["valueDate"])
    assert rows[0]["date"] == (first + timedelta(3)).isoformat()
    assert rows[-1]["date"] == (first + timedelta(quote["days"] - 1)).isoformat()
    assert len(rows) == 3
    for row in rows:
        reward, forfeited = Decimal(row["reward"]), Decimal(row["forfeited"])
        assert Decimal(row["returned"]) == 5000 + reward
        assert 0 < forfeited < reward < Decimal(quote["reward"])
    assert (await quoted(person, amount=1, plan="STK-1M"))["earlyExit"][-1]["returned"] == "1"
    never = make_plan(id="NEVER", early_exit="not_allowed")
    await put_on_sale(person.service.database_url, never)
    assert (await quoted(person, amount=1, plan="NEVER"))["earlyExit"] == []


GOLDEN = [
    # Made on, months, matures on, days, and the reward on 1000 at 12 % by ACT/365F and by ACT/ACT.
    ("2027-01-31", 1, "2027-02-28", 28, "9.20547945", "9.20547945"),
    ("2028-01-31", 1, "2028-02-29", 29, "9.53424657", "9.50819672"),
    ("2028-02-29", 12, "2029-02-28", 365, "120", "119.72423085"),
    ("2027-06-15", 12, "2028-06-15", 366, "120.32876712", "120.17965416"),
    ("2027-12-31", 2, "2028-02-29", 60, "19.72602739", "19.67302941"),
]


@pytest.mark.native_only("moves the clock of the database")
async def test_the_golden_vectors(database_url: str, redis_url: str) -> None:
    """What a thousand pays is known to the unit, from any start, by either day count."""
    database_clock = await DatabaseClock.install(database_url)
    plans: list[Plan] = []
    for months in (1, 2, 12):
        for name, day_count in (("F", "ACT/365F"), ("A", "ACT/ACT")):
            plan = make_plan(id=f"{name}-{months}", period_months=months, day_count=day_count)
            plans.append(await put_on_sale(database_url, plan))
    async with running_service(database_url, redis_url, {"STAKEHOLD_LIMITS": ROOMY}) as service:
        person = await service.enrol()
        for start, months, end, days, *rewards in GOLDEN:
            last_ms = (
                round((date.fromisoformat(start) - date(1970, 1, 1)).total_seconds() * 1000) + 86_399_999
            )
            await database_clock.set(last_ms)
            for name, reward in zip("FA", rewards, strict=True):
                quote = await quoted(person, amount=1000, plan=f"{name}-{months}")
                assert (quote["valueDate"], quote["maturesAt"]) == (start, f"{end}T00:00:00.000Z")
                assert (quote["days"], quote["reward"]) == (days, reward)
                assert quote["aprPercent"] == "12.0000"
