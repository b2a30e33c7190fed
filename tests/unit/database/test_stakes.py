import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import plans, sessions, stake_creation, stakes, transactions, users
from stakehold.database.idempotency import Idempotency
from stakehold.database.pool import Pool
from stakehold.database.sessions import NewSession
from stakehold.database.stake_creation import Creation, NewStake, PlanChoice
from stakehold.domain.calendar import add_months
from stakehold.domain.errors import ConflictError, DatabaseError
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import midnight_ms
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

MakeUser = Callable[[str], Awaitable[UUID]]
KEY = Idempotency("key-1", "POST /api/stake", b"body-1")

LEFT_TO_THE_OWNER = "ALTER TABLE plans DISABLE TRIGGER plans_terms_stay"


@pytest.fixture
async def alice(make_user: MakeUser) -> UUID:
    return await make_user("alice")


@pytest.fixture
def new_stake(alice: UUID, clock: ManualClock, entropy: SeededEntropy) -> Callable[..., NewStake]:
    """A stake of alice's, 1000.5 STK for 12 months, without a key unless one is given."""

    def make(key: Idempotency | None = None) -> NewStake:
        return NewStake(
            alice,
            new_id(clock, entropy),
            UUID(int=1),
            1,
            100_050_000_000,
            PlanChoice("STK", 8, 12),
            idempotency=key,
        )

    return make


def _create(run: Any, new: NewStake) -> Awaitable[Creation]:
    creation: Awaitable[Creation] = run(lambda c: stake_creation.create_stake(c, new))
    return creation


async def _count(run: Any) -> tuple[int, int]:
    row = await run(
        lambda c: c.fetchrow(
            "SELECT (SELECT count(*) FROM stakes) AS stakes, (SELECT count(*) FROM idempotency) AS keys"
        )
    )
    return row["stakes"], row["keys"]


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_a_stake_is_made_and_read_back(run: Any, new_stake: Any, key: Idempotency | None) -> None:
    """A stake is kept to the unit, with the plan version it was made under."""
    new = new_stake(key)
    assert await _create(run, new) == Creation("created", new.id, 1, 0, 1)
    stake = await run(lambda c: stakes.get_stake(c, new.user_id, new.id))
    assert (stake.id, stake.amount_minor) == (new.id, 100_050_000_000)
    assert (stake.plan.id, stake.plan.version, stake.plan.rate_ppm) == ("STK-12M", 1, 120_000)


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_the_largest_amount_is_exact(run: Any, new_stake: Any, key: Idempotency | None) -> None:
    """38 digits come back as they went in."""
    new = replace(new_stake(key), amount_minor=10**38 - 1)
    await _create(run, new)
    assert (await run(lambda c: stakes.get_stake(c, new.user_id, new.id))).amount_minor == 10**38 - 1


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_the_same_stake_again_is_the_same_stake(
    run: Any, new_stake: Any, key: Idempotency | None
) -> None:
    """After a lost answer the attempt is run again, and answers `created` for the stake it made."""
    new = new_stake(key)
    assert await _create(run, new) == await _create(run, new) == Creation("created", new.id, 1, 0, 1)
    assert (await _count(run))[0] == 1


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_the_same_stake_again_after_the_session_ended(
    run: Any, new_stake: Any, key: Idempotency | None
) -> None:
    """What was made was made: a re-run finds its stake even if the user was disabled in between."""
    new = new_stake(key)
    await _create(run, new)
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert await _create(run, new) == Creation("created", new.id, 1, 0, 1)


async def test_a_key_sent_again_is_replayed(run: Any, new_stake: Any) -> None:
    """Another request with the key and the same body gets the first one's stake."""
    first, second = new_stake(KEY), new_stake(KEY)
    await _create(run, first)
    assert await _create(run, second) == Creation("replayed", first.id, 1, 0, 1)
    assert await _count(run) == (1, 1)


async def test_a_key_with_another_body_is_a_mismatch(run: Any, new_stake: Any) -> None:
    """A key stands for one body; the same key of another user or scope is another key."""
    first = new_stake(KEY)
    await _create(run, first)
    other = new_stake(replace(KEY, body_hash=b"body-2"))
    assert (await _create(run, other)).outcome == "mismatch"
    scoped = new_stake(replace(KEY, scope="POST /api/other", body_hash=b"body-2"))
    assert (await _create(run, scoped)).outcome == "created"


