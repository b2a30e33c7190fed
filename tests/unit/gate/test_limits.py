"""Limits at the gate: exact, all or nothing, charged once."""

import asyncio

import pytest

from stakehold.domain.ports import Deadline
from stakehold.gate import Gate, LimitedError, LimitState, Policy
from stakehold.redis.resp import RespRedis
from tests.unit.gate.conftest import ALL, READ, USER, Start

FEW = Policy("auth", 3)
LOG = f"sh0:{{u:{USER}}}:limit:"


async def _age(redis: RespRedis, key: str, seconds: float) -> None:
    """Move every charge of a log into the past, as if time had passed."""
    members = await redis.command("ZRANGE", key, 0, -1, "WITHSCORES", timeout_s=1)
    assert isinstance(members, list)
    for member, score in zip(members[::2], members[1::2], strict=True):
        assert isinstance(member, bytes)
        assert isinstance(score, bytes)
        await redis.command("ZADD", key, f"{float(score) - seconds * 1e6:.0f}", member, timeout_s=1)


async def test_exactly_the_quota_passes_of_many_at_once_over_two_processes(start: Start) -> None:
    """Of 100 requests at once through two processes, exactly 60 pass a limit of 60."""
    one, two = await start(), await start()
    outcomes = await asyncio.gather(
        *[(one, two)[n % 2].enter(READ, ALL) for n in range(100)], return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 60
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 40
    assert all(isinstance(error, LimitedError) for error in refused)


async def test_each_answer_tells_what_remains(start: Start) -> None:
    """`remaining` goes down by one a request, and `reset` is within the window."""
    process = await start()
    told = [(await process.enter(FEW, ALL)).limits for _ in range(3)]
    assert [states[0].remaining for states in told] == [2, 1, 0]
    assert [states[1].remaining for states in told] == [99, 98, 97]
    assert all(1 <= state.reset_s <= 60 for states in told for state in states)


async def test_a_denial_names_the_full_limits_and_charges_nothing(start: Start, redis: RespRedis) -> None:
    """The request that one limit refuses is not charged to the others, and is told when to come back."""
    process = await start()
    for _ in range(3):
        await process.enter(FEW, ALL)
    with pytest.raises(LimitedError) as caught:
        await process.enter(FEW, ALL)
    error = caught.value
    assert [state.policy for state in error.violated] == [FEW]
    assert [state.remaining for state in error.limits] == [0, 97]
    assert error.retry_after_s == error.violated[0].reset_s
    assert 59 <= error.retry_after_s <= 60
    assert error.extra == {"violated-policies": ["auth"]}
    assert await redis.command("ZCARD", LOG + "global", timeout_s=1) == 3


async def test_the_wait_is_that_of_the_last_full_limit(start: Start, redis: RespRedis) -> None:
    """With two full limits, `Retry-After` is the longer of the two waits."""
    process, slow = await start(), Policy("auth-failure", 3, 900)
    for _ in range(3):
        await process.enter(FEW, slow)
    await _age(redis, LOG + "auth", 30)
    with pytest.raises(LimitedError) as caught:
        await process.enter(FEW, slow)
    assert {state.policy.name: state.reset_s for state in caught.value.violated} == {
        "auth": 30,
        "auth-failure": 900,
    }
    assert caught.value.retry_after_s == 900


async def test_a_charge_leaves_after_its_window(start: Start, redis: RespRedis) -> None:
    """A full log lets the next request in when its oldest charge is one window old, and only then."""
    process, late = await start(), await start()
    for _ in range(3):
        await process.enter(FEW)
    await _age(redis, LOG + "auth", 59)
    with pytest.raises(LimitedError):
        await process.enter(FEW)
    await _age(redis, LOG + "auth", 1)
    assert (await late.enter(FEW)).limits == (LimitState(FEW, 2, 60),)


async def test_a_retried_request_is_charged_once(start: Start) -> None:
    """24 tries of one request at once are one charge, and pass even when the log is full with it."""
    process, one = await start(), Policy("auth", 1)
    outcomes = await asyncio.gather(*[process.enter(one, ALL, request_id="same") for _ in range(24)])
    assert {outcome.limits[0].remaining for outcome in outcomes} == {0}
    assert {outcome.limits[1].remaining for outcome in outcomes} == {99}
    with pytest.raises(LimitedError):
        await process.enter(one, ALL)


async def test_who_is_known_to_be_blocked_is_refused_without_a_trip(start: Start, redis: RespRedis) -> None:
    """After a denial, refusals cost no trip until the oldest charge leaves; then Redis decides again."""
    process = await start()
    for _ in range(3):
        await process.enter(FEW, ALL)
    await _age(redis, LOG + "auth", 20)
    with pytest.raises(LimitedError):
        await process.enter(FEW, ALL)
    trips = process.wire.trips
    process.clock.advance(39.5)
    with pytest.raises(LimitedError) as caught:
        await process.enter(FEW, ALL)
    assert process.wire.trips == trips
    assert caught.value.limits == (LimitState(FEW, 0, 1),)
    assert process.count("limits_blocked") == 1
    await _age(redis, LOG + "auth", 40)
    process.clock.advance(1)
    await process.enter(FEW, ALL)


async def test_subjects_do_not_share_a_limit(start: Start) -> None:
    """One user's full limit is nobody else's, and an address is not a user."""
    process = await start()
    for _ in range(3):
        await process.enter(FEW)
    for subject in ("a:192.0.2.1", "u:someone-else", "n:name"):
        assert (await process.enter(FEW, subject=subject)).limits[0].remaining == 2


async def test_a_lowered_quota_counts_what_was_charged_before(start: Start) -> None:
    """With more in the log than the quota allows, the wait is until enough of them have left."""
    process, lower = await start(), Policy("auth", 1)
    for _ in range(3):
        await process.enter(FEW)
    with pytest.raises(LimitedError) as caught:
        await process.enter(lower)
    assert caught.value.violated[0].remaining == 0


async def test_a_released_charge_makes_room_at_once(start: Start) -> None:
    """A full limit that is given one charge back lets one more in: its refusals are not remembered."""
    process, deadline = await start(), Deadline.after((await start()).clock, 8)
    gate: Gate = process.gate
    for request in ("a", "b", "c"):
        await gate.charge("n:alice", (FEW,), request, deadline)
    with pytest.raises(LimitedError):
        await gate.charge("n:alice", (FEW,), "d", deadline)
    await gate.release("n:alice", FEW, "b")
    assert (await gate.charge("n:alice", (FEW,), "d", deadline))[0].remaining == 0
    with pytest.raises(LimitedError):
        await gate.charge("n:alice", (FEW,), "e", deadline)


async def test_logs_do_not_outlive_their_window(start: Start, redis: RespRedis) -> None:
    """A log's key expires at most a window after its last charge counts: idle subjects cost nothing."""
    await (await start()).enter(FEW)
    left_ms = await redis.command("PTTL", LOG + "auth", timeout_s=1)
    assert isinstance(left_ms, int)
    assert 119_000 <= left_ms <= 120_000


async def test_a_log_lives_as_long_as_its_last_charge_counts(start: Start, redis: RespRedis) -> None:
    """However old the key, a charge prolongs its life to a whole window at least."""
    gate = await start()
    await gate.enter(FEW)
    for left_ms in (59_000, 1_000):
        await redis.command("PEXPIRE", LOG + "auth", left_ms, timeout_s=1)
        await gate.enter(FEW)
        after_ms = await redis.command("PTTL", LOG + "auth", timeout_s=1)
        assert isinstance(after_ms, int)
        assert after_ms >= 60_000
