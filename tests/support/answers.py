"""What a service answered, without what differs from one run to the next: to hold two runtimes against it."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

PLATFORM_HEADERS = {
    "connection": "about the connection, which is the HTTP server's",
    "keep-alive": "about the connection, which is the HTTP server's",
    "transfer-encoding": "about the connection, which is the HTTP server's",
    "date": "written by the HTTP server",
}
"""Header fields that do not come from the service, and why."""

DIFFERENCES_SHOWN_MAX = 8

_IN_TEXT = [
    (re.compile(r"[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}"), "<access token>"),
    (re.compile(r"shr_[\w.-]+"), "<refresh token>"),
    (re.compile(r"shq_[\w.-]+"), "<quote>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11,12}", re.IGNORECASE), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "<day>"),
    (re.compile(r"person-\d+"), "<person>"),
    (re.compile(r"(?<=cursor=)[^&]+"), "<cursor>"),
    (re.compile(r"[0-9a-f]{32,}"), "<hexadecimal>"),
    (re.compile(r"(?<=try again in )\d+"), "<seconds>"),
]
# Whether a page has been stored by then, behind another answer, is a matter of milliseconds.
_MEMBERS = {"nextCursor": "<cursor>", "fromCache": "<whether>"}
_KEPT_OF_CHANCE = ("code", "title", "type")
_VALUES = {
    "etag": (re.compile(r'"[^"]+"'), '"<tag>"'),
    "retry-after": (re.compile(r"\d+"), "<seconds>"),
    "content-length": (re.compile(r"\d+"), "<bytes>"),
    "ratelimit": (re.compile(r"\d+"), "<number>"),
}


class Answer(NamedTuple):
    """One answer to one request: ids, tokens, times and lengths are left out of every part."""

    method: str
    target: str
    """Path and query."""
    status: int
    headers: tuple[tuple[str, str], ...]
    """By name, those of PLATFORM_HEADERS left out."""
    body: str

    def __str__(self) -> str:
        headers = "".join(f"\n    {name}: {value}" for name, value in self.headers)
        return f"{self.method} {self.target} -> {self.status}{headers}\n    {self.body[:500]}"


@dataclass
class Answers:
    """Those of one test, in no order: many requests are sent at once."""

    given: Counter[Answer] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    """What RateLimit said was left: apart, as which of several requests is the last to pass is chance."""

    def add(self, answer: httpx.Response) -> None:
        """Note an answer that has been read."""
        self.given[read_answer(answer)] += 1
        self.left[limits_left(answer.headers.get("ratelimit", ""))] += 1

    def kinds(self) -> "Answers":
        """Which kinds of answer there were: all that can be the same where it depends on who comes first."""
        return Answers(Counter({_kind(answer): 1 for answer in self.given}))


_LEFT = re.compile(r'"[\w-]+";r=\d+')


def read_answer(answer: httpx.Response) -> Answer:
    """What is to be the same of an answer that has been read."""
    request = answer.request
    return make_answer(
        request.method,
        request.url.raw_path.decode("ascii"),
        answer.status_code,
        answer.headers.multi_items(),
        answer.content,
        request_id=request.headers.get("x-request-id"),
    )


def make_answer(
    method: str,
    target: str,
    status: int,
    headers: Iterable[tuple[str, str]],
    content: bytes,
    *,
    request_id: str | None,
) -> Answer:
    """The same, of its parts; `request_id` is what the request had."""
    return Answer(method, _text(target), status, tuple(sorted(_headers(headers, request_id))), _body(content))


def limits_left(ratelimit: str) -> str:
    """What a RateLimit header says is left of each limit, without the time."""
    return "; ".join(_LEFT.findall(ratelimit))


def differences(one: Answers, other: Answers, names: tuple[str, str]) -> list[str]:
    """What two services answered otherwise, for a reader; empty when it was the same."""
    found = []
    for mine, others, name in ((one, other, names[0]), (other, one, names[1])):
        alone: list[tuple[object, int]] = [*(mine.given - others.given).items()]
        alone += (mine.left - others.left).items()
        found += [f"{count} time(s) by {name} alone: {what}" for what, count in alone]
    return found[:DIFFERENCES_SHOWN_MAX]


def _kind(answer: Answer) -> Answer:
    """Without the query, and of the body only its form and what kind of problem it is."""
    with contextlib.suppress(ValueError):
        form = json.dumps(_form(json.loads(answer.body)))
        return answer._replace(target=answer.target.partition("?")[0], body=form)
    return answer


def _form(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {name: _form(one, name) for name, one in value.items()}
        case list():
            return "<items>"
    return value if name in _KEPT_OF_CHANCE else "<value>"


def _headers(headers: Iterable[tuple[str, str]], request_id: str | None) -> Iterator[tuple[str, str]]:
    for name, value in headers:
        if name in PLATFORM_HEADERS:
            continue
        if name == "x-request-id":
            yield name, "as sent" if value == request_id else "<new>"
        elif name in _VALUES:
            pattern, stand_in = _VALUES[name]
            yield name, pattern.sub(stand_in, value)
        else:
            yield name, _text(value)


def _body(content: bytes) -> str:
    text = content.decode("utf-8", "backslashreplace")
    with contextlib.suppress(ValueError):
        return json.dumps(_value(json.loads(text)), ensure_ascii=False)
    return _text(text)


def _value(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: _MEMBERS[name] if name in _MEMBERS and one is not None else _value(one)
                for name, one in value.items()
            }
        case list():
            return [_value(one) for one in value]
        case str():
            return _text(value)
    return value


def _text(text: str) -> str:
    for pattern, stand_in in _IN_TEXT:
        text = pattern.sub(stand_in, text)
    return text
