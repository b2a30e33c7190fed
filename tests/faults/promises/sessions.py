"""Sessions and passwords: what was ended stays ended, what was not goes on."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.history import Operation
from tests.faults.promises.run import ENTRY_AGE_MAX_S, Run, Violation, text_of

_GIVES_TOKENS = ("sign_in", "refresh", "change_password")
_TAKES_TOKEN = ("sign_out", "change_password", "me", "create", "list", "get")
_ASKS_THE_DATABASE = frozenset({"create", "refresh", "sign_in"})
"""The database judges these in the same statement: the exception for cached entries is not for them."""

REVOCATIONS_MAX = 255
"""One more within 20 minutes ends all sessions of the user."""


@dataclass(slots=True)
class Ends:
    """What ended sessions of one user, by acknowledged operations."""

    of_session: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    up_to_epoch: list[tuple[int, Operation]] = field(default_factory=list)
    disables: list[Operation] = field(default_factory=list)

    def before(self, use: Operation) -> Iterator[Operation]:
        """Those that had ended the session of `use` when it began."""
        session, epoch = text_of(use.request, "session"), int(str(use.request.get("epoch", 0)))
        ends = list(self.of_session.get(session or "", ()))
        if use.kind != "refresh":
            ends += [end for last, end in self.up_to_epoch if epoch <= last]
        return (end for end in ends if end.ended_s < use.started_s)


def ended_session_stays_ended(run: Run) -> Iterator[Violation]:
    """No token of a session is taken by anything begun after the session's end was acknowledged."""
    for operations in run.by_user.values():
        ends = _ends_of(operations)
        for use in operations:
            if use.outcome != "ok" or use.kind not in (*_TAKES_TOKEN, "refresh"):
                continue
            for end in ends.before(use):
                if end.number != use.number and not _is_excepted(run, end, use):
                    detail = f"{use.kind} of {use.user} at server {use.server} was let in after {end.kind}"
                    yield Violation("ended_session_stays_ended", detail, (end.number, use.number))
                    break


def disabled_user_is_out(run: Run) -> Iterator[Violation]:
    """Between an acknowledged disabling and the next enabling nothing of the user's is let in."""
    for operations in run.by_user.values():
        enables = [operation for operation in operations if operation.kind == "enable"]
        for disable in (one for one in operations if one.kind == "disable" and one.outcome == "ok"):
            later = [enable.started_s for enable in enables if enable.ended_s > disable.started_s]
            until_s = min(later, default=float("inf"))
            for use in operations:
                if not disable.ended_s < use.started_s or use.ended_s >= until_s or use.outcome != "ok":
                    continue
                if use.kind in (*_TAKES_TOKEN, *_GIVES_TOKENS) and not _is_excepted(run, disable, use):
                    detail = f"{use.kind} of {use.user} at server {use.server} was let in while disabled"
                    yield Violation("disabled_user_is_out", detail, (disable.number, use.number))


def standing_session_is_taken(run: Run) -> Iterator[Violation]:
    """A token is not refused as ended when nothing can have ended its session."""
    for operations in run.by_user.values():
        if sum(operation.kind in ("sign_out", "refresh") for operation in operations) > REVOCATIONS_MAX:
            continue
        repeated = _presented_twice(operations)
        for use in operations:
            if use.answer.get("code") != "session_ended" or use.status != 401:
                continue
            if not any(_may_end(one, use, repeated) for one in operations):
                detail = f"{use.kind} of {use.user} at server {use.server} was refused as ended"
                yield Violation("standing_session_is_taken", detail, (use.number,))


def refresh_token_is_taken_once(run: Run) -> Iterator[Violation]:
    """A refresh token is exchanged at most once."""
    exchanged = defaultdict(list)
    for refresh in run.of_kind("refresh"):
        if refresh.outcome == "ok":
            exchanged[str(refresh.request["refresh_token"])].append(refresh.number)
    for numbers in exchanged.values():
        if len(numbers) > 1:
            detail = f"a refresh token was exchanged {len(numbers)} times"
            yield Violation("refresh_token_is_taken_once", detail, tuple(numbers))


def ends_are_kept(run: Run) -> Iterator[Violation]:
    """In the end every acknowledged session is in the database, and ended if its end was acknowledged."""
    rows = {row.id: row for row in run.final.sessions}
    for operation in run.operations:
        if operation.outcome != "ok":
            continue
        started = text_of(operation.answer, "session")
        if operation.kind in _GIVES_TOKENS and started is not None and started not in rows:
            detail = f"session {started} of {operation.user} is not in the database"
            yield Violation("acknowledged_session_is_kept", detail, (operation.number,))
        if operation.kind != "sign_out":
            continue
        user, row = run.users.get(operation.user), rows.get(str(operation.request["session"]))
        ended = row is None or user is None or row.revoked or row.epoch < user.epoch
        if not ended:
            detail = f"session {operation.request['session']} of {operation.user} stands in the database"
            yield Violation("ended_session_stays_ended", detail, (operation.number,))


