"""Limits while Redis is away, where the platform has a limiter of its own over all its instances."""

import asyncio

import pytest

from stakehold.domain.ports import Deadline
from stakehold.gate import LimitedError, PlatformLimiter, Policy, platform_period_s
from stakehold.gate.alone import PLATFORM_TIMEOUT_S
from tests.unit.gate.conftest import PAGE, USER, Process, Start

TEN, ALL = Policy("auth", 10), Policy("global", 12)


class Platform:
    """A limiter over all instances of a location, exact for once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.left: dict[str, int] = {}
        """What is left, by policy; of others there is no end."""
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None

    async def admit(self, subject: str, policy: Policy) -> bool:
        self.asked.append((subject, policy.name))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        if policy.name not in self.left:
            return True
        self.left[policy.name] -= 1
        return self.left[policy.name] >= 0


@pytest.fixture
def platform() -> Platform:
    return Platform()


async def _isolate(start: Start, platform: PlatformLimiter) -> Process:
    return await start(started=False, serverless=True, away=platform)


async def test_while_redis_is_there_the_platform_is_not_asked(start: Start, platform: Platform) -> None:
    """Redis is exact: a request that it lets in or refuses costs nothing more."""
    process = await _isolate(start, platform)
    for _ in range(10):
        await process.enter(TEN, ALL)
    with pytest.raises(LimitedError):
        await process.enter(TEN, ALL)
    assert platform.asked == []


async def test_without_redis_isolates_together_get_what_the_platform_gives(
    start: Start, platform: Platform
) -> None:
    """Each isolate would let in its whole share; the platform counts over all of them."""
    platform.left = {"auth": 10}
    admitted = 0
    for _ in range(3):
        process = await _isolate(start, platform)
        process.wire.away = True
        for _ in range(8):
            try:
                await process.enter(TEN, ALL)
                admitted += 1
            except LimitedError as error:
                refusal = error
    assert admitted == 10
    assert [state.policy for state in refusal.violated] == [TEN]
    assert refusal.retry_after_s == 60
    first, second = refusal.limits
    assert (first.policy, first.remaining, second.policy) == (TEN, 0, ALL)


async def test_the_share_still_decides_first(start: Start, platform: Platform) -> None:
    """Who has used up the isolate's share is refused without a question to the platform."""
    process = await _isolate(start, platform)
    process.wire.away = True
    for _ in range(10):
        await process.enter(TEN)
    asked = len(platform.asked)
    with pytest.raises(LimitedError):
        await process.enter(TEN)
    assert (asked, len(platform.asked)) == (10, 10)
    assert process.count("limits_local_denials") == 1


async def test_what_the_platform_refuses_is_not_charged(start: Start, platform: Platform) -> None:
    """A refusal gives the share back; with the platform's room comes the whole of it."""
    process = await _isolate(start, platform)
    process.wire.away = True
    platform.left = {"global": 0}
    for _ in range(15):
        with pytest.raises(LimitedError) as refused:
            await process.enter(TEN, ALL)
        assert [state.policy for state in refused.value.violated] == [ALL]
    assert process.count("limits_platform_denials") == 15
    assert process.count("limits_local_admissions") == 0
    platform.left = {}
    assert (await process.enter(TEN, ALL)).limits[0].remaining == 9


async def test_after_the_return_all_three_must_have_room_for_one_window(
    start: Start, platform: Platform
) -> None:
    """While the logs in Redis may lack charges the platform is asked as well, and then no more."""
    process = await _isolate(start, platform)
    process.wire.away = True
    await process.enter(TEN)
    process.wire.away = False
    process.clock.advance(2)
    platform.asked.clear()
    assert (await process.enter(TEN)).redis
    assert platform.asked == [(f"u:{USER}", "auth")]
    platform.left = {"auth": 0}
    trips = process.wire.trips
    with pytest.raises(LimitedError):
        await process.enter(TEN)
    assert process.wire.trips == trips, "a refused request opens nothing in Redis"
    process.clock.advance(61)
    assert (await process.enter(TEN)).redis


@pytest.mark.parametrize("error", [RuntimeError("no binding of that name"), TimeoutError()])
async def test_a_platform_that_fails_leaves_it_to_the_share(
    start: Start, platform: Platform, error: Exception
) -> None:
    """Whatever it raises: the share alone decides, and it is counted."""
    process = await _isolate(start, platform)
    process.wire.away = True
    platform.error = error
    for _ in range(10):
        await process.enter(TEN, page=PAGE)
    with pytest.raises(LimitedError):
        await process.enter(TEN)
    assert process.count("limits_platform_failures") == 10


