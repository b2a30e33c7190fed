"""What people, operators and settlement do, under faults, and what must come of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from stakehold.database.plans import moment_ms
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.services import operators, settlement
from stakehold.services.context import Services
from tests.stateful.machine.account_acts import signed_in
from tests.stateful.machine.conduct import Answer, Conduct
from tests.stateful.machine.faults import CALM, Faults
from tests.stateful.machine.model import Access, promise, rfc3339
from tests.stateful.machine.processes import Process
from tests.stateful.staking.audit import EXACT, LIMITS, UNTOUCHED, Auditor, Row
from tests.stateful.staking.model import ExitQuote, Model, Moved, Quote, Stake
from tests.stateful.staking.terms import Terms, day_of, decimal, minor_of, months_after

T = TypeVar("T")

KEYED = "a key has one effect, and one answer"
WORK_TIME_S = 8.0


@dataclass
class Desk:
    """Where acts happen: the processes, and the books they are held against."""

    conduct: Conduct
    auditor: Auditor

    @property
    def model(self) -> Model:
        """What is owed."""
        return self.auditor.model

    @property
    def now_ms(self) -> int:
        """The machine's time."""
        return self.conduct.now_ms

    async def access(self, username: str) -> Access:
        """A good token of a user."""
        user = self.conduct.model.named(username)
        assert user is not None
        return await signed_in(self.conduct, user)

    async def ask(self, username: str, method: str, path: str, **options: Any) -> Answer:
        """Ask as a user, and follow what was settled on the way."""
        access = await self.access(username)
        answer = await self.conduct.ask(method, path, access=access, **options)
        await self.auditor.sync(self.now_ms)
        return answer

    async def work(
        self, at: int, faults: Faults, work: Callable[[Services, Deadline], Awaitable[T]]
    ) -> T | StakeholdError | None:
        """Have process `at` do what no request asks for; None when it died on the way."""
        process = self.conduct.processes[at]
        process.fate.meet(self.conduct._possible(faults))
        done = await _until_killed(process, work)
        process.fate.rest()
        if process.fate.killed.is_set():
            await self.conduct.crash(at)
            done = None
        await self.conduct.settle()
        await self.auditor.sync(self.now_ms)
        return done


