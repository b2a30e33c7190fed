"""What people are told of their stakes and balances, and what that must be."""

import copy
import json
from datetime import date
from itertools import pairwise
from typing import Any

from tests.stateful.machine.faults import CALM, Faults
from tests.stateful.machine.model import promise, rfc3339
from tests.stateful.staking.acts import Desk
from tests.stateful.staking.audit import BOOKS, EXACT
from tests.stateful.staking.model import OPEN, Stake
from tests.stateful.staking.terms import day_of, decimal, minor_of

ACCRUES = "what has accrued never falls, and never exceeds the exact amount"
PARTS = "the parts of a reward sum to the whole"
AT_ANY_TIME = "a balance is what the transfers until then come to"
RECONCILES = "opening balances and entries come to closing balances"


async def look_at_stake(desk: Desk, stake: Stake, *, at: int, faults: Faults = CALM) -> None:
    """Read one stake: cached or not, it is as it is.

    Where its own request settles it, and no time is left to read it again, it is told as it was.
    """
    before = copy.copy(stake)
    answer = await desk.ask(stake.owner, "GET", f"/api/stake/{stake.id}", at=at, faults=faults)
    if answer.failed:
        return
    answer.must_be(200, "", EXACT)
    told, scale = answer.body, stake.terms.scale
    seen = before if faults != CALM and told["status"] == "matured" else stake
    days = {day_of(at_ms) for at_ms in (answer.start_ms, answer.end_ms)}
    owed = {decimal(_accrued(seen, day), scale) for day in days}
    promise(told["accrued"] in owed, ACCRUES, f"{told['accrued']} in place of {owed}: {stake}")
    accrued = minor_of(told["accrued"], scale)
    exact = stake.terms.exact(stake.amount, stake.first, max(stake.first, stake.earned_until(max(days))))
    promise(stake.most_accrued <= accrued <= exact, ACCRUES, (accrued, exact))
    stake.most_accrued = max(stake.most_accrued, accrued)
    states = {_status(seen, at_ms) for at_ms in (answer.start_ms, answer.end_ms)}
    promise(told["status"] in states, EXACT, f"{told['status']} in place of {states}: {seen}")
    promise(told["reward"] == decimal(stake.full_reward, scale), EXACT, (told, stake))
    realised = told["realised"]
    promise((realised is None) == (seen.reward is None), EXACT, (told, seen))
    if realised is not None:
        outcome = [minor_of(realised[name], scale) for name in ("reward", "forfeited")]
        promise(outcome == [stake.reward, stake.forfeited], EXACT, (told, stake))
    promise((told["renewedFrom"], told["renewedTo"]) == (seen.renewed_from, seen.renewed_to), EXACT, told)


def _accrued(stake: Stake, day: date) -> int:
    end = stake.earned_until(day)
    if stake.state in ("paid_out", "renewed"):
        end = stake.matures
    return stake.terms.accrued(stake.amount, stake.first, max(end, stake.first))


def _status(stake: Stake, now_ms: int) -> str:
    return "matured" if stake.state == "active" and now_ms >= stake.matures_ms else stake.state


async def look_at_balances(desk: Desk, who: str, *, at: int, faults: Faults = CALM) -> None:
    """Read all balances as they are: nothing is due then that was not settled."""
    answer = await desk.ask(who, "GET", "/api/balances", at=at, faults=faults)
    if answer.failed:
        return
    answer.must_be(200, "", AT_ANY_TIME)
    due = [stake for stake in desk.model.of(who) if stake.is_due(answer.start_ms)]
    promise(not due, EXACT, f"{due} are left")
    _compare_balances(desk, who, desk.model.balances(), answer.body["items"])


async def look_back(desk: Desk, who: str, pick: int, *, at: int) -> None:
    """Read all balances as they were at a moment that was looked at then."""
    if desk.model.past:
        at_ms, balances = desk.model.past[pick % len(desk.model.past)]
        answer = await desk.ask(who, "GET", "/api/balances", at=at, params={"asOf": rfc3339(at_ms)})
        answer.must_be(200, "", AT_ANY_TIME)
        _compare_balances(desk, who, balances, answer.body["items"])


def _compare_balances(
    desk: Desk, who: str, balances: dict[tuple[str, str], tuple[int, int]], items: list[dict[str, str]]
) -> None:
    scales = {terms.asset: terms.scale for terms in desk.model.versions}
    owed = {
        asset: tuple(decimal(minor, scales[asset]) for minor in (available, staked, available + staked))
        for (owner, asset), (available, staked) in balances.items()
        if owner == who
    }
    told = {item["asset"]: (item["available"], item["staked"], item["total"]) for item in items}
    nothing = ("0", "0", "0")
    for asset in owed.keys() | told.keys():
        promise(
            told.get(asset, nothing) == owed.get(asset, nothing), AT_ANY_TIME, f"{told} in place of {owed}"
        )