async def test_one_limiter_that_fails_does_not_switch_off_the_others(
    start: Start, platform: Platform
) -> None:
    """The next policy is still asked about."""

    class Half(Platform):
        async def admit(self, subject: str, policy: Policy) -> bool:
            if policy is TEN:
                raise RuntimeError("no such binding")
            return await super().admit(subject, policy)

    half = Half()
    half.left = {"global": 0}
    process = await _isolate(start, half)
    process.wire.away = True
    with pytest.raises(LimitedError):
        await process.enter(TEN, ALL)


async def test_a_platform_that_hangs_holds_nobody_up(start: Start, platform: Platform) -> None:
    """All policies together wait for a tenth of a second, and then the share alone decides."""
    process = await _isolate(start, platform)
    process.wire.away = True
    platform.hold = asyncio.Event()
    began_s = asyncio.get_running_loop().time()
    await process.enter(TEN, ALL)
    took_s = asyncio.get_running_loop().time() - began_s
    assert PLATFORM_TIMEOUT_S * 0.9 <= took_s < 1.0
    assert platform.asked == [(f"u:{USER}", "auth")]
    assert process.count("limits_platform_failures") == 1


async def test_a_cancelled_request_is_not_mistaken_for_a_slow_platform(
    start: Start, platform: Platform
) -> None:
    """Who is cancelled while the platform is asked ends there."""
    process = await _isolate(start, platform)
    process.wire.away = True
    platform.hold = asyncio.Event()
    entering = asyncio.create_task(process.enter(TEN))
    while not platform.asked:
        await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert process.count("limits_platform_failures") == 0


@pytest.mark.parametrize(
    ("window_s", "period_s"),
    [(86_400, 60), (900, 60), (60, 60), (59, 10), (10, 10), (9, None), (1, None)],
)
def test_the_platform_counts_over_the_longest_period_within_the_window(
    window_s: int, period_s: int | None
) -> None:
    """So that it refuses nobody whom the policy would let in; a window below all periods has no limiter."""
    assert platform_period_s(Policy("auth", 10, window_s)) == period_s


async def test_a_policy_without_a_period_is_not_asked_about(start: Start, platform: Platform) -> None:
    """A refusal names the period after which the platform has room again, not the longer window."""
    process = await _isolate(start, platform)
    process.wire.away = True
    await process.enter(Policy("refresh", 10, 5))
    assert platform.asked == []
    platform.left = {"auth-failure": 0}
    with pytest.raises(LimitedError) as refused:
        await process.gate.charge("n:bob", (Policy("auth-failure", 50, 900),), "one", process.deadline)
    assert refused.value.retry_after_s == 60


async def test_a_write_that_waited_for_the_platform_while_redis_returned_is_put_right(
    start: Start, platform: Platform
) -> None:
    """Redis is found by another request meanwhile; the write goes on unfenced, and the next return knows."""
    other = await start(started=False, serverless=True)
    process = await _isolate(start, platform)
    process.wire.away = True
    await process.enter()
    platform.hold = asyncio.Event()
    writing = asyncio.create_task(process.enter(TEN, fences=("stakes",)))
    while not platform.asked:
        await asyncio.sleep(0)
    process.wire.away = False
    process.clock.advance(2)
    assert (await process.enter()).redis
    await other.fill(b"old")
    platform.hold.set()
    fence = (await writing).fence
    assert fence is not None
    assert fence.unfenced
    # The request is killed here, after its commit: nobody leaves. The next one in the isolate sees to it.
    process.clock.advance(2)
    assert (await process.enter()).redis
    assert await other.read() is None


async def test_a_charge_that_can_be_given_back_asks_as_well(start: Start, platform: Platform) -> None:
    """Refused by the platform, it leaves the share as it was."""
    process = await _isolate(start, platform)
    process.wire.away = True
    platform.left = {"auth": 1}
    await process.gate.charge("n:bob", (TEN,), "one", Deadline.after(process.clock, 8))
    with pytest.raises(LimitedError):
        await process.gate.charge("n:bob", (TEN,), "two", Deadline.after(process.clock, 8))
    platform.left = {}
    entered = await process.gate.charge("n:bob", (TEN,), "three", Deadline.after(process.clock, 8))
    assert entered[0].remaining == 8
