"""The machine: what people, operators and fate do, in any order."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.machine import account_acts as accounts
from tests.stateful.machine import stake_acts as stakes
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.account_rules import AccountRules
from tests.stateful.machine.example import LIMIT_MAX, SMALL, pick_of
from tests.stateful.machine.model import User
from tests.stateful.machine.stake_rules import StakeRules


class ServiceMachine(AccountRules, StakeRules):
    """All rules: those of accounts and of stakes, and what time and fate bring."""

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
                await self.world.advance((pick_of(edges, pick) - 1 - self.conduct.now_ms) / 1000)
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