def changed_password_holds(run: Run) -> Iterator[Violation]:
    """After an acknowledged change the old password is refused, and the new one is not."""
    for operations in run.by_user.values():
        changes = [one for one in operations if one.kind in ("sign_up", "change_password")]
        changes = [one for one in changes if one.outcome != "fail"]
        for sign_in in (one for one in operations if one.kind == "sign_in"):
            begun = [one for one in changes if one.started_s < sign_in.ended_s]
            possible = _possible_passwords(begun, sign_in)
            password = text_of(sign_in.request, "password")
            if sign_in.outcome == "ok" and password not in possible:
                detail = f"{sign_in.user} signed in with a password that was not theirs"
                yield Violation("changed_password_holds", detail, (sign_in.number,))
            refused = sign_in.answer.get("code") == "invalid_credentials"
            if refused and possible == {password} and not _may_be_refused(operations, sign_in):
                detail = f"{sign_in.user} was refused the only password there was"
                yield Violation("changed_password_holds", detail, (sign_in.number,))


def _possible_passwords(begun: list[Operation], sign_in: Operation) -> set[str | None]:
    """The passwords that the user may have had while signing in; None for none."""
    done = [one for one in begun if one.outcome == "ok" and one.ended_s < sign_in.started_s]
    last_s = max((one.started_s for one in done), default=-1.0)
    possible = {_password_set_by(one) for one in begun if one.ended_s >= last_s or one.outcome == "unknown"}
    return possible if done else possible | {None}


def _password_set_by(operation: Operation) -> str | None:
    return text_of(operation.request, "password" if operation.kind == "sign_up" else "new_password")


def _ends_of(operations: list[Operation]) -> Ends:
    ends = Ends()
    spent: dict[str, float] = {}
    for refresh in sorted(operations, key=lambda one: one.ended_s):
        if refresh.kind != "refresh":
            continue
        token = str(refresh.request["refresh_token"])
        if refresh.outcome == "ok":
            spent.setdefault(token, refresh.ended_s)
        elif refresh.status == 401 and spent.get(token, refresh.started_s) < refresh.started_s:
            ends.of_session[str(refresh.request["session"])].append(refresh)
    for operation in operations:
        if operation.outcome != "ok":
            continue
        if operation.kind == "sign_out" and not operation.request.get("all"):
            ends.of_session[str(operation.request["session"])].append(operation)
        elif operation.kind in ("sign_out", "change_password"):
            ends.up_to_epoch.append((int(str(operation.request["epoch"])), operation))
        elif operation.kind == "disable":
            for session in _sessions_given_before(operations, operation):
                ends.of_session[session].append(operation)
    return ends


def _sessions_given_before(operations: list[Operation], disable: Operation) -> set[str]:
    return {
        str(one.answer["session"])
        for one in operations
        if one.kind in _GIVES_TOKENS and one.outcome == "ok" and one.ended_s < disable.started_s
    }


def _is_excepted(run: Run, end: Operation, use: Operation) -> bool:
    """Whether `use` may have been let in by an entry that the one who ended the session could not drop."""
    if use.kind in _ASKS_THE_DATABASE or use.server == end.server >= 0:
        return False
    until_s = run.unfenced_until_s(end, ENTRY_AGE_MAX_S)
    return until_s is not None and use.started_s <= until_s


def _presented_twice(operations: list[Operation]) -> set[str]:
    """Sessions of which some refresh token was sent more than once."""
    seen: set[str] = set()
    sessions = set()
    for refresh in operations:
        if refresh.kind == "refresh":
            token = str(refresh.request["refresh_token"])
            if token in seen:
                sessions.add(str(refresh.request["session"]))
            seen.add(token)
    return sessions


def _may_end(operation: Operation, use: Operation, repeated: set[str]) -> bool:
    """Whether `operation` may have ended the session of `use` before `use` ended."""
    if operation.number == use.number or operation.started_s > use.ended_s:
        return False
    if operation.kind == "refresh":
        return use.request.get("session") in repeated
    if operation.outcome == "fail":
        return False
    if operation.kind == "sign_out" and not operation.request.get("all"):
        return operation.request.get("session") == use.request.get("session")
    return operation.kind in ("sign_out", "change_password", "disable")


def _may_be_refused(operations: list[Operation], sign_in: Operation) -> bool:
    """Whether the right password may be refused: disabled, or signed out everywhere while signing in."""
    for one in operations:
        if one.started_s >= sign_in.ended_s or one.outcome == "fail":
            continue
        if one.kind in ("disable", "enable"):
            return True
        meanwhile = one.ended_s > sign_in.started_s or one.outcome == "unknown"
        if one.kind == "sign_out" and one.request.get("all") and meanwhile:
            return True
    return False
