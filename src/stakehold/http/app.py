"""The ASGI application: finds the operation, runs the pipeline, and turns every outcome into an answer.

Built without settings, I/O, clock or randomness; all of these come with each request in
`scope["state"]["container"]`.
"""

import contextlib
import re
from urllib.parse import quote

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stakehold.domain.errors import NotFoundError, OverloadedError, StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.time_limit import TimeLimit
from stakehold.domain.timing import REQUEST_DEADLINE_S, STREAM_PIECE_S, STREAM_S
from stakehold.gate import LimitedError, limit_header, policy_header
from stakehold.http import cors, pipeline
from stakehold.http.call import Answer, AnswerCutError, Call, Headers, StreamedAnswer
from stakehold.http.container import Container
from stakehold.http.operations import Operation
from stakehold.http.problems import HttpError, kind_of, problem_body, problem_headers
from stakehold.http.reading import ClientGoneError, read_headers
from stakehold.http.routes import OPERATIONS
from stakehold.telemetry.faults import describe_fault
from stakehold.telemetry.logs import Level, RequestLine

# What looks like a refresh token is not taken over: the id is logged. An access token is too long.
_REQUEST_ID = re.compile(rb"(?!shr_)[A-Za-z0-9._\-]{1,128}")
_ANSWER_TIMEOUT_S = REQUEST_DEADLINE_S + 1.0
_PIECE_TIMEOUT_S = STREAM_PIECE_S + 1.0
_STREAM_TIMEOUT_S = STREAM_S
_INSTANCE_CHARACTERS_MAX = 200
SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
"""On every answer."""

