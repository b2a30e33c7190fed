"""What answers in place of Redis, and is not: nothing of it is believed."""

from collections.abc import Sequence
from typing import Any

import pytest

from stakehold.gate import PageRead, Policy
from stakehold.gate.scripts import ENTER, FILL, LEAVE, OPEN_FENCES, RETURN
from stakehold.redis.port import Argument, Redis, Reply, Script
from stakehold.redis.resp import RespRedis
from tests.unit.gate.conftest import PAGE, USER, Start, a_page

TEN = Policy("auth", 10)
MARKS = f"sh0:{{u:{USER}}}:stakes:marks"
OK = [b"ok", 1, b"i", b"miss", b"", b"g", b"miss", b"", b"g"]

ANYTHING: list[Any] = [None, 7, b"", b"OK", b"<html>", [], [None], [[b"ok"]], [b"ok"], [b"so", 1, b"i"], [7]]
REPLIES: dict[Script, list[Any]] = {
    ENTER: [
        *ANYTHING,
        1,
        OK,
        [*OK, 9, 60_000, 9, 60_000],
        [*OK, b"9", 60_000],
        [*OK, 9, None],
        [b"ok", b"1", *OK[2:], 9, 60_000],
        [*OK[:2], None, *OK[3:], 9, 60_000],
        [*OK[:4], [b""], *OK[5:], 9, 60_000],
        [b"denied", 1, b"i"],
        [b"denied", 1, b"i", 9, 60_000],
        [b"denied", 1, b"i", b"-1", 60_000],
        [b"refused"],
        [b"refused", 1, 2],
        [b"forgot", 1],
        [b"forgot", 1, b"i", 9, 60_000],
    ],
    FILL: [*ANYTHING, 2, -1, [1]],
    LEAVE: [*ANYTHING, 0, [1]],
    OPEN_FENCES: [*ANYTHING, 0, [1]],
    RETURN: [*ANYTHING, 1, [b"x", b"i"], [b"1", b""], [b"1", 2], [1, b"i"], [b"1", b"i", b"i"]],
}
NAMES = {ENTER: "enter", FILL: "fill", LEAVE: "leave", OPEN_FENCES: "open fences", RETURN: "return"}
CASES = [
    pytest.param(script, reply, id=f"{NAMES[script]}: {reply}")
    for script, replies in REPLIES.items()
    for reply in replies
]


class Impostor:
    """Answers one script in place of the Redis behind, as long as told; Redis runs the others."""

    def __init__(self, redis: Redis, script: Script, reply: Any) -> None:
        self.redis = redis
        self.script_answered = script
        self.reply = reply

    @property
    def connection_losses(self) -> int:
        return self.redis.connection_losses

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        if script is self.script_answered:
            return self.reply  # type: ignore[no-any-return]
        return await self.redis.script(script, keys, arguments, timeout_s)

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self.redis.command(*arguments, timeout_s=timeout_s)

    async def close(self) -> None:
        await self.redis.close()


@pytest.mark.parametrize(("script", "reply"), CASES)
async def test_what_no_script_replies_is_as_good_as_nothing(
    start: Start, redis: RespRedis, script: Script, reply: Any
) -> None:
    """Redis is away until it answers itself: requests are let in, writes are unfenced, and are repaired."""
    process, other = await start(started=False, serverless=True), await start()
    await other.fill(b"old")
    read = (await process.enter(page="another")).page
    assert read is not None
    assert read.ticket is not None
    steady, process.wire.redis = process.wire.redis, Impostor(process.wire.redis, script, reply)
    process.wire.losses += script is RETURN
    process.wire.away = script is OPEN_FENCES
    if script is FILL:
        await process.gate.fill(read.ticket, a_page(b"read"))
    else:
        entered = await process.enter(TEN, page=PAGE, fences=("stakes",))
        assert entered.limits[0].remaining == 9
        assert entered.fence is not None
        if script is not LEAVE:
            assert not entered.redis
            assert entered.page == PageRead("down")
            assert entered.fence.unfenced
        if script is OPEN_FENCES:
            process.wire.away = False
            process.clock.advance(1)
            assert not (await process.enter()).redis
        await process.gate.leave(entered.fence, process.deadline)
        assert process.count("unfenced_writes") == 1
    assert process.gate.state == "down"
    process.clock.advance(1)
    process.wire.redis = steady
    assert (await process.enter()).redis
    assert process.gate.state == "up"
    if script is not FILL:
        assert await other.read() is None
