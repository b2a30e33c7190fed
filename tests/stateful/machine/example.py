"""How every example begins, is watched, and ends; rules act through it."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from tests.stateful.machine import account_acts as accounts
from tests.stateful.machine import stake_acts as stakes
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.conduct import PROCESSES, Conduct
from tests.stateful.machine.model import Access, Asked, Session, User
from tests.stateful.machine.processes import World

T = TypeVar("T")

NOBODYS_ID = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"
LIMIT_MAX = 100
SMALL = Asked(amount_minor=1, period=1)
PAUSE_S = 1.0
"""From rule to rule."""


def pick_of(items: Sequence[T], pick: int) -> T:
    """One of several."""
    return items[pick % len(items)]


def only_if(holds: Callable[[Any], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What a rule does, and nothing where something does not hold.

    Hypothesis' own `precondition` would not draw the rule there, and what there is may be chance, where
    processes race: a rule that was drawn once and cannot be drawn again ends the run.
    """

    def decorate(act: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(act)
        def act_if(machine: Any, **drawn: Any) -> None:
            if holds(machine):
                act(machine, **drawn)

        return act_if

    return decorate


class OverProcesses(RuleBasedStateMachine):
    """Whatever rules over the processes of one service; `run.py` sets `world` and `runner`."""

    world: ClassVar[World]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.conduct = Conduct(self.world)
        self._failed = False

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self.runner.run(work)
        except BaseException:
            self._failed = True
            raise


class Example(OverProcesses):
    """Rules of accounts and stakes."""

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what a rule says, a little after what was done before."""

        async def after_a_pause() -> None:
            await self.world.advance(PAUSE_S)
            await work

        self._run(after_a_pause())

    @property
    def _users(self) -> list[User]:
        return self.conduct.model.users

    @property
    def _sessions(self) -> list[Session]:
        return [session for user in self._users for session in user.sessions]

    @property
    def _accesses(self) -> list[Access]:
        return [access for user in self._users for access in user.accesses]

    async def _someone(self, pick: int) -> Access:
        """A good token of one of the users; there is a first one to begin with."""
        enabled = [user for user in self._users if user.enabled]
        if not enabled:
            await accounts.set_enabled(self.conduct, self._users[0], True, at=0)
            enabled = [self._users[0]]
        return await accounts.signed_in(self.conduct, pick_of(enabled, pick))

    @initialize(now_ms=draw.BEGINNINGS, password=draw.PASSWORDS, asked=st.lists(draw.ASKED, max_size=4))
    def begin(self, now_ms: int, password: str, asked: list[Asked]) -> None:
        async def begin() -> None:
            await self.conduct.begin(now_ms)
            for name in ("ada", "grace"):
                await accounts.sign_up(self.conduct, name, password, at=0)
            for each in asked:
                await stakes.create(self.conduct, await self._someone(0), each, at=0)

        self._run(begin())

    @invariant()
    def the_database_holds_what_was_told(self) -> None:
        if self.conduct.processes:
            self._run(self.conduct.audit())

    def teardown(self) -> None:
        try:
            if not self._failed and self.conduct.processes:
                self._run(self._all_is_well_in_the_end())
        finally:
            self.runner.run(self.conduct.end())

    async def _all_is_well_in_the_end(self) -> None:
        """With every fault over, everybody reads everything, at every process."""
        await self.conduct.give_redis_back()
        for user in self._users:
            if user.enabled:
                access = await accounts.signed_in(self.conduct, user)
                for at in range(PROCESSES):
                    await stakes.read_page(self.conduct, access, at=at, limit=LIMIT_MAX)
        await self.conduct.audit()
