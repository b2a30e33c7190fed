"""What a cached read is made of, and how each part is switched off: by patching, in a benchmark alone.

Nothing here is an option of the service. A part whose place in the code has moved is an AttributeError.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from stakehold.gate import Entered, Entering, Gate
from stakehold.http import app, pipeline
from stakehold.http.call import Answer, Call
from stakehold.http.schemas.stakes import ListStakes
from stakehold.limits.fallback import LocalLog
from stakehold.runtime.outside import SystemEntropy
from stakehold.security.tokens import AccessTokens, Claims

Patch = tuple[object, str, Any]


@dataclass(frozen=True)
class Part:
    """A part's name, and what stands in for it."""

    name: str
    patches: tuple[Patch, ...]

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Without the part."""
        with contextlib.ExitStack() as stack:
            for target, attribute, replacement in self.patches:
                stack.enter_context(mock.patch.object(target, attribute, replacement))
            yield


def _nothing(*_: Any, **__: Any) -> None: ...


async def _no_session(*_: Any) -> None: ...


_enter = Gate.enter
_numbers = itertools.count(1)
_listing = ListStakes()


async def _enter_unlimited(self: Gate, entering: Entering, deadline: Any) -> Entered:
    entering.limits = ()
    return await _enter(self, entering, deadline)


def _next_number(_: SystemEntropy, count: int) -> bytes:
    return next(_numbers).to_bytes(count, "big")


def _verify_anew(self: AccessTokens, token: str) -> Claims:
    return self._read(token)


def _plain_page(_: Call, body: bytes, __: str) -> Answer:
    return Answer(200, body, [(b"content-type", b"application/json")])


def _as_they_came(scope: Any) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def _first_page(*_: Any) -> ListStakes:
    return _listing


_Exchange: Any = app._Exchange
_answer_untimed: Callable[..., Any] = _Exchange._answer

PARTS = (
    Part("limits: arguments, script, headers", ((Gate, "enter", _enter_unlimited),)),
    Part("limits: headers alone", ((_Exchange, "_add_limit_headers", _nothing),)),
    Part("limits: our own log, for when Redis is lost", ((LocalLog, "record", _nothing),)),
    Part("table of verified tokens (less than nothing: what it saves)",
         ((AccessTokens, "verify", _verify_anew),)),
    Part("session, as the gate's reply says", ((pipeline, "require_session", _no_session),)),
    Part("log line", ((_Exchange, "_log", _nothing),)),
    Part("request id from the system's randomness", ((SystemEntropy, "random_bytes", _next_number),)),
    Part("security headers", ((app, "SECURITY_HEADERS", []),)),
    Part("checks of the head", ((app, "read_headers", _as_they_came),)),
    Part("reading the query", ((pipeline, "read_query", _first_page),)),
    Part("ETag, If-None-Match, Cache-Control", ((pipeline, "_page_answer", _plain_page),)),
    Part("timer of the answer", ((_Exchange, "_answer_in_time", _answer_untimed),)),
)  # fmt: skip
