"""At most N in any rolling window over four processes: what Redis itself wrote down is counted.

Every request is charged to two limits at once: the one under test, and one with a long window and room for
all, whose log keeps the moment of every admission, by Redis' clock. Bursts come right before the edge of a
window and right after it, which is where counters by fixed windows let twice as many in.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stakehold.domain.ports import Deadline
from stakehold.gate import Gate, LimitedError, Policies, Policy
from stakehold.redis.port import Redis
from stakehold.redis.ring import Ring
from tests.stateful.models.client import RunningClock, client_of
from tests.stateful.models.processes import NoBackground
from tests.support.fakes import CountingCounters, SeededEntropy
from tests.support.resp_proxy import RespProxy
from tests.support.served import served
from tests.support.service import Person

PROCESSES = 4
QUOTA, WINDOW_S = 20, 1
WINDOW_US = WINDOW_S * 1_000_000
BESIDE_THE_EDGE_US = 30_000
WINDOWS = 3
LIMIT, EVERYTHING = Policy("stake-read", QUOTA, WINDOW_S), Policy("global", 1_000_000, 3600)
ADVERSARY = "u:adversary"
SERVED_LIMITS = {"STAKEHOLD_LIMITS": f"stake-read={QUOTA}/{WINDOW_S},global=1000000/3600"}


async def test_no_window_has_more_than_the_quota_over_four_gates(
    redis_url: str, entropy: SeededEntropy
) -> None:
    """Four gates with a connection each, asked by many at once before, at and after each window's edge.

    They ask as for a limit whose refusals are not remembered, so that Redis decides every time.
    """
    redis = client_of(redis_url)
    clients = [client_of(redis_url) for _ in range(PROCESSES)]
    gates = [_gate(client, entropy) for client in clients]
    for gate in gates:
        await gate.start()
    passed = await _burst(gates, QUOTA * 2, "first")
    assert passed == QUOTA
    for window in range(WINDOWS):
        edge_us = await _oldest_us(redis, ADVERSARY) + WINDOW_US
        await _until(redis, edge_us - BESIDE_THE_EDGE_US)
        number = 0
        while await _now_us(redis) < edge_us + BESIDE_THE_EDGE_US:
            passed += await _burst(gates, PROCESSES * 2, f"{window}-{number}")
            number += 1
        passed += await _burst(gates, QUOTA * 2, f"{window}-last")
    admitted_us = await _admitted_us(redis, ADVERSARY)
    for closing in (redis, *clients):
        await closing.close()
    assert passed == len(admitted_us) > QUOTA
    _assert_rolling(admitted_us)


async def test_no_window_has_more_than_the_quota_over_four_server_processes(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    """The same over HTTP, with `stakehold serve` in four processes; statuses and Redis' log agree."""
    settings = {"REDIS_URL": redis_url, **SERVED_LIMITS}
    async with served(tmp_path, database_url, settings, processes=PROCESSES) as service:
        person = await service.sign_up()
        redis = client_of(redis_url)
        passed = await _reads(person, QUOTA)
        assert passed == QUOTA
        key = await _log_of_everything(redis)
        end_us = await _oldest_us(redis, key) + WINDOWS * WINDOW_US
        while await _now_us(redis) < end_us:
            passed += await _reads(person, PROCESSES * 2)
        admitted_us = await _admitted_us(redis, key)
        await redis.close()
    assert passed == len(admitted_us) > QUOTA
    _assert_rolling(admitted_us)


