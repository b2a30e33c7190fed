"""The machine: plans on sale, people who stake, operators, settlement, time and fate, in any order."""

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from stakehold.domain.plans import Band
from tests.stateful.machine import account_acts
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.example import OverProcesses, only_if, pick_of
from tests.stateful.machine.faults import CALM, Faults, StatementFault, TripFault
from tests.stateful.staking import acts, looks
from tests.stateful.staking.acts import Desk, Wish
from tests.stateful.staking.audit import Auditor
from tests.stateful.staking.model import OPEN, Model, Quote, Stake
from tests.stateful.staking.terms import Terms
from tests.support.plans import make_plan, put_on_sale

PASSWORD = "a long walk on a cold day"
PEOPLE = ("ada", "grace")
ASSETS = {"WHOLE": 0, "CENT": 2, "WEI": 18}
PAUSE_S = 1.0
STAKES_MAX = 12
DAY_S = 86_400

_AMOUNTS = st.sampled_from([1, 2, 9, 10, 99, 100, 101, 1000, 10_007, 10**12 + 7, 10**24 + 1]) | st.integers(
    1, 10**6
)
_INSTRUCTIONS = st.sampled_from(["payout", "renew_principal", "renew_all"])
_RATES = st.integers(1, 400_000) | st.sampled_from([0, 1, 1_000_000])
_KEYS = st.booleans()


@st.composite
def _terms(draw_from: st.DrawFn, plan: str, asset: str) -> dict[str, Any]:
    """What a version says, all but its number and when it is on sale."""
    bands = [(0, draw_from(_RATES))]
    for _ in range(draw_from(st.integers(0, 2))):
        bands.append((bands[-1][0] + draw_from(st.integers(1, 10**5)), draw_from(_RATES)))
    policy = draw_from(st.sampled_from(["not_allowed", "forfeit_all", "forfeit_part", "reduced_rate"]))
    step = draw_from(st.sampled_from([1, 1, 1, 5]))
    capacity = draw_from(st.none() | st.integers(10, 3000))
    return {
        "plan": plan,
        "asset": asset,
        "scale": ASSETS[asset],
        "months": draw_from(st.sampled_from([1, 2, 3])),
        "bands": tuple(bands),
        "day_count": draw_from(st.sampled_from(["ACT/365F", "ACT/ACT"])),
        "minimum": step * draw_from(st.sampled_from([1, 1, 10])),
        "maximum": draw_from(st.none() | st.integers(100, 10**6)),
        "step": step,
        "cap": draw_from(st.none() | st.integers(10, 2000)),
        "capacity": capacity,
        "policy": policy,
        "policy_ppm": draw_from(st.integers(1, 500_000)) if policy in ("forfeit_part", "reduced_rate") else 0,
        "hold_days": draw_from(st.sampled_from([0, 0, 1, 10])),
        "cooldown_s": draw_from(st.sampled_from([0, 0, 3600, 5 * DAY_S])),
        "grace_s": draw_from(st.sampled_from([0, 3600, 2 * DAY_S])),
    }


PLANS = {"P-WHOLE": "WHOLE", "P-CENT": "CENT", "P-WEI": "WEI"}
_CATALOGUE = st.tuples(*(_terms(plan, asset) for plan, asset in PLANS.items()))

_FAULTY = st.sampled_from(list(StatementFault))
_DEEP = st.builds(
    lambda calm, fault, late: Faults((None,) * calm + (fault,), late),
    st.integers(0, 24),
    _FAULTY,
    st.booleans(),
)
_TWICE = st.builds(
    lambda calm, first, between, second: Faults((None,) * calm + (first,) + (None,) * between + (second,)),
    st.integers(0, 8),
    _FAULTY,
    st.integers(0, 12),
    _FAULTY,
)
_TRIPS = st.builds(
    lambda trips: Faults(trips=tuple(trips)),
    st.lists(st.none() | st.sampled_from(list(TripFault)), min_size=1, max_size=4),
)
FAULTS = st.one_of(st.just(CALM), st.just(CALM), _DEEP, _TWICE, _TRIPS)


