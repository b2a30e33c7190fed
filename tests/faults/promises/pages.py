"""What readers see: all that was acknowledged before they asked, each stake once, nobody else's.

Stakes are never deleted, and a user's list is in the order of their ids. So when a page was made the
user's stakes were some set V: all that *must* be there (acknowledged, or shown to someone, before the read
began), and of the rest only what *may* be (its making began before the read ended). A page is right when it
is the slice of such a V that was asked for. Both bounds are swept through time, counted in Fenwick trees.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.final_state import StakeRow
from tests.faults.history import ANY_SERVER, Operation
from tests.faults.promises.run import FENCE_LIFE_S, PAGE_AGE_MAX_S, Run, Violation, text_of

OLDER_THAN_A_WRITE = "no_page_is_older_than_an_acknowledged_write"
OLDER_THAN_A_PAGE = "no_page_is_older_than_one_seen_before"

_JUDGED = {"list": (200, 304), "get": (200, 304, 404)}


class Counter:
    """A Fenwick tree over positions that are switched on one by one."""

    def __init__(self, size: int) -> None:
        self._sums = [0] * (size + 1)
        self.on = [False] * size

    def switch_on(self, position: int) -> None:
        """Count `position` from now on."""
        if self.on[position]:
            return
        self.on[position] = True
        index = position + 1
        while index < len(self._sums):
            self._sums[index] += 1
            index += index & -index

    def before(self, position: int) -> int:
        """How many positions less than this one are on."""
        count = 0
        while position > 0:
            count += self._sums[position]
            position -= position & -position
        return count

    def between(self, start: int, end: int) -> int:
        """How many in [start, end) are on."""
        return self.before(end) - self.before(start)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Since when every read must show a stake, and why. `at_server` must since `told_s` already."""

    position: int
    since_s: float
    told_s: float
    at_server: int
    promise: str


@dataclass(slots=True)
class Shelf:
    """One user's stakes, newest first, and what makes them visible."""

    user: str
    rows: list[StakeRow]
    positions: dict[str, int] = field(init=False)
    reads: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows.sort(key=lambda row: row.id, reverse=True)
        self.positions = {row.id: position for position, row in enumerate(self.rows)}


def pages_are_true(run: Run) -> Iterator[Violation]:
    """Every page is the asked-for part of what was there, with all that was acknowledged before."""
    rows_by_user = defaultdict(list)
    for row in run.final.stakes:
        rows_by_user[run.names.get(row.user_id, row.user_id)].append(row)
    for user, operations in run.by_user.items():
        shelf = Shelf(user, rows_by_user[user])
        for read in operations:
            if read.status in _JUDGED.get(read.kind, ()):
                strange = list(_strangers(run, shelf, read))
                yield from strange
                if not strange:
                    shelf.reads.append(read)
        yield from _sweep(run, shelf)


def _strangers(run: Run, shelf: Shelf, read: Operation) -> Iterator[Violation]:
    """Items that are another's, that are not kept, or that are not as they were asked for."""
    for item in _items(read):
        stake_id = str(item.get("id"))
        position = shelf.positions.get(stake_id)
        if position is None:
            owners = [run.names.get(row.user_id) for row in run.rows_by_id.get(stake_id, ())]
            promise = "nobody_sees_another_users_stake" if owners else "shown_stake_is_kept"
            detail = f"{shelf.user} was shown stake {stake_id}, which is of {owners}"
            yield Violation(promise, detail, (read.number,))
            continue
        row = shelf.rows[position]
        if read.ended_s < _asked_at_s(run, shelf.user, row):
            detail = f"{shelf.user} was shown stake {stake_id} before it was asked for"
            yield Violation("shown_stake_was_asked_for", detail, (read.number,))
        if (item.get("amount"), str(item.get("period"))) != (row.amount, row.period):
            detail = f"{shelf.user} was shown {item}, which is kept as {row}"
            yield Violation("shown_stake_is_as_kept", detail, (read.number,))


