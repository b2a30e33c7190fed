"""The outbox, on a real database: writing, taking, noting, sweeping, replaying."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import events, sweeping
from stakehold.database.events import BUCKETS, DueEvent, ReplayPosition, Result
from stakehold.database.port import Connection
from stakehold.database.sweeping import Swept
from stakehold.domain.events import Event
from stakehold.domain.ids import new_id
from tests.support.fakes import ManualClock, SeededEntropy

USER = UUID(int=9)
START = ReplayPosition(datetime.fromisoformat("2000-01-01T00:00:00Z"), UUID(int=0))

Run = Callable[..., Awaitable[Any]]


@pytest.fixture
def write(run: Run, clock: ManualClock, entropy: SeededEntropy) -> Any:
    """Write so many events of one user; returns their ids."""

    async def write(count: int = 1) -> list[UUID]:
        made = [
            Event(USER, new_id(clock, entropy), "stake.created", json.dumps({"n": number, "é": "\x00"}))
            for number in range(count)
        ]
        await run(lambda c: events.insert_events(c, made))
        return [event.id for event in made]

    return write


@pytest.fixture
def take(run: Run) -> Any:
    """Take all that is due, bucket by bucket, as a deliverer would."""

    async def take(limit: int = 1000) -> list[DueEvent]:
        found: list[DueEvent] = []
        for bucket in await run(events.busy_buckets):
            found += await run(lambda c, bucket=bucket: events.take_due(c, bucket, limit))
        return found

    return take


async def _row(run: Run, identifier: UUID) -> Any:
    return await run(lambda c: c.fetchrow("SELECT * FROM events WHERE id = $1", identifier))


async def _expire_leases(run: Run) -> None:
    await run(lambda c: c.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL"))


async def test_what_was_written_is_taken_as_it_is(run: Run, write: Any, take: Any) -> None:
    """Every event once, with its payload to the byte; then none is due, for as long as the lease."""
    identifiers = await write(50)
    taken = await take()
    assert sorted(event.id for event in taken) == sorted(identifiers)
    assert {event.user_id for event in taken} == {USER}
    assert all(event.attempts == 0 for event in taken)
    payloads = {event.id: event.payload for event in taken}
    assert [json.loads(payloads[each])["n"] for each in identifiers] == list(range(50))
    assert payloads[identifiers[0]] == json.dumps({"n": 0, "é": "\x00"})
    assert await run(events.busy_buckets) == []
    await _expire_leases(run)
    assert len(await take()) == 50


async def test_events_are_of_the_transaction_that_made_them(
    run: Run, clock: ManualClock, entropy: SeededEntropy, take: Any
) -> None:
    """What is rolled back has told nobody."""
    event = Event(USER, new_id(clock, entropy), "stake.cancelled", "{}")

    class UndoneError(Exception):
        pass

    async def work(connection: Connection) -> None:
        async with connection.transaction():
            await events.insert_events(connection, [event])
            raise UndoneError

    with pytest.raises(UndoneError):
        await run(work)
    assert await take() == []


async def test_nothing_to_write_is_no_statement() -> None:
    """A caller without events needs no condition."""
    await events.insert_events(None, [])  # type: ignore[arg-type]


async def test_takers_at_once_take_each_event_once(run: Run, write: Any, take: Any) -> None:
    """Eight deliverers on 200 events: no event is two deliverers', and none is nobody's."""
    identifiers = await write(200)
    taken: list[DueEvent] = []

    async def deliverer() -> None:
        while batch := await take(3):
            taken.extend(batch)

    await asyncio.gather(*(deliverer() for _ in range(8)))
    assert sorted(event.id for event in taken) == sorted(identifiers)


async def test_the_longest_due_are_taken_first(run: Run, write: Any) -> None:
    """Within a bucket, so that none waits behind those that come after it."""
    for _ in range(40):
        await write()
    bucket = (await run(events.busy_buckets))[0]
    rows = await run(
        lambda c: c.fetch("SELECT id FROM events WHERE bucket = $1 ORDER BY due_at LIMIT 1", bucket)
    )
    (first,) = await run(lambda c: events.take_due(c, bucket, 1))
    assert first.id == rows[0]["id"]


@pytest.mark.parametrize(
    ("error", "retry_after_s", "state"),
    [(None, None, "delivered"), ("status 500", 300.5, "due"), ("status 410", None, "failed")],
)
async def test_a_result_is_noted(
    run: Run, write: Any, take: Any, error: str | None, retry_after_s: float | None, state: str
) -> None:
    """Delivered, due later, or given up; once, however often it is noted."""
    (identifier,) = await write()
    (event,) = await take()
    before = await run(events.database_time)
    for _ in range(2):
        await run(lambda c: events.record_results(c, [Result(event, error, retry_after_s)]))
    row = await _row(run, identifier)
    assert (row["attempts"], row["last_error"]) == (1, error)
    assert (row["delivered_at"] is not None) == (state == "delivered")
    assert (row["failed_at"] is not None) == (state == "failed")
    assert (row["due_at"] is not None) == (state == "due")
    if state == "due":
        assert timedelta(seconds=300) < row["due_at"] - before < timedelta(seconds=310)
        await _expire_leases(run)
        assert (await take())[0].attempts == 1


async def test_an_error_is_kept_short(run: Run, write: Any, take: Any) -> None:
    """Nothing a receiver brings about fills the table."""
    (identifier,) = await write()
    (event,) = await take()
    await run(lambda c: events.record_results(c, [Result(event, "x" * 1000, 1)]))
    assert len((await _row(run, identifier))["last_error"]) == 200


async def test_who_lost_the_lease_notes_nothing(run: Run, write: Any, take: Any) -> None:
    """A deliverer that was away for too long neither fails nor ends what another one has now."""
    (identifier,) = await write()
    (late,) = await take()
    await _expire_leases(run)
    (other,) = await take()
    for error in (None, "status 500"):
        await run(lambda c, error=error: events.record_results(c, [Result(late, error)]))
    assert (await _row(run, identifier))["attempts"] == 0
    await run(lambda c: events.record_results(c, [Result(other)]))
    assert (await _row(run, identifier))["delivered_at"] is not None


async def test_a_replay_meanwhile_outlives_the_attempt(run: Run, write: Any, take: Any) -> None:
    """Asked for while the event is being sent, it is sent again whatever comes of that."""
    (identifier,) = await write()
    (event,) = await take()
    assert await run(lambda c: events.replay_event(c, identifier))
    await run(lambda c: events.record_results(c, [Result(event)]))
    assert [each.id for each in await take()] == [identifier]


async def test_a_row_has_at_most_one_end(run: Run, write: Any) -> None:
    """Delivered and due, or delivered and given up: the table itself refuses them."""
    await write()
    for columns in (
        "delivered_at = now()",
        "failed_at = now()",
        "due_at = NULL, failed_at = now(), delivered_at = now()",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await run(lambda c, columns=columns: c.execute(f"UPDATE events SET {columns}"))


async def _age(run: Run, days: int) -> None:
    await run(
        lambda c: c.execute("UPDATE events SET created_at = now() - $1::INTERVAL", timedelta(days=days))
    )


async def _sweep(run: Run, limit: int = 1000) -> list[Swept]:
    """In each bucket; those with something to sweep are the very ones that were found before."""
    month = timedelta(days=30)
    found = await run(lambda c: sweeping.find_expired(c, month))
    swept = [
        await run(lambda c, bucket=bucket: sweeping.sweep_events(c, bucket, month, limit))
        for bucket in range(BUCKETS)
    ]
    assert found["events"] == [bucket for bucket, each in enumerate(swept) if each.events]
    return swept


async def test_what_is_old_and_done_is_swept(run: Run, write: Any, take: Any) -> None:
    """After 30 days, a bounded number at a time; what is still to be sent stays."""
    await write(60)
    await run(lambda c: c.execute("UPDATE events SET due_at = NULL, delivered_at = now()"))
    (waiting,) = await write()
    await _age(run, 29)
    assert sum(swept.events for swept in await _sweep(run)) == 0
    await _age(run, 31)
    first = await _sweep(run, 1)
    assert max(swept.events for swept in first) == 1
    assert sum(swept.events for swept in [*first, *await _sweep(run)]) == 60
    assert not any(swept.unsent for swept in first)
    assert [event.id for event in await take()] == [waiting]


async def test_what_nobody_has_sent_for_a_month_is_swept(run: Run, write: Any) -> None:
    """Else a service whose events nobody delivers any more would keep them for ever."""
    await write(5)
    await run(lambda c: c.execute("UPDATE events SET due_at = now() - INTERVAL '31 days'"))
    assert sum(swept.events for swept in await _sweep(run)) == 0
    await _age(run, 31)
    swept = await _sweep(run)
    assert sum(each.events for each in swept) == sum(each.unsent for each in swept) == 5


async def test_operators_see_the_newest_and_those_given_up(run: Run, write: Any, take: Any) -> None:
    """Newest first over all buckets, at most so many."""
    identifiers = [(await write())[0] for _ in range(30)]
    rows = await run(lambda c: events.list_events(c, failed=False, limit=20))
    assert [row.id for row in rows] == identifiers[:9:-1]
    failing = {event.id: event for event in await take()}
    for identifier in identifiers[3:5]:
        result = Result(failing[identifier], "status 410")
        await run(lambda c, result=result: events.record_results(c, [result]))
    rows = await run(lambda c: events.list_events(c, failed=True, limit=20))
    assert [row.id for row in rows] == identifiers[4:2:-1]
    assert {(row.last_error, row.attempts, row.due_at) for row in rows} == {("status 410", 1, None)}


async def _replay_all(run: Run, *, since: ReplayPosition = START, failed: bool = False) -> int:
    until, position, count = await run(events.database_time), since, 0
    while True:
        found, position = await run(
            lambda c, position=position: events.replay_page(c, position, until, failed=failed, limit=7)
        )
        if not found:
            return count
        count += found
        assert count < 1000, "the same events come again and again"


async def test_replays_reach_every_event_since_a_time_once(run: Run, write: Any, take: Any) -> None:
    """Page by page and oldest first, those of one moment too, whatever had become of them."""
    before = await write(20)
    for event in await take():
        await run(lambda c, event=event: events.record_results(c, [Result(event)]))
    since = ReplayPosition(await run(events.database_time), UUID(int=0))
    after = await write(40)
    for number, event in enumerate(await take()):
        result = Result(event, "status 500" if number % 2 else None)
        await run(lambda c, result=result: events.record_results(c, [result]))
    assert await _replay_all(run, since=since, failed=True) == 20
    assert await _replay_all(run, since=since) == 40
    taken = await take()
    assert sorted(event.id for event in taken) == sorted(after)
    assert {event.attempts for event in taken} == {0}
    assert await _replay_all(run) == len(before) + 40


async def test_what_is_not_there_is_not_replayed(run: Run, write: Any) -> None:
    """An id nobody knows changes nothing."""
    await write()
    assert not await run(lambda c: events.replay_event(c, UUID(int=1)))