async def test_keys_are_the_users_own(run: Any, new_stake: Any, make_user: MakeUser) -> None:
    """Two users may choose the same key."""
    await _create(run, new_stake(KEY))
    bob = replace(new_stake(replace(KEY, body_hash=b"bobs")), user_id=await make_user("bob"))
    assert (await _create(run, bob)).outcome == "created"


async def test_a_replay_wins_over_a_plan_withdrawn_since(run: Any, new_stake: Any) -> None:
    """A key is answered as before when the plan, or its minimum, is no longer what it was."""
    first = new_stake(KEY)
    await _create(run, first)
    await run(lambda c: c.execute(LEFT_TO_THE_OWNER))
    await run(lambda c: c.execute("UPDATE plans SET minimum_minor = 1000000000000"))
    assert (await _create(run, new_stake(KEY))).stake_id == first.id
    await run(lambda c: c.execute("UPDATE plans SET on_sale_until = now()"))
    assert await _create(run, new_stake(KEY)) == Creation("replayed", first.id, 0)
    assert (await _create(run, new_stake(replace(KEY, body_hash=b"x")))).outcome == "mismatch"
    assert (await _create(run, new_stake())).outcome == "no_plan"


async def test_an_expired_key_is_as_good_as_new(run: Any, new_stake: Any) -> None:
    """After 24 hours a key may stand for another body, and makes another stake."""
    await _create(run, new_stake(KEY))
    lives = "SELECT expires_at BETWEEN now() + INTERVAL '1439 minutes' AND now() + INTERVAL '1440 minutes'"
    assert await run(lambda c: c.fetchval(lives + " FROM idempotency")) is True
    await run(lambda c: c.execute("UPDATE idempotency SET expires_at = now()"))
    second = new_stake(replace(KEY, body_hash=b"body-2"))
    assert await _create(run, second) == Creation("created", second.id, 1, 0, 1)
    assert await _count(run) == (2, 1)


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"choice": PlanChoice("STK", 8, 2)}, "no_plan"),
        ({"choice": PlanChoice("OTHER", 8, 12)}, "no_plan"),
        ({"amount_minor": 9}, "below_minimum"),
        ({"epoch": 2}, "session_ended"),
        ({"user_id": UUID(int=5)}, "disabled"),
    ],
)
async def test_refusals_store_nothing(
    run: Any, new_stake: Any, key: Idempotency | None, change: dict[str, Any], outcome: str
) -> None:
    """A refused creation leaves neither a stake nor a used key."""
    await run(lambda c: c.execute(LEFT_TO_THE_OWNER))
    await run(lambda c: c.execute("UPDATE plans SET minimum_minor = 10"))
    assert (await _create(run, replace(new_stake(key), **change))).outcome == outcome
    assert await _count(run) == (0, 0)


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_a_disabled_user_makes_and_replays_nothing(
    run: Any, new_stake: Any, key: Idempotency | None
) -> None:
    """The user's status is checked by the statement that writes, for replays too."""
    await _create(run, new_stake(key))
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert (await _create(run, new_stake(key))).outcome == "disabled"
    assert (await _count(run))[0] == 1


async def test_the_latest_version_on_sale_is_taken(run: Any, new_stake: Any) -> None:
    """A new version of a plan applies to new stakes; earlier stakes keep theirs; a future one waits."""
    first, second = new_stake(), new_stake()
    await _create(run, first)
    for version, begins in ((2, "now()"), (3, "now() + INTERVAL '1 day'")):
        await run(
            lambda c, v=version, b=begins: c.execute(
                "INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, minimum_minor,"
                f" on_sale_from) VALUES ('STK-12M', {v}, 'STK', 8, 12, 90000, 1, {b})"
            )
        )
    await _create(run, second)
    listed = await run(lambda c: stakes.list_page(c, first.user_id, 0, 10))
    assert {(stake.id, stake.plan.version) for stake in listed} == {(first.id, 1), (second.id, 2)}


async def test_racers_on_one_key_give_one_stake_and_one_answer(run: Any, new_stake: Any) -> None:
    """24 requests with one key at once: one makes the stake, the others are told its id."""
    for round_number in range(5):
        key = replace(KEY, key=f"race-{round_number}")
        made = await asyncio.gather(*(_create(run, new_stake(key)) for _ in range(24)))
        assert sorted(creation.outcome for creation in made) == ["created"] + ["replayed"] * 23
        assert len({creation.stake_id for creation in made}) == 1
    assert await _count(run) == (5, 5)


