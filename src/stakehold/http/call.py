"""One request on its way through the pipeline, and its answer."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stakehold.domain.ports import Deadline
from stakehold.domain.timing import STREAM_PIECE_S
from stakehold.gate import Caller, Entered
from stakehold.http.container import Container

if TYPE_CHECKING:
    from stakehold.http.operations import Operation

Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
NO_STORE: tuple[bytes, bytes] = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Answer:
    """A status, a body and the headers that belong to them."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=list)
    content_policy: tuple[bytes, bytes] | None = None
    """The Content-Security-Policy of a page; without one the API's, which lets nothing run."""


@dataclass(slots=True)
class StreamedAnswer:
    """A status, the headers, and a body that is made piece by piece while it is sent.

    The status is sent once the first piece is there: what `pieces` raises before becomes a problem, like any
    other; what it raises later breaks the answer off. Each next piece is made when the one before was taken,
    within STREAM_PIECE_S, and the last within STREAM_S of the request's head. `pieces` is always closed: also
    when the client has gone, and without having begun when there is no body to send. It holds no connection
    while it yields, as clients may be slow.
    """

    status: int
    pieces: AsyncGenerator[bytes, None]
    headers: Headers = field(default_factory=list)
    content_policy: tuple[bytes, bytes] | None = None
    """As an Answer's."""


class AnswerCutError(Exception):
    """An answer was begun and cannot be ended: the server has to break it off where the client sees it."""


def json_answer(status: int, content: msgspec.Struct, *headers: tuple[bytes, bytes]) -> Answer:
    """`content` as JSON."""
    return Answer(status, msgspec.json.encode(content), [_JSON, *headers])


@dataclass(slots=True)
class Call:
    """One request: what was asked, who asks, and what the gate said."""

    container: Container
    operation: "Operation"
    request_id: str
    """The client's X-Request-Id where it is usable, else one of ours; for people and logs."""
    charge_id: str
    """Ours alone and never repeated: what the limits' logs remember."""
    deadline: Deadline
    headers: dict[bytes, bytes]
    path_params: dict[str, str]
    query: Any = None
    body: Any = None
    parsed: Any = None
    caller: Caller | None = None
    caller_text: str | None = None
    """The caller's id as text, which is needed more than once."""
    entered: Entered | None = None

    def piece_deadline(self) -> Deadline:
        """The deadline of a streamed answer's next piece, which begins now. The first has the request's."""
        return Deadline.after(self.container.services.clock, STREAM_PIECE_S)

    def signed_in(self) -> Caller:
        """The caller of an operation that needs one."""
        assert self.caller is not None
        return self.caller

    def query_as(self, schema: type[T]) -> T:
        """The query, of the operation's schema."""
        assert isinstance(self.query, schema)
        return self.query

    def parsed_as(self, kind: type[T]) -> T:
        """What the operation's `parse` returned."""
        assert isinstance(self.parsed, kind)
        return self.parsed

    def body_as(self, schema: type[T]) -> T:
        """The body, of the operation's schema."""
        assert isinstance(self.body, schema)
        return self.body
