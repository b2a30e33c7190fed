"""Leaving stakes, on real stores: what was quoted is paid, once, whoever races for it."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import stake_creation
from stakehold.database.idempotency import Idempotency
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    StakeholdError,
    ValidationError,
)
from stakehold.domain.ids import new_id
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import exits, settlement
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.postgres_proxy import PostgresProxy

START_MS = midnight_ms(date(2027, 3, 1))
AMOUNT = 10**11


@pytest.fixture
async def desk(database_clock: DatabaseClock, open_desk: Any) -> Any:
    await database_clock.set(START_MS)
    return await open_desk()


@pytest.fixture
async def ada(desk: Any) -> Caller:
    await desk.add_user("ada")
    token = RefreshToken.decode((await desk.sign_in("correct horse battery staple", "ada")).refresh)
    return Caller(token.user_id, str(token.session_id), 1)


async def _terms(desk: Any, **terms: object) -> None:
    for name, value in terms.items():
        await desk.sql("ALTER TABLE plans DISABLE TRIGGER plans_terms_stay")
        await desk.sql(f"UPDATE plans SET {name} = '{value}' WHERE id = 'STK-12M'")


async def _stake(desk: Any, caller: Caller) -> UUID:
    new = NewStake(
        caller.user_id,
        new_id(desk.services.clock, desk.services.entropy),
        UUID(caller.session_id),
        1,
        AMOUNT,
        PlanChoice("STK", 8, 12),
    )
    made = await desk.services.run(lambda c: stake_creation.create_stake(c, new), desk.deadline)
    assert made.outcome == "created"
    return new.id


async def _available(desk: Any) -> int:
    [(available,)] = await desk.sql("SELECT available_minor FROM balances")
    return int(available)


@pytest.mark.parametrize(
    ("policy", "ppm", "reward"),
    [
        ("forfeit_all", 0, 0),
        ("forfeit_part", 250_000, 986301369 - 246575342),
        ("reduced_rate", 60_000, AMOUNT * 60_000 * 30 // (10**6 * 365)),
    ],
)
async def test_what_was_quoted_is_paid_to_the_unit(
    desk: Any, ada: Caller, database_clock: DatabaseClock, policy: str, ppm: int, reward: int
) -> None:
    """Also when midnight passes between; reward and forfeited together are what had accrued."""
    await _terms(desk, early_exit=policy, early_exit_ppm=ppm)
    stake = await _stake(desk, ada)
    await database_clock.set(START_MS + 31 * DAY_MS - 30_000)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    accrued = AMOUNT * 120_000 * 30 // (10**6 * 365)
    assert (quote.exit.reward_minor, quote.exit.forfeited_minor) == (reward, accrued - reward)
    await database_clock.set(START_MS + 31 * DAY_MS + 29_999)
    leaving = await exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline)
    assert (leaving.left.state, leaving.left.reward_minor, leaving.replayed) == (
        "closed_early",
        reward,
        False,
    )
    again = await exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline)
    assert (again.left, again.replayed) == (leaving.left, True)
    assert await _available(desk) == AMOUNT + reward
    books = await check_books(desk.database_url)
    assert books.paid(stake, "principal") == [AMOUNT]
    assert books.paid(stake, "reward") == ([reward] if reward else [])


async def test_a_quote_is_good_for_a_minute(desk: Any, ada: Caller, database_clock: DatabaseClock) -> None:
    """By the database's clock; then it is refused, and nothing has happened."""
    stake = await _stake(desk, ada)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    await database_clock.set(START_MS + 60_000)
    with pytest.raises(ConflictError) as refused:
        await exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline)
    assert refused.value.code == "quote_expired"
    assert await desk.sql("SELECT state FROM stakes") == [("active",)]
    await check_books(desk.database_url)


