"""Settlement on real stores: each stake is paid once, whoever settles, and whenever."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import stake_creation
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.accrual import accrued_minor
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ids import new_id
from stakehold.domain.plans import Band, Plan
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import midnight_ms
from stakehold.redis.resp import RespRedis
from stakehold.services import plans, settlement
from stakehold.services.context import Services
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.plans import make_plan, put_on_sale
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


async def _limit(desk: Any, version: int, begins: date, **terms: Any) -> Plan:
    """Put a version of STK-1M on sale with some terms otherwise."""
    plan = make_plan(
        id="STK-1M",
        version=version,
        period_months=1,
        bands=(Band(0, 30_000),),
        on_sale_from_ms=midnight_ms(begins),
        **terms,
    )
    if version == 1:
        await desk.sql("DELETE FROM plans WHERE id = 'STK-1M'")
    return await put_on_sale(desk.database_url, plan)


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
    await desk.sql("ALTER TABLE plans DISABLE TRIGGER plans_terms_stay")
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
    await desk.sql("ALTER TABLE plans DISABLE TRIGGER plans_terms_stay")
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


@pytest.mark.parametrize(
    ("capacity_minor", "cap_minor"),
    [(10**11, 10**11), (10**11 + 230136986, 10**11 + 230136986), (None, None)],
)
async def test_a_version_with_more_room_renews(
    people: Any, database_clock: DatabaseClock, capacity_minor: int | None, cap_minor: int | None
) -> None:
    """Room is measured by the version on sale at maturity, of which no stake was made before."""
    desk, (ada, *_) = people
    first = await _limit(desk, 1, START, capacity_minor=10**11, user_cap_minor=10**11)
    await _stake(desk, ada, 1, "renew_all")
    await put_on_sale(
        desk.database_url,
        replace(
            first,
            version=2,
            on_sale_from_ms=midnight_ms(date(2027, 2, 1)),
            capacity_minor=capacity_minor,
            user_cap_minor=cap_minor,
        ),
    )
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert await _settle_all(desk) == 1
    states = [state for (state,) in await desk.sql("SELECT state FROM stakes ORDER BY value_date")]
    assert states == (["paid_out"] if capacity_minor == 10**11 else ["renewed", "active"])
    await check_books(desk.database_url)


@pytest.mark.parametrize("limit", ["capacity_minor", "user_cap_minor"])
async def test_a_lower_limit_lets_as_many_renew_as_fit(
    people: Any, database_clock: DatabaseClock, limit: str
) -> None:
    """Of three stakes, made when there was no limit, two fit under the one of the version on sale."""
    desk, (ada, *_) = people
    for _ in range(3):
        await _stake(desk, ada, 1, "renew_principal")
    await _limit(desk, 2, date(2027, 2, 1), **{limit: 2 * 10**11 + 5})
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    while await settlement.settle_due(desk.services, desk.deadline, batch=1):
        pass
    states = sorted(state for (state,) in await desk.sql("SELECT state FROM stakes"))
    assert states == ["active", "active", "paid_out", "renewed", "renewed"]
    await check_books(desk.database_url)


async def _open_fences(services: Services, redis_url: str) -> Any:
    """The marks of writes under way."""
    redis = RespRedis(redis_url, clock=services.clock, entropy=services.entropy, counters=services.counters)
    try:
        return await redis.command("KEYS", "*}:stakes:marks", timeout_s=5)
    finally:
        await redis.close()


async def test_room_that_is_taken_meanwhile_is_gone(
    people: Any, open_desk: Any, database_clock: DatabaseClock, redis_url: str
) -> None:
    """Somebody stakes what two renewals were about to: one is paid out, which makes room for the other.

    What was tried in vain keeps nobody's stakes from being cached.
    """
    desk, (ada, grace, joan) = people
    room_minor = 2 * 230136986
    await _limit(desk, 1, START, capacity_minor=2 * 10**11 + room_minor)
    await _stake(desk, ada, 1, "renew_all")
    await _stake(desk, grace, 1, "renew_all")
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.stall_at("INTO events")
        settling = asyncio.create_task(settlement.settle_due(machine.services, machine.deadline))
        async with asyncio.timeout(5):
            while not proxy.held:
                await asyncio.sleep(0.01)
        # Nobody who stakes in the plan waits for a batch that is under way.
        await _stake(desk, joan, amount=room_minor)
        assert len(await _open_fences(desk.services, redis_url)) == 2
        proxy.resume()
        assert await settling == 2
    assert await _open_fences(desk.services, redis_url) == []
    states = sorted(
        state for (state,) in await desk.sql("SELECT state FROM stakes WHERE user_id <> $1", joan)
    )
    assert states == ["active", "paid_out", "renewed"]
    await check_books(desk.database_url)


async def test_what_is_left_early_is_released_after_its_cooldown(
    people: Any, database_clock: DatabaseClock
) -> None:
    """With what was certain when it was left, and not before."""
    desk, (ada, *_) = people
    await desk.sql("ALTER TABLE plans DISABLE TRIGGER plans_terms_stay")
    await desk.sql(
        "UPDATE plans SET early_exit = 'forfeit_part', early_exit_ppm = 250000, cooldown_s = 86400"
    )
    stake = await _stake(desk, ada, 1, "renew_all")
    due_ms = midnight_ms(date(2027, 2, 3))
    # 1,000 at 3 % for a day, of which a quarter is forfeited.
    accrued_minor = 10**11 * 3 // (100 * 365)
    forfeited_minor = accrued_minor // 4
    reward_minor = accrued_minor - forfeited_minor
    await desk.sql(
        "UPDATE stakes SET state = 'unstaking', reward_minor = $2, forfeited_minor = $3,"
        " exited_on = '2027-02-01', due_at = to_timestamp(0) + $1::INT8 * INTERVAL '1 millisecond'",
        due_ms,
        reward_minor,
        forfeited_minor,
    )
    await database_clock.set(due_ms - 1)
    assert await _settle_all(desk) == 0
    await database_clock.set(due_ms)
    assert await _settle_all(desk) == 1
    assert await desk.sql("SELECT state, reward_minor, forfeited_minor, exited_on FROM stakes") == [
        ("closed_early", reward_minor, forfeited_minor, date(2027, 2, 1))
    ]
    books = await check_books(desk.database_url)
    assert (books.paid(stake, "principal"), books.paid(stake, "reward")) == ([10**11], [reward_minor])


async def test_a_stake_that_cannot_be_settled_stops_no_other(
    people: Any, database_clock: DatabaseClock
) -> None:
    """Somebody has tampered with a balance: that user's stakes are set aside, and everybody else is paid."""
    desk, (ada, grace, joan) = people
    for number in range(30):
        await _stake(desk, (ada, grace, joan)[number % 3], amount=1000 + number)
    await desk.sql("UPDATE balances SET staked_minor = 1 WHERE user_id = $1", grace)
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    aside: dict[Any, Exception] = {}
    settled = 0
    while count := await settlement.settle_due(desk.services, desk.deadline, batch=7, aside=aside):
        settled += count
    assert settled == 20
    assert {user_id for user_id, _ in aside} == {grace}
    assert len(aside) == 10
    left = await desk.sql("SELECT DISTINCT user_id FROM stakes WHERE due_at IS NOT NULL")
    assert left == [(grace,)]
    await desk.sql(
        "UPDATE balances SET staked_minor = $2 WHERE user_id = $1", grace, sum(range(1001, 1031, 3))
    )
    assert await settlement.settle_user(desk.services, grace, desk.deadline)
    await check_books(desk.database_url)


