"""GET /api/stake/{stakeId} tells what a stake has accrued, what it will pay, and what it has paid."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.http.conftest import ROOMY
from tests.http.quote_stake.test_200 import recomputed_minor
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.support.native import running_service
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person, Service


async def detail(person: Person, stake_id: str) -> dict[str, Any]:
    answer = await person.get(f"/api/stake/{stake_id}")
    assert answer.status_code == 200, answer.text
    stake: dict[str, Any] = answer.json()
    return stake


async def test_a_new_stake_has_accrued_nothing(person: Person) -> None:
    """It tells what it will pay, on which terms, and what has not happened yet is null."""
    stake_id = await person.stake(amount=1000, period=1)
    stake = await detail(person, stake_id)
    assert stake["accrued"] == "0"
    assert stake["trace"]["days"] == 0
    assert stake["dayCount"] == stake["trace"]["dayCount"] == "ACT/365F"
    assert stake["valueDate"] == stake["trace"]["from"] == stake["trace"]["to"] == stake["createdAt"][:10]
    assert stake["realised"] is stake["renewedFrom"] is stake["renewedTo"] is stake["releasesAt"] is None
    created = datetime.fromisoformat(stake["createdAt"])
    grace_ends = datetime.fromisoformat(stake["gracePeriodEndsAt"])
    assert (grace_ends - created).total_seconds() == 3600


async def test_the_tag_is_strong(person: Person) -> None:
    """One stake is the same bytes from the database and from the cache; a list is not, and says so."""
    path = f"/api/stake/{await person.stake()}"
    answers = [await person.get(path) for _ in range(4)]
    assert (
        len({answer.content for answer in answers})
        == len({answer.headers["etag"] for answer in answers})
        == 1
    )
    assert answers[0].headers["etag"].startswith('"')
    assert (await person.get("/api/stake")).headers["etag"].startswith('W/"')
    other = await person.get(f"/api/stake/{await person.stake()}")
    assert other.headers["etag"] != answers[0].headers["etag"]


async def test_without_a_grace_period_there_is_no_end_of_it(person: Person) -> None:
    """Null, where a stake cannot be cancelled."""
    await put_on_sale(person.service.database_url, make_plan(id="FIRM", grace_s=0))
    made = await person.post("/api/stake", {"amount": 1, "plan": "FIRM"})
    assert (await person.get(made.headers["location"])).json()["gracePeriodEndsAt"] is None


ENDS = [
    # How a stake comes to be so in the database, and what is told of it.
    (
        "state = 'unstaking', exited_on = value_date, reward_minor = 0, forfeited_minor = 5,"
        " due_at = TIMESTAMPTZ '2099-01-31 09:30:00Z'",
        {"status": "unstaking", "releasesAt": "2099-01-31T09:30:00.000Z", "gracePeriodEndsAt": None},
        {"reward": "0", "forfeited": "0.00000005", "endedAt": None},
    ),
    (
        "state = 'closed_early', exited_on = value_date, reward_minor = 7, forfeited_minor = 0,"
        " due_at = NULL, ended_at = TIMESTAMPTZ '2027-01-31 09:30:00Z'",
        {"status": "closed_early", "releasesAt": None, "gracePeriodEndsAt": None},
        {"reward": "0.00000007", "forfeited": "0", "endedAt": "2027-01-31T09:30:00.000Z"},
    ),
    (
        "state = 'renewed', reward_minor = 700000000, forfeited_minor = 0, due_at = NULL, renewed_to = id,"
        " ended_at = TIMESTAMPTZ '2027-01-31 09:30:00Z'",
        {"status": "renewed", "accrued": "0.12", "reward": "0.12", "payout": "1.12"},
        {"reward": "7", "forfeited": "0", "exitedOn": None, "endedAt": "2027-01-31T09:30:00.000Z"},
    ),
]


@pytest.mark.parametrize(("change", "told", "realised"), ENDS, ids=["unstaking", "closed early", "renewed"])
async def test_what_became_of_it_is_told(
    person: Person, change: str, told: dict[str, object], realised: dict[str, object]
) -> None:
    """As it was written when it was certain; what it has earned ends with it."""
    stake_id = await person.stake(amount=1, period=12)
    await person.service.sql(f"UPDATE stakes SET {change}")
    stake = await detail(person, stake_id)
    assert stake | told == stake
    assert stake["realised"] | realised == stake["realised"]
    if "exited_on" in change:
        assert stake["realised"]["exitedOn"] == stake["valueDate"]
        assert stake["accrued"] == "0"
    if "renewed_to" in change:
        assert stake["renewedTo"] == stake_id


def at_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@asynccontextmanager
async def service_at(
    database_url: str, redis_url: str, clock: ManualClock
) -> AsyncIterator[tuple[Service, DatabaseClock]]:
    database_clock = await DatabaseClock.install(database_url)
    await database_clock.set(clock.now_ms())
    settings = {"STAKEHOLD_LIMITS": ROOMY}
    async with running_service(database_url, redis_url, settings, clock=clock) as service:
        yield service, database_clock


@pytest.mark.native_only("moves the clock of the service's process")
async def test_it_accrues_by_the_day(database_url: str, redis_url: str) -> None:
    """Each day in UTC adds to it, up to the whole reward, which every trace of a day leads to."""
    clock = ManualClock(at_ms("2028-01-31T23:59:59.999"))
    async with service_at(database_url, redis_url, clock) as (service, _):
        person = await service.sign_up()
        await put_on_sale(database_url, make_plan(id="MONTH", period_months=1))
        made = await person.post("/api/stake", {"amount": 1000, "plan": "MONTH"})
        stake_id, accrued = made.json()["stakeId"], []
        for day in range(29):
            stake = await detail(person, stake_id)
            assert stake["trace"]["days"] == day
            assert recomputed_minor(stake["trace"]) == int(stake["trace"]["accruedMinor"])
            assert (stake["reward"], stake["payout"]) == ("9.53424657", "1009.53424657")
            accrued.append(stake["accrued"])
            clock.advance(86_400)
            person = await service.sign_in(person.username)
        assert accrued[:3] == ["0", "0.32876712", "0.65753424"]
        stake = await detail(person, stake_id)
        assert (stake["accrued"], stake["trace"]["to"]) == ("9.53424657", "2028-02-29")


@pytest.mark.native_only("moves the clock of the service's process")
async def test_no_cached_stake_outlives_the_day(database_url: str, redis_url: str) -> None:
    """A page of before midnight is gone after it; a list, which tells nothing of the day, may stay."""
    clock = ManualClock(at_ms("2027-03-31T23:59:59.700"))
    async with service_at(database_url, redis_url, clock) as (service, _):
        person = await service.sign_up()
        stake_id = await person.stake(amount=1000, period=12)
        for _ in range(3):
            assert (await detail(person, stake_id))["accrued"] == "0"
        # Redis keeps time by its own clock: the entry's life is what is looked at.
        [key] = [key for key in await _keys(service) if b"stakes" in key]
        entry = await service.redis("HGET", key.decode(), f"e:stake:{stake_id}")
        assert isinstance(entry, bytes)
        entered_ms, _, stale_until_ms = (int(number) for number in entry.split(b" ")[:3])
        assert stale_until_ms - entered_ms == 300


@pytest.mark.native_only("moves the clock of the service's process")
@pytest.mark.parametrize("looks_at_list", [False, True], ids=["one", "list"])
async def test_a_matured_stake_is_paid_when_its_owner_looks(
    database_url: str, redis_url: str, looks_at_list: bool
) -> None:
    """Without a settlement run, from the first millisecond on: what was promised is paid, and told so."""
    clock = ManualClock(at_ms("2027-01-31T12:00:00"))
    async with service_at(database_url, redis_url, clock) as (service, database_clock):
        person = await service.sign_up()
        body = {"amount": 1000, "plan": "STK-1M"}
        promised = (await person.post("/api/stake/quote", body)).json()
        stake_id = (await person.post("/api/stake", body)).json()["stakeId"]
        clock.advance((at_ms("2027-02-28T00:00:00") - clock.now_ms()) / 1000)
        await database_clock.set(clock.now_ms())
        person = await service.sign_in(person.username)
        if looks_at_list:
            assert [item["status"] for item in (await person.list_stakes())["items"]] == ["paid_out"]
        for _ in range(3):
            stake = await detail(person, stake_id)
            assert stake["status"] == "paid_out"
            assert stake["accrued"] == stake["reward"] == promised["reward"]
            assert stake["realised"] == {
                "reward": promised["reward"],
                "forfeited": "0",
                "exitedOn": None,
                "endedAt": "2027-02-28T00:00:00.000Z",
            }
        assert [item["status"] for item in (await person.list_stakes())["items"]] == ["paid_out"]
        assert await service.sql("SELECT available_minor, staked_minor FROM balances") == [
            (Decimal(promised["payout"]) * 10**8, 0)
        ]


async def _keys(service: Service) -> list[bytes]:
    keys = await service.redis("KEYS", "*")
    assert isinstance(keys, list)
    return [key for key in keys if isinstance(key, bytes)]
