"""What a gate under test is given in place of the outside."""

from collections.abc import Coroutine, Sequence
from typing import Any, Literal

from stakehold.redis.port import Argument, RedisUnavailableError, Reply, Script
from tests.stateful.models.interleavings import Schedule
from tests.stateful.models.timed_scripts import TimedScripts


class NoBackground:
    """Takes no work: what looks for the return of Redis is an actor here."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        work.close()
        return False


class LinkedRedis:
    """Redis as one process of a run has it: every trip in its turn, and lost when the fault says so."""

    def __init__(self, scripts: TimedScripts, schedule: Schedule) -> None:
        self.connection_losses = 0
        self.away = False
        """Every trip fails, and nothing reaches Redis."""
        self.only_looks = False
        """Scripts reply and change nothing, and are nobody's turn."""
        self.lose_next: Literal["", "answer", "late"] = ""
        """The next trip fails, though Redis has done it, or will do it later; then Redis is away."""
        self.asks_again_later = True
        """A second asking, after Redis said that it forgot, waits for a turn of its own."""
        self._scripts = scripts
        self._schedule = schedule

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        if self.away:
            raise RedisUnavailableError("away, says the test", outcome_unknown=False)
        return await self._scripts.command(*arguments)

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        if self.only_looks:
            return await self._scripts.run(script, keys, arguments, only_looks=True)
        async with self._schedule.asking():
            losing, self.lose_next = self.lose_next, ""
            self.away = self.away or bool(losing)
            if losing == "late":
                self._schedule.start("late command", self._late(script, keys, arguments))
            if losing != "answer" and self.away:
                raise RedisUnavailableError("away, says the test", outcome_unknown=bool(losing))
            reply = await self._scripts.run(script, keys, arguments)
            if not self.asks_again_later and isinstance(reply, list) and reply[0] == b"forgot":
                self._schedule.extend_turn()
        if losing == "answer":
            raise RedisUnavailableError("the answer is lost, says the test", outcome_unknown=True)
        return reply

    async def _late(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        async with self._schedule.asking():
            await self._scripts.run(script, keys, arguments)

    async def close(self) -> None:
        """Nothing: the connection is shared."""