async def look_at_rewards(desk: Desk, who: str, cuts: list[date], *, at: int) -> None:
    """Ask for ranges that follow on one another, and for all of them in one."""
    cuts = sorted({*cuts, date(2020, 1, 1), date(2060, 1, 1)})
    parts: dict[str, list[int]] = {}
    for first, end in pairwise(cuts):
        for key, amounts in (await _rewards(desk, who, first, end, at=at)).items():
            parts[key] = [a + b for a, b in zip(parts.get(key, [0, 0, 0]), amounts, strict=True)]
    whole = await _rewards(desk, who, cuts[0], cuts[-1], at=at)
    promise(parts == whole, PARTS, f"{parts} in place of {whole}")
    for stake in desk.model.of(who):
        earned, paid, forfeited = whole[stake.id]
        if stake.state not in OPEN:
            promise([paid, forfeited] == [stake.reward, stake.forfeited], PARTS, (whole[stake.id], stake))
            promise(earned == paid + forfeited, PARTS, (whole[stake.id], stake))
        else:
            owed = stake.terms.accrued(stake.amount, stake.first, stake.earned_until(day_of(desk.now_ms)))
            promise((earned, paid) == (owed, 0), PARTS, (whole[stake.id], owed, stake))


async def _rewards(desk: Desk, who: str, first: date, end: date, *, at: int) -> dict[str, list[int]]:
    params: dict[str, Any] = {"from": str(first), "to": str(end), "limit": 100}
    answer = await desk.ask(who, "GET", "/api/rewards", at=at, params=params)
    answer.must_be(200, "", PARTS)
    promise(not answer.body["hasMore"], PARTS, answer.described)
    found = {}
    for item in answer.body["items"]:
        scale = desk.model.stakes[item["stakeId"]].terms.scale
        found[item["stakeId"]] = [minor_of(item[name], scale) for name in ("earned", "paid", "forfeited")]
    return found


async def look_at_statement(desk: Desk, who: str, picks: tuple[int, int], *, at: int) -> None:
    """A statement between two moments that were looked at: it reconciles, with what was seen then."""
    past = desk.model.past
    if not past:
        return
    (from_ms, opening), (to_ms, closing) = sorted(
        (past[pick % len(past)] for pick in picks), key=lambda seen: seen[0]
    )
    # What happened at the moment itself had been seen when it was looked at.
    params = {"from": rfc3339(from_ms + 1), "to": rfc3339(to_ms + 1)}
    answer = await desk.ask(who, "GET", "/api/statement", at=at, params=params)
    answer.must_be(200, "", RECONCILES)
    assert answer.response is not None
    told = json.loads(answer.response.text)
    _compare_balances(desk, who, opening, [_with_total(desk, item) for item in told["opening"]])
    _compare_balances(desk, who, closing, [_with_total(desk, item) for item in told["closing"]])
    scales = {terms.asset: terms.scale for terms in desk.model.versions}
    running = {item["asset"]: _minors(item, scales[item["asset"]]) for item in told["opening"]}
    for entry in told["entries"]:
        asset, scale = entry["asset"], scales[entry["asset"]]
        change = [minor_of(entry[name], scale) for name in ("availableChange", "stakedChange")]
        before = running.get(asset, [0, 0])
        running[asset] = [a + b for a, b in zip(before, change, strict=True)]
        promise(running[asset] == _minors(entry, scale), RECONCILES, entry)
    ends = {item["asset"]: _minors(item, scales[item["asset"]]) for item in told["closing"]}
    promise(
        {key: value for key, value in running.items() if any(value)}
        == {key: value for key, value in ends.items() if any(value)},
        RECONCILES,
        told,
    )


def _minors(item: dict[str, Any], scale: int) -> list[int]:
    return [minor_of(item[name], scale) for name in ("available", "staked")]


def _with_total(desk: Desk, item: dict[str, Any]) -> dict[str, str]:
    scale = next(terms.scale for terms in desk.model.versions if terms.asset == item["asset"])
    return {**item, "total": decimal(sum(_minors(item, scale)), scale)}


async def verify(desk: Desk, who: str, *, at: int) -> None:
    """Have the service check its own books."""
    answer = await desk.ask(who, "GET", "/api/ledger/verification", at=at)
    answer.must_be(200, "", BOOKS)
    promise(answer.body["valid"] and answer.body["complete"], BOOKS, answer.described)