async def test_what_another_holds_is_left_alone_and_looked_at_again(
    people: Any, database_clock: DatabaseClock
) -> None:
    """Nobody waits for a machine that has stopped in the middle; when it lets go, its stakes are settled."""
    desk, (ada, grace, _) = people
    held = await _stake(desk, ada)
    free = await _stake(desk, grace)
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    other = await asyncpg.connect(desk.database_url)
    stopped = other.transaction()
    await stopped.start()
    await other.fetch("SELECT 1 FROM stakes WHERE id = $1 FOR UPDATE", held)
    assert await settlement.settle_due(desk.services, desk.deadline) == 1
    assert await desk.sql("SELECT id FROM stakes WHERE due_at IS NOT NULL") == [(held,)]
    waiting = asyncio.create_task(settlement.settle_due(desk.services, desk.deadline))
    async with asyncio.timeout(5):
        # It has looked, and found what it may not have: the transaction that tried has ended.
        while not await desk.sql(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%ROLLBACK%' OR query LIKE '%COMMIT%'"
        ):
            await asyncio.sleep(0.01)
    assert not waiting.done()
    await stopped.rollback()
    await other.close()
    assert await waiting == 1
    books = await check_books(desk.database_url)
    assert (books.paid(held, "principal"), books.paid(free, "principal")) == ([10**11], [10**11])


