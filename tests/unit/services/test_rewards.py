"""Rewards on real stores: what the ledger paid is what they tell, range by range."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from stakehold.domain.rewards import Rewards
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import exits, rewards, stakes
from stakehold.services.orders import Order
from stakehold.services.rewards import FIRST_DAY, RewardPage, RewardQuery
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.unit.services.conftest import PASSWORD, Desk, OpenDesk

START = date(2027, 3, 1)
START_MS = midnight_ms(START)


@pytest.fixture
async def desk(database_clock: DatabaseClock, open_desk: OpenDesk) -> Desk:
    await database_clock.set(START_MS)
    return await open_desk()


@pytest.fixture
async def ada(desk: Desk) -> Caller:
    await desk.add_user("ada")
    token = RefreshToken.decode((await desk.sign_in(PASSWORD, "ada")).refresh)
    return Caller(token.user_id, str(token.session_id), 1)


async def _stake(desk: Desk, caller: Caller, period: int = 1, **order: Any) -> UUID:
    asked = Order(b"1000", period_months=period, **order)
    return (await stakes.create_stake(desk.services, caller, asked, desk.deadline)).stake_id


async def _read(
    desk: Desk,
    caller: Caller,
    start: date = FIRST_DAY,
    end: date | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> RewardPage:
    query = RewardQuery(start, end, before, limit)
    return await rewards.list_rewards(desk.services, caller, query, desk.deadline)


async def _lives(desk: Desk, ada: Caller, clock: DatabaseClock) -> dict[str, UUID]:
    """A stake of each fate. Settlement never ran; it is the day after 1 June."""
    await desk.sql("ALTER TABLE plans DISABLE TRIGGER plans_terms_stay")
    await desk.sql(
        "UPDATE plans SET early_exit = 'forfeit_part', early_exit_ppm = 250000, cooldown_s = 432000"
    )
    fates = {
        "open": await _stake(desk, ada, 12),
        "paid": await _stake(desk, ada, 1),
        "renewed": await _stake(desk, ada, 1, maturity_instruction="renew_all"),
        "left": await _stake(desk, ada, 12),
    }
    await clock.set(START_MS + DAY_MS - 60_000)
    fates["cancelled"] = await _stake(desk, ada, 12)
    await clock.set(START_MS + DAY_MS + 60_000)
    await exits.cancel(desk.services, ada, fates["cancelled"], None, desk.deadline)
    await clock.set(START_MS + 20 * DAY_MS)
    quote = await exits.quote_exit(desk.services, ada, fates["left"], desk.deadline)
    await exits.unstake(desk.services, ada, fates["left"], quote.id, None, desk.deadline)
    await clock.set(midnight_ms(date(2027, 6, 2)) + 5)
    return fates


async def test_ranges_add_up_to_what_the_ledger_paid(
    desk: Desk, ada: Caller, database_clock: DatabaseClock
) -> None:
    """Of each stake and in total; what settlement had not come to is settled before it is told."""
    fates = await _lives(desk, ada, database_clock)
    whole = await _read(desk, ada)
    assert (whole.days.end, whole.has_more) == (date(2027, 6, 3), False)
    books = await check_books(desk.database_url)
    told = {item.stake.id: item.rewards for item in whole.items}
    # The line of renewals: 1 April, 1 May, 1 June.
    assert len(told) == 8
    for identifier, found in told.items():
        assert found.paid_minor == sum(books.paid(identifier, "reward"))
    for fate in ("paid", "renewed", "left", "cancelled"):
        found = told[fates[fate]]
        assert found.earned_minor - found.forfeited_minor == found.paid_minor, fate
    assert told[fates["open"]] == Rewards(earned_minor=10**11 * 120_000 * 93 // (10**6 * 365))
    assert told[fates["cancelled"]].forfeited_minor == told[fates["cancelled"]].earned_minor > 0
    [total] = whole.totals or []
    assert (total.asset, total.scale, total.rewards) == ("STK", 8, sum(told.values(), Rewards()))
    cuts = [
        FIRST_DAY,
        *(START + timedelta(days) for days in (0, 1, 2, 19, 20, 21, 25, 26, 31, 61, 92, 93, 94)),
    ]
    parts: dict[UUID, Rewards] = dict.fromkeys(told, Rewards())
    for start, end in pairwise(cuts):
        page = await _read(desk, ada, start, end)
        for item in page.items:
            parts[item.stake.id] += item.rewards
        assert sum((of.rewards for of in page.totals or []), Rewards()) == sum(
            (item.rewards for item in page.items), Rewards()
        )
    assert parts == told


async def test_only_stakes_with_a_day_in_the_range_are_there(
    desk: Desk, ada: Caller, database_clock: DatabaseClock
) -> None:
    """From the day a stake is made to the day it ends, both included."""
    fates = await _lives(desk, ada, database_clock)
    await _read(desk, ada)

    async def there(first: date) -> set[UUID]:
        page = await _read(desk, ada, first, first + timedelta(1))
        return {item.stake.id for item in page.items} & set(fates.values())

    assert await there(START - timedelta(1)) == set()
    assert await there(START) == set(fates.values())
    assert await there(START + timedelta(2)) == set(fates.values()) - {fates["cancelled"]}
    # Settlement had not come to the others before the owner looked.
    assert await there(date(2027, 6, 2)) == {fates[fate] for fate in ("open", "paid", "renewed", "left")}
    assert await there(date(2027, 6, 3)) == {fates["open"]}


async def test_totals_are_of_all_stakes_and_pages_of_some(
    desk: Desk, ada: Caller, monkeypatch: pytest.MonkeyPatch, database_clock: DatabaseClock
) -> None:
    """However many statements it takes; each stake is on one page, newest first."""
    monkeypatch.setattr(rewards, "STAKES_AT_ONCE", 3)
    for count in range(1, 8):
        made = await _stake(desk, ada, 12)
        await database_clock.set(START_MS + DAY_MS * count)
        page = await _read(desk, ada, limit=4)
        assert page.items[0].stake.id == made
        assert (len(page.items), page.has_more) == (min(count, 4), count > 4)
        [total] = page.totals or []
        earned = (10**11 * 120_000 * days // (10**6 * 365) for days in range(1, count + 1))
        assert total.rewards.earned_minor == sum(earned)
    older = await _read(desk, ada, before=page.items[-1].stake.id, limit=4)
    assert (len(older.items), older.has_more, older.totals) == (3, False, None)
    seen = [item.stake.id for item in [*page.items, *older.items]]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 7


async def test_nothing_of_others_is_told(desk: Desk, ada: Caller) -> None:
    """And who has no stake has no rewards."""
    await _stake(desk, ada)
    await desk.add_user("eve")
    token = RefreshToken.decode((await desk.sign_in(PASSWORD, "eve")).refresh)
    page = await _read(desk, Caller(token.user_id, str(token.session_id), 1))
    assert (page.items, page.totals, page.has_more) == ([], [], False)
    assert (await _read(desk, ada, date.min, date.max)).items
    assert not (await _read(desk, ada, START, START)).items
