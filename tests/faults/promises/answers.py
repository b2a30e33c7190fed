"""Every answer is one that the documentation names, in time, with the headers that belong to it."""

from collections.abc import Iterator

from tests.faults.history import READS, Operation
from tests.faults.promises.run import Run, Violation, text_of

_TOKEN_REFUSED = {401: {"session_ended", "token_expired"}}
_CONTENT_REFUSED = {422: {"validation_error", "unknown_period", "idempotency_key_reused"}}

SUCCESSES = {
    "sign_up": {201},
    "sign_in": {200},
    "refresh": {200},
    "sign_out": {204},
    "change_password": {200},
    "me": {200},
    "create": {201},
    "list": {200, 304},
    "get": {200, 304},
}

REFUSALS: dict[str, dict[int, set[str]]] = {
    "sign_up": {409: {"username_taken"}, 422: {"validation_error"}},
    "sign_in": {401: {"invalid_credentials"}},
    "refresh": {401: {"invalid_refresh_token"}},
    "sign_out": _TOKEN_REFUSED,
    "change_password": {**_TOKEN_REFUSED, 403: {"wrong_password"}, 409: {"conflict"}},
    "me": _TOKEN_REFUSED,
    "create": {**_TOKEN_REFUSED, **_CONTENT_REFUSED, 409: {"idempotency_in_flight"}},
    "list": {**_TOKEN_REFUSED, 422: {"validation_error"}},
    "get": {**_TOKEN_REFUSED, 404: {"not_found"}},
}

_AWAY = {"database_unavailable", "overloaded"}


def answer_is_documented(run: Run) -> Iterator[Violation]:
    """Every answer is a success or a refusal that belongs to its call, 429, or a 503 problem."""
    for operation in _asked(run):
        if operation.status is not None and not _is_documented(operation):
            detail = f"{operation.kind} was answered {operation.status} {operation.answer.get('code')}"
            yield Violation("answer_is_documented", detail, (operation.number,))


def request_is_answered(run: Run) -> Iterator[Violation]:
    """Every request is answered, but for those that a server took with it when it was killed."""
    for operation in _asked(run):
        if operation.status is not None:
            continue
        ended = ("server_killed", "server_stopped")
        if not run.hits(ended, operation.server, operation.started_s, operation.ended_s):
            detail = f"{operation.kind} at server {operation.server} got no answer"
            yield Violation("request_is_answered", detail, (operation.number,))


def answer_is_in_time(run: Run) -> Iterator[Violation]:
    """No request takes longer than the bound, the time left out for which its server was stopped."""
    for operation in _asked(run):
        took_s = operation.ended_s - operation.started_s
        if took_s <= run.rules.answer_s:
            continue
        for fault in run.hits(("server_stopped",), operation.server, operation.started_s, operation.ended_s):
            took_s -= min(fault.ended_s, operation.ended_s) - max(fault.began_s, operation.started_s)
        if took_s > run.rules.answer_s:
            detail = f"{operation.kind} took {took_s:.3f} s of server {operation.server}"
            yield Violation("answer_is_in_time", detail, (operation.number,))


def retry_after_is_told(run: Run) -> Iterator[Violation]:
    """Every 429 and 503 says in whole seconds when to come again."""
    for operation in _asked(run):
        if operation.status in (429, 503):
            told = text_of(operation.answer, "retry-after")
            if told is None or not told.isdecimal() or int(told) < 1:
                detail = f"{operation.status} of {operation.kind} has Retry-After {told}"
                yield Violation("retry_after_is_told", detail, (operation.number,))


def request_id_is_told(run: Run) -> Iterator[Violation]:
    """Every answer has an X-Request-Id: the one that was sent, or a new one; a problem repeats it."""
    for operation in _asked(run):
        if operation.status is None:
            continue
        told = text_of(operation.answer, "x-request-id")
        sent = text_of(operation.request, "request_id") or told
        repeated = text_of(operation.answer, "request_id") or told
        if not told or not told == sent == repeated:
            detail = f"sent {sent}, answered {told}, in the problem {repeated}"
            yield Violation("request_id_is_told", detail, (operation.number,))


def client_does_one_thing_at_a_time(run: Run) -> Iterator[Violation]:
    """The history itself is one: numbers are unique, times run forward, a client never overlaps itself."""
    busy_until_s: dict[int, float] = {}
    numbers: set[int] = set()
    for operation in run.operations:
        overlaps = operation.started_s < busy_until_s.get(operation.client, operation.started_s)
        if overlaps or operation.ended_s < operation.started_s or operation.number in numbers:
            detail = f"client {operation.client} overlaps itself, or a number was given twice"
            yield Violation("client_does_one_thing_at_a_time", detail, (operation.number,))
        numbers.add(operation.number)
        busy_until_s[operation.client] = operation.ended_s


def _asked(run: Run) -> Iterator[Operation]:
    """What was asked of a server over HTTP: not what the operator or the set-up did."""
    return (
        operation
        for operation in run.operations
        if operation.kind in SUCCESSES and not operation.request.get("set_up")
    )


def _is_documented(operation: Operation) -> bool:
    status, code = operation.status, operation.answer.get("code")
    if status in SUCCESSES[operation.kind]:
        return True
    if status == 429:
        return code == "rate_limited"
    if status == 503:
        return code in _AWAY or (code == "outcome_unknown" and operation.kind not in READS)
    return code in REFUSALS[operation.kind].get(status or 0, ())
