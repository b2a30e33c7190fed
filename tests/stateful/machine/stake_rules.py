"""What people do with stakes, drawn."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.machine import stake_acts as stakes
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.example import NOBODYS_ID, Example, pick_of
from tests.stateful.machine.faults import CALM, KILLS, Faults, StatementFault
from tests.stateful.machine.model import Asked


class StakeRules(Example):
    """Making and reading stakes, while others do too, and while things fail."""

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
            await stakes.read_one(self.conduct, access, pick_of(ids, whose), at=at, faults=faults, hold=hold)

        self._do(read())
