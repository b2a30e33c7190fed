"""Upkeep on real stores: what is due is settled, what has expired is swept, and no part stops another."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import sessions, stake_creation
from stakehold.database.sessions import NewSession
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.ids import new_id
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from stakehold.security.webhooks import WebhookSigner
from stakehold.services import upkeep
from stakehold.services.upkeep import keep_up
from stakehold.services.webhooks import BATCH_S, Webhook
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.receiver import KEY

START_MS = midnight_ms(date(2027, 1, 31))


@pytest.fixture
async def desk(database_clock: DatabaseClock, open_desk: Any) -> Any:
    await database_clock.set(START_MS)
    desk = await open_desk()
    await desk.add_user("ada")
    return desk


async def _user(desk: Any) -> UUID:
    [(user_id,)] = await desk.sql("SELECT id FROM users")
    return UUID(str(user_id))


async def _stake(desk: Any, count: int) -> None:
    user_id = await _user(desk)
    for _ in range(count):
        new = NewStake(
            user_id,
            new_id(desk.services.clock, desk.services.entropy),
            UUID(int=1),
            1,
            10**9,
            PlanChoice("STK", 8, 1),
        )
        await desk.services.run(lambda c, new=new: stake_creation.create_stake(c, new), desk.deadline)


async def test_a_round_settles_all_that_is_due(
    desk: Any, database_clock: DatabaseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a batch holds too; the next round finds nothing."""
    monkeypatch.setattr(upkeep, "BATCH_STAKES_MAX", 7)
    await _stake(desk, 40)
    await database_clock.set(START_MS + 40 * DAY_MS)
    done = await keep_up(desk.services, None, 60)
    assert (done.settled, done.failed, done.level) == (40, None, "info")
    assert (await keep_up(desk.services, None, 60)).settled == 0
    await check_books(desk.database_url)


