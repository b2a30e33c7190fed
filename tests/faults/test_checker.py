"""The checker finds nothing in runs of a service that keeps its promises, and each breach by its name."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.breaches import BREACHES
from tests.faults.broken import Breach, Broken
from tests.faults.checker import Rules, check
from tests.faults.final_state import FinalState, SessionRow, StakeRow, UserRow
from tests.faults.history import ANY_SERVER, Fault, FaultKind, History, Operation, classify
from tests.faults.imagined import RULES, Imagined
from tests.faults.promises.run import ENTRY_AGE_MAX_S, PAGE_AGE_MAX_S, SETTLE_S

SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_nothing_is_found_in_a_good_run(seed: int) -> None:
    """Requests that overlap, lost answers, refusals and repetitions are no breach of anything."""
    run = Imagined(seed).run(120)
    assert check(run.history, run.final_state, RULES) == []


@pytest.mark.parametrize(
    ("promise", "breach"),
    [(promise, breach) for promise, breaches in BREACHES.items() for breach in breaches],
)
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_each_breach_is_found(promise: str, breach: Breach, seed: int) -> None:
    """A good run with one thing made wrong: the promise that this breaks is named."""
    assert promise in Broken.by(breach, seed).found()


def test_a_saved_history_is_read_back_whole(tmp_path: Path) -> None:
    """What a campaign saves can be judged later."""
    history = Imagined(7).run(40).history
    history.note_fault(Fault("redis_away", 1, 3.0, 4.5, "cut"))
    history.save(tmp_path / "history.jsonl")
    assert History.load(tmp_path / "history.jsonl") == history


def test_the_work_to_judge_grows_with_the_length_of_a_run() -> None:
    """Ten times the operations take about ten times the steps: far from the hundredfold of pairs."""
    steps = []
    for operations in (700, 7_000):
        run = Imagined(11).run(operations)
        with _counting_lines() as lines:
            assert check(run.history, run.final_state, RULES) == []
        steps.append(lines.total())
    assert steps[1] < 30 * steps[0]


@contextlib.contextmanager
def _counting_lines() -> Iterator[Counter[str]]:
    """Counts the lines that are run: unlike their time, the same on every machine."""
    lines: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        lines[event] += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield lines
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    ("kind", "status", "code", "outcome"),
    [
        ("create", 201, None, "ok"),
        ("list", 304, None, "ok"),
        ("create", 422, "validation_error", "fail"),
        ("create", 503, "database_unavailable", "fail"),
        ("create", 503, "overloaded", "fail"),
        ("create", 503, "outcome_unknown", "unknown"),
        ("create", 500, "internal_error", "unknown"),
        ("create", None, None, "unknown"),
        ("list", None, None, "fail"),
    ],
)
def test_an_answer_is_classed_by_what_it_says_was_done(
    kind: str, status: int | None, code: str | None, outcome: str
) -> None:
    """Unknown is only a write whose answer is lost, or says so itself."""
    assert classify(kind, status, code) == outcome
    assert classify(kind, None, sent=False) == "fail"


class Scene:
    """A history written by hand: one user, stakes in the order in which they are mentioned."""

    def __init__(self) -> None:
        self.history = History()
        self.stakes: list[StakeRow] = []
        self.did("sign_up", 0.0, answer={"id": "u"}, password="first", set_up=True)

    def did(
        self, kind: str, at_s: float, *, server: int = 0, status: int = 200, answer: Any = (), **request: Any
    ) -> None:
        """An operation that took a tenth of a second."""
        number = len(self.history.operations)
        self.history.append(
            Operation(
                number, number, server, "ada", kind, at_s, at_s + 0.1, status, classify(kind, status),
                {"session": "s", "epoch": 0, **request}, {"x-request-id": "r", **dict(answer)},
            )
        )  # fmt: skip

    def create(self, at_s: float, *, server: int = 0) -> str:
        """An acknowledged stake."""
        amount = str(len(self.stakes) + 1)
        self.stakes.append(StakeRow("u", f"stake {amount}", amount, "12"))
        answer = {"stakeId": f"stake {amount}"}
        self.did("create", at_s, server=server, status=201, answer=answer, amount=amount, period=12)
        return f"stake {amount}"

    def sees(self, at_s: float, *stakes: str, server: int = 1, more: bool = False, **asked: Any) -> None:
        """A page with these stakes, newest first; the first one of ten, unless another was asked for."""
        rows = {row.id: row for row in self.stakes}
        items = [{"id": one, "amount": rows[one].amount, "period": "12"} for one in stakes]
        request: dict[str, Any] = {"page": 1, "limit": 10, "cursor": None, **asked}
        self.did("list", at_s, server=server, answer={"items": items, "hasMore": more}, **request)

    def fault(self, kind: FaultKind, server: int, began_s: float, ended_s: float) -> None:
        self.history.note_fault(Fault(kind, server, began_s, ended_s))

    def found(self, rules: Rules = RULES) -> list[str]:
        """The promises that were broken."""
        final = FinalState(
            users=[UserRow("u", "ada", "active", 0)],
            stakes=self.stakes,
            sessions=[SessionRow("u", "s", 0, revoked=True)],
        )
        return [violation.promise for violation in check(self.history, final, rules)]


STALE = "no_page_is_older_than_an_acknowledged_write"
WRONG_PART = "page_is_the_part_asked_for"
ENDED = "ended_session_stays_ended"


@pytest.mark.parametrize(
    ("writer", "fault_at", "reader", "read_s", "found"),
    [
        (0, None, 1, 10.5, [STALE]),
        (0, 0, 1, 10.5, []),
        (0, ANY_SERVER, 1, 10.5, []),
        (0, 0, 0, 10.5, [STALE]),
        (0, 1, 1, 10.5, [STALE]),
        (0, 0, 1, 12.0 + SETTLE_S, []),
        (0, 0, 1, 12.1 + SETTLE_S, [STALE]),
    ],
    ids=[
        "no fault", "the writer was without Redis", "all were", "read where it was written",
        "the reader was without Redis", "before the repair", "after the repair",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["redis_away", "server_stopped"])
def test_a_page_may_be_older_only_than_an_unfenced_write_of_another_process(
    kind: FaultKind, writer: int, fault_at: int | None, reader: int, read_s: float, found: list[str]
) -> None:
    """The exception of docs/operations.md: until the writer has reached Redis again, in other processes."""
    scene = Scene()
    scene.create(10.0, server=writer)
    if fault_at is not None:
        scene.fault(kind, fault_at, 9.0, 12.0)
    scene.sees(read_s, server=reader)
    assert scene.found() == found


def test_a_page_outlives_a_writer_that_died_without_redis_by_its_age() -> None:
    """Nobody is left who would repair: the page has to age, and not longer."""
    for late_s, found in ((-1.0, []), (1.0, [STALE])):
        scene = Scene()
        scene.create(10.0, server=0)
        scene.fault("redis_away", 0, 9.0, 12.0)
        scene.fault("server_killed", 0, 11.0, 12.0)
        scene.sees(10.1 + PAGE_AGE_MAX_S + late_s)
        assert scene.found() == found


@pytest.mark.parametrize("kind", ["redis_wiped", "redis_evicted", "database_away", "server_killed"])
def test_no_other_fault_excuses_an_old_page(kind: FaultKind) -> None:
    """Wiped, evicted or killed while the write was under way: what was acknowledged is shown."""
    scene = Scene()
    scene.create(10.0)
    scene.fault(kind, ANY_SERVER, 9.0, 12.0)
    scene.sees(10.5)
    assert scene.found() == [STALE]


def test_what_was_shown_before_its_acknowledgement_is_shown_again() -> None:
    """Not acknowledged yet, but seen: unless its fence may have been lost, later pages have it too."""
    for faulty in (False, True):
        scene = Scene()
        stake = scene.create(10.0)
        create = scene.history.operations[-1]
        scene.history.operations[-1] = Operation(
            create.number, create.client, 0, "ada", "create", 10.0, 12.0, None, "unknown", create.request, {}
        )
        scene.fault("server_killed", 0, 11.0, 12.5)
        if faulty:
            scene.fault("redis_wiped", ANY_SERVER, 11.0, 11.0)
        scene.sees(12.5, stake)
        scene.sees(13.0)
        assert scene.found() == ([] if faulty else ["no_page_is_older_than_one_seen_before"])


def test_pages_while_a_stake_is_made_may_show_it_or_not() -> None:
    """Whoever asks before the acknowledgement may be shown either; page 2 may shift by it."""
    scene = Scene()
    first = scene.create(5.0)
    stake = scene.create(10.0)
    scene.sees(10.05, first)
    scene.sees(10.06, stake, first)
    scene.sees(9.5, first)
    assert scene.found() == []
    assert scene.found() == []


@pytest.mark.parametrize(
    ("asked", "shown", "found"),
    [
        ({"page": 1, "limit": 1}, "c", []),
        ({"page": 2, "limit": 1}, "b", []),
        ({"page": 2, "limit": 1}, "c", [WRONG_PART]),
        ({"page": 2, "limit": 1}, "a", [STALE]),
        ({"page": 2, "limit": 2}, "a", []),
        ({"page": 2, "limit": 2}, "", [STALE]),
        ({"page": 3, "limit": 2}, "", []),
        ({"cursor": "c"}, "ba", []),
        ({"cursor": "c"}, "a", [STALE]),
        ({"cursor": "c"}, "b", [STALE]),
        ({"cursor": "b"}, "ba", [WRONG_PART]),
        ({"cursor": "a"}, "", []),
    ],
)
def test_a_page_is_the_part_that_was_asked_for(asked: dict[str, Any], shown: str, found: list[str]) -> None:
    """By number or after a cursor, of three stakes a, b and c, all of them acknowledged."""
    scene = Scene()
    stakes = {name: scene.create(number) for number, name in enumerate("abc", start=5)}
    if "cursor" in asked:
        asked = {"page": None, "limit": 10, "cursor": stakes[str(asked["cursor"])]}
    more = bool(shown) and "limit" in asked and len(shown) == asked["limit"] and shown[-1] != "a"
    scene.sees(10.0, *(stakes[name] for name in shown), more=more, **asked)
    assert scene.found() == found


def test_a_stake_is_found_at_once_where_it_was_made() -> None:
    """The server that made it without Redis cannot claim not to know it; another one may, for a while."""
    for server, found in ((0, [STALE]), (1, [])):
        scene = Scene()
        scene.fault("redis_away", 0, 9.0, 12.0)
        stake = scene.create(10.0, server=0)
        scene.did("get", 10.5, server=server, status=404, answer={"code": "not_found"}, stake_id=stake)
        assert scene.found() == found


def test_a_page_shows_nothing_before_it_was_asked_for() -> None:
    """A reader that was answered before anybody asked for the stake cannot have seen it."""
    scene = Scene()
    stake = scene.create(10.0)
    scene.sees(9.0, stake)
    assert scene.found() == ["shown_stake_was_asked_for"]


@pytest.mark.parametrize(
    ("kind", "end_server", "use_server", "found"),
    [
        ("me", 0, 1, []),
        ("list", 0, 1, []),
        ("me", 0, 0, [ENDED]),
        ("me", 1, 0, [ENDED]),
        ("create", 0, 1, [ENDED]),
    ],
)
def test_an_ended_session_may_be_taken_only_where_its_end_could_not_be_told(
    kind: str, end_server: int, use_server: int, found: list[str]
) -> None:
    """By another process than one without Redis, from its cache, until that is back: never to write."""
    scene = Scene()
    scene.did("sign_out", 10.0, server=end_server, status=204, all=False)
    scene.fault("redis_away", 0, 9.0, 12.0)
    if kind == "create":
        scene.create(11.0, server=use_server)
    elif kind == "list":
        scene.sees(11.0, server=use_server)
    else:
        scene.did("me", 11.0, server=use_server)
    assert scene.found() == found
    assert ENTRY_AGE_MAX_S > PAGE_AGE_MAX_S


@pytest.mark.parametrize(
    ("kind", "at_s", "status", "request_", "found"),
    [
        ("sign_out", 10.05, 204, {"all": True}, []),
        ("sign_out", 10.05, 204, {"all": False}, ["changed_password_holds"]),
        ("sign_out", 9.0, 204, {"all": True}, ["changed_password_holds"]),
        ("sign_out", 9.0, 503, {"all": True}, []),
        ("disable", 5.0, 200, {}, []),
        ("disable", 11.0, 200, {}, ["changed_password_holds"]),
        ("me", 10.0, 200, {}, ["changed_password_holds"]),
    ],
)
def test_the_right_password_is_refused_only_to_who_is_disabled_or_signed_out_meanwhile(
    kind: str, at_s: float, status: int, request_: dict[str, Any], found: list[str]
) -> None:
    """Signing out everywhere ends the signing-in that is under way as well."""
    scene = Scene()
    answer = {"code": "outcome_unknown", "retry-after": "1"} if status == 503 else ()
    scene.did(kind, at_s, status=status, answer=answer, **request_)
    refused = {"code": "invalid_credentials"}
    scene.did("sign_in", 10.0, status=401, answer=refused, password="first", address="192.0.2.1")
    assert scene.found() == found


def _reads(scene: Scene, *times_s: float) -> None:
    for time_s in times_s:
        scene.sees(time_s)


def test_the_quota_holds_for_every_window_and_no_longer_one() -> None:
    """Counted are requests that began and ended within less than a window."""
    rules = Rules(limits={**RULES.limits, "stake-read": (3, 10.0)}, processes=4)
    scene = Scene()
    _reads(scene, 1.0, 4.0, 7.0, 10.95)
    assert scene.found(rules) == []
    _reads(scene, 10.85)
    assert scene.found(rules) == ["at_most_the_quota"]


@pytest.mark.parametrize(
    ("faults", "bound"),
    [
        ([], 8),
        ([("redis_away", ANY_SERVER, 3.0, 4.0)], 8 + 3 * 2),
        ([("redis_wiped", ANY_SERVER, 3.0, 3.0)], 8 + 3 * 2),
        ([("redis_away", ANY_SERVER, 0.0, 0.5)], 8 + 3 * 2),
        ([("redis_away", ANY_SERVER, -9.0, -8.0)], 8),
        ([("server_killed", 1, 3.0, 4.0)], 8),
        ([("redis_away", ANY_SERVER, 3.0, 4.0), ("server_killed", 1, 3.0, 4.0)], 8 + 4 * 2 + 8),
    ],
)
def test_a_loss_of_redis_allows_the_documented_worst_case_and_no_more(
    faults: list[tuple[FaultKind, int, float, float]], bound: int
) -> None:
    """N + (P-1)·max(1, N//P); a process started meanwhile adds its share; after the return N holds again."""
    rules = Rules(limits={**RULES.limits, "stake-read": (8, 10.0)}, processes=4)
    for count, found in ((bound, []), (bound + 1, ["at_most_the_quota"])):
        scene = Scene()
        for fault in faults:
            scene.fault(*fault)
        _reads(scene, *(1.0 + 2.0 * number / count for number in range(count)))
        assert scene.found(rules) == found


@pytest.mark.parametrize(
    ("reads", "faults", "found"),
    [
        (8, [], []),
        (7, [], ["refused_only_when_used_up"]),
        (2, [("redis_away", 0, 3.0, 4.0)], []),
        (1, [("redis_away", 0, 3.0, 4.0)], ["refused_only_when_used_up"]),
        (2, [("redis_away", 0, -20.0, -9.0)], ["refused_only_when_used_up"]),
    ],
)
def test_nobody_is_refused_before_the_quota_or_after_a_loss_the_share(
    reads: int, faults: list[tuple[FaultKind, int, float, float]], found: list[str]
) -> None:
    """A quota of 8 is used up by 8; for a window after a loss one process's share of it, 2, may be."""
    rules = Rules(limits={**RULES.limits, "stake-read": (8, 10.0)}, processes=4)
    scene = Scene()
    for fault in faults:
        scene.fault(*fault)
    _reads(scene, *(1.0 + number / 10 for number in range(reads)))
    problem = {"code": "rate_limited", "violated-policies": ["stake-read"], "retry-after": "1"}
    scene.did("list", 9.0, status=429, answer=problem)
    assert scene.found(rules) == found


def test_a_stopped_server_has_the_time_it_was_stopped_for_and_no_more() -> None:
    """A process that does not run cannot answer; from its going on the bound counts."""
    for stopped_s, found in ((5.0, []), (4.0, ["answer_is_in_time"])):
        scene = Scene()
        scene.fault("server_stopped", 1, 11.0, 11.0 + stopped_s)
        scene.sees(10.0)
        read = scene.history.operations.pop()
        scene.history.append(
            Operation(
                read.number, read.client, 1, "ada", "list", 10.0, 24.5, 200, "ok", read.request, read.answer
            )
        )
        assert scene.found() == found
