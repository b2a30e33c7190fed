"""The machine: what people, operators and fate do, in any order."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.stateful.machine import account_acts as accounts
from tests.stateful.machine import stake_acts as stakes
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.conduct import PROCESSES, Conduct
from tests.stateful.machine.faults import CALM, KILLS, Faults, StatementFault
from tests.stateful.machine.model import Access, Asked, Session, User
from tests.stateful.machine.processes import World

T = TypeVar("T")

NOBODYS_ID = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"
LIMIT_MAX = 100
SMALL = Asked(amount_minor=1, period=1)
PAUSE_S = 1.0
"""From rule to rule."""


def _pick(items: Sequence[T], pick: int) -> T:
    return items[pick % len(items)]


class ServiceMachine(RuleBasedStateMachine):
    """Rules over the processes of one service; `run.py` sets `world` and `runner`."""

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
        return await accounts.signed_in(self.conduct, _pick(enabled, pick))

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

    # Accounts

    @rule(name=draw.NAMES, password=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def sign_up(self, name: str, password: str, at: int, faults: Faults) -> None:
        self._do(accounts.sign_up(self.conduct, name, password, at=at, faults=faults))

    @rule(name=draw.NAMES, guess=st.none() | draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def sign_in(self, name: str, guess: str | None, at: int, faults: Faults) -> None:
        """With the right password, or any."""
        user = self.conduct.model.named(name)
        password = guess or (user.password if user else "nobody's password")
        self._do(accounts.sign_in(self.conduct, name, password, at=at, faults=faults))

    @rule(pick=draw.PICK, which=draw.PICK, again=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def refresh(self, pick: int, which: int, again: bool, at: int, faults: Faults) -> None:
        """With the current token mostly, else with one that was spent; perhaps with the same once more."""

        async def refresh() -> None:
            await self._someone(pick)
            session = _pick(self._sessions, which)
            tokens = [token for token in (session.current,) * 4 if token] + session.spent
            if tokens:
                token = _pick(tokens, pick)
                await accounts.refresh(self.conduct, session, token, at=at, faults=faults)
                if again:
                    await accounts.refresh(self.conduct, session, token, at=1 - at)

        self._do(refresh())

    @precondition(lambda self: self._accesses)
    @rule(pick=draw.PICK, asked=st.none() | draw.ASKED, at=draw.AT, faults=draw.READ_FAULTS)
    def use_any_token(self, pick: int, asked: Asked | None, at: int, faults: Faults) -> None:
        """To read or to write, with a token that may be good no more."""
        access = _pick(self._accesses, pick)
        if asked is not None:
            self._do(stakes.create(self.conduct, access, asked, at=at, faults=faults))
        else:
            self._do(accounts.present(self.conduct, access, at=at, faults=faults))

    @rule(pick=draw.PICK, everywhere=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def sign_out(self, pick: int, everywhere: bool, at: int, faults: Faults) -> None:
        async def sign_out() -> None:
            access = await self._someone(pick)
            await accounts.present(self.conduct, access, at=1 - at)
            await accounts.sign_out(self.conduct, access, everywhere=everywhere, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(sign_out())

    @rule(
        pick=draw.PICK, guess=st.none() | draw.PASSWORDS, new=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS
    )
    def change_password(self, pick: int, guess: str | None, new: str, at: int, faults: Faults) -> None:
        async def change() -> None:
            access = await self._someone(pick)
            current = guess or access.session.user.password
            await accounts.change_password(self.conduct, access, current, new, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(change())

    @rule(pick=draw.PICK, enabled=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def enable_or_disable(self, pick: int, enabled: bool, at: int, faults: Faults) -> None:
        async def change() -> None:
            access = await self._someone(pick)
            await accounts.present(self.conduct, access, at=at)
            user = access.session.user if not enabled else _pick(self._users, pick)
            await accounts.set_enabled(self.conduct, user, enabled, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(change())

    # Stakes

    @rule(pick=draw.PICK, asked=draw.ASKED, spelling=draw.SPELLINGS, at=draw.AT, faults=draw.FAULTS)
    def create(self, pick: int, asked: Asked, spelling: int, at: int, faults: Faults) -> None:
        async def create() -> None:
            access = await self._someone(pick)
            await stakes.read_page(self.conduct, access, at=1 - at, limit=10)
            await stakes.create(self.conduct, access, asked, spelling=spelling, at=at, faults=faults)
            for each in (1 - at, at):
                await stakes.read_page(self.conduct, access, at=each, limit=10)

        self._do(create())

    @rule(
        pick=draw.PICK,
        asked=draw.ASKED,
        key=draw.KEYS,
        times=st.integers(1, 3),
        at=draw.AT,
        faults=draw.FAULTS,
    )
    def create_with_key(self, pick: int, asked: Asked, key: str, times: int, at: int, faults: Faults) -> None:
        """Once, or repeated as a client does that got no answer; the key may have been used for another."""

        async def create() -> None:
            access = await self._someone(pick)
            for time in range(times):
                now = CALM if time else faults
                await stakes.create(
                    self.conduct, access, asked, key=key, spelling=time, at=(at + time) % 2, faults=now
                )

        self._do(create())

    @rule(pick=draw.PICK, key=draw.KEYS, at=draw.AT, faults=draw.FAULTS)
    def repeat(self, pick: int, key: str, at: int, faults: Faults) -> None:
        """The same as the first time with this key, however long ago that was."""

        async def repeat() -> None:
            access = await self._someone(pick)
            used = access.session.user.keys.get(key)
            if used is not None:
                await stakes.create(
                    self.conduct, access, used.stake.asked, key=key, spelling=1, at=at, faults=faults
                )

        self._do(repeat())

    @rule(pick=draw.PICK, asked=draw.ASKED, key=draw.KEYS)
    def race_for_a_key(self, pick: int, asked: Asked, key: str) -> None:
        async def race() -> None:
            await stakes.race(self.conduct, await self._someone(pick), asked, key=key)

        self._do(race())

    @rule(pick=draw.PICK, key=draw.KEYS, amount=st.sampled_from(["0", "1"]), at=draw.AT)
    def be_refused(self, pick: int, key: str, amount: str, at: int) -> None:
        async def be_refused() -> None:
            access = await self._someone(pick)
            if access.session.user.key(key, self.conduct.now_ms) is None:
                await stakes.be_refused(self.conduct, access, key=key, amount=amount, period=2, at=at)

        self._do(be_refused())

    @rule(pick=draw.PICK, limit=draw.LIMITS, page=st.integers(1, 3), at=draw.AT, faults=draw.READ_FAULTS)
    def read_page(self, pick: int, limit: int, page: int, at: int, faults: Faults) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_page(self.conduct, access, at=at, limit=limit, page=page, faults=faults)

        self._do(read())

    @rule(
        pick=draw.PICK,
        asked=draw.ASKED,
        limit=draw.LIMITS,
        at=draw.AT,
        faults=draw.FAULTS,
        looks=st.booleans(),
    )
    def store_a_page_late(
        self, pick: int, asked: Asked, limit: int, at: int, faults: Faults, looks: bool
    ) -> None:
        """What one process read before another wrote is stored after it."""

        async def race() -> None:
            access = await self._someone(pick)
            await stakes.read_page(self.conduct, access, at=at, limit=limit, hold=True)
            await stakes.create(self.conduct, access, asked, at=1 - at, faults=faults)
            if looks:
                await stakes.read_page(self.conduct, access, at=1 - at, limit=limit)
            await self.conduct.processes[at].finish_background()
            for each in (at, 1 - at):
                await stakes.read_page(self.conduct, access, at=each, limit=limit)

        self._do(race())

    @rule(
        pick=draw.PICK,
        limit=draw.LIMITS,
        waits_ms=st.lists(draw.AGES_MS, min_size=1, max_size=3),
        asked=st.none() | draw.ASKED,
        at=draw.AT,
    )
    def read_a_page_as_it_ages(
        self, pick: int, limit: int, waits_ms: list[int], asked: Asked | None, at: int
    ) -> None:
        """A stale page is read again behind its answer, perhaps with a write before that is stored."""

        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_page(self.conduct, access, at=at, limit=limit)
            for wait_ms in waits_ms:
                await self.world.advance(wait_ms / 1000)
                await stakes.read_page(self.conduct, access, at=at, limit=limit, hold=True)
                if asked is not None:
                    await stakes.create(self.conduct, access, asked, at=1 - at)
                await self.conduct.processes[at].finish_background()
                await stakes.read_page(self.conduct, access, at=1 - at, limit=limit)

        self._do(read())

    @rule(pick=draw.PICK, asked=draw.ASKED, limit=draw.LIMITS, at=draw.AT, kill=st.sampled_from(KILLS))
    def die_while_writing(self, pick: int, asked: Asked, limit: int, at: int, kill: StatementFault) -> None:
        """Nobody is left to drop the page that was cached before, and yet it is not shown after."""

        async def die() -> None:
            access = await self._someone(pick)
            for each in (at, 1 - at):
                await stakes.read_page(self.conduct, access, at=each, limit=limit)
            await stakes.create(self.conduct, access, asked, at=at, faults=Faults((kill,)))
            for each in (1 - at, at):
                await stakes.read_page(self.conduct, access, at=each, limit=limit)

        self._do(die())

    @rule(
        pick=draw.PICK,
        asked=draw.ASKED,
        limit=draw.LIMITS,
        at=draw.AT,
        crashed=st.booleans(),
        dies=st.booleans(),
        faults=draw.FAULTS,
    )
    def write_without_redis(
        self, pick: int, asked: Asked, limit: int, at: int, crashed: bool, dies: bool, faults: Faults
    ) -> None:
        """A page that was cached before is not shown after, though nobody could drop it when it grew old."""

        async def write() -> None:
            access = await self._someone(pick)
            await stakes.read_page(self.conduct, access, at=1 - at, limit=limit)
            await self.conduct.take_redis_away(crashed=crashed)
            await stakes.create(self.conduct, access, asked, at=at, faults=faults)
            if dies:
                await self.conduct.crash(at)
            await self.conduct.give_redis_back()
            for each in (1 - at, at):
                await stakes.read_page(self.conduct, access, at=each, limit=limit)

        self._do(write())

    @rule(pick=draw.PICK, limit=draw.LIMITS, at=draw.AT)
    def read_again(self, pick: int, limit: int, at: int) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            for each in (at, 1 - at):
                await stakes.read_again(self.conduct, access, limit=limit, at=each)

        self._do(read())

    @rule(pick=draw.PICK, limit=st.integers(1, 3), at=draw.AT, between=st.none() | draw.ASKED)
    def read_all(self, pick: int, limit: int, at: int, between: Asked | None) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_all_by_number(self.conduct, access, limit=limit, at=at)
            await stakes.read_all_by_cursor(self.conduct, access, limit=limit, at=at, between=between)

        self._do(read())

    @rule(pick=draw.PICK, whose=draw.PICK, at=draw.AT, faults=draw.READ_FAULTS, hold=st.booleans())
    def read_one(self, pick: int, whose: int, at: int, faults: Faults, hold: bool) -> None:
        """A stake of anybody's, or of nobody's."""

        async def read() -> None:
            access = await self._someone(pick)
            ids = [stake.id for each in self._users for stake in each.stakes] + [NOBODYS_ID]
            await stakes.read_one(self.conduct, access, _pick(ids, whose), at=at, faults=faults, hold=hold)

        self._do(read())

    # Time and fate

    @rule(ms=draw.PASSING_MS)
    def time_passes(self, ms: int) -> None:
        """Long enough for Redis to be back, if it was away."""

        async def wait() -> None:
            await self.conduct.give_redis_back()
            await self.world.advance(ms / 1000)

        self._do(wait())

    @rule(who=draw.PICK, kind=draw.EDGES, pick=draw.PICK, at=draw.AT)
    def time_comes(self, who: int, kind: str, pick: int, at: int) -> None:
        """The last millisecond before something expires or matures, and the first one after."""

        async def come() -> None:
            access = await self._someone(who)
            user = access.session.user
            if kind == "key" and user.key("first", self.conduct.now_ms) is None:
                await stakes.create(self.conduct, access, SMALL, key="first", at=at)
            edges = self.conduct.model.edges(user, kind, self.conduct.now_ms)
            if edges:
                await self.world.advance((_pick(edges, pick) - 1 - self.conduct.now_ms) / 1000)
                await self._look_around(user, kind, at=at)
                await self.world.advance(0.001)
                await self._look_around(user, kind, at=1 - at)

        self._do(come())

    async def _look_around(self, user: User, kind: str, *, at: int) -> None:
        """Use what may have expired, and read what may have matured."""
        if kind == "token":
            for access in user.accesses[-4:]:
                await accounts.present(self.conduct, access, at=at)
        elif kind == "refresh":
            for session in user.sessions[-2:]:
                if session.current is not None:
                    await accounts.refresh(self.conduct, session, session.current, at=at)
        else:
            access = await accounts.signed_in(self.conduct, user)
            for key, used in list(user.keys.items()) if kind == "key" else ():
                await stakes.create(self.conduct, access, used.stake.asked, key=key, at=at)
            await stakes.read_page(self.conduct, access, at=at, limit=LIMIT_MAX)
            for stake in user.stakes[:2]:
                await stakes.read_one(self.conduct, access, stake.id, at=at)

    @rule(at=draw.AT)
    def finish_background(self, at: int) -> None:
        self._do(self.conduct.processes[at].finish_background())

    @rule(at=draw.AT)
    def crash(self, at: int) -> None:
        self._do(self.conduct.crash(at))

    @rule(how=st.sampled_from(["forgets", "evicts", "goes", "crashes"]), pick=draw.PICK)
    def redis_fails(self, how: str, pick: int) -> None:
        """It is away until time passes; back with what it held then, when it had crashed."""
        if how == "forgets":
            self._do(self.world.stores.wipe_redis())
        elif how == "evicts":
            self._do(self.world.stores.evict(pick))
        else:
            self._do(self.conduct.take_redis_away(crashed=how == "crashes"))
