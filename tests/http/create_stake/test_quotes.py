"""POST /api/stake with a quoteId makes what was quoted, or nothing."""

from typing import Any

import pytest

from stakehold.domain.plans import Band
from tests.http.conftest import ROOMY
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.support.native import running_service
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person, assert_field, assert_problem

BODY: dict[str, object] = {"amount": "1000", "period": 12}
NEARLY_MIDNIGHT_MS = 1_811_980_790_000
"""2027-06-02T23:59:50Z."""


async def quote(person: Person, body: dict[str, object] = BODY) -> dict[str, Any]:
    answer = await person.post("/api/stake/quote", body)
    assert answer.status_code == 200, answer.text
    quoted: dict[str, Any] = answer.json()
    return quoted


async def made(person: Person, body: dict[str, object], key: str | None = None) -> dict[str, Any]:
    """The stake that `body` makes."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await person.post("/api/stake", body, headers=headers)
    assert answer.status_code == 201, answer.text
    stake: dict[str, Any] = (await person.get(answer.headers["location"])).json()
    return stake


async def test_a_version_published_meanwhile_changes_nothing(person: Person) -> None:
    """The quoted version is the stake's, also once it is off sale; without the quote the new one is."""
    quoted = await quote(person)
    await put_on_sale(person.service.database_url, make_plan(version=2, bands=(Band(0, 1),)))
    await person.service.sql("UPDATE plans SET on_sale_until = now() WHERE version = 1")
    stake = await made(person, {**BODY, "quoteId": quoted["quoteId"]})
    assert (stake["planVersion"], stake["rate"], stake["reward"]) == (1, "0.12", quoted["reward"])
    assert (await made(person, BODY))["rate"] == "0.000001"


async def test_a_quote_by_period_is_one_by_its_plan(person: Person) -> None:
    """The same terms under either name; the amount is the same in any spelling."""
    quoted = await quote(person)
    stake = await made(person, {"amount": 1e3, "plan": "STK-12M", "quoteId": quoted["quoteId"]})
    assert stake["reward"] == quoted["reward"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"amount": "1000.00000001"}, "/amount"),
        ({"period": 6}, "/period"),
        ({"period": None, "plan": "STK-6M"}, "/plan"),
        ({"period": None, "plan": "X-12M"}, "/plan"),
        ({"period": None, "plan": "GLD-12M"}, "/plan"),
    ],
)
async def test_a_quote_for_another_stake_is_refused(
    person: Person, change: dict[str, object], pointer: str
) -> None:
    """The problem names the field that is not as it was quoted, and nothing is made."""
    await put_on_sale(person.service.database_url, make_plan(id="X-12M"))
    # The same amount, of which there are other minor units.
    await put_on_sale(person.service.database_url, make_plan(id="GLD-12M", asset="GLD", scale=2))
    body = {**BODY, **change, "quoteId": (await quote(person))["quoteId"]}
    answer = await person.post(
        "/api/stake", {name: value for name, value in body.items() if value is not None}
    )
    assert_field(assert_problem(answer, 422, "quote_mismatch"), pointer, "quote_mismatch")
    assert (await person.list_stakes())["items"] == []


async def test_a_quote_of_an_asset_is_none_for_a_period(person: Person) -> None:
    """A period alone means STK: a quote for as many months in another asset is another's."""
    await put_on_sale(person.service.database_url, make_plan(id="GLD-12M", asset="GLD"))
    quoted = await quote(person, {"amount": 1000, "plan": "GLD-12M"})
    answer = await person.post("/api/stake", {**BODY, "quoteId": quoted["quoteId"]})
    assert_field(assert_problem(answer, 422, "quote_mismatch"), "/period", "quote_mismatch")


