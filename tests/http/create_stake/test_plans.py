"""POST /api/stake takes the name of a plan: in any asset, at its scale, within its limits."""

import asyncio

import pytest

from tests.http.conftest import StartService
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person, Service, assert_field, assert_problem, count_by_status

WEI = make_plan(id="ETH-6M", asset="ETH", scale=18, period_months=6)


async def test_the_amount_is_read_in_the_plans_asset(person: Person) -> None:
    """Eighteen decimals where the asset has them; the stake tells its plan, asset and version."""
    await put_on_sale(person.service.database_url, WEI)
    answer = await person.post("/api/stake", {"amount": "0.000000000000000001", "plan": "ETH-6M"})
    assert answer.status_code == 201, answer.text
    [item] = (await person.list_stakes())["items"]
    del item["id"], item["createdAt"], item["maturesAt"]
    assert item == {
        "amount": "0.000000000000000001",
        "period": "6",
        "asset": "ETH",
        "rate": "0.12",
        "status": "active",
        "plan": "ETH-6M",
        "planVersion": 1,
        "maturityInstruction": "payout",
    }
    assert await person.service.sql("SELECT asset, staked_minor::INT8 FROM balances") == [("ETH", 1)]


@pytest.mark.parametrize("instruction", ["payout", "renew_principal", "renew_all"])
async def test_the_maturity_instruction_is_kept(person: Person, instruction: str) -> None:
    """What was chosen when the stake was made is told of it."""
    body = {"amount": 1, "period": 12, "maturityInstruction": instruction}
    made = await person.post("/api/stake", body)
    stake = (await person.get(made.headers["location"])).json()
    assert stake["maturityInstruction"] == instruction
    refused = await person.post("/api/stake", {**body, "maturityInstruction": "renew"})
    assert_field(assert_problem(refused, 422, "validation_error"), "/maturityInstruction", "invalid")


async def test_the_latest_version_on_sale_applies(person: Person) -> None:
    """A plan's name means its latest version, like the period does."""
    await put_on_sale(person.service.database_url, make_plan(version=2))
    for choice in ({"period": 12}, {"plan": "STK-12M"}):
        made = await person.post("/api/stake", {"amount": 1, **choice})
        assert (await person.get(made.headers["location"])).json()["planVersion"] == 2


async def _race(people: list[Person], plan: str) -> tuple[list[Person], set[str]]:
    """Who of `people`, all asking for one unit of `plan` at once, got it, and what the others were told."""
    answers = await asyncio.gather(
        *(person.post("/api/stake", {"amount": 1, "plan": plan}) for person in people)
    )
    assert set(count_by_status(answers)) <= {201, 409}, [answer.text for answer in answers]
    winners = [person for person, answer in zip(people, answers, strict=True) if answer.status_code == 201]
    return winners, {answer.json()["code"] for answer in answers if answer.status_code == 409}


@pytest.mark.chance("who wins, and is answered first")
async def test_fifty_race_for_the_last_ten_of_a_capacity(roomy_service: Service) -> None:
    """Exactly ten get a unit each; the others are told, and nothing of theirs is left behind."""
    plan = make_plan(id="TIGHT", capacity_minor=100 * 10**8)
    await put_on_sale(roomy_service.database_url, plan)
    first = await roomy_service.enrol()
    assert (await first.post("/api/stake", {"amount": 90, "plan": "TIGHT"})).status_code == 201
    people = [await roomy_service.enrol() for _ in range(50)]
    winners, told = await _race(people, "TIGHT")
    assert len(winners) == 10
    assert told == {"capacity_exceeded"}
    sql = roomy_service.sql
    assert await sql("SELECT staked_minor::INT8 FROM plan_usage") == [(100 * 10**8,)]
    assert await sql("SELECT count(*), sum(amount_minor)::INT8 FROM stakes") == [(11, 100 * 10**8)]
    assert await sql("SELECT count(*), sum(staked_minor)::INT8 FROM balances") == [(11, 100 * 10**8)]
    assert await sql("SELECT count(*) FROM transfers WHERE user_id IN (SELECT id FROM users)") == [(11,)]
    for person in people:
        assert len((await person.list_stakes())["items"]) == (person in winners)


@pytest.mark.chance("who wins, and is answered first")
async def test_fifty_of_one_user_race_for_the_last_ten_of_a_cap(person: Person) -> None:
    """Exactly ten are made, whatever the order; another user has a cap of their own."""
    sql, url = person.service.sql, person.service.database_url
    await put_on_sale(url, make_plan(id="CAPPED", user_cap_minor=100 * 10**8))
    assert (await person.post("/api/stake", {"amount": 90, "plan": "CAPPED"})).status_code == 201
    winners, told = await _race([person] * 50, "CAPPED")
    assert len(winners) == 10
    assert told == {"user_cap_exceeded"}
    assert await sql("SELECT staked_minor::INT8 FROM plan_user_usage") == [(100 * 10**8,)]
    assert await sql("SELECT count(*), sum(amount_minor)::INT8 FROM stakes") == [(11, 100 * 10**8)]
    assert await sql("SELECT staked_minor::INT8 FROM balances") == [(100 * 10**8,)]
    other = await person.service.enrol()
    assert (await other.post("/api/stake", {"amount": 100, "plan": "CAPPED"})).status_code == 201
    over = await other.post("/api/stake", {"amount": "0.00000001", "plan": "CAPPED"})
    assert_problem(over, 409, "user_cap_exceeded")


async def test_stakes_made_before_there_was_a_limit_count(person: Person) -> None:
    """A version with limits counts what is staked under the versions without."""
    await person.stake(amount=8, period=12)
    limited = make_plan(version=2, capacity_minor=10 * 10**8, user_cap_minor=9 * 10**8)
    await put_on_sale(person.service.database_url, limited)
    refused = await person.post("/api/stake", {"amount": 2, "period": 12})
    assert_problem(refused, 409, "user_cap_exceeded")
    await person.stake(amount=1, period=12)
    other = await person.service.enrol()
    refused = await other.post("/api/stake", {"amount": 2, "plan": "STK-12M"})
    assert_problem(refused, 409, "capacity_exceeded")
    await other.stake(amount=1, period=12)


async def test_with_funding_from_balances_no_more_is_staked_than_available(
    start_service: StartService,
) -> None:
    """What a stake takes is not available any more; without funds, or enough of them, there is none."""
    service = await start_service(FUNDING="balance")
    person = await service.enrol()
    body = {"amount": "1.5", "period": 12}
    refused = assert_problem(await person.post("/api/stake", body), 422, "insufficient_funds")
    assert_field(refused, "/amount", "insufficient_funds")
    await service.sql(
        "INSERT INTO balances (user_id, asset, available_minor, staked_minor)"
        " SELECT id, 'STK', 200000000, 0 FROM users"
    )
    assert (await person.post("/api/stake", body)).status_code == 201
    assert_problem(await person.post("/api/stake", body), 422, "insufficient_funds")
    assert await service.sql("SELECT available_minor::INT8, staked_minor::INT8 FROM balances") == [
        (50_000_000, 150_000_000)
    ]
    assert await service.sql(
        "SELECT debit_account FROM transfers WHERE user_id IN (SELECT id FROM users)"
    ) == [("available",)]
