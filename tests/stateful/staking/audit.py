"""The database held against the model: what settlement did meanwhile is found, and has to be right."""

from typing import Any
from uuid import UUID

from stakehold.database.plans import moment_ms
from tests.stateful.machine.model import promise
from tests.stateful.machine.stores import Stores
from tests.stateful.staking.model import OPEN, Model, Stake
from tests.support.books import check_books_in

ONE_END = "a stake has one end, and its principal leaves once"
EXACT = "what was quoted is paid, whenever settlement comes"
LIMITS = "no more is staked than a plan and a user may have"
BOOKS = "transfers balance, nothing is negative, and balances are what the transfers come to"
UNTOUCHED = "a command that failed changes nothing, and one that succeeded all that it should"
TOLD = "each change is told once"

_STAKES = """
SELECT s.id, u.username AS owner, s.amount_minor, s.plan_id, s.plan_version, s.state, s.created_at,
       s.value_date, s.maturity_date, s.origin_date, s.maturity_instruction, s.due_at, s.exited_on,
       s.reward_minor, s.forfeited_minor, s.renewed_from, s.renewed_to
  FROM stakes s JOIN users u ON u.id = s.user_id ORDER BY s.id
"""
_BALANCES = """
SELECT u.username AS owner, b.asset, b.available_minor, b.staked_minor
  FROM balances b JOIN users u ON u.id = b.user_id
"""
_MOVED = """
SELECT t.seq, u.username AS owner, t.asset, t.reverses, t.amount_minor, t.credit_account
  FROM transfers t JOIN users u ON u.id = t.user_id
 WHERE t.kind IN ('deposit', 'withdrawal', 'reversal')
"""
_EVENTS = "SELECT e.type, count(*) AS times FROM events e GROUP BY e.type"

Row = Any


