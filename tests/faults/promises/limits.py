"""At most N requests of one subject in any window; across a loss of Redis, at most the documented worst case.

A request is charged at some moment between its start and its end. So requests that began and ended within one
window were certainly charged within it, and only those are counted: whatever is found is a breach.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import Operation
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


def bound_of(run: Run, quota: int, began_s: float, ended_s: float) -> int:
    """The most that may pass in a window: docs/adr/0003."""
    lost = [
        fault
        for fault in run.faults
        if fault.kind in ("redis_away", "redis_wiped", "server_stopped")
        and fault.began_s <= ended_s
        and fault.ended_s + SETTLE_S >= began_s
    ]
    if not lost:
        return quota
    share = max(1, quota // run.rules.processes)
    started = [
        fault
        for fault in run.faults
        if fault.kind == "server_killed" and fault.began_s <= ended_s and fault.ended_s + SETTLE_S >= began_s
    ]
    bound = quota + (run.rules.processes - 1 + len(started)) * share
    # A process that first meets Redis after it forgot cannot know, and follows Redis alone.
    forgot = any(fault.kind in ("redis_wiped", "redis_away") for fault in lost)
    return bound + (quota if forgot and started else 0)


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