def _asked_at_s(run: Run, user: str, row: StakeRow) -> float:
    """When the stake was first asked for; long ago if never, which is another promise's to find."""
    creates = run.creates.get((user, row.amount), ())
    return min((create.started_s for create in creates), default=-math.inf)


def _sweep(run: Run, shelf: Shelf) -> Iterator[Violation]:
    """Judge the reads in the order of starting, with the evidence there was by then."""
    evidence = sorted(_evidence(run, shelf), key=lambda one: one.since_s)
    shaky: dict[int, list[Evidence]] = defaultdict(list)
    for one in evidence:
        if one.since_s > one.told_s and one.at_server != ANY_SERVER:
            shaky[one.at_server].append(one)
    must, reasons = Counter(len(shelf.rows)), [""] * len(shelf.rows)
    most = _most_before(run, shelf)
    due = 0
    for read in shelf.reads:
        while due < len(evidence) and evidence[due].since_s < read.started_s:
            one = evidence[due]
            if reasons[one.position] != OLDER_THAN_A_WRITE:
                reasons[one.position] = one.promise
            must.switch_on(one.position)
            due += 1
        extra = [one for one in shaky[read.server] if one.told_s < read.started_s <= one.since_s]
        if read.kind == "get":
            yield from _judge_get(shelf, read, must, reasons, extra)
        else:
            yield from _judge_list(shelf, read, must, reasons, extra, most[read.number])


def _evidence(run: Run, shelf: Shelf) -> Iterator[Evidence]:
    """Acknowledgements of the user's stakes, and the first sight of each."""
    clean: dict[int, bool] = {}
    for position, row in enumerate(shelf.rows):
        creates = run.creates.get((shelf.user, row.amount), [])
        clean[position] = all(_is_clean(run, create) for create in creates if create.outcome != "fail")
        for create in creates:
            if create.outcome == "ok" and create.answer.get("stakeId") == row.id:
                until_s = run.unfenced_until_s(create, PAGE_AGE_MAX_S)
                since_s = max(create.ended_s, until_s or 0.0)
                yield Evidence(position, since_s, create.ended_s, create.server, OLDER_THAN_A_WRITE)
    seen: set[int] = set()
    for read in sorted(shelf.reads, key=lambda read: read.ended_s):
        for item in _items(read):
            position = shelf.positions[str(item["id"])]
            if clean[position] and position not in seen:
                seen.add(position)
                yield Evidence(position, read.ended_s, read.ended_s, read.server, OLDER_THAN_A_PAGE)


def _is_clean(run: Run, create: Operation) -> bool:
    """Whether nothing happened to its fence: then who sees the stake before its acknowledgement binds all."""
    ended_s = max(create.ended_s, create.started_s + FENCE_LIFE_S)
    lost = run.hits(("redis_wiped", "redis_evicted", "redis_away"), create.server, create.started_s, ended_s)
    return not lost and run.unfenced_until_s(create, PAGE_AGE_MAX_S) is None


def _most_before(run: Run, shelf: Shelf) -> dict[int, tuple[int, int]]:
    """For each list: how many stakes may have been there above its first item, and below its last."""
    begun: list[tuple[float, int]] = []
    for position, row in enumerate(shelf.rows):
        begun.append((_asked_at_s(run, shelf.user, row), position))
    begun.sort()
    may, due = Counter(len(shelf.rows)), 0
    most = {}
    for read in sorted(shelf.reads, key=lambda read: read.ended_s):
        while due < len(begun) and begun[due][0] <= read.ended_s:
            may.switch_on(begun[due][1])
            due += 1
        shown = [shelf.positions[str(item["id"])] for item in _items(read)]
        if read.kind == "list" and shown:
            size = len(shelf.rows)
            most[read.number] = (may.before(shown[0]), may.between(shown[-1] + 1, size))
        else:
            most[read.number] = (may.before(len(shelf.rows)), 0)
    return most


