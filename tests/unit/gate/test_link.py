"""How long a request may be held up by looking for Redis, and what a Redis does that fails half-way."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from stakehold.domain.errors import OverloadedError
from stakehold.domain.ports import Deadline
from stakehold.gate import Entering, Policy
from stakehold.gate import link as link_module
from stakehold.gate import unfenced as unfenced_module
from stakehold.gate.scripts import ENTER
from stakehold.limits.policies import WINDOW_S_MAX
from stakehold.redis.port import Argument, Redis, Reply, Script
from tests.unit.gate.conftest import PAGE, Start

TEN = Policy("auth", 10)


class _WipedAgain:
    """A Redis that forgets everything each time before it lets a request in."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @property
    def connection_losses(self) -> int:
        return self.redis.connection_losses

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        if script is ENTER:
            await self.redis.command("FLUSHALL", timeout_s=timeout_s)
        return await self.redis.script(script, keys, arguments, timeout_s)

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self.redis.command(*arguments, timeout_s=timeout_s)

    async def close(self) -> None:
        await self.redis.close()


async def test_a_return_that_hangs_holds_up_its_request_for_a_bounded_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serverless, who looks for Redis gives up after a while and is served without; a later one finds it."""
    monkeypatch.setattr(link_module, "_IN_REQUEST_TIMEOUT_S", 0.02)
    process = await start(started=False, serverless=True)
    process.wire.losses += 1
    process.wire.hold = asyncio.Event()
    async with asyncio.timeout(10):
        assert not (await process.enter(page=PAGE)).redis
    asked = process.wire.trips
    assert asked == 1
    assert not (await process.enter(page=PAGE)).redis
    assert process.wire.trips == asked, "nobody looks again at once"
    process.wire.hold.set()
    process.clock.advance(1)
    assert (await process.enter(page=PAGE)).redis
    assert process.gate.state == "up"


async def test_a_return_with_too_much_to_repair_goes_on_where_it_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look repairs for so many rounds at most; the next goes on, and nobody is repaired twice."""
    monkeypatch.setattr(link_module, "_ROUNDS_MAX", 2)
    monkeypatch.setattr(unfenced_module, "BATCH", 1)
    other, process = await start(), await start(started=False, serverless=True)
    users = [UUID(int=number) for number in range(1, 6)]
    for user in users:
        await other.fill(b"old", user)
    process.wire.away = True
    for user in users:
        await process.write(user)
    process.wire.away = False
    repaired, up = [], []
    for _ in range(3):
        process.clock.advance(1)
        up.append((await process.enter()).redis)
        await process.enter()  # At once nobody looks again.
        repaired.append(process.count("cache_repairs"))
    assert (up, repaired) == ([False, False, True], [2, 4, 5])
    for user in users:
        assert await other.read(user) is None


async def test_long_after_a_return_redis_decides_alone(start: Start) -> None:
    """When every window that a loss was in has passed, the local share binds no limit of any length."""
    process = await start(processes=5)
    longest = Policy("auth-failure", 10, WINDOW_S_MAX)
    process.wire.away = True
    assert not (await process.enter()).redis
    await process.come_back()
    settling = (await process.enter(longest)).limits
    assert settling[0].remaining == 1, "a fifth of ten, less one"
    process.clock.advance(WINDOW_S_MAX + 1)
    for _ in range(2):
        assert (await process.enter(longest)).limits[0].remaining > 2


async def test_redis_that_goes_away_while_a_charge_is_given_back_is_lost(start: Start) -> None:
    """The charge stays until its window has passed, that is counted, and nobody waits for Redis after it."""
    process = await start()
    await process.gate.charge("n:bob", (TEN,), "first", process.deadline)
    process.wire.away = True
    await process.gate.release("n:bob", TEN, "first")
    assert process.count("limits_not_released") == 1
    assert process.gate.state == "down"
    await process.come_back()
    process.clock.advance(61)
    assert (await process.gate.charge("n:bob", (TEN,), "second", process.deadline))[0].remaining == 8


async def test_a_redis_wiped_twice_under_one_request_is_done_without(start: Start) -> None:
    """It asks a second time and no more; what it writes counts as unfenced, and is repaired."""
    process = await start(processes=2)
    await process.enter()
    steady, process.wire.redis = process.wire.redis, _WipedAgain(process.wire.redis)
    entered = await process.enter(TEN, fences=("stakes",), request_id="twice wiped")
    process.wire.redis = steady
    assert not entered.redis
    assert entered.limits[0].remaining == 4, "its share of ten, charged once"
    assert entered.fence is not None
    assert entered.fence.unfenced
    assert process.gate.state == "down"
    await process.gate.leave(entered.fence, process.deadline)
    await process.come_back()
    assert process.count("cache_repairs") == 1


@pytest.mark.parametrize("left_s", [0.0, 0.05])
async def test_who_has_no_time_left_is_not_let_in(start: Start, left_s: float) -> None:
    """A request too near its deadline is refused before it costs a trip, and is charged nothing."""
    process = await start()
    trips = process.wire.trips
    late = Entering("late", (TEN,), "a:192.0.2.1")
    with pytest.raises(OverloadedError):
        await process.gate.enter(late, Deadline.after(process.clock, left_s))
    assert process.wire.trips == trips
    assert (await process.enter(TEN, subject="a:192.0.2.1")).limits[0].remaining == 9
