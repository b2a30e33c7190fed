"""Delivering events: signed, again after failures, once where nobody crashes, and never not at all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from stakehold.database import events
from stakehold.domain.events import Event
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import rfc3339
from stakehold.gate import Caller
from stakehold.runtime.webhook_sender import AiohttpWebhookSender
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.security.webhooks import WebhookSigner
from stakehold.services import exits, stakes
from stakehold.services.orders import Order
from stakehold.services.webhooks import NotDeliveredError, Webhook, deliver_due
from tests.support.fakes import ManualClock
from tests.support.receiver import KEY, Received, Receiver, running_receiver
from tests.unit.services.conftest import PASSWORD, Desk, OpenDesk

USER = UUID(int=9)
PREVIOUS = bytes(reversed(KEY))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def webhook(receiver: Receiver) -> AsyncIterator[Webhook]:
    sender = AiohttpWebhookSender(private=True)
    yield Webhook(receiver.url, WebhookSigner((KEY, PREVIOUS)), sender, at_once=4)
    await sender.close()


async def write(desk: Desk, count: int) -> list[str]:
    services = desk.services
    made = [
        Event(USER, new_id(services.clock, services.entropy), "stake.created", json.dumps({"number": number}))
        for number in range(count)
    ]
    await services.run(lambda connection: events.insert_events(connection, made), desk.deadline)
    return [str(event.id) for event in made]


async def deliver(desk: Desk, webhook: Webhook | None, limit: int = 1000, seconds: float = 60) -> int:
    return await deliver_due(desk.services, webhook, Deadline.after(desk.services.clock, seconds), limit)


async def make_due(desk: Desk) -> None:
    """As if the time had passed: of a lease, or until the next attempt."""
    await desk.sql("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")


async def states(desk: Desk) -> list[tuple[object, ...]]:
    return await desk.sql(
        "SELECT attempts, delivered_at IS NOT NULL, failed_at IS NOT NULL, due_at IS NOT NULL, last_error"
        " FROM events ORDER BY id"
    )


async def test_every_event_is_delivered_signed(desk: Desk, webhook: Webhook, receiver: Receiver) -> None:
    """With both secrets, at the time of the attempt, the id the event's and the body what was written."""
    identifiers = await write(desk, 25)
    before_s = int(time.time()) - 1
    assert await deliver(desk, webhook) == 25
    assert sorted(received.id for received in receiver.received) == sorted(identifiers)
    numbers = {received.id: received.json()["number"] for received in receiver.received}
    assert [numbers[each] for each in identifiers] == list(range(25))
    for received in receiver.received:
        assert received.is_signed_with(KEY)
        assert received.is_signed_with(PREVIOUS)
        assert not received.is_signed_with(KEY[::-1] + b"x")
        assert before_s <= int(received.headers["webhook-timestamp"]) <= time.time() + 1
        assert received.headers["content-type"] == "application/json"
    assert set(await states(desk)) == {(1, True, False, False, None)}
    assert await deliver(desk, webhook) == 0
    assert len(receiver.received) == 25


async def test_without_a_webhook_nothing_is_sent(desk: Desk) -> None:
    """Nor is anything changed."""
    await write(desk, 1)
    assert await deliver(desk, None) == 0
    assert await states(desk) == [(0, False, False, True, None)]


