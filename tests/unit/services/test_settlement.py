"""Settlement on real stores: each stake is paid once, whoever settles, and whenever."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import stake_creation
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.accrual import accrued_minor
from stakehold.domain.ids import new_id
from stakehold.domain.timestamps import midnight_ms
from stakehold.services import settlement
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.plans import make_plan
from tests.support.postgres_proxy import PostgresProxy

START = date(2027, 1, 31)


@pytest.fixture
async def people(database_clock: DatabaseClock, open_desk: Any) -> tuple[Any, list[UUID]]:
    """A desk at the beginning of 31 January 2027, and three users."""
    await database_clock.set(midnight_ms(START))
    desk = await open_desk()
    users = []
    for name in ("ada", "grace", "joan"):
        await desk.add_user(name)
        [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = $1", name)
        users.append(user_id)
    return desk, users


async def _stake(
    desk: Any, user_id: UUID, months: int = 1, instruction: Any = "payout", amount: int = 10**11
) -> UUID:
    new = NewStake(
        user_id,
        new_id(desk.services.clock, desk.services.entropy),
        UUID(int=1),
        1,
        amount,
        PlanChoice("STK", 8, months),
        maturity_instruction=instruction,
    )
    made = await desk.services.run(lambda c: stake_creation.create_stake(c, new), desk.deadline)
    assert made.outcome == "created"
    return new.id


async def _settle_all(desk: Any) -> int:
    settled = 0
    while count := await settlement.settle_due(desk.services, desk.deadline, batch=7):
        settled += count
    return settled


def _reward(amount_minor: int, months: int, start: date, end: date) -> int:
    ppm = {1: 30_000, 3: 50_000, 6: 80_000, 12: 120_000}[months]
    return amount_minor * ppm * (end - start).days // (10**6 * 365)


async def test_a_stake_is_paid_at_its_maturity_and_not_before(
    people: Any, database_clock: DatabaseClock
) -> None:
    """Not in the last millisecond before 28 February; then principal and reward, to the unit, and once."""
    desk, (ada, *_) = people
    stake = await _stake(desk, ada)
    await database_clock.set(midnight_ms(date(2027, 2, 28)) - 1)
    assert await _settle_all(desk) == 0
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert [await _settle_all(desk) for _ in range(3)] == [1, 0, 0]
    books = await check_books(desk.database_url)
    assert books.paid(stake, "principal") == [10**11]
    assert books.paid(stake, "reward") == [_reward(10**11, 1, START, date(2027, 2, 28))] == [230136986]
    [row] = await desk.sql("SELECT state, reward_minor, forfeited_minor, due_at FROM stakes")
    assert row == ("paid_out", 230136986, 0, None)


async def test_renewals_keep_the_day_of_the_origin(people: Any, database_clock: DatabaseClock) -> None:
    """From 31 January by 28 February to 31 March, whether settled in time or months later, all at once."""
    desk, (ada, grace, _) = people
    await _stake(desk, ada, 1, "renew_principal")
    await _stake(desk, grace, 1, "renew_all")
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert await settlement.settle_user(desk.services, ada, desk.deadline)
    await database_clock.set(midnight_ms(date(2027, 5, 31)) - 1)
    assert await _settle_all(desk) > 0
    days = "SELECT value_date, maturity_date, state FROM stakes WHERE user_id = $1 ORDER BY value_date"
    expected = [
        (START, date(2027, 2, 28), "renewed"),
        (date(2027, 2, 28), date(2027, 3, 31), "renewed"),
        (date(2027, 3, 31), date(2027, 4, 30), "renewed"),
        (date(2027, 4, 30), date(2027, 5, 31), "active"),
    ]
    assert await desk.sql(days, ada) == await desk.sql(days, grace) == expected
    await check_books(desk.database_url)
    amount_minor, paid = 10**11, 0
    for start, end, state in expected:
        if state == "renewed":
            reward = _reward(10**11, 1, start, end)
            paid += reward
            amount_minor += _reward(amount_minor, 1, start, end)
    assert await desk.sql("SELECT available_minor, staked_minor FROM balances WHERE user_id = $1", ada) == [
        (paid, 10**11)
    ]
    assert await desk.sql("SELECT available_minor, staked_minor FROM balances WHERE user_id = $1", grace) == [
        (0, amount_minor)
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE plans SET on_sale_until = TIMESTAMPTZ '2027-02-27 00:00:00+00:00' WHERE id = 'STK-1M'",
        "UPDATE plans SET maximum_minor = 100000000000 WHERE id = 'STK-1M'",
        "UPDATE plans SET minimum_minor = 200000000000 WHERE id = 'STK-1M'",
        "UPDATE plans SET step_minor = 100000000000 WHERE id = 'STK-1M'",
    ],
)
async def test_what_cannot_be_renewed_is_paid_out(
    people: Any, database_clock: DatabaseClock, change: str
) -> None:
    """Nothing on sale at maturity, or an amount that does not fit its terms any more."""
    desk, (ada, *_) = people
    stake = await _stake(desk, ada, 1, "renew_all")
    await desk.sql(change)
    await database_clock.set(midnight_ms(date(2027, 6, 1)))
    assert await _settle_all(desk) == 1
    assert await desk.sql("SELECT id, state FROM stakes") == [(stake, "paid_out")]
    await check_books(desk.database_url)


async def test_what_was_on_sale_at_maturity_counts(people: Any, database_clock: DatabaseClock) -> None:
    """A version of later days does not renew a stake that matured before, however late settlement comes."""
    desk, (ada, *_) = people
    await _stake(desk, ada, 1, "renew_principal")
    for version, begins in ((2, "2027-02-28"), (3, "2027-03-01")):
        await desk.sql(
            "INSERT INTO plans"
            " (id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from)"
            f" VALUES ('STK-1M', {version}, 'STK', 8, 1, {version}0000, 1,"
            f" TIMESTAMPTZ '{begins} 00:00:00+00:00')"
        )
    await database_clock.set(midnight_ms(date(2027, 3, 15)))
    assert await _settle_all(desk) == 1
    assert await desk.sql("SELECT plan_version FROM stakes ORDER BY value_date") == [(1,), (2,)]


@pytest.mark.parametrize("room_minor", [230136985, 230136986])
@pytest.mark.parametrize("limit", ["capacity", "user_cap"])
async def test_a_renewal_needs_room(
    people: Any, database_clock: DatabaseClock, limit: str, room_minor: int
) -> None:
    """With all renewed the reward needs room in the plan: with a unit too little everything is paid out."""
    desk, (ada, *_) = people
    await desk.sql(
        f"UPDATE plans SET {limit}_minor = 100000000000 + $1::NUMERIC WHERE id = 'STK-1M'", room_minor
    )
    if limit == "capacity":
        await desk.sql("INSERT INTO plan_usage VALUES ('STK-1M', 0, NULL)")
    await _stake(desk, ada, 1, "renew_all")
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert await _settle_all(desk) == 1
    states = [state for (state,) in await desk.sql("SELECT state FROM stakes ORDER BY value_date")]
    assert states == (["renewed", "active"] if room_minor == 230136986 else ["paid_out"])
    await check_books(desk.database_url)


async def test_many_settle_at_once(people: Any, open_desk: Any, database_clock: DatabaseClock) -> None:
    """Eight at the same time over 120 stakes of three users: each is settled exactly once."""
    desk, users = people
    for number in range(120):
        instruction = ("payout", "renew_principal", "renew_all")[number % 3]
        await _stake(desk, users[number % 3], (1, 3)[number % 2], instruction, 1000 + number)
    await database_clock.set(midnight_ms(date(2027, 4, 30)))
    counts = await asyncio.gather(*(_settle_all(desk) for _ in range(8)))
    ended = await desk.sql("SELECT count(*) FROM stakes WHERE ended_at IS NOT NULL")
    assert ended == [(sum(counts),)]
    assert await desk.sql("SELECT count(*) FROM stakes WHERE due_at <= clock.now()") == [(0,)]
    books = await check_books(desk.database_url)
    for identifier, amount, plan_days in await desk.sql(
        "SELECT id, amount_minor, maturity_date - value_date FROM stakes WHERE state = 'paid_out'"
    ):
        assert books.paid(identifier, "principal") == [amount], plan_days


async def test_a_lost_answer_pays_nobody_twice(
    people: Any, open_desk: Any, database_clock: DatabaseClock
) -> None:
    """Connections that break off around the commit: run again, every stake is paid once."""
    desk, (ada, *_) = people
    made = [await _stake(desk, ada, amount=10**9 + number) for number in range(5)]
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    async with PostgresProxy(desk.database_url) as proxy:
        other = await open_desk(database_url=proxy.url)
        for marker in ("COMMIT", "INTO transfers", "UPDATE stakes", "INTO events"):
            proxy.cut_answers(1, marker)
            await settlement.settle_due(other.services, other.deadline, batch=1)
        await _settle_all(other)
    books = await check_books(desk.database_url)
    for number, stake in enumerate(made):
        assert books.paid(stake, "principal") == [10**9 + number]
        plan = make_plan(period_months=1, bands=(make_plan().bands[0].__class__(0, 30_000),))
        assert books.paid(stake, "reward") == [
            accrued_minor(plan, 10**9 + number, START, date(2027, 2, 28), date(2027, 2, 28))
        ]