class StakingMachine(OverProcesses):
    """Rules of staking, over two processes of one service."""

    def __init__(self) -> None:
        super().__init__()
        self._auditor = Auditor(self.world.stores)
        self.desk = Desk(self.conduct, self._auditor)

    @property
    def _model(self) -> Model:
        return self.desk.model

    @property
    def _stakes(self) -> list[Stake]:
        return list(self._model.stakes.values())

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what a rule says a little after what was done before, and look over the books."""

        async def after_a_pause() -> None:
            await self.world.advance(PAUSE_S)
            await work
            await self._auditor.check(self.desk.now_ms)

        self._run(after_a_pause())

    @initialize(
        now_ms=draw.BEGINNINGS, catalogue=_CATALOGUE, funding=st.sampled_from(["external", "balance"])
    )
    def begin(self, now_ms: int, catalogue: Sequence[dict[str, Any]], funding: str) -> None:
        async def begin() -> None:
            self.world.settings = {"FUNDING": funding}
            await self.desk.conduct.begin(now_ms)
            self._model.funding = funding
            await self._auditor.forget_plans()
            for terms in catalogue:
                await self._publish(Terms(version=1, from_ms=now_ms, until_ms=None, **terms))
            for name in (*PEOPLE, "operator"):
                await account_acts.sign_up(self.desk.conduct, name, PASSWORD, at=0)
            await self._auditor.make_operator("operator")
            if funding == "balance":
                for name in PEOPLE:
                    for asset, scale in ASSETS.items():
                        await acts.adjust(self.desk, name, asset, scale, 5000, None, withdraw=False, at=0)
            await self._auditor.check(self.desk.now_ms)

        self._run(begin())

    async def _publish(self, terms: Terms) -> None:
        plan = make_plan(
            id=terms.plan, version=terms.version, asset=terms.asset, scale=terms.scale,
            period_months=terms.months, bands=tuple(Band(*band) for band in terms.bands),
            day_count=terms.day_count, minimum_minor=terms.minimum, maximum_minor=terms.maximum,
            step_minor=terms.step, user_cap_minor=terms.cap, capacity_minor=terms.capacity,
            on_sale_from_ms=terms.from_ms, on_sale_until_ms=terms.until_ms, early_exit=terms.policy,
            early_exit_ppm=terms.policy_ppm, minimum_hold_days=terms.hold_days,
            cooldown_s=terms.cooldown_s, grace_s=terms.grace_s,
        )  # fmt: skip
        await put_on_sale(self.world.stores.urls.database, plan)
        self._model.versions.append(terms)

    @rule(which=draw.PICK, data=st.data(), days=st.none() | st.integers(1, 60))
    def publish(self, which: int, data: st.DataObject, days: int | None) -> None:
        """New terms of a plan, for ever or for some days."""
        plan = pick_of(sorted(PLANS), which)
        terms = data.draw(_terms(plan, PLANS[plan]))
        version = 1 + max(old.version for old in self._model.versions if old.plan == plan)

        async def publish() -> None:
            now_ms = self.desk.now_ms
            until_ms = None if days is None else now_ms + days * DAY_S * 1000
            await self._publish(Terms(version=version, from_ms=now_ms, until_ms=until_ms, **terms))

        self._do(publish())

    @rule(who=st.sampled_from(PEOPLE), plan=st.sampled_from(sorted(PLANS)), amount=_AMOUNTS, at=draw.AT)
    def quote(self, who: str, plan: str, amount: int, at: int) -> None:
        self._do(acts.quote(self.desk, who, plan, amount, at=at))

    def _wish(self, who: str, plan: str, amount: int, instruction: str, near: int) -> Wish:
        """Mostly for as much as there is room for, or one more."""
        terms = self._model.on_sale(plan, self.desk.now_ms)
        if terms is not None and near < 48:
            rooms = [
                limit - self._model.staked(plan, owner)
                for limit, owner in ((terms.capacity, None), (terms.cap, who))
                if limit is not None
            ]
            fits = [room for room in rooms if room > 1]
            amount = min([amount, *fits]) + (near < 4)
            amount = max(terms.minimum, amount - amount % terms.step)
        return Wish(who, plan, amount, instruction)

    @rule(
        who=st.sampled_from(PEOPLE), plan=st.sampled_from(sorted(PLANS)), amount=_AMOUNTS, near=draw.PICK,
        instruction=_INSTRUCTIONS, keyed=_KEYS, at=draw.AT, faults=FAULTS,
    )  # fmt: skip
    @only_if(lambda self: len(self._model.stakes) < STAKES_MAX)
    def create(
        self,
        who: str,
        plan: str,
        amount: int,
        near: int,
        instruction: str,
        keyed: bool,
        at: int,
        faults: Faults,
    ) -> None:
        wish = self._wish(who, plan, amount, instruction, near)
        self._do(acts.create(self.desk, wish, self._key(keyed), at=at, faults=faults))

    @rule(which=draw.PICK, instruction=_INSTRUCTIONS, keyed=_KEYS, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._model.quotes and len(self._model.stakes) < STAKES_MAX)
    def create_as_quoted(self, which: int, instruction: str, keyed: bool, at: int, faults: Faults) -> None:
        """With one of the last quotes, whatever has become of the plan since."""
        quote: Quote = pick_of(self._model.quotes[-3:], which)
        wish = Wish(quote.owner, quote.terms.plan, quote.amount, instruction, quote)
        self._do(acts.create(self.desk, wish, self._key(keyed), at=at, faults=faults))

    @rule(
        plan=st.sampled_from(sorted(PLANS)), amount=_AMOUNTS, near=draw.PICK, instruction=_INSTRUCTIONS,
        times=st.integers(2, 4),
    )  # fmt: skip
    @only_if(lambda self: len(self._model.stakes) < STAKES_MAX)
    def race(self, plan: str, amount: int, near: int, instruction: str, times: int) -> None:
        """All want as much of one plan at once."""
        wish = self._wish("ada", plan, amount, instruction, near)
        wishes = [replace(wish, who=PEOPLE[number % len(PEOPLE)]) for number in range(times)]
        self._do(acts.race(self.desk, wishes))

    def _key(self, keyed: bool) -> str | None:
        return f"key-{next(self._model.numbers)}" if keyed else None

    @rule(which=draw.PICK, at=draw.AT)
    @only_if(lambda self: self._stakes)
    def quote_exit(self, which: int, at: int) -> None:
        self._do(acts.quote_exit(self.desk, pick_of(self._stakes, which), at=at))

    @rule(which=draw.PICK, keyed=_KEYS, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._model.exit_quotes)
    def unstake(self, which: int, keyed: bool, at: int, faults: Faults) -> None:
        quote = pick_of(self._model.exit_quotes[-3:], which)
        self._do(acts.unstake(self.desk, quote, self._key(keyed), at=at, faults=faults))

    @rule(which=draw.PICK, keyed=_KEYS, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._stakes)
    def leave_at_once(self, which: int, keyed: bool, at: int, faults: Faults) -> None:
        """One of those that are open, quoted and left."""
        stake = pick_of([stake for stake in self._stakes if stake.state in OPEN] or self._stakes, which)

        async def leave() -> None:
            known = len(self._model.exit_quotes)
            await acts.quote_exit(self.desk, stake, at=at)
            if len(self._model.exit_quotes) > known:
                quote = self._model.exit_quotes[-1]
                await acts.unstake(self.desk, quote, self._key(keyed), at=at, faults=faults)

        self._do(leave())

    @rule(which=draw.PICK, early_ms=st.sampled_from([0, 1, 30_000]))
    @only_if(lambda self: self._stakes)
    def leave_as_it_matures(self, which: int, early_ms: int) -> None:
        """Quoted just before maturity; left by two at the same instant as settlement runs."""
        open_stakes = [stake for stake in self._stakes if stake.state == "active"]

        async def leave() -> None:
            if not open_stakes:
                return
            stake = pick_of(open_stakes, which)
            await self._come_to(stake.matures_ms - 40_000)
            known = len(self._model.exit_quotes)
            await acts.quote_exit(self.desk, stake, at=0)
            if len(self._model.exit_quotes) > known:
                await self._come_to(stake.matures_ms - early_ms)
                await acts.race_exit(self.desk, self._model.exit_quotes[-1])

        self._do(leave())

    @rule(which=draw.PICK, keyed=_KEYS, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._stakes)
    def cancel(self, which: int, keyed: bool, at: int, faults: Faults) -> None:
        stake = pick_of(self._stakes[-3:] if which % 2 else self._stakes, which)
        self._do(acts.cancel(self.desk, stake, self._key(keyed), at=at, faults=faults))

    @rule(
        which=draw.PICK, instruction=_INSTRUCTIONS, stale=st.sampled_from([False, False, True]), at=draw.AT,
        faults=FAULTS,
    )  # fmt: skip
    @only_if(lambda self: self._stakes)
    def instruct(self, which: int, instruction: str, stale: bool, at: int, faults: Faults) -> None:
        stake = pick_of(self._stakes, which)
        self._do(acts.instruct(self.desk, stake, instruction, stale=stale, at=at, faults=faults))

    @rule(batch=st.sampled_from([1, 2, 200]), whole=st.booleans(), at=draw.AT, faults=FAULTS)
    def settle(self, batch: int, whole: bool, at: int, faults: Faults) -> None:
        self._do(acts.settle(self.desk, batch, at=at, faults=faults, all_of_it=whole))

    @rule(batch=st.sampled_from([1, 2, 200]))
    def settle_twice(self, batch: int) -> None:
        self._do(acts.settle_twice(self.desk, batch))

    @rule(
        who=st.sampled_from(PEOPLE), asset=st.sampled_from(sorted(ASSETS)), amount=_AMOUNTS,
        withdraw=st.booleans(), keyed=_KEYS, at=draw.AT, faults=FAULTS,
    )  # fmt: skip
    def adjust(
        self, who: str, asset: str, amount: int, withdraw: bool, keyed: bool, at: int, faults: Faults
    ) -> None:
        """Deposit or withdraw; often just what there is."""
        has = self._model.available.get((who, asset), 0)
        if withdraw and has and amount % 2:
            amount = has
        self._do(
            acts.adjust(
                self.desk, who, asset, ASSETS[asset], amount, self._key(keyed), withdraw=withdraw, at=at,
                faults=faults,
            )
        )  # fmt: skip

    @rule(which=draw.PICK, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._model.moved)
    def reverse(self, which: int, at: int, faults: Faults) -> None:
        self._do(acts.reverse(self.desk, pick_of(self._model.moved, which), at=at, faults=faults))

    @rule(which=draw.PICK, at=draw.AT, faults=FAULTS)
    @only_if(lambda self: self._stakes)
    def look_at_stake(self, which: int, at: int, faults: Faults) -> None:
        self._do(looks.look_at_stake(self.desk, pick_of(self._stakes, which), at=at, faults=faults))

    @rule(who=st.sampled_from(PEOPLE), at=draw.AT, faults=FAULTS)
    def look_at_balances(self, who: str, at: int, faults: Faults) -> None:
        self._do(looks.look_at_balances(self.desk, who, at=at, faults=faults))

    @rule(who=st.sampled_from(PEOPLE), which=draw.PICK, at=draw.AT)
    def look_back(self, who: str, which: int, at: int) -> None:
        self._do(looks.look_back(self.desk, who, which, at=at))

    @rule(
        who=st.sampled_from(PEOPLE), at=draw.AT,
        cuts=st.lists(st.dates(date(2027, 1, 1), date(2031, 1, 1)), max_size=3),
    )  # fmt: skip
    def look_at_rewards(self, who: str, cuts: list[date], at: int) -> None:
        self._do(looks.look_at_rewards(self.desk, who, cuts, at=at))

    @rule(who=st.sampled_from(PEOPLE), picks=st.tuples(draw.PICK, draw.PICK), at=draw.AT)
    def look_at_statement(self, who: str, picks: tuple[int, int], at: int) -> None:
        self._do(looks.look_at_statement(self.desk, who, picks, at=at))

    @rule(who=st.sampled_from(PEOPLE), at=draw.AT)
    def verify(self, who: str, at: int) -> None:
        self._do(looks.verify(self.desk, who, at=at))

    @rule(seconds=st.sampled_from([59, 61, 3600, DAY_S, 5 * DAY_S, 20 * DAY_S, 70 * DAY_S]))
    def time_passes(self, seconds: int) -> None:
        """Redis is back then, if it was away."""

        async def wait() -> None:
            await self.desk.conduct.give_redis_back()
            await self.world.advance(seconds)

        self._do(wait())

    @rule(which=draw.PICK, edge=st.sampled_from(["due", "due", "grace", "midnight"]), at=draw.AT)
    @only_if(lambda self: self._stakes)
    def time_comes(self, which: int, edge: str, at: int) -> None:
        """The last millisecond before something changes, and the first one after, with a look at each."""
        stake = pick_of([stake for stake in self._stakes if stake.state in OPEN] or self._stakes, which)
        now_ms = self.desk.now_ms
        moment_ms = {
            "due": stake.due_ms or 0,
            "grace": stake.grace_ends_ms,
            "midnight": (now_ms // (DAY_S * 1000) + 1) * DAY_S * 1000,
        }[edge]

        async def come() -> None:
            for at_ms in (moment_ms - 1, moment_ms):
                await self._come_to(at_ms)
                await looks.look_at_stake(self.desk, stake, at=at)
                if edge == "grace":
                    await acts.cancel(self.desk, stake, None, at=at)

        self._do(come())

    async def _come_to(self, at_ms: int) -> None:
        if at_ms > self.desk.now_ms:
            await self.world.advance((at_ms - self.desk.now_ms) / 1000)

    @rule(at=draw.AT)
    def crash(self, at: int) -> None:
        self._do(self.desk.conduct.crash(at))

    @rule(how=st.sampled_from(["forgets", "goes"]))
    def redis_fails(self, how: str) -> None:
        """It is away until time passes."""
        if how == "forgets":
            self._do(self.world.stores.wipe_redis())
        else:
            self._do(self.desk.conduct.take_redis_away(crashed=False))

    def teardown(self) -> None:
        try:
            if not self._failed and self.desk.conduct.processes:
                self._run(self._all_is_paid_in_the_end())
        finally:
            self.runner.run(self.desk.conduct.end())

    async def _all_is_paid_in_the_end(self) -> None:
        """With every fault over, nobody renews any more: all stakes end, and the books are right."""
        await self.desk.conduct.give_redis_back()
        for stake in self._stakes:
            if stake.refuses_change(self.desk.now_ms) is None:
                await acts.instruct(self.desk, stake, "payout", stale=False, at=0)
        for _ in range(10):
            ends = [stake.due_ms for stake in self._stakes if stake.due_ms is not None]
            if not ends:
                break
            await self._come_to(max(ends))
            await acts.settle(self.desk, 200, at=1, all_of_it=True)
            for stake in self._stakes:
                if stake.refuses_change(self.desk.now_ms) is None:
                    await acts.instruct(self.desk, stake, "payout", stale=False, at=0)
        await self._auditor.check(self.desk.now_ms)
        assert all(stake.state not in OPEN for stake in self._stakes)
        for who in PEOPLE:
            await looks.verify(self.desk, who, at=0)
            await looks.look_at_rewards(self.desk, who, [], at=0)
