"""What everybody has, by the model: stakes, balances, and what each command is owed. Pure."""

from dataclasses import dataclass, field
from datetime import date
from itertools import count

from tests.stateful.staking.terms import Terms, day_of, midnight_ms, months_after

OPEN = ("active", "unstaking")


@dataclass(eq=False)
class Stake:
    """A stake, as it should be. `quoted`: the reward that its quote promised."""

    id: str
    owner: str
    terms: Terms
    amount: int
    created_ms: int
    first: date
    matures: date
    origin: date
    months: int
    instruction: str
    state: str = "active"
    reward: int | None = None
    forfeited: int | None = None
    exited_on: date | None = None
    due_ms: int | None = None
    renewed_from: str | None = None
    renewed_to: str | None = None
    quoted: int | None = None
    most_accrued: int = 0

    @property
    def matures_ms(self) -> int:
        """From when on it has matured."""
        return midnight_ms(self.matures)

    @property
    def grace_ends_ms(self) -> int:
        """From when on it cannot be cancelled."""
        return self.created_ms + self.terms.grace_s * 1000

    @property
    def full_reward(self) -> int:
        """What it pays at maturity."""
        return self.terms.accrued(self.amount, self.first, self.matures)

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to settle it."""
        return self.state in OPEN and self.due_ms is not None and self.due_ms <= now_ms

    def earned_until(self, today: date) -> date:
        """The day before which it has earned."""
        if self.exited_on is not None:
            return self.exited_on
        return min(max(today, self.first), self.matures)

    def refuses_change(self, now_ms: int) -> str | None:
        """Why nothing about it is changed any more."""
        if self.state in ("paid_out", "renewed") or (self.state == "active" and now_ms >= self.matures_ms):
            return "stake_matured"
        return None if self.state == "active" else "stake_ended"

    def refuses_exit(self, now_ms: int) -> str | None:
        """Why it cannot be left."""
        refusal = self.refuses_change(now_ms)
        if refusal is None and self.terms.policy == "not_allowed":
            return "early_exit_not_allowed"
        if refusal is None and (day_of(now_ms) - self.first).days < self.terms.hold_days:
            return "minimum_hold"
        return refusal


@dataclass(frozen=True)
class Quote:
    """What was promised for a stake."""

    id: str
    owner: str
    terms: Terms
    amount: int
    first: date
    reward: int
    expires_ms: int


@dataclass(frozen=True)
class ExitQuote:
    """What was promised for leaving."""

    id: str
    stake: Stake
    day: date
    reward: int
    forfeited: int
    expires_ms: int


@dataclass(frozen=True)
class Moved:
    """A deposit, a withdrawal, or (`reverses`) the reversal of one: what it adds to a balance."""

    seq: int
    owner: str
    asset: str
    change: int
    reverses: int | None = None


Balance = tuple[int, int]
"""Available and staked."""


@dataclass
class Model:
    """Everything, by the usernames of the owners."""

    funding: str = "external"
    versions: list[Terms] = field(default_factory=list)
    stakes: dict[str, Stake] = field(default_factory=dict)
    quotes: list[Quote] = field(default_factory=list)
    exit_quotes: list[ExitQuote] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    available: dict[tuple[str, str], int] = field(default_factory=dict)
    past: list[tuple[int, dict[tuple[str, str], Balance]]] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=count)

    def on_sale(self, plan: str, at_ms: int) -> Terms | None:
        """The version that a stake made then gets."""
        found = [terms for terms in self.versions if terms.plan == plan and terms.sells_at(at_ms)]
        return max(found, key=lambda terms: terms.version, default=None)

    def of(self, owner: str) -> list[Stake]:
        """The stakes of a user, oldest first."""
        return [stake for stake in self.stakes.values() if stake.owner == owner]

    def staked(self, plan: str, owner: str | None = None) -> int:
        """What is staked in a plan, by all or by one."""
        return sum(
            stake.amount
            for stake in self.stakes.values()
            if stake.terms.plan == plan and stake.state in OPEN and owner in (None, stake.owner)
        )

    def balances(self) -> dict[tuple[str, str], Balance]:
        """What each user has of each asset, where there is or was something."""
        staked = dict.fromkeys(self.available, 0)
        for stake in self.stakes.values():
            if stake.state in OPEN:
                staked[stake.owner, stake.terms.asset] += stake.amount
        return {key: (minor, staked[key]) for key, minor in self.available.items()}

    def change(self, owner: str, asset: str, minor: int) -> None:
        """Change what is available."""
        self.available[owner, asset] = self.available.get((owner, asset), 0) + minor

    def tell(self, kind: str) -> None:
        """An event is owed."""
        self.events[kind] = self.events.get(kind, 0) + 1

    def make(self, stake: Stake) -> None:
        """A stake was made."""
        stake.due_ms = stake.matures_ms
        self.stakes[stake.id] = stake
        self.change(stake.owner, stake.terms.asset, -stake.amount if self.funding == "balance" else 0)
        self.tell("stake.created")

    def leave(self, stake: Stake, quote: ExitQuote, releases_ms: int | None) -> None:
        """A stake was left; it is paid at `releases_ms`, or was at once."""
        stake.reward, stake.forfeited, stake.exited_on = quote.reward, quote.forfeited, quote.day
        if releases_ms is None:
            self.close(stake)
        else:
            stake.state, stake.due_ms = "unstaking", releases_ms
            self.tell("stake.unstaking")

    def close(self, stake: Stake) -> None:
        """A stake that was left is paid."""
        assert stake.reward is not None
        stake.state, stake.due_ms = "closed_early", None
        self.change(stake.owner, stake.terms.asset, stake.amount + stake.reward)
        self.tell("stake.closed_early")

    def cancel(self, stake: Stake, day: date) -> None:
        """A stake was undone."""
        day = max(day, stake.first)
        stake.state, stake.due_ms, stake.exited_on = "cancelled", None, day
        stake.reward, stake.forfeited = 0, stake.terms.accrued(stake.amount, stake.first, day)
        self.change(stake.owner, stake.terms.asset, stake.amount)
        self.tell("stake.cancelled")

    def pay_out(self, stake: Stake) -> None:
        """A matured stake is paid."""
        stake.state, stake.due_ms = "paid_out", None
        stake.reward, stake.forfeited = stake.full_reward, 0
        self.change(stake.owner, stake.terms.asset, stake.amount + stake.full_reward)
        self.tell("stake.matured")

    def renewal(self, stake: Stake) -> tuple[Terms, int] | None:
        """The version and the amount that a matured stake is renewed with, limits of the plan apart."""
        terms = self.on_sale(stake.terms.plan, stake.matures_ms)
        if stake.instruction == "payout" or terms is None:
            return None
        amount = stake.amount + (stake.full_reward if stake.instruction == "renew_all" else 0)
        return None if terms.refuses(amount) else (terms, amount)

    def renew(self, stake: Stake, identifier: str, terms: Terms, amount: int, created_ms: int) -> Stake:
        """A matured stake goes on as another."""
        stake.state, stake.due_ms, stake.renewed_to = "renewed", None, identifier
        stake.reward, stake.forfeited = stake.full_reward, 0
        months = stake.months + terms.months
        new = Stake(
            identifier,
            stake.owner,
            terms,
            amount,
            created_ms,
            first=stake.matures,
            matures=months_after(stake.origin, months),
            origin=stake.origin,
            months=months,
            instruction=stake.instruction,
            renewed_from=stake.id,
        )
        new.due_ms = new.matures_ms
        self.stakes[identifier] = new
        self.change(stake.owner, terms.asset, stake.amount + stake.full_reward - amount)
        self.tell("stake.renewed")
        return new