API_POLICY = (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_LAST = (b"connection", b"close")


def create_app() -> ASGIApp:
    """The application, with every operation of the route table, for the root of its host."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    fixed = {path: _Endpoint(path, methods) for path, methods in by_path.items() if "{" not in path}
    patterns = [Route(path, _Endpoint(path, methods)) for path, methods in by_path.items() if "{" in path]
    router = Router(patterns, redirect_slashes=False, default=_Endpoint("", {}))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Trying one pattern after another costs more than all else that finds the operation.
        await fixed.get(scope.get("path", ""), router)(scope, receive, send)

    return app


class _Endpoint:
    """One path with its methods: a plain ASGI application."""

    def __init__(self, path: str, operations: dict[str, Operation]) -> None:
        self.path = path
        self.operations = dict(operations)
        if "GET" in operations:
            self.operations["HEAD"] = operations["GET"]
        self.allow = ", ".join(sorted({*self.operations, "OPTIONS"})) if operations else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        await _Exchange(self, scope, receive, send).run()


class _Exchange:
    """One request and its answer."""

    def __init__(self, endpoint: _Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        self.endpoint = endpoint
        self.scope = scope
        self.receive = receive
        self.send = send
        self.container: Container = scope["state"]["container"]
        services = self.container.services
        self.started_s = services.clock.monotonic_s()
        self.charge_id = services.entropy.random_bytes(16).hex()
        self.request_id = self.charge_id
        self.headers: dict[bytes, bytes] = {}
        self.call: Call | None = None
        self.error: StakeholdError | None = None
        self.status = 0

    async def run(self) -> None:
        """Answer, whatever happens; then write the request's line to the log. Raises AnswerCutError."""
        first: bytes | None = None
        answer: Answer | StreamedAnswer
        try:
            with TimeLimit(_ANSWER_TIMEOUT_S):
                answer = await self._answer()
                if isinstance(answer, StreamedAnswer):
                    first = await self._first_piece(answer)
        except ClientGoneError:
            self._log("info", gone=True)
            return
        except Exception as error:
            answer = self._problem(self._error_of(error))
        if isinstance(answer, StreamedAnswer):
            await self._stream(answer, first)
            return
        await self._send(answer)
        self._log("error" if answer.status >= 500 else "info")

    def _error_of(self, error: Exception) -> StakeholdError:
        """What the client is told of `error`; a fault of ours is logged."""
        if isinstance(error, StakeholdError):
            return error
        if isinstance(error, TimeoutError):
            changes_nothing = self.scope["method"] in ("GET", "HEAD")
            code = "overloaded" if changes_nothing else "outcome_unknown"
            return OverloadedError("The answer took too long.", code=code, retry_after_s=1)
        self.container.log.write(
            "fault",
            level="error",
            request_id=self.request_id,
            route=self.endpoint.path,
            **describe_fault(error),
        )
        return StakeholdError("Something went wrong here; it has been logged.")

    async def _answer(self) -> Answer | StreamedAnswer:
        self.headers = read_headers(self.scope)
        given = self.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.request_id = given.decode("ascii")
        operations, method = self.endpoint.operations, self.scope["method"]
        if not operations:
            raise NotFoundError("There is nothing at this address.")
        operation = operations.get(method)
        if operation is None:
            if method == "OPTIONS":
                return Answer(204, b"", [(b"allow", self.endpoint.allow.encode())])
            raise HttpError(
                "method_not_allowed", f"Use one of {self.endpoint.allow} here.", allow=self.endpoint.allow
            )
        self.call = Call(
            container=self.container,
            operation=operation,
            request_id=self.request_id,
            charge_id=self.charge_id,
            deadline=Deadline(self.container.services.clock, self.started_s + REQUEST_DEADLINE_S),
            headers=self.headers,
            path_params=self.scope.get("path_params", {}),
        )
        return await pipeline.answer(self.call, self.scope, self.receive)

    def _problem(self, error: StakeholdError) -> Answer:
        self.error = error
        body = problem_body(error, instance=_instance(self.scope["path"]), request_id=self.request_id)
        return Answer(kind_of(error).status, body, problem_headers(error))

    async def _first_piece(self, answer: StreamedAnswer) -> bytes | None:
        """None where there is no body: nothing is made then."""
        if self.scope["method"] == "HEAD":
            await answer.pieces.aclose()
            return None
        return await anext(answer.pieces, None)

    async def _send(self, answer: Answer) -> None:
        headers = self._headers(answer)
        if answer.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await self.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if self.scope["method"] == "HEAD" else answer.body
        await self.send({"type": "http.response.body", "body": body})

    async def _stream(self, answer: StreamedAnswer, first: bytes | None) -> None:
        """Send the pieces and log the request. Raises AnswerCutError."""
        try:
            async with contextlib.aclosing(answer.pieces):
                await self._send_pieces(answer, first)
        except ClientGoneError:
            self._log("info", gone=True)
        except Exception as error:
            self.error = self._error_of(error)
            self._log("error", cut=True)
        else:
            self._log("info")
            return
        raise AnswerCutError

    async def _send_pieces(self, answer: StreamedAnswer, piece: bytes | None) -> None:
        """Send `piece`, and then each next one once the one before was taken. Raises ClientGoneError."""
        until = Deadline(self.container.services.clock, self.started_s + _STREAM_TIMEOUT_S)
        start = {"type": "http.response.start", "status": answer.status, "headers": self._headers(answer)}
        await self._give(start, until)
        while piece is not None:
            await self._give({"type": "http.response.body", "body": piece, "more_body": True}, until)
            with TimeLimit(until.bound_s(_PIECE_TIMEOUT_S)):
                piece = await anext(answer.pieces, None)
            if not until.left_s():
                raise TimeoutError  # What never waits meets no limit.
        await self._give({"type": "http.response.body", "body": b""}, until)

    async def _give(self, message: Message, until: Deadline) -> None:
        """Send a part of a streamed answer. Raises ClientGoneError, also for who does not take it in time."""
        try:
            with TimeLimit(until.bound_s(_PIECE_TIMEOUT_S)):
                await self.send(message)
        except OSError:  # TimeoutError is one.
            raise ClientGoneError from None

    def _headers(self, answer: Answer | StreamedAnswer) -> Headers:
        """The answer's own headers, and those of every answer."""
        self.status = answer.status
        headers = [*answer.headers, (b"x-request-id", self.request_id.encode()), *SECURITY_HEADERS]
        headers.append(answer.content_policy or API_POLICY)
        self._add_limit_headers(headers)
        container = self.container
        if container.cors_origins:
            method = self.scope["method"]
            headers += cors.headers(container.cors_origins, self.headers, method, self.endpoint.allow)
        if container.hsts:
            headers.append(HSTS)
        if container.draining():
            # Else a client sends its next request into a connection that is about to be closed.
            headers.append(_LAST)
        return headers

    def _add_limit_headers(self, headers: Headers) -> None:
        """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11) of what was charged."""
        if isinstance(self.error, LimitedError):
            states = self.error.limits
        else:
            entered = self.call.entered if self.call is not None else None
            states = entered.limits if entered is not None else ()
        if states:
            headers.append((b"ratelimit-policy", policy_header([state.policy for state in states]).encode()))
            headers.append((b"ratelimit", limit_header(states).encode()))

    def _log(self, level: Level, *, gone: bool = False, cut: bool = False) -> None:
        took_s = self.container.services.clock.monotonic_s() - self.started_s
        user_id = self.call.caller_text if self.call is not None else None
        self.container.log.request(
            RequestLine(
                request_id=self.request_id,
                method=self.scope["method"],
                route=self.endpoint.path or None,
                status=self.status,
                duration_ms=round(took_s * 1000, 3),
                user_id=user_id,
                code=self.error.code if self.error is not None else None,
                level=level,
                event="request",
                client_address=None if user_id else self.container.client_address(self.scope),
                gone=gone,
                cut=cut,
            )
        )


def _instance(path: str) -> str:
    """The path as a URI reference (RFC 9457, section 3.1.5), no longer than is worth repeating."""
    return quote(path[:_INSTANCE_CHARACTERS_MAX], safe="/:@!$&'()*+,;=~")