async def _until_killed(
    process: Process, work: Callable[[Services, Deadline], Awaitable[T]]
) -> T | StakeholdError | None:
    services = process.container.services
    working = asyncio.ensure_future(work(services, Deadline.after(services.clock, WORK_TIME_S)))
    dying = asyncio.ensure_future(process.fate.killed.wait())
    try:
        await asyncio.wait({working, dying}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        if process.fate.killed.is_set():
            return None
        assert working.done(), "it hangs"
        return working.result()
    except StakeholdError as error:
        return error
    finally:
        for task in (working, dying):
            task.cancel()
        await asyncio.gather(working, dying, return_exceptions=True)


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


async def quote(desk: Desk, who: str, plan: str, amount: int, *, at: int) -> None:
    """Ask what a stake would pay."""
    terms = desk.model.on_sale(plan, desk.now_ms)
    scale = terms.scale if terms else 0
    body = {"amount": decimal(amount, scale), "plan": plan}
    answer = await desk.ask(who, "POST", "/api/stake/quote", at=at, json=body)
    if terms is None:
        answer.must_be(422, "unknown_plan", EXACT)
        return
    refusal = terms.refuses(amount)
    if refusal is not None:
        answer.must_be(422, "validation_error", EXACT)
        promise(answer.body["errors"][0]["code"] == refusal, EXACT, answer.described)
        return
    answer.must_be(200, "", EXACT)
    first, told = day_of(answer.start_ms), answer.body
    matures = months_after(first, terms.months)
    reward = terms.accrued(amount, first, matures)
    owed = (
        terms.version, decimal(amount, scale), str(first), f"{matures}T00:00:00.000Z",
        decimal(reward, scale), decimal(amount + reward, scale),
    )  # fmt: skip
    names = ("planVersion", "amount", "valueDate", "maturesAt", "reward", "payout")
    promise(tuple(told[name] for name in names) == owed, EXACT, f"{told} in place of {owed}")
    _check_table(terms, amount, told)
    expires_ms = answer.start_ms + 60_000
    promise(told["expiresAt"] == rfc3339(expires_ms), EXACT, told)
    desk.model.quotes.append(Quote(told["quoteId"], who, terms, amount, first, reward, expires_ms))


def _check_table(terms: Terms, amount: int, told: dict[str, Any]) -> None:
    first = told["valueDate"]
    promise(bool(told["earlyExit"]) == (terms.policy != "not_allowed"), EXACT, told)
    for row in told["earlyExit"]:
        days = [type(day_of(0)).fromisoformat(text) for text in (first, row["date"])]
        reward, forfeited = terms.leaving(amount, *days)
        owed = [decimal(minor, terms.scale) for minor in (amount + reward, reward, forfeited)]
        promise([row[name] for name in ("returned", "reward", "forfeited")] == owed, EXACT, (row, owed))


@dataclass(frozen=True)
class Wish:
    """A stake that somebody wants: under a quote, or under what is on sale."""

    who: str
    plan: str
    amount: int
    instruction: str
    quote: Quote | None = None


async def create(desk: Desk, wish: Wish, key: str | None, *, at: int, faults: Faults = CALM) -> None:
    """Make a stake; with a key once more after, which must make no other."""
    answer = await _ask_for(desk, wish, key, at=at, faults=faults)
    made = await _settle_creation(desk, wish, answer)
    if key is not None:
        # At the other process, in peace.
        again = await _ask_for(desk, wish, key, at=1 - at)
        if made is None:
            await _settle_creation(desk, wish, again)
        else:
            again.must_be(201, "", KEYED)
            promise(again.body["stakeId"] == made.id, KEYED, again.described)
            promise(again.response is not None and "idempotency-replayed" in again.response.headers, KEYED)


async def _ask_for(desk: Desk, wish: Wish, key: str | None, *, at: int, faults: Faults = CALM) -> Answer:
    scale = next(terms.scale for terms in desk.model.versions if terms.plan == wish.plan)
    body = {
        "amount": decimal(wish.amount, scale),
        "plan": wish.plan,
        "maturityInstruction": wish.instruction,
        **({"quoteId": wish.quote.id} if wish.quote else {}),
    }
    return await desk.ask(
        wish.who, "POST", "/api/stake", at=at, faults=faults, headers=_keyed(key), json=body
    )


async def _settle_creation(desk: Desk, wish: Wish, answer: Answer) -> Stake | None:
    """Enter the stake that was made; or hold the reason for there being none against the model."""
    rows = await desk.auditor.new_stakes()
    promise(len(rows) <= 1, KEYED, f"{len(rows)} stakes of one request")
    if answer.failed:
        promise(not rows or answer.is_unknown, UNTOUCHED, answer.described)
        return _enter(desk, wish, rows[0]) if rows else None
    if answer.status == 201:
        promise(len(rows) == 1 and str(rows[0]["id"]) == answer.body["stakeId"], UNTOUCHED, answer.described)
        return _enter(desk, wish, rows[0])
    promise(not rows, UNTOUCHED, answer.described)
    reason = answer.code
    if reason == "validation_error":
        reason = answer.body["errors"][0]["code"]
    true = {name for at_ms in (answer.start_ms, answer.end_ms) for name in _refusals(desk, wish, at_ms)}
    promise(reason in true, LIMITS, f"{answer.described} where there is {true}")
    return None


def _refusals(desk: Desk, wish: Wish, now_ms: int) -> set[str]:
    """All there is to be said against a wish."""
    model, quoted = desk.model, wish.quote
    refusals = {"quote_expired"} if quoted and now_ms >= quoted.expires_ms else set()
    terms = quoted.terms if quoted else model.on_sale(wish.plan, now_ms)
    if terms is None:
        return {"unknown_plan"}
    refusals |= {name for name in (terms.refuses(wish.amount),) if name}
    if terms.capacity is not None and model.staked(terms.plan) + wish.amount > terms.capacity:
        refusals.add("capacity_exceeded")
    if terms.cap is not None and model.staked(terms.plan, wish.who) + wish.amount > terms.cap:
        refusals.add("user_cap_exceeded")
    if model.funding == "balance" and model.available.get((wish.who, terms.asset), 0) < wish.amount:
        refusals.add("insufficient_funds")
    return refusals


def _enter(desk: Desk, wish: Wish, row: Row) -> Stake:
    """The stake in a new row, which must be what was wished for."""
    created_ms = moment_ms(row["created_at"])
    terms = wish.quote.terms if wish.quote else desk.model.on_sale(wish.plan, created_ms)
    promise(terms is not None and not terms.refuses(wish.amount), LIMITS, (wish, row))
    assert terms is not None
    promise(wish.quote is None or created_ms < wish.quote.expires_ms, EXACT, (wish, row))
    first = wish.quote.first if wish.quote else day_of(created_ms)
    stake = Stake(
        str(row["id"]), wish.who, terms, wish.amount, created_ms, first=first,
        matures=months_after(first, terms.months), origin=first, months=terms.months,
        instruction=wish.instruction, quoted=wish.quote.reward if wish.quote else None,
    )  # fmt: skip
    desk.model.make(stake)
    desk.auditor.check_limits(stake)
    return stake


async def quote_exit(desk: Desk, stake: Stake, *, at: int) -> None:
    """Ask what leaving would pay."""
    answer = await desk.ask(stake.owner, "POST", f"/api/stake/{stake.id}/unstake/quote", at=at)
    refusal = stake.refuses_exit(answer.start_ms)
    if refusal is not None:
        answer.must_be(409, refusal, EXACT)
        return
    answer.must_be(200, "", EXACT)
    terms, day, told = stake.terms, day_of(answer.start_ms), answer.body
    reward, forfeited = terms.leaving(stake.amount, stake.first, max(day, stake.first))
    owed = [decimal(minor, terms.scale) for minor in (stake.amount, reward, forfeited, stake.amount + reward)]
    names = ("principal", "reward", "forfeited", "returned")
    promise([told[name] for name in names] == owed, EXACT, f"{told} in place of {owed}")
    desk.model.exit_quotes.append(
        ExitQuote(told["quoteId"], stake, day, reward, forfeited, answer.start_ms + 60_000)
    )


async def unstake(desk: Desk, quote: ExitQuote, key: str | None, *, at: int, faults: Faults = CALM) -> None:
    """Leave with what was quoted, and again: it is done once."""
    stake, path = quote.stake, f"/api/stake/{quote.stake.id}/unstake"
    for again in (False, True):
        was_left = (stake.exited_on, stake.reward) == (quote.day, quote.reward)
        was_left &= stake.state in ("unstaking", "closed_early")
        refusal = stake.refuses_change(desk.now_ms)
        answer = await desk.ask(
            stake.owner, "POST", path, at=at ^ again, faults=CALM if again else faults,
            headers=_keyed(key), json={"quoteId": quote.id},
        )  # fmt: skip
        row = (await desk.auditor.stakes())[stake.id]
        if row["state"] != stake.state and not was_left:
            promise(refusal is None, UNTOUCHED, answer.described)
            promise(answer.status == 200 or answer.is_unknown, UNTOUCHED, answer.described)
            _leave(desk, quote, row)
        elif not answer.failed and not was_left:
            expired = {"quote_expired"} if answer.end_ms >= quote.expires_ms else set()
            # What matures while a statement is late is refused as well.
            codes = expired | {refusal, stake.refuses_change(answer.end_ms)} - {None}
            promise((answer.status, answer.code) in {(409, code) for code in codes}, EXACT, answer.described)
        if answer.status == 200:
            _check_left(stake, answer)
            assert answer.response is not None
            promise(("idempotency-replayed" in answer.response.headers) == was_left, KEYED, answer.described)


def _leave(desk: Desk, quote: ExitQuote, row: Row) -> None:
    """The stake was left, and by the quote."""
    stake = quote.stake
    now_ms = desk.now_ms
    waits = row["state"] == "unstaking"
    releases_ms = moment_ms(row["due_at"]) if waits else None
    if waits:
        cooldown_ms = stake.terms.cooldown_s * 1000
        latest_ms = min(now_ms + cooldown_ms, stake.matures_ms)
        promise(releases_ms is not None and releases_ms <= latest_ms, EXACT, (stake, row))
        promise(cooldown_ms > 0, EXACT, (stake, row))
    else:
        promise(stake.terms.cooldown_s == 0, EXACT, (stake, row))
    desk.model.leave(stake, quote, releases_ms)


def _check_left(stake: Stake, answer: Answer) -> None:
    told, scale = answer.body, stake.terms.scale
    minors = [minor_of(told[name], scale) for name in ("principal", "reward", "forfeited", "returned")]
    promise(minors[0] + minors[1] == minors[3], EXACT, told)
    promise(minors[:3] == [stake.amount, stake.reward, stake.forfeited], EXACT, f"{told}: {stake}")


async def cancel(desk: Desk, stake: Stake, key: str | None, *, at: int, faults: Faults = CALM) -> None:
    """Take a stake back, and again."""
    for again in (False, True):
        was_cancelled, refusal = stake.state == "cancelled", stake.refuses_change(desk.now_ms)
        answer = await desk.ask(
            stake.owner, "POST", f"/api/stake/{stake.id}/cancel", at=at ^ again,
            faults=CALM if again else faults, headers=_keyed(key),
        )  # fmt: skip
        row = (await desk.auditor.stakes())[stake.id]
        if row["state"] == "cancelled" and not was_cancelled:
            promise(refusal is None and answer.start_ms < stake.grace_ends_ms, UNTOUCHED, answer.described)
            promise(answer.status == 200 or answer.is_unknown, UNTOUCHED, answer.described)
            desk.model.cancel(stake, row["exited_on"])
        elif not answer.failed and not was_cancelled:
            over = {"grace_period_over"} if answer.end_ms >= stake.grace_ends_ms else set()
            codes = over | {refusal, stake.refuses_change(answer.end_ms)} - {None}
            promise((answer.status, answer.code) in {(409, code) for code in codes}, EXACT, answer.described)
        if answer.status == 200:
            _check_left(stake, answer)


async def instruct(
    desk: Desk, stake: Stake, instruction: str, *, stale: bool, at: int, faults: Faults = CALM
) -> None:
    """Say what becomes of a stake, having seen it last or not."""
    seen = await desk.ask(stake.owner, "GET", f"/api/stake/{stake.id}", at=at)
    assert seen.response is not None
    tag = '"another"' if stale else seen.response.headers.get("etag", "")
    refusal, unchanged = stake.refuses_change(desk.now_ms), stake.instruction == instruction
    answer = await desk.ask(
        stake.owner, "PATCH", f"/api/stake/{stake.id}", at=at, faults=faults,
        headers={"If-Match": tag}, json={"maturityInstruction": instruction},
    )  # fmt: skip
    row = (await desk.auditor.stakes())[stake.id]
    if row["maturity_instruction"] != stake.instruction:
        promise(refusal is None and not stale, UNTOUCHED, answer.described)
        promise(answer.status == 200 or answer.is_unknown, UNTOUCHED, answer.described)
        stake.instruction = instruction
    elif answer.status == 200:
        promise(unchanged and refusal is None and not stale, UNTOUCHED, answer.described)
    elif not answer.failed:
        codes = {(409, refusal), (409, stake.refuses_change(answer.end_ms))} - {(409, None)}
        codes |= {(412, "precondition_failed")} if stale else set()
        promise((answer.status, answer.code) in codes, UNTOUCHED, answer.described)


async def settle(desk: Desk, batch: int, *, at: int, faults: Faults = CALM, all_of_it: bool = False) -> None:
    """Run settlement for one batch, or until nothing is due."""

    async def work(services: Services, deadline: Deadline) -> int:
        settled = await settlement.settle_due(services, deadline, batch=batch)
        while settled and all_of_it and await settlement.settle_due(services, deadline, batch=batch):
            pass
        return settled

    done = await desk.work(at, faults, work)
    if all_of_it and isinstance(done, int) and faults == CALM:
        left = [stake for stake in desk.model.stakes.values() if stake.is_due(desk.now_ms)]
        promise(not left, EXACT, f"{left} are left")


async def settle_twice(desk: Desk, batch: int) -> None:
    """Two processes settle at the same time."""

    async def work(process: Process) -> None:
        services = process.container.services
        deadline = Deadline.after(services.clock, WORK_TIME_S)
        while await settlement.settle_due(services, deadline, batch=batch):
            pass

    await asyncio.gather(*(work(process) for process in desk.conduct.processes))
    await desk.conduct.settle()
    await desk.auditor.sync(desk.now_ms)


async def _settle_at(desk: Desk, at: int) -> None:
    services = desk.conduct.processes[at].container.services
    await settlement.settle_due(services, Deadline.after(services.clock, WORK_TIME_S))


async def race(desk: Desk, wishes: list[Wish]) -> None:
    """Several want a stake at once, while settlement runs: those for whom there is room get it."""
    accesses = [await desk.access(wish.who) for wish in wishes]
    was_due = any(stake.is_due(desk.now_ms) for stake in desk.model.stakes.values())
    scales = [
        next(terms.scale for terms in desk.model.versions if terms.plan == wish.plan) for wish in wishes
    ]
    asking = asyncio.gather(
        *(
            desk.conduct.ask(
                "POST", "/api/stake", at=number % 2, access=access,
                json={
                    "amount": decimal(wish.amount, scale), "plan": wish.plan,
                    "maturityInstruction": wish.instruction,
                },
            )
            for number, (wish, access, scale) in enumerate(zip(wishes, accesses, scales, strict=True))
        )
    )  # fmt: skip
    answers, _ = await asyncio.gather(asking, _settle_at(desk, 1))
    await desk.conduct.settle()
    await desk.auditor.sync(desk.now_ms)
    rows = {str(row["id"]): row for row in await desk.auditor.new_stakes()}
    told = [answer.body["stakeId"] for answer in answers if answer.status == 201]
    promise(sorted(told) == sorted(rows), UNTOUCHED, (told, rows))
    for wish, answer in zip(wishes, answers, strict=True):
        if answer.status == 201:
            _enter(desk, wish, rows[answer.body["stakeId"]])
    for wish, answer in zip(wishes, answers, strict=True):
        # With those who won there is no room for who did not, unless it came when they had been refused.
        if answer.status != 201 and not was_due:
            await _settle_creation(desk, wish, answer)


async def race_exit(desk: Desk, quote: ExitQuote) -> None:
    """Two leave one stake at the same instant, while settlement runs."""
    access = await desk.access(quote.stake.owner)
    path, stake = f"/api/stake/{quote.stake.id}/unstake", quote.stake

    was_left = stake.state in ("unstaking", "closed_early")
    refusal = stake.refuses_change(desk.now_ms)
    asking = asyncio.gather(
        *(desk.conduct.ask("POST", path, at=at, access=access, json={"quoteId": quote.id}) for at in (0, 1))
    )
    (first, second), _ = await asyncio.gather(asking, _settle_at(desk, 1))
    await desk.conduct.settle()
    row = (await desk.auditor.stakes())[stake.id]
    if not was_left and row["exited_on"] is not None and refusal is None:
        promise(first.status == second.status == 200, KEYED, (first.described, second.described))
        _leave(desk, quote, row)
    await desk.auditor.sync(desk.now_ms)
    for answer in (first, second):
        if answer.status == 200:
            _check_left(stake, answer)
        else:
            codes = {refusal} if refusal else set()
            codes |= {"quote_expired"} if desk.now_ms >= quote.expires_ms else set()
            promise(answer.code in codes, EXACT, answer.described)


async def adjust(
    desk: Desk, who: str, asset: str, scale: int, amount: int, key: str | None, *,
    withdraw: bool, at: int, faults: Faults = CALM,
) -> None:  # fmt: skip
    """An operator deposits or withdraws; with a key once more after."""
    path = "/api/admin/withdrawals" if withdraw else "/api/admin/deposits"
    body = {"username": who, "asset": asset, "amount": decimal(amount, scale), "reason": "of the test"}
    change, done = (-amount if withdraw else amount), False
    for again in (False, True):
        if again and key is None:
            return
        answer = await desk.ask(
            "operator", "POST", path, at=at ^ again, faults=CALM if again else faults,
            headers=_keyed(key), json=body,
        )  # fmt: skip
        new = await _enter_moves(desk)
        promise([moved.change for moved in new] in ([], [change]), KEYED, new)
        if new:
            promise(not done and (answer.status == 201 or answer.is_unknown), KEYED, answer.described)
            done = True
        elif answer.status == 201:
            promise(done, UNTOUCHED, answer.described)
        elif not answer.failed:
            answer.must_be(422, "insufficient_funds", LIMITS)
            has = desk.model.available.get((who, asset), 0)
            promise(withdraw and has < amount, LIMITS, (answer.described, has))


async def _enter_moves(desk: Desk) -> list[Moved]:
    """Take note of the transfers of operators that are new."""
    known = {(moved.owner, moved.seq) for moved in desk.model.moved}
    new = []
    for (owner, seq), row in sorted((await desk.auditor.moved()).items()):
        if (owner, seq) not in known:
            change = int(row["amount_minor"]) * (1 if row["credit_account"] == "available" else -1)
            moved = Moved(seq, owner, row["asset"], change, row["reverses"])
            new.append(moved)
            desk.model.moved.append(moved)
            desk.model.change(owner, moved.asset, change)
            if moved.reverses is not None:
                desk.model.tell("balance.reversed")
            else:
                desk.model.tell("balance.deposited" if change > 0 else "balance.withdrawn")
    return new


async def reverse(desk: Desk, moved: Moved, *, at: int, faults: Faults = CALM) -> None:
    """An operator undoes what was done, at the command line."""
    reversed_before = any(
        other.owner == moved.owner and other.reverses == moved.seq for other in desk.model.moved
    )

    async def work(services: Services, deadline: Deadline) -> int:
        done = await operators.reverse(services, moved.owner, moved.seq, "a mistake", deadline)
        return done.seq

    done = await desk.work(at, faults, work)
    new = await _enter_moves(desk)
    if reversed_before or moved.reverses is not None:
        promise(not new and not isinstance(done, int), KEYED, (done, new))
    elif isinstance(done, int):
        promise([each.change for each in new] == [-moved.change], UNTOUCHED, new)
    elif isinstance(done, StakeholdError) and done.code == "insufficient_funds":
        has = desk.model.available.get((moved.owner, moved.asset), 0)
        promise(not new and has < moved.change, LIMITS, (moved, has))
    elif new:
        promise([each.change for each in new] == [-moved.change], UNTOUCHED, new)
