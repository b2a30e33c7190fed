"""At most N requests of one subject in any window; across a loss of Redis, at most the documented worst case.

A request is charged at some moment between its start and its end. So requests that began and ended within one
window were certainly charged within it, and only those are counted: whatever is found is a breach.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import Fault, Operation
from tests.faults.promises.run import SETTLE_S, Run, Violation, text_of

POLICIES = {
    "sign_up": "sign-up",
    "sign_in": "auth",
    "refresh": "refresh",
    "sign_out": "account",
    "change_password": "account",
    "me": "account",
    "create": "stake-create",
    "list": "stake-read",
    "get": "stake-read",
}
"""The policy of each kind of operation, beside `global`."""

BY_ADDRESS = frozenset({"sign_up", "sign_in", "refresh"})

_CHARGED = frozenset({200, 201, 204, 304, 403, 404, 409, 422})
_CHARGED_BY_ADDRESS = _CHARGED | {401}

_SLACK_S = 1.0
_LATE_S = 60.0


def at_most_the_quota(run: Run) -> Iterator[Violation]:
    """No window has more requests of a subject than the quota, or than the worst case if Redis was lost."""
    for (subject, policy), charged in _charged(run).items():
        quota, window_s = run.rules.limits[policy]
        for began_s, count in _full_windows(charged, quota, window_s):
            ended_s = began_s + window_s
            bound = bound_of(run, quota, began_s, ended_s)
            if count > bound:
                detail = f"{count} requests of {subject} within {window_s} s: {policy} allows {bound}"
                inside = [one for one in charged if one.started_s >= began_s and one.ended_s < ended_s]
                yield Violation("at_most_the_quota", detail, tuple(one.number for one in inside))
                break


def refused_only_when_used_up(run: Run) -> Iterator[Violation]:
    """A user is refused by a limit only when as many requests as it allows may have been charged.

    Of the quota, while Redis keeps its data; of one process's share, for a window after a loss.
    """
    may_be_charged = _may_be_charged(run)
    for refused in run.of_kind(*POLICIES):
        violated = refused.answer.get("violated-policies")
        if refused.status != 429 or refused.kind in BY_ADDRESS or not isinstance(violated, list):
            continue
        for policy in {POLICIES[refused.kind], "global"} & set(violated):
            quota, window_s = run.rules.limits[policy]
            lost = _losses(run, refused.started_s - window_s, refused.ended_s)
            least = max(1, quota // run.rules.processes) if lost else quota
            starts, ends = may_be_charged[refused.user, policy]
            over = bisect.bisect_left(ends, refused.started_s - window_s - _SLACK_S)
            count = bisect.bisect_right(starts, refused.ended_s) - over
            if count < least:
                detail = f"{refused.user} was refused by {policy} after at most {count} requests of {least}"
                yield Violation("refused_only_when_used_up", detail, (refused.number,))


def _may_be_charged(run: Run) -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """When what a user may have been charged for started, and when it ended at the latest, each in order."""
    times: dict[tuple[str, str], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for operation in run.of_kind(*POLICIES):
        if operation.kind in BY_ADDRESS or operation.status == 429:
            continue
        # Without an answer it may be done by a server that goes on later.
        late_s = _LATE_S if operation.status is None else 0.0
        for policy in (POLICIES[operation.kind], "global"):
            starts, ends = times[operation.user, policy]
            starts.append(operation.started_s)
            ends.append(operation.ended_s + late_s)
    for _, ends in times.values():
        ends.sort()
    return times


def bound_of(run: Run, quota: int, began_s: float, ended_s: float) -> int:
    """The most that may pass in a window: docs/adr/0003."""
    lost = _losses(run, began_s, ended_s)
    if not lost:
        return quota
    share = max(1, quota // run.rules.processes)
    started = _touching(run, ("server_killed",), began_s, ended_s)
    bound = quota + (run.rules.processes - 1 + len(started)) * share
    # A process that first meets Redis after it forgot cannot know, and follows Redis alone.
    forgot = any(fault.kind in ("redis_wiped", "redis_away") for fault in lost)
    return bound + (quota if forgot and started else 0)


def _losses(run: Run, began_s: float, ended_s: float) -> list[Fault]:
    return _touching(run, ("redis_away", "redis_wiped", "server_stopped"), began_s, ended_s)


def _touching(run: Run, kinds: tuple[str, ...], began_s: float, ended_s: float) -> list[Fault]:
    """Faults at any server that had their effect within this time."""
    return run.hits(kinds, None, began_s - SETTLE_S, ended_s)


def _charged(run: Run) -> dict[tuple[str, str], list[Operation]]:
    """The operations that were certainly charged, by who paid and under which policy."""
    charged = defaultdict(list)
    strange = _passwords_of_nobody(run)
    for operation in run.operations:
        policy = POLICIES.get(operation.kind)
        if policy is None or operation.request.get("set_up"):
            continue
        # A right password may be refused too (the user was disabled meanwhile), and is not always charged.
        if operation.status in (401, 403) and operation.request.get("password") in strange[operation.user]:
            charged[f"guesses at {operation.user}", "auth-failure"].append(operation)
        by_address = operation.kind in BY_ADDRESS
        if operation.status not in (_CHARGED_BY_ADDRESS if by_address else _CHARGED):
            continue
        subject = text_of(operation.request, "address") if by_address else operation.user
        if subject is not None:
            charged[subject, policy].append(operation)
            charged[subject, "global"].append(operation)
    return charged


def _passwords_of_nobody(run: Run) -> dict[str, set[object]]:
    """By user, the passwords that were tried and never theirs."""
    strange: dict[str, set[object]] = defaultdict(set)
    for operation in run.of_kind("sign_in", "change_password"):
        strange[operation.user].add(operation.request.get("password"))
    for operation in run.of_kind("sign_up"):
        strange[operation.user].discard(operation.request.get("password"))
    for operation in run.of_kind("change_password"):
        strange[operation.user].discard(operation.request.get("new_password"))
    return strange


def _full_windows(charged: list[Operation], quota: int, window_s: float) -> Iterator[tuple[float, int]]:
    """Windows that begin with a request and have more than `quota`, with how many."""
    if len(charged) <= quota:
        return
    # From the last to begin: the ends of all that begin no earlier, in order.
    ends: list[float] = []
    for operation in sorted(charged, key=lambda operation: operation.started_s, reverse=True):
        bisect.insort(ends, operation.ended_s)
        count = bisect.bisect_left(ends, operation.started_s + window_s)
        if count > quota:
            yield operation.started_s, count