async def test_a_round_settles_no_more_than_it_may(
    desk: Any, database_clock: DatabaseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the stake, however they fall into batches; the next round goes on."""
    monkeypatch.setattr(upkeep, "BATCH_STAKES_MAX", 7)
    await _stake(desk, 40)
    await database_clock.set(START_MS + 40 * DAY_MS)
    assert [(await keep_up(desk.services, None, 60, stakes=25)).settled for _ in range(3)] == [25, 15, 0]


@pytest.mark.parametrize("has_webhook", [True, False])
async def test_events_that_nobody_was_told_of_are_counted_when_they_go(desk: Any, has_webhook: bool) -> None:
    """After 30 days, where somebody was to be told of them."""
    user_id = await _user(desk)
    for number, (due, ended) in enumerate([("clock.now() - INTERVAL '31 days'", "NULL"), ("NULL", "now()")]):
        await desk.sql(
            "INSERT INTO events (user_id, id, type, payload, created_at, due_at, delivered_at)"
            f" VALUES ($1, $2, 't', '{{}}', clock.now() - INTERVAL '31 days', {due}, {ended})",
            user_id,
            UUID(int=number),
        )
    nobody: Any = None
    webhook = Webhook("https://receiver.example/", WebhookSigner((KEY,)), nobody, 1) if has_webhook else None
    # With no time to deliver them: as when the receiver has been away for all of it.
    assert (await keep_up(desk.services, webhook, BATCH_S - 0.1)).swept == 2
    assert desk.services.counters.counted().get("webhooks_expired", 0) == has_webhook


async def test_a_bucket_that_cannot_be_swept_keeps_no_other(desk: Any) -> None:
    """A row that is not to be deleted is told, and those of other buckets go; with two in a row it ends."""
    user_id = await _user(desk)
    await desk.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF old.bucket = ANY (TG_ARGV[0]::INT8[]) THEN RAISE 'no'; END IF; RETURN old; END$$"
    )
    await desk.sql(
        "CREATE TRIGGER refuse BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse('{3}')"
    )
    for number in range(16):
        await desk.sql(
            "INSERT INTO events (user_id, id, type, payload, created_at)"
            " VALUES ($1, $2, 't', '{}', clock.now() - INTERVAL '31 days')",
            user_id,
            UUID(int=number),
        )
    done = await keep_up(desk.services, None, 60)
    assert (done.swept, done.level) == (15, "warning")
    await desk.sql("DROP TRIGGER refuse ON events")
    assert (await keep_up(desk.services, None, 60)).swept == 1


async def test_what_has_expired_is_swept_and_nothing_else(desk: Any, database_clock: DatabaseClock) -> None:
    """Keys after an hour more, sessions after a day more with their spent tokens, events after 30 days."""
    user_id = await _user(desk)
    for number, ends in enumerate((DAY_MS, 3 * DAY_MS)):
        session = NewSession(user_id, UUID(int=number), 1, b"hash", START_MS + ends)
        await desk.services.run(lambda c, s=session: sessions.insert_session(c, s), desk.deadline)
        await desk.sql(
            "INSERT INTO spent_refresh_tokens (user_id, session_id, token_hash) VALUES ($1, $2, 'x')",
            user_id,
            UUID(int=number),
        )
        await desk.sql(
            "INSERT INTO idempotency (user_id, scope, key, body_hash, expires_at)"
            " VALUES ($1, 's', $2, 'x', clock.now() + $3::INT8 * INTERVAL '1 millisecond')",
            user_id,
            f"key-{number}",
            ends,
        )
        await desk.sql(
            "INSERT INTO events (user_id, id, type, payload, created_at) VALUES"
            " ($1, $2, 't', '{}', clock.now() - $3::INT8 * INTERVAL '28 days')",
            user_id,
            UUID(int=number),
            1 - number,
        )
    left = (
        "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM spent_refresh_tokens),"
        " (SELECT count(*) FROM idempotency), (SELECT count(*) FROM events)"
    )
    await database_clock.set(START_MS + DAY_MS + 3_600_000 - 1)
    assert (await keep_up(desk.services, None, 60)).swept == 0
    await database_clock.set(START_MS + DAY_MS + 3_600_000)
    assert (await keep_up(desk.services, None, 60)).swept == 1
    assert await desk.sql(left) == [(2, 2, 1, 2)]
    await database_clock.set(START_MS + 2 * DAY_MS)
    assert (await keep_up(desk.services, None, 60)).swept == 1
    assert await desk.sql(left) == [(1, 1, 1, 2)]
    await database_clock.set(START_MS + 2 * DAY_MS + 1)
    assert (await keep_up(desk.services, None, 60)).swept == 1
    assert await desk.sql(left) == [(1, 1, 1, 1)]


async def test_a_part_that_fails_stops_no_other(
    desk: Any, database_clock: DatabaseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settlement that the database refuses is told, and sweeping goes on."""
    user_id = await _user(desk)
    await _stake(desk, 1)
    await desk.sql(
        "INSERT INTO idempotency (user_id, scope, key, body_hash, expires_at)"
        " VALUES ($1, 's', 'k', 'x', clock.now())",
        user_id,
    )
    await database_clock.set(START_MS + 40 * DAY_MS)
    await desk.sql("ALTER TABLE balances RENAME TO elsewhere")
    done = await keep_up(desk.services, None, 60)
    # The key, and the event of the stake that was made 40 days ago.
    assert (done.settled, done.swept, done.level) == (0, 2, "warning")
    assert done.failed == "database_unavailable"
    await desk.sql("ALTER TABLE elsewhere RENAME TO balances")
    assert (await keep_up(desk.services, None, 60)).settled == 1
    await check_books(desk.database_url)


async def test_a_round_ends_when_its_time_is_over(desk: Any, database_clock: DatabaseClock) -> None:
    """Without time for another batch nothing is begun; the next round goes on."""
    await _stake(desk, 1)
    await database_clock.set(START_MS + 40 * DAY_MS)
    done = await keep_up(desk.services, None, 1.0)
    assert done == upkeep.Upkeep()
    assert not done.is_worth_a_line
    assert (await keep_up(desk.services, None, 60)).settled == 1