class Auditor:
    """Reads the database by a connection of the test's own, which no fault touches."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.model = Model()

    async def stakes(self) -> dict[str, Row]:
        """The stakes there are, by id."""
        return {str(row["id"]): row for row in await self._fetch(_STAKES)}

    async def moved(self) -> dict[tuple[str, int], Row]:
        """What operators did, by user and number."""
        return {(row["owner"], row["seq"]): row for row in await self._fetch(_MOVED)}

    async def new_stakes(self) -> list[Row]:
        """Those that nobody has told the model of, and no renewals."""
        known = self.model.stakes
        rows = await self.stakes()
        return [row for key, row in rows.items() if key not in known and row["renewed_from"] is None]

    async def forget_plans(self) -> None:
        """Delete the plans of the example before."""
        await self._fetch("DELETE FROM plans WHERE id NOT LIKE 'STK-%' RETURNING id")

    async def make_operator(self, username: str) -> None:
        """Give a user the scope of operators."""
        await self._fetch("UPDATE users SET scope = 'admin' WHERE username = $1 RETURNING id", username)

    async def sync(self, now_ms: int) -> None:
        """Follow what settlement did since; it was due, and came to what it had to."""
        rows = await self.stakes()
        before = dict(self.model.stakes)
        most = self._most_staked()
        due = [stake for stake in self.model.stakes.values() if stake.is_due(now_ms)]
        # A renewal may be due again.
        while due:
            for stake in due:
                row = rows.get(stake.id)
                promise(row is not None, UNTOUCHED, f"{stake} is gone")
                assert row is not None
                if row["state"] != stake.state:
                    self._follow(stake, row, rows, most)
            due = [
                stake
                for stake in self.model.stakes.values()
                if stake.is_due(now_ms) and rows[stake.id]["state"] != stake.state
            ]
        for key in self.model.stakes.keys() - before.keys():
            self.check_limits(self.model.stakes[key])

    def _most_staked(self) -> dict[tuple[str, str | None], int]:
        """The most that can be staked by plan, and by plan and user, while all that is there is settled.

        Which of several that matured together came first is not for the model to know.
        """
        most: dict[tuple[str, str | None], int] = {}
        for stake in self.model.stakes.values():
            if stake.state in OPEN:
                for key in ((stake.terms.plan, None), (stake.terms.plan, stake.owner)):
                    most[key] = most.get(key, 0) + stake.amount + stake.full_reward
        return most

    def _follow(
        self, stake: Stake, row: Row, rows: dict[str, Row], most: dict[tuple[str, str | None], int]
    ) -> None:
        if stake.state == "unstaking":
            promise(row["state"] == "closed_early", ONE_END, (stake, row))
            self.model.close(stake)
            return
        renewal = self.model.renewal(stake)
        if row["state"] == "renewed":
            promise(renewal is not None, EXACT, ("renewed without cause", stake, row))
            assert renewal is not None
            new = rows[str(row["renewed_to"])]
            self.model.renew(stake, str(new["id"]), *renewal, created_ms=moment_ms(new["created_at"]))
            return
        promise(row["state"] == "paid_out", ONE_END, (stake, row))
        if renewal is not None:
            terms, amount = renewal
            more = amount - stake.amount
            lacks_room = terms.capacity is not None and most[terms.plan, None] + more > terms.capacity
            lacks_room |= terms.cap is not None and most[terms.plan, stake.owner] + more > terms.cap
            promise(lacks_room, EXACT, ("not renewed in spite of room", stake, terms))
        self.model.pay_out(stake)

    async def check(self, now_ms: int) -> None:
        """Sync, and compare everything."""
        await self.sync(now_ms)
        rows = await self.stakes()
        promise(rows.keys() == self.model.stakes.keys(), UNTOUCHED, rows.keys() ^ self.model.stakes.keys())
        for key, stake in self.model.stakes.items():
            _compare(stake, rows[key])
        try:
            books = await check_books_in(self._stores.sql)
        except AssertionError as error:
            promise(False, BOOKS, repr(error))
        for stake in self.model.stakes.values():
            left = [minor for kind in ("principal", "renewal") for minor in books.paid(UUID(stake.id), kind)]
            promise(left == ([] if stake.state in OPEN else [stake.amount]), ONE_END, (stake, left))
            rewards = sum(books.paid(UUID(stake.id), "reward"))
            owed = 0 if stake.state in OPEN else stake.reward
            promise(rewards == owed, EXACT, (stake, rewards))
        await self._check_sums(now_ms)

    async def _check_sums(self, now_ms: int) -> None:
        told = {
            (row["owner"], row["asset"]): (int(row["available_minor"]), int(row["staked_minor"]))
            for row in await self._fetch(_BALANCES)
        }
        owed = self.model.balances()
        promise(told == owed, UNTOUCHED, f"balances {told} in place of {owed}")
        known = {(moved.owner, moved.seq): (moved.change, moved.reverses) for moved in self.model.moved}
        there = {key: (_change(row), row["reverses"]) for key, row in (await self.moved()).items()}
        promise(there == known, UNTOUCHED, f"transfers {there} in place of {known}")
        times = {row["type"]: row["times"] for row in await self._fetch(_EVENTS)}
        promise(times == self.model.events, TOLD, f"{times} in place of {self.model.events}")
        self.model.past.append((now_ms, owed))

    def check_limits(self, stake: Stake) -> None:
        """After `stake` was made, or renewed to: its plan, and its user in it, have no more than they may."""
        terms, model = stake.terms, self.model
        held, theirs = model.staked(terms.plan), model.staked(terms.plan, stake.owner)
        promise(terms.capacity is None or held <= terms.capacity, LIMITS, (held, terms))
        promise(terms.cap is None or theirs <= terms.cap, LIMITS, (theirs, terms))
        promise(model.available[stake.owner, terms.asset] >= 0, LIMITS, stake)

    async def _fetch(self, statement: str, *arguments: object) -> list[Row]:
        # It conflicts with nobody.
        async with self._stores.sql.transaction(isolation="read_committed"):
            rows: list[Row] = await self._stores.sql.fetch(statement, *arguments)
            return rows


def _change(row: Row) -> int:
    return int(row["amount_minor"]) * (1 if row["credit_account"] == "available" else -1)


def _compare(stake: Stake, row: Row) -> None:
    told = (
        row["owner"], int(row["amount_minor"]), row["plan_id"], row["plan_version"], row["value_date"],
        row["maturity_date"], row["origin_date"], row["maturity_instruction"], row["exited_on"],
        None if row["due_at"] is None else moment_ms(row["due_at"]),
        None if row["renewed_from"] is None else str(row["renewed_from"]),
        None if row["renewed_to"] is None else str(row["renewed_to"]),
    )  # fmt: skip
    owed = (
        stake.owner, stake.amount, stake.terms.plan, stake.terms.version, stake.first,
        stake.matures, stake.origin, stake.instruction, stake.exited_on, stake.due_ms,
        stake.renewed_from, stake.renewed_to,
    )  # fmt: skip
    promise(row["state"] == stake.state, ONE_END, f"{row['state']} in place of {stake.state}: {stake}")
    promise(told == owed, UNTOUCHED, f"{told} in place of {owed}")
    outcome = tuple(
        None if row[name] is None else int(row[name]) for name in ("reward_minor", "forfeited_minor")
    )
    promise(outcome == (stake.reward, stake.forfeited), EXACT, (outcome, stake))
    if stake.state in ("paid_out", "renewed") and stake.quoted is not None:
        promise(outcome[0] == stake.quoted, EXACT, (outcome, stake))
    if stake.state in ("unstaking", "closed_early"):
        assert stake.exited_on is not None
        assert outcome[0] is not None
        assert outcome[1] is not None
        accrued = stake.terms.accrued(stake.amount, stake.first, stake.exited_on)
        promise(sum(filter(None, outcome)) == accrued, EXACT, (outcome, stake))
        promise(outcome[0] <= stake.full_reward, EXACT, (outcome, stake))
    if stake.state not in OPEN:
        promise(row["due_at"] is None, ONE_END, row)
