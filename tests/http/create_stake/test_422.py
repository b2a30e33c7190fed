"""POST /api/stake answers 422 when the JSON was read and what it says is refused."""

import json

import pytest

from tests.support.service import Person, assert_field, assert_problem

JSON = {"Content-Type": "application/json"}

REFUSED_AMOUNTS = [
    # As JSON tokens. Nothing, and less than nothing.
    "0", "-0", "0.0", "0e5", "-1", "-0.00000001", '"0"', '"-0"', '"-1"',
    # No numbers.
    '"NaN"', '"Infinity"', '"-Infinity"', '"inf"', '""', '"abc"', "true", "false", "null", "[1]", "[]",
    '{"value":1}', "{}",
    # Too large, too small, too long.
    "1e400", '"1e400"', "1e-400", "1e999", "1e1000", "1e99999999999", "1e30", "1" + "0" * 30, "9" * 39,
    '"' + "9" * 39 + '"', "9" * 65, "0." + "0" * 70 + "1",
    # More decimals than the asset has.
    "0.000000001", "1.123456789", "1e-9",
    # Not as JSON writes numbers, in a string where JSON would not let them stand by themselves.
    '"٣"', '"１"', '"१००"', '"¼"', '"1,000"', '"1_000"', '"1 000"', '" 5"', '"5 "', '"+5"', '"0x10"', '"1."',
    '".5"', '"01"', '"1e"', '"1e+"', '"--1"', '"1-1"', '"1\\u0000"', '"\\u0031"', '"1\\n"',
]  # fmt: skip


async def test_no_bad_amount_is_stored(person: Person) -> None:
    """Whatever is not an exact, positive decimal of at most 38 digits is refused, and names /amount."""
    for token in REFUSED_AMOUNTS:
        body = f'{{"amount":{token},"period":12}}'.encode()
        answer = await person.post("/api/stake", content=body, headers=JSON)
        assert answer.status_code == 422, (token, answer.text)
        assert_field(assert_problem(answer, 422, "validation_error"), "/amount")
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(0,)]
    assert (await person.list_stakes())["items"] == []


@pytest.mark.parametrize("sum_", [0.1 + 0.2, 1.1 + 2.2])
async def test_a_float_sum_is_refused_and_not_rounded(person: Person, sum_: float) -> None:
    """0.1 + 0.2 as a client's floats make it has 17 decimals: it is told so, never rounded in silence."""
    answer = await person.post("/api/stake", {"amount": sum_, "period": 12})
    assert_field(assert_problem(answer, 422, "validation_error"), "/amount", "invalid_amount")


async def test_an_unknown_period_names_those_on_sale(person: Person) -> None:
    """The problem lists the periods to choose from, as text and as a member."""
    for period in (2, 4, 24, 1200):
        answer = await person.post("/api/stake", {"amount": 1, "period": period})
        problem = assert_problem(answer, 422, "unknown_period")
        assert problem["periods"] == ["1", "3", "6", "12"]
        assert "1, 3, 6, 12" in problem["detail"]
        assert_field(problem, "/period", "unknown_period")
    assert (await person.list_stakes())["items"] == []


REFUSED_PERIODS = [
    "0", "-1", "-12", "1201", "12.5", "1e400", "true", "null", '"12"', '"twelve"', "[12]", "9" * 400,
    "1" + "0" * 30,
]  # fmt: skip


async def test_a_period_is_a_number_of_months(person: Person, subtests: pytest.Subtests) -> None:
    """What is no whole number of months from 1 up is refused, and names /period."""
    for period in REFUSED_PERIODS:
        with subtests.test(period=period):
            body = f'{{"amount":1,"period":{period}}}'.encode()
            answer = await person.post("/api/stake", content=body, headers=JSON)
            assert_field(assert_problem(answer, 422, "validation_error"), "/period")


WRONG_FIELDS: list[tuple[object, str, str]] = [
    ({"period": 12}, "/amount", "missing"),
    ({"amount": 1}, "/period", "missing"),
    ({"amount": 1, "period": 12, "ammount": 2}, "/ammount", "unknown_field"),
    ({"amount": 1, "period": 12, "Amount": 2}, "/Amount", "unknown_field"),
    ({"amount": 1, "period": 12, "userId": "someone"}, "/userId", "unknown_field"),
    ({"amount": 1, "period": 12, "rate": 9}, "/rate", "unknown_field"),
    ({"amount": 1, "period": 12, "a/b~c.d[0]": 9}, "/a~1b~0c.d[0]", "unknown_field"),
    ({"amount": 1, "period": 12, "`x` - at `$.y": 9}, "/`x` - at `$.y", "unknown_field"),
    ({"amount": 1, "period": 12, "": 9}, "/", "unknown_field"),
]


async def test_missing_and_unknown_fields_are_named(person: Person, subtests: pytest.Subtests) -> None:
    """A misspelt field is noticed: nothing is left out and nothing passes unread."""
    for body, pointer, code in WRONG_FIELDS:
        with subtests.test(body=body):
            answer = await person.post("/api/stake", body)
            assert_field(assert_problem(answer, 422, "validation_error"), pointer, code)


async def test_a_body_is_an_object(person: Person, subtests: pytest.Subtests) -> None:
    """JSON of another type is refused for its content: it was JSON."""
    for body in ([], [1], "text", 1, None, True):
        with subtests.test(body=body):
            answer = await person.post("/api/stake", content=json.dumps(body), headers=JSON)
            assert_problem(answer, 422, "validation_error")


BAD_KEYS = [
    "",
    '""',
    "a b",
    '"' + "k" * 256 + '"',
    "k" * 256,
    '"unfinished',
    '"in"side"',
    "käse",
    '"tab\there"',
]


async def test_an_idempotency_key_is_a_short_string(person: Person, subtests: pytest.Subtests) -> None:
    """A key that is empty, too long or not printable ASCII is refused before anything is made."""
    for key in BAD_KEYS:
        with subtests.test(key=key):
            answer = await person.post(
                "/api/stake", {"amount": 1, "period": 12}, headers={b"Idempotency-Key": key.encode()}
            )
            assert_field(assert_problem(answer, 422, "validation_error"), "Idempotency-Key", "invalid_key")
    assert (await person.list_stakes())["items"] == []


async def test_two_idempotency_keys_are_refused(person: Person) -> None:
    """With two keys nobody can say which counts."""
    headers = [("Idempotency-Key", '"one"'), ("Idempotency-Key", '"two"'), *person.headers.items()]
    answer = await person.service.client.post("/api/stake", json={"amount": 1, "period": 12}, headers=headers)
    assert_field(assert_problem(answer, 422, "validation_error"), "Idempotency-Key", "invalid_key")