async def test_a_cooldown_is_waited_for_and_earns_nothing(
    desk: Any, ada: Caller, database_clock: DatabaseClock
) -> None:
    """Settlement pays at its end; one that would end after maturity ends there."""
    await _terms(desk, cooldown_s=7 * 86_400, early_exit="forfeit_part", early_exit_ppm=500_000)
    stakes = [await _stake(desk, ada) for _ in range(2)]
    late_ms = midnight_ms(date(2028, 3, 1)) - 3 * DAY_MS
    for stake, at_ms, pays_ms in (
        (stakes[0], START_MS + 10 * DAY_MS, START_MS + 17 * DAY_MS),
        (stakes[1], late_ms, midnight_ms(date(2028, 3, 1))),
    ):
        await database_clock.set(at_ms)
        quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
        left = (await exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline)).left
        assert (left.state, left.releases_at_ms, quote.releases_at_ms) == ("unstaking", pays_ms, pays_ms)
        before = await _available(desk)
        await database_clock.set(pays_ms - 1)
        assert not await settlement.settle_user(desk.services, ada.user_id, desk.deadline)
        await database_clock.set(pays_ms)
        assert await settlement.settle_user(desk.services, ada.user_id, desk.deadline)
        assert await _available(desk) == before + AMOUNT + left.reward_minor
        await check_books(desk.database_url)


@pytest.mark.parametrize(
    ("terms", "days", "code"),
    [
        ({"early_exit": "not_allowed"}, 5, "early_exit_not_allowed"),
        ({"minimum_hold_days": 6}, 5, "minimum_hold"),
        ({}, 366, "stake_matured"),
    ],
)
async def test_who_may_not_leave_is_told_why(
    desk: Any, ada: Caller, database_clock: DatabaseClock, terms: dict[str, object], days: int, code: str
) -> None:
    """The plan's terms, and maturity."""
    await _terms(desk, **terms)
    stake = await _stake(desk, ada)
    await database_clock.set(START_MS + days * DAY_MS)
    with pytest.raises(ConflictError) as refused:
        await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    assert refused.value.code == code


async def test_a_quote_is_its_users_and_its_stakes(desk: Any, ada: Caller) -> None:
    """Of another stake, altered, or for somebody else's stake it is worth nothing."""
    one, other = await _stake(desk, ada), await _stake(desk, ada)
    quote = await exits.quote_exit(desk.services, ada, one, desk.deadline)
    for stake, text, code in (
        (other, quote.id, "quote_mismatch"),
        (one, quote.id[:-1] + ("A" if quote.id[-1] != "A" else "B"), "invalid_quote"),
    ):
        with pytest.raises(ValidationError) as refused:
            await exits.unstake(desk.services, ada, stake, text, None, desk.deadline)
        assert refused.value.code == code
    await desk.add_user("eve")
    token = RefreshToken.decode((await desk.sign_in("correct horse battery staple", "eve")).refresh)
    eve = Caller(token.user_id, str(token.session_id), 1)
    with pytest.raises(NotFoundError):
        await exits.quote_exit(desk.services, eve, one, desk.deadline)
    with pytest.raises(ValidationError):
        await exits.unstake(desk.services, eve, one, quote.id, None, desk.deadline)


async def test_a_cancelled_stake_returns_whole_and_earns_nothing(
    desk: Any, ada: Caller, database_clock: DatabaseClock
) -> None:
    """Until the grace period is over, by the database's clock; sent again it is answered as before."""
    stake, late = await _stake(desk, ada), await _stake(desk, ada)
    await database_clock.set(START_MS + 3_600_000 - 1)
    leaving = await exits.cancel(desk.services, ada, stake, None, desk.deadline)
    assert (leaving.left.state, leaving.left.principal_minor, leaving.left.reward_minor) == (
        "cancelled",
        AMOUNT,
        0,
    )
    assert (await exits.cancel(desk.services, ada, stake, None, desk.deadline)).replayed
    await database_clock.set(START_MS + 3_600_000)
    with pytest.raises(ConflictError) as refused:
        await exits.cancel(desk.services, ada, late, None, desk.deadline)
    assert refused.value.code == "grace_period_over"
    assert await _available(desk) == AMOUNT
    await check_books(desk.database_url)


async def test_a_key_stands_for_one_leaving(desk: Any, ada: Caller) -> None:
    """It is answered as the first time, whatever has become of the stake since."""
    key = Idempotency("key", "POST /api/stake/x/unstake", b"body")
    await _terms(desk, cooldown_s=60)
    stake = await _stake(desk, ada)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    first = await exits.unstake(desk.services, ada, stake, quote.id, key, desk.deadline)
    await desk.sql("UPDATE stakes SET state = 'closed_early', due_at = NULL, ended_at = now()")
    again = await exits.unstake(desk.services, ada, stake, quote.id, key, desk.deadline)
    assert (again.left, again.replayed) == (first.left, True)
    assert first.left.state == "unstaking"


