"""POST /api/stake/quote answers 422 to what no plan takes, as the creation would."""

import pytest

from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person, assert_field, assert_problem

PLAN = make_plan(
    id="GLD-3M", asset="GLD", scale=2, period_months=3, minimum_minor=500, maximum_minor=1000, step_minor=50
)
REFUSED: list[tuple[dict[str, object], str, str, str]] = [
    # The body, the problem, and the field that it names with its code.
    ({"period": 12}, "validation_error", "/amount", "missing"),
    ({"amount": 1}, "validation_error", "/period", "missing"),
    ({"amount": 1, "period": 12, "plan": "STK-12M"}, "validation_error", "/plan", "exclusive"),
    ({"amount": 1, "period": 12, "quoteId": "x"}, "validation_error", "/quoteId", "unknown_field"),
    ({"amount": 1, "plan": "stk-12m"}, "validation_error", "/plan", "invalid"),
    ({"amount": 1, "plan": 12}, "validation_error", "/plan", "invalid"),
    ({"amount": 1, "plan": None}, "validation_error", "/plan", "invalid"),
    ({"amount": 1, "plan": "NONE"}, "unknown_plan", "/plan", "unknown_plan"),
    ({"amount": 1, "period": 2}, "unknown_period", "/period", "unknown_period"),
    ({"amount": 0, "period": 12}, "validation_error", "/amount", "invalid_amount"),
    ({"amount": "1e400", "plan": "STK-12M"}, "validation_error", "/amount", "invalid_amount"),
    ({"amount": "0.000000001", "plan": "STK-12M"}, "validation_error", "/amount", "invalid_amount"),
    ({"amount": "5.001", "plan": "GLD-3M"}, "validation_error", "/amount", "invalid_amount"),
    ({"amount": "4.5", "plan": "GLD-3M"}, "validation_error", "/amount", "below_minimum"),
    ({"amount": "10.5", "plan": "GLD-3M"}, "validation_error", "/amount", "above_maximum"),
    ({"amount": "5.25", "plan": "GLD-3M"}, "validation_error", "/amount", "off_step"),
]


@pytest.mark.parametrize("path", ["/api/stake/quote", "/api/stake"])
async def test_what_no_plan_takes_is_refused(person: Person, path: str, subtests: pytest.Subtests) -> None:
    """Quote and creation refuse alike, in the plan's own asset, and name the field."""
    await put_on_sale(person.service.database_url, PLAN)
    for body, code, pointer, field in REFUSED:
        if path == "/api/stake" and "quoteId" in body:
            continue
        with subtests.test(body=body):
            problem = assert_problem(await person.post(path, body), 422, code)
            assert_field(problem, pointer, field)
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(0,)]


async def test_the_bound_is_told(person: Person) -> None:
    """What would have been taken, in the plan's asset."""
    await put_on_sale(person.service.database_url, PLAN)
    for path in ("/api/stake/quote", "/api/stake"):
        told = []
        for amount in ("4.5", "10.5", "5.25"):
            answer = await person.post(path, {"amount": amount, "plan": "GLD-3M"})
            told += [error["detail"] for error in answer.json()["errors"]]
        assert told == ["At least 5.", "At most 10.", "A multiple of 0.5."]


async def test_a_plan_off_sale_is_unknown(person: Person) -> None:
    """Neither before its sale nor after it."""
    await put_on_sale(person.service.database_url, make_plan(id="LATER", on_sale_from_ms=4_000_000_000_000))
    await put_on_sale(person.service.database_url, make_plan(id="OVER", on_sale_until_ms=1))
    for path in ("/api/stake/quote", "/api/stake"):
        for plan in ("LATER", "OVER"):
            assert_problem(await person.post(path, {"amount": 1, "plan": plan}), 422, "unknown_plan")
