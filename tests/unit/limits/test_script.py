"""The limits' Lua over a real Valkey, with time given by the test, against a naive sliding log."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stakehold.limits.script import LUA
from stakehold.redis.port import Script
from stakehold.redis.resp import RespRedis

QUOTA, WINDOW_US = 4, 1_000_000
START_US = 1_700_000_000_000_001  # 16 digits: Lua's own conversion to text would lose some of them

AT_A_TIME = Script(
    """
local now_us = tonumber(ARGV[1])
local function whole(number) return string.format('%.0f', number) end
"""
    + LUA
    + """
local quota, window_us = tonumber(ARGV[3]), tonumber(ARGV[4])
local log = weigh(KEYS[1], quota, window_us, ARGV[2])
if not log.refuses then charge(KEYS[1], log, window_us, ARGV[2]) end
return {log.refuses and 1 or 0, log.count, wait_ms(KEYS[1], log, quota, window_us)}
"""
)
_keys = itertools.count()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from([0, 1, WINDOW_US - 1, WINDOW_US, WINDOW_US + 1]), st.integers(0, 400_000)
            ),
            st.integers(0, 12),
        ),
        max_size=40,
    )
)
async def test_at_most_the_quota_in_any_window(redis: RespRedis, requests: list[tuple[int, int]]) -> None:
    """Whatever the pauses and retries, the script agrees with a list of charges, and no window has more."""
    key, now_us = f"log-{next(_keys)}", START_US
    log: dict[int, int] = {}
    charged_us = []
    for pause_us, request in requests:
        now_us += pause_us
        log = {one: at_us for one, at_us in log.items() if at_us > now_us - WINDOW_US}
        refused = request not in log and len(log) >= QUOTA
        if not refused and request not in log:
            log[request] = now_us
            charged_us.append(now_us)
        oldest_us = min(log.values())
        wait_ms = -((now_us - oldest_us - WINDOW_US) // 1000)
        reply = await redis.script(AT_A_TIME, [key], [now_us, request, QUOTA, WINDOW_US], 1)
        assert reply == [int(refused), len(log), wait_ms]
    for end_us in charged_us:
        assert sum(end_us - WINDOW_US < at_us <= end_us for at_us in charged_us) <= QUOTA


async def test_a_clock_set_back_refuses_rather_than_admits(redis: RespRedis) -> None:
    """Charges from the future count, and the wait told is still no longer than the window."""
    for request in range(QUOTA):
        await redis.script(AT_A_TIME, ["back"], [START_US, request, QUOTA, WINDOW_US], 1)
    an_hour_ago = START_US - 3_600_000_000
    reply = await redis.script(AT_A_TIME, ["back"], [an_hour_ago, 99, QUOTA, WINDOW_US], 1)
    assert reply == [1, QUOTA, WINDOW_US // 1000]


async def test_a_lowered_quota_waits_for_enough_charges_to_leave(redis: RespRedis) -> None:
    """With four in the log and a quota of two, room comes when the third of them leaves."""
    for request in range(4):
        await redis.script(AT_A_TIME, ["low"], [START_US + request * 100_000, request, 4, WINDOW_US], 1)
    reply = await redis.script(AT_A_TIME, ["low"], [START_US + 500_000, 99, 2, WINDOW_US], 1)
    assert reply == [1, 4, 700]
    reply = await redis.script(AT_A_TIME, ["low"], [START_US + 1_200_000, 99, 2, WINDOW_US], 1)
    assert reply == [0, 2, 100]