async def test_what_is_no_quote_of_the_user_is_refused(person: Person) -> None:
    """Tampered with, of another user, or of nobody's: it is told that it is no quote, and no more."""
    mine = (await quote(person))["quoteId"]
    other = (await quote(await person.service.enrol()))["quoteId"]
    tampered = mine[:-2] + ("AA" if mine[-2:] != "AA" else "BB")
    payload, _, signature = mine.partition(".")
    for text in (other, tampered, payload, f"{payload}A.{signature}", "shq_x", "é", mine + " "):
        answer = await person.post("/api/stake", {**BODY, "quoteId": text})
        assert_field(assert_problem(answer, 422, "invalid_quote"), "/quoteId", "invalid_quote")
    for text in ("", "x" * 1025):
        answer = await person.post("/api/stake", {**BODY, "quoteId": text})
        assert_field(assert_problem(answer, 422, "validation_error"), "/quoteId", "invalid")
    assert (await person.list_stakes())["items"] == []


async def test_a_quote_reserves_nothing(person: Person) -> None:
    """Room that was there when it was quoted may be taken when it is used."""
    await put_on_sale(person.service.database_url, make_plan(id="TIGHT", capacity_minor=1000 * 10**8))
    body: dict[str, object] = {"amount": 1000, "plan": "TIGHT"}
    quoted = await quote(person, body)
    await made(await person.service.enrol(), {"amount": 1, "plan": "TIGHT"})
    answer = await person.post("/api/stake", {**body, "quoteId": quoted["quoteId"]})
    assert_problem(answer, 409, "capacity_exceeded")


@pytest.mark.native_only("moves the clocks of the database and of the service's process")
async def test_midnight_between_quote_and_creation(database_url: str, redis_url: str) -> None:
    """Quoted at 23:59:50 and made at 00:00:10, it begins on the day it was quoted, and pays what was said."""
    database_clock = await DatabaseClock.install(database_url)
    clock = ManualClock(NEARLY_MIDNIGHT_MS)
    await database_clock.set(NEARLY_MIDNIGHT_MS)
    settings = {"STAKEHOLD_LIMITS": ROOMY}
    async with running_service(database_url, redis_url, settings, clock=clock) as service:
        person = await service.sign_up()
        quoted = await quote(person)
        assert quoted["expiresAt"] == "2027-06-03T00:00:50.000Z"
        clock.advance(20)
        await database_clock.advance(20)
        stake = await made(person, {**BODY, "quoteId": quoted["quoteId"]})
        assert (stake["valueDate"], stake["maturesAt"]) == ("2027-06-02", "2028-06-02T00:00:00.000Z")
        assert stake["createdAt"] == "2027-06-03T00:00:10.000Z"
        assert (stake["reward"], stake["payout"]) == (quoted["reward"], quoted["payout"])
        assert stake["trace"]["days"] == 1
        later = await made(person, BODY)
        assert later["valueDate"] == "2027-06-03"
        await database_clock.advance(86_400 * 366)
        assert await service.sql(
            "SELECT maturity_date::TEXT, due_at = '2028-06-02Z' FROM stakes ORDER BY maturity_date"
        ) == [
            ("2028-06-02", True),
            ("2028-06-03", False),
        ]


@pytest.mark.native_only("moves the clock of the database")
async def test_a_quote_is_good_for_a_minute(database_url: str, redis_url: str) -> None:
    """In its last millisecond it is honoured, from its expiry on it is not; a replay outlives it."""
    database_clock = await DatabaseClock.install(database_url)
    await database_clock.set(NEARLY_MIDNIGHT_MS)
    async with running_service(database_url, redis_url, {"STAKEHOLD_LIMITS": ROOMY}) as service:
        person = await service.enrol()
        body = {**BODY, "quoteId": (await quote(person))["quoteId"]}
        await database_clock.set(NEARLY_MIDNIGHT_MS + 59_999)
        first = await made(person, body, key="first")
        await database_clock.set(NEARLY_MIDNIGHT_MS + 60_000)
        assert_problem(await person.post("/api/stake", body), 409, "quote_expired")
        fresh_key = {"Idempotency-Key": "second"}
        assert_problem(await person.post("/api/stake", body, headers=fresh_key), 409, "quote_expired")
        again = await person.post("/api/stake", body, headers={"Idempotency-Key": "first"})
        assert (again.status_code, again.json()["stakeId"]) == (201, first["id"])
        assert again.headers["idempotency-replayed"] == "true"
        assert len((await person.list_stakes())["items"]) == 1