async def test_many_settle_at_once(people: Any, open_desk: Any, database_clock: DatabaseClock) -> None:
    """Four machines at the same time, 240 stakes of three users: each is settled once, and none in vain."""
    desk, users = people
    for number in range(240):
        instruction = ("payout", "renew_principal", "renew_all")[number % 3]
        await _stake(desk, users[number % 3], (1, 3)[number % 2], instruction, 1000 + number)
    await database_clock.set(midnight_ms(date(2027, 4, 30)))
    machines = [await open_desk() for _ in range(4)]
    counts = await asyncio.gather(*(_settle_all(machine) for machine in machines))
    assert [machine.services.counters.counted().get("sql_conflicts", 0) for machine in machines] == [0] * 4
    ended = await desk.sql("SELECT count(*) FROM stakes WHERE ended_at IS NOT NULL")
    assert ended == [(sum(counts),)]
    assert await desk.sql("SELECT count(*) FROM stakes WHERE due_at <= clock.now()") == [(0,)]
    books = await check_books(desk.database_url)
    for identifier, amount in await desk.sql("SELECT id, amount_minor FROM stakes WHERE state = 'paid_out'"):
        assert books.paid(identifier, "principal") == [amount]


async def test_a_machine_that_dies_leaves_all_or_nothing(
    people: Any, open_desk: Any, database_clock: DatabaseClock
) -> None:
    """Cut off before or after any statement of a batch and never heard of again: others do the rest, once."""
    desk, (ada, grace, _) = people
    await _limit(desk, 1, START, capacity_minor=10**12, user_cap_minor=10**12)
    statements = (
        "FROM ledger_heads", "FROM stakes", "DISTINCT ON (x.plan_id", "FROM plan_usage", "UPDATE stakes",
        "INTO stakes",
        "INTO transfers", "UPDATE balances", "UPDATE plan_usage", "INTO events", "COMMIT",
    )  # fmt: skip
    made = []
    for number in range(4 * len(statements)):
        instruction = ("renew_all", "renew_principal")[number % 2]
        made.append(await _stake(desk, (ada, grace)[number % 2], 1, instruction, 10**9 + number))
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    async with PostgresProxy(desk.database_url) as proxy:
        for statement in statements:
            for cut in (proxy.cut_requests, proxy.cut_answers):
                machine = await open_desk(database_url=proxy.url)
                # Enough for every attempt: whoever dies does not come again. (Whoever only does not hear of
                # the commit finds that it was done.)
                cut(10**6, statement)
                with contextlib.suppress(StakeholdError):
                    await settlement.settle_due(
                        machine.services, Deadline.after(machine.services.clock, 3.2), batch=1
                    )
                assert proxy.requests_to_cut + proxy.answers_to_cut < 10**6, statement
                proxy.cut_nothing_more()
    await _settle_all(desk)
    books = await check_books(desk.database_url)
    for number, stake in enumerate(made):
        assert books.paid(stake, "renewal") == [10**9 + number]
        assert len(books.paid(stake, "reward")) == 1


async def test_a_conflict_is_run_again(people: Any, database_clock: DatabaseClock) -> None:
    """What the database refuses with 40001, in the middle and at the commit, is done by another attempt."""
    desk, (ada, *_) = people
    made = [await _stake(desk, ada, amount=10**9 + number) for number in range(2)]
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    await desk.sql("CREATE SEQUENCE refusals")
    await desk.sql(
        "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('refusals') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF;"
        " RETURN NULL; END $$"
    )
    await desk.sql(
        "CREATE TRIGGER refuse AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    await desk.sql(
        "CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON transfers INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert await _settle_all(desk) == 2
    assert desk.services.counters.counted()["sql_conflicts"] == 2
    books = await check_books(desk.database_url)
    assert [books.paid(stake, "principal") for stake in made] == [[10**9], [10**9 + 1]]


async def test_publishing_a_capacity_counts_what_settlement_leaves(
    people: Any, open_desk: Any, database_clock: DatabaseClock
) -> None:
    """A plan gets its first capacity in the middle of a settlement: only what is staked after it counts."""
    desk, (ada, grace, _) = people
    await _stake(desk, ada)
    await _stake(desk, grace, instruction="renew_all")
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.stall_at("INTO events")
        settling = asyncio.create_task(settlement.settle_due(machine.services, machine.deadline))
        async with asyncio.timeout(5):
            while not proxy.held:
                await asyncio.sleep(0.01)
        publishing = asyncio.create_task(
            plans.publish(
                desk.services,
                make_plan(id="STK-1M", period_months=1, capacity_minor=10**12),
                from_now=True,
                deadline=desk.deadline,
            )
        )
        async with asyncio.timeout(5):
            while not await desk.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                await asyncio.sleep(0.01)
        proxy.resume()
        assert await settling == 2
        await publishing
    await check_books(desk.database_url)


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
        plan = make_plan(period_months=1, bands=(Band(0, 30_000),))
        assert books.paid(stake, "reward") == [
            accrued_minor(plan, 10**9 + number, START, date(2027, 2, 28), date(2027, 2, 28))
        ]