async def test_a_failure_is_tried_again_under_the_same_id(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """Later, newly signed, until it is taken."""
    (identifier,) = await write(desk, 1)
    receiver.answers(500)
    assert await deliver(desk, webhook) == 0
    assert await deliver(desk, webhook) == 0
    assert await states(desk) == [(1, False, False, True, "status 500")]
    receiver.answers(200)
    await make_due(desk)
    assert await deliver(desk, webhook) == 1
    assert [received.id for received in receiver.received] == [identifier] * 2
    assert all(received.is_signed_with(KEY) for received in receiver.received)
    assert await states(desk) == [(2, True, False, False, None)]


async def test_after_ten_attempts_an_event_is_given_up(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """Each later than the one before; then it is counted and left to an operator."""
    await write(desk, 1)
    receiver.answers(500)
    delays: list[float] = []
    for _ in range(10):
        await make_due(desk)
        await deliver(desk, webhook)
        ((delay,),) = await desk.sql("SELECT extract(epoch FROM due_at - now())::FLOAT8 FROM events")
        delays.append(delay)  # type: ignore[arg-type]
    assert delays.pop() is None
    assert delays == sorted(delays)
    assert 4 <= delays[0] <= 6
    assert 86000 <= delays[-1] <= 86400 * 1.2
    assert await states(desk) == [(10, False, True, False, "status 500")]
    assert await deliver(desk, webhook) == 0
    assert len(receiver.received) == 10


@pytest.mark.parametrize("status", [301, 302, 400, 404, 429, 500, 503])
async def test_what_is_not_2xx_is_tried_again(
    desk: Desk, webhook: Webhook, receiver: Receiver, status: int
) -> None:
    """A redirect among them: it is not followed."""
    await write(desk, 1)
    receiver.answers(status, {"Location": "http://127.0.0.1:1/"})
    assert await deliver(desk, webhook) == 0
    assert await states(desk) == [(1, False, False, True, f"status {status}")]
    assert len(receiver.received) == 1


async def test_what_is_done_with_a_stake_is_told(desk: Desk, webhook: Webhook, receiver: Receiver) -> None:
    """That it was made, and that it was taken back, both of the same stake and in the same words."""
    await desk.add_user()
    token = RefreshToken.decode((await desk.sign_in(PASSWORD)).refresh)
    caller = Caller(token.user_id, str(token.session_id), 1)
    made = await stakes.create_stake(desk.services, caller, Order(b"1", period_months=12), desk.deadline)
    await exits.cancel(desk.services, caller, made.stake_id, None, desk.deadline)
    assert await deliver(desk, webhook) == 2
    ((created_at_ms,),) = await desk.sql(
        "SELECT floor(extract(epoch FROM created_at) * 1000)::INT8 FROM stakes"
    )
    told = {received.json()["type"]: received.json() for received in receiver.received}
    assert told.keys() == {"stake.created", "stake.cancelled"}
    assert told["stake.created"]["data"] == told["stake.cancelled"]["data"]
    assert told["stake.created"]["data"]["stakeId"] == str(made.stake_id)
    assert told["stake.created"].keys() == told["stake.cancelled"].keys()
    assert told["stake.created"]["timestamp"] == rfc3339(int(str(created_at_ms)))


async def test_410_ends_it_at_once(desk: Desk, webhook: Webhook, receiver: Receiver) -> None:
    """The receiver wants no more of it."""
    await write(desk, 1)
    receiver.answers(410)
    assert await deliver(desk, webhook) == 0
    assert await states(desk) == [(1, False, True, False, "status 410")]


@pytest.mark.parametrize(
    ("asked", "least_s", "most_s"),
    [
        ("600", 590, 600),
        ("1", 4, 6),
        ("99999999999999999999", 86390, 86400),
        ("-5", 4, 6),
        ("soon", 4, 6),
        ("٣", 4, 6),
        ("1e9", 4, 6),
        (3600, 3500, 3610),
        (-3600, 4, 6),
        (86400 * 30, 86390, 86400),
    ],
    ids=[
        "seconds",
        "sooner",
        "too many",
        "negative",
        "a word",
        "digits of others",
        "exponent",
        "date",
        "past",
        "far",
    ],
)
async def test_a_receiver_may_ask_for_time(
    desk: Desk, webhook: Webhook, asked: str | int, least_s: float, most_s: float, receiver: Receiver
) -> None:
    """`Retry-After` in seconds or as a date lengthens the delay, to a day at most; nonsense does nothing."""
    if isinstance(asked, int):
        asked = format_datetime(datetime.now(UTC) + timedelta(seconds=asked), usegmt=True)
    await write(desk, 1)
    receiver.answers(503, {"Retry-After": asked})
    await deliver(desk, webhook)
    ((delay_s,),) = await desk.sql("SELECT extract(epoch FROM due_at - now())::FLOAT8 FROM events")
    assert isinstance(delay_s, float)
    assert least_s <= delay_s <= most_s


async def test_two_deliverers_send_each_event_once(
    open_desk: OpenDesk, webhook: Webhook, receiver: Receiver
) -> None:
    """Four at once, in two processes, while none of them crashes: nothing twice, nothing left."""
    one, two = await open_desk(), await open_desk()
    identifiers = await write(one, 60)
    counts = await asyncio.gather(*(deliver(desk, webhook) for desk in (one, two, one, two)))
    # One that met others everywhere ends before they have: what is left is due.
    assert sum(counts) + await deliver(one, webhook) == 60
    assert sorted(received.id for received in receiver.received) == sorted(identifiers)


async def test_a_crash_after_sending_sends_again_under_the_same_id(
    desk: Desk, webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent and not noted is due again after its lease, and not before."""

    class CrashError(Exception):
        pass

    async def crash(*_: Any) -> None:
        raise CrashError

    (identifier,) = await write(desk, 1)
    with monkeypatch.context() as patched:
        patched.setattr(events, "record_results", crash)
        with pytest.raises(CrashError):
            await deliver(desk, webhook)
    assert await deliver(desk, webhook) == 0
    assert len(receiver.received) == 1
    await make_due(desk)
    assert await deliver(desk, webhook) == 1
    assert [received.id for received in receiver.received] == [identifier] * 2


async def test_who_is_stopped_while_sending_loses_nothing(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """Cancelled in the middle, as at a shutdown: every event is delivered in the end."""
    identifiers = await write(desk, 10)
    reached, ended = asyncio.Event(), asyncio.Event()

    async def hold(_: Received) -> web.StreamResponse:
        reached.set()
        await ended.wait()
        return web.Response()

    receiver.answer = hold
    delivering = asyncio.create_task(deliver(desk, webhook))
    await asyncio.wait_for(reached.wait(), 10)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    ended.set()
    receiver.answers(200)
    await make_due(desk)
    assert await deliver(desk, webhook) == 10
    assert {received.id for received in receiver.received} == set(identifiers)


async def test_no_more_are_sent_at_once_than_allowed(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """Four here, of twenty; and at most as many altogether as the caller wants."""
    await write(desk, 20)
    under_way = most = 0

    async def count(_: Received) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return web.Response()

    receiver.answer = count
    assert await deliver(desk, webhook, limit=13) == 13
    assert len(receiver.received) == 13
    assert most <= 4
    assert await deliver(desk, webhook) == 7


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_receiver_in_trouble_is_left_alone(
    desk: Desk, webhook: Webhook, receiver: Receiver, status: int
) -> None:
    """When as many have failed one after the other as go at once, the run ends; the others stay due."""
    await write(desk, 40)
    receiver.answers(status)
    assert await deliver(desk, webhook) == 0
    assert 4 <= len(receiver.received) < 8
    tried = sum(attempts == 1 for attempts, *_ in await states(desk))
    assert tried == len(receiver.received)


async def test_a_receiver_that_refuses_some_gets_the_others(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """However many in a row: what it says of one event (400) tells nothing of the next."""
    identifiers = await write(desk, 40)

    async def answer(received: Received) -> web.StreamResponse:
        return web.Response(status=200 if received.id == identifiers[-1] else 400)

    receiver.answer = answer
    assert await deliver(desk, webhook) == 1
    assert len(receiver.received) == 40


async def test_one_failure_does_not_hold_up_the_others(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """Each event has its own outcome."""
    identifiers = await write(desk, 30)

    async def answer(received: Received) -> web.StreamResponse:
        return web.Response(status=500 if received.id == identifiers[7] else 200)

    receiver.answer = answer
    assert await deliver(desk, webhook) == 29
    failed = await desk.sql("SELECT id::TEXT, attempts FROM events WHERE delivered_at IS NULL")
    assert failed == [(identifiers[7], 1)]


async def test_nothing_begins_that_may_not_end_in_time(
    desk: Desk, webhook: Webhook, receiver: Receiver
) -> None:
    """With less time than taking, sending and noting may need, nothing is taken."""
    await write(desk, 1)
    assert await deliver(desk, webhook, seconds=15.9) == 0
    assert await states(desk) == [(0, False, False, True, None)]
    assert receiver.received == []


async def test_timeouts_and_refusals_are_noted_in_short(desk: Desk, webhook: Webhook) -> None:
    """What the sender says of them, for the operator."""

    class Failing:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def post(self, url: str, **_: Any) -> Any:
            raise self.error

    for error, noted in (
        (TimeoutError(), "no answer in time"),
        (NotDeliveredError("no answer: SomeError"), "no answer: SomeError"),
    ):
        await desk.sql("DELETE FROM events")
        await write(desk, 1)
        failing = Webhook(webhook.url, webhook.signer, Failing(error), 1)
        assert await deliver(desk, failing) == 0
        assert await states(desk) == [(1, False, False, True, noted)]


async def test_what_happens_is_counted(desk: Desk, webhook: Webhook, receiver: Receiver) -> None:
    """Delivered, failed, given up."""
    await write(desk, 3)
    await deliver(desk, webhook)
    await write(desk, 1)
    receiver.answers(410)
    await deliver(desk, webhook)
    counted = desk.services.counters.counted()  # type: ignore[attr-defined]
    names = ("webhooks_delivered", "webhooks_failed", "webhooks_given_up")
    assert [counted.get(name) for name in names] == [3, 1, 1]


async def test_nothing_is_sent_when_taking_it_has_used_up_the_time(
    desk: Desk, webhook: Webhook, receiver: Receiver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send without any time left would have no limit: the events are left to their leases."""
    await write(desk, 1)
    take_due = events.take_due

    async def take_long(*arguments: Any, **options: Any) -> Any:
        taken = await take_due(*arguments, **options)
        clock.advance(60)
        return taken

    monkeypatch.setattr(events, "take_due", take_long)
    assert await deliver_due(desk.services, webhook, Deadline.after(clock, 60), 10) == 0
    assert receiver.received == []
    assert await states(desk) == [(0, False, False, True, None)]


async def test_a_fault_of_the_sender_is_noted_and_keeps_no_others(
    desk: Desk, receiver: Receiver, webhook: Webhook
) -> None:
    """Whatever it raises counts as an attempt, so that it ends, and the others' results are kept."""

    class Broken:
        async def post(self, url: str, **options: Any) -> Any:
            raise UnicodeError("nobody thought of it")

        async def close(self) -> None: ...

    await write(desk, 2)
    assert await deliver(desk, replace(webhook, sender=Broken())) == 0
    assert {state[0] for state in await states(desk)} == {1}
    assert {state[4] for state in await states(desk)} == {"fault UnicodeError"}