async def test_across_a_loss_four_server_processes_pass_no_more_than_the_worst_case(
    tmp_path: Path, database_url: str, redis_proxy: RespProxy
) -> None:
    """One process lets in N, then Redis is lost and returns: the others add no more than their shares."""
    settings = {"REDIS_URL": redis_proxy.url, "STAKEHOLD_LIMITS": f"stake-read={QUOTA},global=1000000"}
    async with served(tmp_path, database_url, settings, processes=PROCESSES) as service:
        person = await service.sign_up()
        began_s = asyncio.get_running_loop().time()
        # One at a time, on one connection, and none too many: nobody is known to be blocked.
        passed = sum([await _reads(person, 1) for _ in range(QUOTA)])
        assert passed == QUOTA
        redis_proxy.refuse()
        redis_proxy.cut()
        passed += await _reads(person, QUOTA * 4)
        without_redis, before = passed - QUOTA, redis_proxy.connections
        await redis_proxy.listen_again()
        async with asyncio.timeout(15):
            while redis_proxy.connections == before:
                await asyncio.sleep(0.01)
        for _ in range(3):
            passed += await _reads(person, QUOTA * 4)
        took_s = asyncio.get_running_loop().time() - began_s
    print(f"{passed} passed, {without_redis} of them without Redis, in {took_s:.1f} s")
    assert took_s < 60, "all of it was within one window"
    assert without_redis > 0
    assert passed <= QUOTA + (PROCESSES - 1) * max(1, QUOTA // PROCESSES)


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[RespProxy]:
    """A Redis that can be cut off from all four processes."""
    proxy = RespProxy(redis_url)
    await proxy.start()
    yield proxy
    await proxy.stop()


def _gate(redis: Redis, entropy: SeededEntropy) -> Gate:
    return Gate(
        Ring([redis], ["one"]),
        policies=Policies(),
        clock=RunningClock(),
        entropy=entropy,
        counters=CountingCounters(),
        background=NoBackground(),
        processes=PROCESSES,
    )


async def _burst(gates: list[Gate], count: int, name: str) -> int:
    """Ask them all at once; how many passed."""

    async def ask(number: int) -> bool:
        deadline = Deadline.after(RunningClock(), 30)
        try:
            gate = gates[number % len(gates)]
            await gate.charge(ADVERSARY, (LIMIT, EVERYTHING), f"{name}-{number}", deadline)
        except LimitedError:
            return False
        return True

    return sum(await asyncio.gather(*(ask(number) for number in range(count))))


async def _reads(person: Person, count: int) -> int:
    """Read so often at once; how many passed, the others having been refused for their number."""
    answers = await asyncio.gather(*(person.get("/api/stake") for _ in range(count)))
    assert {answer.status_code for answer in answers} <= {200, 429}
    return sum(answer.status_code == 200 for answer in answers)


async def _now_us(redis: Redis) -> int:
    seconds, us = await redis.command("TIME", timeout_s=5)  # type: ignore[misc]
    return int(seconds) * 1_000_000 + int(us)  # type: ignore[arg-type]


async def _until(redis: Redis, moment_us: int) -> None:
    """Ask Redis for the time until it comes: within a window."""
    async with asyncio.timeout(WINDOW_S + 10):
        while await _now_us(redis) < moment_us:
            await asyncio.sleep(0.001)


async def _log_of_everything(redis: Redis) -> str:
    (key,) = await redis.command("KEYS", "*{u:*:limit:global", timeout_s=5)  # type: ignore[misc]
    assert isinstance(key, bytes)
    return key.decode().partition("{")[2].partition("}")[0]


async def _admitted_us(redis: Redis, subject: str, policy: Policy = EVERYTHING) -> list[int]:
    """When each request was let in, by Redis' own clock, in that order."""
    key = f"sh0:{{{subject}}}:{policy.key_part}"
    reply = await redis.command("ZRANGE", key, 0, -1, "WITHSCORES", timeout_s=5)
    assert isinstance(reply, list)
    return [int(float(score)) for score in reply[1::2]]  # type: ignore[arg-type]


async def _oldest_us(redis: Redis, subject: str) -> int:
    """When the oldest charge that counts was made."""
    since_us = await _now_us(redis) - WINDOW_US
    return next(us for us in await _admitted_us(redis, subject) if us > since_us)


def _assert_rolling(admitted_us: list[int]) -> None:
    """Any N + 1 admissions in a row span a window at least."""
    spans_us = [last - first for first, last in zip(admitted_us, admitted_us[QUOTA:], strict=False)]
    assert spans_us
    assert min(spans_us) >= WINDOW_US, f"{QUOTA + 1} passed within {min(spans_us)} us"