async def test_racers_on_one_key_with_different_bodies(run: Any, new_stake: Any) -> None:
    """Of 24 with different bodies one wins and all the others are a mismatch."""
    keys = [replace(KEY, body_hash=bytes([number])) for number in range(24)]
    made = await asyncio.gather(*(_create(run, new_stake(key)) for key in keys))
    assert sorted(creation.outcome for creation in made) == ["created"] + ["mismatch"] * 23
    assert await _count(run) == (1, 1)


async def test_one_stake_sent_twice_at_once_is_one_stake(run: Any, new_stake: Any) -> None:
    """A re-run that overlaps its first attempt, still at work on the server, makes no second stake."""
    new = new_stake()
    made = await asyncio.gather(*(_create(run, new) for _ in range(12)))
    assert set(made) == {Creation("created", new.id, 1, 0, 1)}
    assert await _count(run) == (1, 0)


async def test_users_do_not_meet(
    run: Any, new_stake: Any, make_user: MakeUser, counters: CountingCounters
) -> None:
    """Creations of different users, and reads, abort none of each other's, though serializable."""
    people = [await make_user(f"user-{number}") for number in range(100)]
    keys = [None if number % 2 else replace(KEY, key=f"k{number}") for number in range(3)]
    news = [replace(new_stake(key), user_id=person) for key in keys for person in people]
    reads = (run(lambda c: stakes.list_page(c, people[0], 0, 10)) for _ in range(20))
    made, *_ = await asyncio.gather(asyncio.gather(*(_create(run, new) for new in news)), *reads)
    assert {creation.outcome for creation in made} == {"created"}
    print(counters.counts)
    assert counters.counts.get("sql_conflicts", 0) <= len(news) * 0.05


async def test_one_user_makes_many_at_once(run: Any, new_stake: Any) -> None:
    """A user's stakes take their places in the ledger one after the other: all are made."""
    made = await asyncio.gather(*(_create(run, new_stake()) for _ in range(50)))
    assert {creation.outcome for creation in made} == {"created"}
    assert len({creation.stake_id for creation in made}) == 50


async def test_waiting_for_the_first_of_a_key_ends_in_a_conflict(
    database_url: str, pool: Pool, run: Any, new_stake: Any, clock: ManualClock, counters: CountingCounters
) -> None:
    """While another holds the key uncommitted we wait; when the time is up the answer is `in flight`, 409."""
    holder = new_stake(KEY)
    entropy = SeededEntropy(1)
    async with pool.connection(Deadline.after(clock, 8.0)) as connection, connection.transaction():
        assert (await stake_creation.create_stake(connection, holder)).outcome == "created"
        # Less than two statement timeouts: there is no time for a second wait.
        waiting = transactions.run(
            pool,
            lambda c: stake_creation.create_stake(c, new_stake(KEY)),
            deadline=Deadline.after(_Moving(clock), 5.0),
            counters=counters,
            entropy=entropy,
            idempotent=True,
        )
        with pytest.raises(ConflictError) as caught:
            await asyncio.wait_for(waiting, 8)
    assert (caught.value.code, caught.value.retry_after_s) == ("idempotency_in_flight", 1)
    assert await _create(run, new_stake(KEY)) == Creation("replayed", holder.id, 1, 0, 1)


class _Moving:
    """A clock that follows the running loop's."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


async def test_pages_and_cursors_agree(run: Any, new_stake: Any, clock: ManualClock) -> None:
    """Newest first, by page and by cursor; another user's stakes never show."""
    made = []
    for _ in range(7):
        clock.advance(0.001)
        made.append(new_stake())
        await _create(run, made[-1])
    expected = [new.id for new in reversed(made)]
    alice = made[0].user_id
    for offset, limit in ((0, 3), (3, 3), (6, 3), (7, 3), (0, 100)):
        page = await run(lambda c, o=offset, n=limit: stakes.list_page(c, alice, o, n))
        assert [stake.id for stake in page] == expected[offset : offset + limit]
    for index in range(7):
        after = await run(lambda c, i=index: stakes.list_after(c, alice, expected[i], 3))
        assert [stake.id for stake in after] == expected[index + 1 : index + 4]
    assert await run(lambda c: stakes.list_page(c, UUID(int=9), 0, 10)) == []
    assert await run(lambda c: stakes.get_stake(c, UUID(int=9), expected[0])) is None