async def test_fifty_race_for_one_unstake(desk: Any, ada: Caller) -> None:
    """One leaves; all others are told the same. The principal returns once."""
    stake = await _stake(desk, ada)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    told = await asyncio.gather(
        *(exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline) for _ in range(50))
    )
    assert len({leaving.left for leaving in told}) == 1
    assert sorted(leaving.replayed for leaving in told) == [False] + [True] * 49
    books = await check_books(desk.database_url)
    assert books.paid(stake, "principal") == [AMOUNT]


async def test_leaving_and_settlement_at_one_instant(
    desk: Any, ada: Caller, database_clock: DatabaseClock
) -> None:
    """In the last millisecond one may leave and nothing is settled; in the next it is the other way round."""
    matures_ms = midnight_ms(date(2028, 3, 1))
    for at_ms, expected in ((matures_ms - 1, "closed_early"), (matures_ms, "paid_out")):
        await database_clock.set(START_MS)
        stake = await _stake(desk, ada)
        await database_clock.set(matures_ms - 10_000)
        quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
        await database_clock.set(at_ms)
        works: list[Any] = [
            exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline) for _ in range(10)
        ]
        works += [settlement.settle_user(desk.services, ada.user_id, desk.deadline) for _ in range(10)]
        told = await asyncio.gather(*works, return_exceptions=True)
        assert [state for (state,) in await desk.sql("SELECT state FROM stakes WHERE id = $1", stake)] == [
            expected
        ]
        for answer in told:
            if isinstance(answer, BaseException):
                assert isinstance(answer, StakeholdError), answer
                assert answer.code == "stake_matured", answer
        books = await check_books(desk.database_url)
        assert books.paid(stake, "principal") == [AMOUNT]


async def test_cancel_and_unstake_at_once(desk: Any, ada: Caller) -> None:
    """One of the two happens, and the principal returns once."""
    for _ in range(5):
        stake = await _stake(desk, ada)
        quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
        await asyncio.gather(
            exits.unstake(desk.services, ada, stake, quote.id, None, desk.deadline),
            exits.cancel(desk.services, ada, stake, None, desk.deadline),
            return_exceptions=True,
        )
        books = await check_books(desk.database_url)
        assert books.paid(stake, "principal") == [AMOUNT]


async def test_maturity_comes_in_the_middle_of_a_race(
    desk: Any, ada: Caller, database_clock: DatabaseClock
) -> None:
    """Who was told to have left has left, and else it is paid out: the principal returns once either way."""
    matures_ms = midnight_ms(date(2028, 3, 1))
    for before in range(0, 20, 4):
        await database_clock.set(START_MS)
        stake = await _stake(desk, ada)
        await database_clock.set(matures_ms - 1)
        quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)

        def leave(stake: UUID = stake, quote_id: str = quote.id) -> Any:
            return exits.unstake(desk.services, ada, stake, quote_id, None, desk.deadline)

        works = [leave() for _ in range(20)]
        works.insert(before, database_clock.set(matures_ms))
        works += [settlement.settle_user(desk.services, ada.user_id, desk.deadline) for _ in range(5)]
        told = await asyncio.gather(*works, return_exceptions=True)
        assert {answer.code for answer in told if isinstance(answer, StakeholdError)} <= {"stake_matured"}
        assert not [
            one for one in told if isinstance(one, BaseException) and not isinstance(one, StakeholdError)
        ]
        left = [one for one in told if isinstance(one, exits.Leaving)]
        await settlement.settle_user(desk.services, ada.user_id, desk.deadline)
        [(state,)] = await desk.sql("SELECT state FROM stakes WHERE id = $1", stake)
        assert state == ("closed_early" if left else "paid_out")
        assert [one.replayed for one in left].count(False) == (1 if left else 0)
        books = await check_books(desk.database_url)
        assert books.paid(stake, "principal") == [AMOUNT]


