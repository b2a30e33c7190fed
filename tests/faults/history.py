"""What was asked of the servers and what they answered: the history of a run, as the checker reads it.

Times are `time.monotonic()` of the one machine that runs everything, so that all of them compare. What each
kind of operation records:

| kind | request | answer, beside the headers |
| --- | --- | --- |
| `sign_up` | `password`, `address` | `id` |
| `sign_in` | `password`, `address` | `token`, `refreshToken`, `session`, `epoch` |
| `refresh` | `refresh_token`, `session`, `address` | as of `sign_in` |
| `sign_out` | the token, `all` | – |
| `change_password` | the token, `password` (the present one), `new_password` | as of `sign_in` |
| `disable`, `enable` | – (the operator's; status 200 when it succeeded) | – |
| `me` | the token | the body |
| `create` | the token, `amount`, `period`, `idempotency_key` (or None) | the body |
| `list` | the token, `page` (or None), `limit`, `cursor` (the stake id it names, or None) | the body |
| `get` | the token, `stake_id` | the body |

What the set-up does by itself (a user written into the database, a session begun there) is recorded too, with
status 201 or 200 and `set_up` true in the request.

"The token" is its claims `session` (sid) and `epoch`. `address` is what the service takes for the client's
address. Every request may have `request_id`, which was sent as X-Request-Id. A create's `amount` is in
canonical form and names the intention: no two intentions of a run, of any users, share an amount; repeating
one (with its key) repeats its amount. A 304 is recorded with the body that it stands for. Of a problem, the
answer is the problem's members. Header names are in lower case beside the body's members.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Outcome = Literal["ok", "fail", "unknown"]

FaultKind = Literal[
    "redis_away",  # killed, stopped, cut off, full, or slower than its timeout
    "redis_wiped",
    "redis_evicted",
    "server_killed",  # began: when it was asked to die; ended: when the one in its place was ready
    "server_stopped",  # SIGSTOP … SIGCONT
    "database_away",
    "database_slow",
    "other",
]

READS = frozenset({"list", "get", "me"})
"""Operations that change nothing."""

ANY_SERVER = -1
"""The kernel chose the server process; of a fault: all servers were hit."""

_NOTHING_CHANGED = frozenset({"database_unavailable", "overloaded", "external_service_unavailable"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and its answer."""

    number: int
    """In the order of starting; unique in a run."""
    client: int
    """A client does one operation at a time."""
    server: int
    """Which server process was asked; ANY_SERVER where the kernel chose."""
    user: str
    kind: str
    started_s: float
    ended_s: float
    status: int | None
    """None: there was no answer."""
    outcome: Outcome
    request: Mapping[str, object]
    answer: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to the system, and from when until when it may have had its effect.

    `ended_s` is when its effect was seen to be over: for Redis, when the server says again that it reaches it
    (`/readyz` is `ready`), not when the harm was stopped.
    """

    kind: FaultKind
    server: int
    began_s: float
    ended_s: float
    detail: str = ""


def classify(kind: str, status: int | None, code: str | None = None, *, sent: bool = True) -> Outcome:
    """Whether an operation was done (ok), was not (fail), or may have been (unknown).

    `code` is the problem's; `sent` is False when not a byte of the request left the client.
    """
    if not sent or kind in READS:
        return "ok" if _is_success(status) else "fail"
    if status is None:
        return "unknown"
    if _is_success(status):
        return "ok"
    if status < 500 or (status == 503 and code in _NOTHING_CHANGED):
        return "fail"
    return "unknown"


def _is_success(status: int | None) -> bool:
    return status is not None and (200 <= status < 300 or status == 304)


@dataclass(slots=True)
class History:
    """Operations and faults of one run, in the order in which they were noted."""

    operations: list[Operation] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def append(self, operation: Operation) -> None:
        """Note an operation that has ended."""
        self.operations.append(operation)

    def note_fault(self, fault: Fault) -> None:
        """Note a fault that is over."""
        self.faults.append(fault)

    def save(self, path: Path) -> None:
        """Write JSON lines: an operation or a fault each."""
        with path.open("w", encoding="utf-8") as file:
            for line in self._lines():
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _lines(self) -> Iterator[dict[str, object]]:
        for operation in self.operations:
            yield {"operation": asdict(operation)}
        for fault in self.faults:
            yield {"fault": asdict(fault)}

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote."""
        with path.open(encoding="utf-8") as file:
            return cls.of(json.loads(line) for line in file)

    @classmethod
    def of(cls, lines: Iterable[dict[str, dict[str, object]]]) -> "History":
        """A history from its lines, read as JSON."""
        history = cls()
        for line in lines:
            if "operation" in line:
                history.append(Operation(**line["operation"]))  # type: ignore[arg-type]
            else:
                history.note_fault(Fault(**line["fault"]))  # type: ignore[arg-type]
        return history