async def test_plans_on_sale(run: Any) -> None:
    """The default catalogue, by period; what is withdrawn or not yet on sale is left out."""
    listed = await run(plans.list_on_sale)
    assert [(plan.period_months, plan.rate_ppm) for plan in listed] == [
        (1, 30_000),
        (3, 50_000),
        (6, 80_000),
        (12, 120_000),
    ]
    assert {(plan.asset, plan.scale, plan.minimum_minor, plan.version) for plan in listed} == {
        ("STK", 8, 1, 1)
    }
    await run(lambda c: c.execute(LEFT_TO_THE_OWNER))
    await run(lambda c: c.execute("UPDATE plans SET on_sale_until = now() WHERE period_months = 1"))
    await run(
        lambda c: c.execute(
            "UPDATE plans SET on_sale_from = now() + INTERVAL '1 day' WHERE period_months = 3"
        )
    )
    assert [plan.period_months for plan in await run(plans.list_on_sale)] == [6, 12]


async def test_of_a_plan_the_latest_version_is_on_sale(run: Any) -> None:
    """What is listed is what would be sold: of two versions on sale at once, the later."""
    await run(
        lambda c: c.execute(
            "INSERT INTO plans "
            "(id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from) "
            "SELECT id, 2, asset, scale, period_months, 1, 5, now() FROM plans WHERE period_months = 6"
        )
    )
    listed = await run(plans.list_on_sale)
    assert [(plan.period_months, plan.version) for plan in listed] == [(1, 1), (3, 1), (6, 2), (12, 1)]


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
async def test_a_session_that_was_signed_out_makes_and_replays_nothing(
    run: Any, new_stake: Any, key: Idempotency | None
) -> None:
    """The session is checked by the statement that writes: the user's other sessions go on."""
    first = new_stake(key)
    ended = NewSession(first.user_id, first.session_id, 1, b"hash", 4_000_000_000_000)
    assert await run(lambda c: sessions.insert_session(c, ended))
    assert (await _create(run, first)).outcome == "created"
    await run(lambda c: sessions.revoke_session(c, first.user_id, first.session_id))
    assert (await _create(run, new_stake(key))).outcome == "session_ended"
    assert (await _count(run))[0] == 1
    elsewhere = replace(new_stake(key), session_id=UUID(int=2))
    assert (await _create(run, elsewhere)).outcome == ("replayed" if key else "created")


@pytest.mark.parametrize("start", ["2027-01-31", "2028-01-31", "2028-02-29", "2027-06-15", "2027-12-31"])
async def test_the_database_counts_months_as_the_domain_does(
    database_clock: DatabaseClock, run: Any, new_stake: Any, start: str
) -> None:
    """Maturity is the value date and the plan's months, in a day's last millisecond too; then it is due."""
    day = date.fromisoformat(start)
    await database_clock.set(midnight_ms(day) + 86_399_999)
    for months in (1, 3, 6, 12):
        new = replace(new_stake(), choice=PlanChoice("STK", 8, months))
        assert (await _create(run, new)).outcome == "created"
        stake = await run(lambda c, new=new: stakes.get_stake(c, new.user_id, new.id))
        assert (stake.value_date, stake.maturity_date) == (day, add_months(day, months))
        assert stake.created_at_ms == midnight_ms(day) + 86_399_999
        assert stake.due_at_ms == stake.matures_at_ms == midnight_ms(add_months(day, months))


async def test_what_was_agreed_cannot_be_changed(run: Any, new_stake: Any, pool: Pool) -> None:
    """The database refuses to change a stake's amount, plan or dates, whoever asks."""
    await _create(run, new_stake())
    for change in ("amount_minor = 1", "plan_version = 2", "maturity_date = now()::DATE"):
        with pytest.raises(DatabaseError):
            await run(lambda c, change=change: c.execute(f"UPDATE stakes SET {change}"))
    assert (
        await run(lambda c: c.execute("UPDATE stakes SET maturity_instruction = 'renew_all'")) == "UPDATE 1"
    )