def _judge_get(
    shelf: Shelf, read: Operation, must: Counter, reasons: list[str], extra: list[Evidence]
) -> Iterator[Violation]:
    asked = str(read.request["stake_id"])
    position = shelf.positions.get(asked)
    if read.status != 404 and read.answer.get("id") != asked:
        detail = f"asked for {asked}, was shown {read.answer.get('id')}"
        yield Violation("page_is_the_part_asked_for", detail, (read.number,))
    if read.status != 404 or position is None:
        return
    for reason in [reasons[position]] + [one.promise for one in extra if one.position == position]:
        if reason:
            yield _older(shelf, read, reason, [position])
            return


def _judge_list(
    shelf: Shelf,
    read: Operation,
    must: Counter,
    reasons: list[str],
    extra: list[Evidence],
    most: tuple[int, int],
) -> Iterator[Violation]:
    shown = [shelf.positions[str(item["id"])] for item in _items(read)]
    if shown != sorted(set(shown)):
        yield Violation("page_is_in_order", f"{shelf.user} was shown {shown} (by age)", (read.number,))
        return
    limit, has_more = int(str(read.request["limit"])), bool(read.answer.get("hasMore"))
    if len(shown) > limit or (has_more and len(shown) < limit):
        detail = f"{len(shown)} items with hasMore {has_more} for a limit of {limit}"
        yield Violation("page_is_the_part_asked_for", detail, (read.number,))
        return
    start, skipped = _start(shelf, read)
    if skipped:
        above = shown[0] if shown else len(shelf.rows)
        if must.before(above) > skipped:
            yield _older(shelf, read, _first_reason(reasons, 0, above), [])
            return
        if shown and most[0] < skipped:
            detail = f"begins with stake {above} (by age) after {skipped} skipped"
            yield Violation("page_is_the_part_asked_for", detail, (read.number,))
            return
        start = above
    elif shown and shown[0] < start:
        yield Violation("page_is_the_part_asked_for", "begins before its cursor", (read.number,))
        return
    if has_more and not most[1]:
        yield Violation("page_is_the_part_asked_for", "promises more where there is none", (read.number,))
    end = shown[-1] + 1 if has_more else len(shelf.rows)
    yield from _missing(shelf, read, shown, start, end, must, reasons, extra)


def _missing(
    shelf: Shelf,
    read: Operation,
    shown: list[int],
    start: int,
    end: int,
    must: Counter,
    reasons: list[str],
    extra: list[Evidence],
) -> Iterator[Violation]:
    """What must be between `start` and `end`, and is not shown."""
    there = set(shown)
    if must.between(start, end) != sum(must.on[position] for position in shown):
        absent = [position for position in range(start, end) if must.on[position] and position not in there]
        yield _older(shelf, read, reasons[absent[0]], absent)
    for one in extra:
        if start <= one.position < end and one.position not in there:
            yield _older(shelf, read, one.promise, [one.position])


def _start(shelf: Shelf, read: Operation) -> tuple[int, int]:
    """The first position that a page may show, and how many stakes come before it when it has a number."""
    cursor, page = text_of(read.request, "cursor"), text_of(read.request, "page")
    if cursor is not None:
        return shelf.positions.get(cursor, -1) + 1, 0
    return 0, (int(page or 1) - 1) * int(str(read.request["limit"]))


def _first_reason(reasons: list[str], start: int, end: int) -> str:
    return next(reason for reason in reasons[start:end] if reason)


def _older(shelf: Shelf, read: Operation, promise: str, absent: list[int]) -> Violation:
    missing = ", ".join(shelf.rows[position].id for position in absent[:3]) or "what came before it"
    detail = f"{read.kind} of {shelf.user} at server {read.server} lacks {missing}"
    return Violation(promise, detail, (read.number,))


def _items(read: Operation) -> list[dict[str, object]]:
    """The stakes that an answer shows."""
    if read.status == 404:
        return []
    items = read.answer.get("items") if read.kind == "list" else [read.answer]
    assert isinstance(items, list)
    return items