@pytest.mark.parametrize("before", [0, 5, 10])
async def test_an_instruction_and_settlement_at_one_instant(
    desk: Any, ada: Caller, database_clock: DatabaseClock, before: int
) -> None:
    """What was taken is what happens at maturity; what comes later is refused, and nothing is half done."""
    matures_ms = midnight_ms(date(2028, 3, 1))
    stake = await _stake(desk, ada)
    await database_clock.set(matures_ms - 1)
    works: list[Any] = [
        exits.instruct(desk.services, ada, stake, "renew_principal", lambda _: True, desk.deadline)
        for _ in range(10)
    ]
    works.insert(before, database_clock.set(matures_ms))
    works += [settlement.settle_user(desk.services, ada.user_id, desk.deadline) for _ in range(10)]
    told = await asyncio.gather(*works, return_exceptions=True)
    refused = [one for one in told if isinstance(one, BaseException)]
    assert {getattr(one, "code", one) for one in refused} <= {"stake_matured"}
    taken = [one for one in told if isinstance(one, Stake)]
    await settlement.settle_user(desk.services, ada.user_id, desk.deadline)
    [(state, instruction)] = await desk.sql(
        "SELECT state, maturity_instruction FROM stakes WHERE id = $1", stake
    )
    expected = ("renewed", "renew_principal") if taken else ("paid_out", "payout")
    assert (state, instruction) == expected
    books = await check_books(desk.database_url)
    assert len(books.paid(stake, "principal") + books.paid(stake, "renewal")) == 1


@pytest.mark.parametrize("settled", [False, True])
async def test_a_matured_stake_is_told_so(
    desk: Any, ada: Caller, database_clock: DatabaseClock, settled: bool
) -> None:
    """Whether settlement has come to it or not: neither left, nor cancelled, nor told what to do."""
    stake = await _stake(desk, ada)
    matures_ms = midnight_ms(date(2028, 3, 1))
    await database_clock.set(matures_ms - 1)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)
    await database_clock.set(matures_ms)
    if settled:
        assert await settlement.settle_user(desk.services, ada.user_id, desk.deadline)
    given = (desk.services, ada, stake)
    for work in (
        exits.quote_exit(*given, desk.deadline),
        exits.unstake(*given, quote.id, None, desk.deadline),
        exits.cancel(*given, None, desk.deadline),
        exits.instruct(*given, "renew_all", lambda _: True, desk.deadline),
    ):
        with pytest.raises(ConflictError) as refused:
            await work
        assert refused.value.code == "stake_matured"
    await check_books(desk.database_url)


@pytest.mark.parametrize("key", [None, Idempotency("key", "POST /api/stake/x", b"body")])
@pytest.mark.parametrize("action", ["unstake", "cancel"])
async def test_leaving_whose_answer_is_lost_is_found(
    desk: Any, open_desk: Any, ada: Caller, action: str, key: Idempotency | None
) -> None:
    """It is done once, and is no repetition of anything; what is sent again is one."""
    stake = await _stake(desk, ada)
    quote = await exits.quote_exit(desk.services, ada, stake, desk.deadline)

    async def leave(at: Any) -> exits.Leaving:
        if action == "cancel":
            return await exits.cancel(at.services, ada, stake, key, at.deadline)
        return await exits.unstake(at.services, ada, stake, quote.id, key, at.deadline)

    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.cut_answers(1, "COMMIT")
        first = await leave(machine)
        assert proxy.answers_to_cut == 0
    again = await leave(desk)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.left == again.left
    books = await check_books(desk.database_url)
    assert books.paid(stake, "principal") == [AMOUNT]


async def test_an_instruction_whose_answer_is_lost_is_found(desk: Any, open_desk: Any, ada: Caller) -> None:
    """Nobody can have seen it: what was seen before still counts for the call that made it, and no other."""
    stake = await _stake(desk, ada)

    async def instruct(at: Any) -> Stake:
        return await exits.instruct(
            at.services, ada, stake, "renew_all", lambda it: it.maturity_instruction == "payout", at.deadline
        )

    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.cut_answers(1, "COMMIT")
        assert (await instruct(machine)).maturity_instruction == "renew_all"
        assert proxy.answers_to_cut == 0
    with pytest.raises(PreconditionFailedError):
        await instruct(desk)
