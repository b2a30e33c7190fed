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
from tests.stateful.machine.faults import Faults
from tests.stateful.machine.model import Access, Asked, Session, User
from tests.stateful.machine.processes import World

T = TypeVar("T")

NOBODYS_ID = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"
LIMIT_MAX = 100


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

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self.runner.run(work)
        except BaseException:
            self._failed = True
            raise

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

    @initialize(now_ms=draw.BEGINNINGS, password=draw.PASSWORDS)
    def begin(self, now_ms: int, password: str) -> None:
        async def begin() -> None:
            await self.conduct.begin(now_ms)
            for name in ("ada", "grace"):
                await accounts.sign_up(self.conduct, name, password, at=0)

        self._do(begin())

    @invariant()
    def the_database_holds_what_was_told(self) -> None:
        if self.conduct.processes:
            self._do(self.conduct.audit())

    def teardown(self) -> None:
        try:
            if not self._failed and self.conduct.processes:
                self._do(self._all_is_well_in_the_end())
        finally:
            self.runner.run(self.conduct.end())

    async def _all_is_well_in_the_end(self) -> None:
        """With every fault over, everybody reads everything, at every process."""
        await self.conduct.set_redis_away(False)
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

    @rule(name=draw.NAMES, password=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def sign_in_perhaps_wrongly(self, name: str, password: str, at: int, faults: Faults) -> None:
        self._do(accounts.sign_in(self.conduct, name, password, at=at, faults=faults))

    @rule(pick=draw.PICK, at=draw.AT, faults=draw.FAULTS)
    def sign_in(self, pick: int, at: int, faults: Faults) -> None:
        user = _pick(self._users, pick)
        self._do(accounts.sign_in(self.conduct, user.name, user.password, at=at, faults=faults))

    @precondition(lambda self: self._sessions)
    @rule(pick=draw.PICK, again=draw.PICK, at=draw.AT, faults=draw.FAULTS)
    def refresh(self, pick: int, again: int, at: int, faults: Faults) -> None:
        """With the current token mostly, else with one that was spent."""
        session = _pick(self._sessions, pick)
        tokens = [token for token in (session.current,) * 4 if token] + session.spent
        if tokens:
            token = _pick(tokens, again)
            self._do(accounts.refresh(self.conduct, session, token, at=at, faults=faults))

    @precondition(lambda self: self._accesses)
    @rule(pick=draw.PICK, at=draw.AT, faults=draw.READ_FAULTS)
    def present_any_token(self, pick: int, at: int, faults: Faults) -> None:
        access = _pick(self._accesses, pick)
        self._do(accounts.present(self.conduct, access, at=at, faults=faults))

    @precondition(lambda self: self._accesses)
    @rule(pick=draw.PICK, asked=draw.ASKED, at=draw.AT)
    def write_with_any_token(self, pick: int, asked: Asked, at: int) -> None:
        self._do(stakes.create(self.conduct, _pick(self._accesses, pick), asked, at=at))

    @rule(pick=draw.PICK, everywhere=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def sign_out(self, pick: int, everywhere: bool, at: int, faults: Faults) -> None:
        async def sign_out() -> None:
            access = await self._someone(pick)
            await accounts.sign_out(self.conduct, access, everywhere=everywhere, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(sign_out())

    @rule(pick=draw.PICK, current=draw.PASSWORDS, new=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def change_password(self, pick: int, current: str, new: str, at: int, faults: Faults) -> None:
        async def change() -> None:
            access = await self._someone(pick)
            await accounts.change_password(self.conduct, access, current, new, at=at, faults=faults)

        self._do(change())

    @rule(pick=draw.PICK, enabled=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def enable_or_disable(self, pick: int, enabled: bool, at: int, faults: Faults) -> None:
        user = _pick(self._users, pick)
        self._do(accounts.set_enabled(self.conduct, user, enabled, at=at, faults=faults))

    # Stakes

    @rule(
        pick=draw.PICK,
        asked=draw.ASKED,
        key=draw.KEYS,
        spelling=draw.SPELLINGS,
        at=draw.AT,
        faults=draw.FAULTS,
        looks=st.booleans(),
    )
    def create(
        self, pick: int, asked: Asked, key: str | None, spelling: int, at: int, faults: Faults, looks: bool
    ) -> None:
        async def create() -> None:
            access = await self._someone(pick)
            await stakes.create(self.conduct, access, asked, key=key, spelling=spelling, at=at, faults=faults)
            if looks:
                await stakes.read_page(self.conduct, access, at=1 - at, limit=10)

        self._do(create())

    @rule(pick=draw.PICK, key=st.sampled_from(["first", "second"]), spelling=draw.SPELLINGS, at=draw.AT)
    def replay(self, pick: int, key: str, spelling: int, at: int) -> None:
        """The same body for a key that is remembered, by whoever it belongs to."""

        async def replay() -> None:
            access = await self._someone(pick)
            known = access.session.user.key(key, self.conduct.now_ms)
            if known is not None:
                await stakes.create(
                    self.conduct, access, known.stake.asked, key=key, spelling=spelling, at=at
                )

        self._do(replay())

    @rule(
        pick=draw.PICK,
        key=st.sampled_from(["first", "third"]),
        amount=st.sampled_from(["0", "1"]),
        at=draw.AT,
    )
    def be_refused(self, pick: int, key: str, amount: str, at: int) -> None:
        async def be_refused() -> None:
            access = await self._someone(pick)
            if access.session.user.key(key, self.conduct.now_ms) is None:
                await stakes.be_refused(self.conduct, access, key=key, amount=amount, period=2, at=at)

        self._do(be_refused())

    @rule(
        pick=draw.PICK,
        limit=draw.LIMITS,
        page=st.integers(1, 3),
        at=draw.AT,
        faults=draw.READ_FAULTS,
        hold=st.booleans(),
    )
    def read_page(self, pick: int, limit: int, page: int, at: int, faults: Faults, hold: bool) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_page(
                self.conduct, access, at=at, limit=limit, page=page, faults=faults, hold=hold
            )

        self._do(read())

    @rule(pick=draw.PICK, limit=draw.LIMITS, at=draw.AT, hold=st.booleans())
    def read_again(self, pick: int, limit: int, at: int, hold: bool) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_again(self.conduct, access, limit=limit, at=at, hold=hold)

        self._do(read())

    @rule(pick=draw.PICK, limit=st.integers(1, 3), at=draw.AT)
    def read_all_by_number(self, pick: int, limit: int, at: int) -> None:
        async def read() -> None:
            await stakes.read_all_by_number(self.conduct, await self._someone(pick), limit=limit, at=at)

        self._do(read())

    @rule(pick=draw.PICK, limit=st.integers(1, 3), at=draw.AT, between=st.none() | draw.ASKED)
    def read_all_by_cursor(self, pick: int, limit: int, at: int, between: Asked | None) -> None:
        async def read() -> None:
            access = await self._someone(pick)
            await stakes.read_all_by_cursor(self.conduct, access, limit=limit, at=at, between=between)

        self._do(read())

    @rule(pick=draw.PICK, whose=draw.PICK, at=draw.AT, faults=draw.READ_FAULTS, hold=st.booleans())
    def read_one(self, pick: int, whose: int, at: int, faults: Faults, hold: bool) -> None:
        """A stake of anybody's, or of nobody's."""

        async def read() -> None:
            access = await self._someone(pick)
            user = access.session.user
            ids = [stake.id for each in self._users for stake in each.stakes] + [NOBODYS_ID]
            identifier = _pick(ids, whose)
            stake = next((own for own in user.stakes if own.id == identifier), None)
            path = f"/api/stake/{identifier}"
            await stakes.read_one(self.conduct, access, stake, path=path, at=at, faults=faults, hold=hold)

        self._do(read())

    # Time and fate

    @rule(ms=draw.PASSING_MS)
    def time_passes(self, ms: int) -> None:
        self._do(self.world.advance(ms / 1000))

    @rule(pick=draw.PICK, offset_ms=draw.EDGE_MS)
    def time_comes(self, pick: int, offset_ms: int) -> None:
        """Just before, at, or just after the moment when something expires or matures."""
        edges = self.conduct.model.edges(self.conduct.now_ms)
        if edges:
            ms = _pick(edges, pick) + offset_ms - self.conduct.now_ms
            self._do(self.world.advance(ms / 1000))

    @rule(at=draw.AT)
    def finish_background(self, at: int) -> None:
        self._do(self.conduct.processes[at].finish_background())

    @rule(at=draw.AT)
    def crash(self, at: int) -> None:
        self._do(self.conduct.crash(at))

    @rule()
    def redis_forgets(self) -> None:
        self._do(self.world.stores.wipe_redis())

    @rule(pick=draw.PICK)
    def redis_evicts(self, pick: int) -> None:
        self._do(self.world.stores.evict(pick))

    @rule()
    def redis_goes_and_returns(self) -> None:
        self._do(self.conduct.set_redis_away(not self.conduct.redis_is_away))
