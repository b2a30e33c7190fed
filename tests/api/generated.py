"""Requests for two services that are to answer alike: from the OpenAPI document, and broken on purpose.

Left out is what never reaches the application as it was sent, by the platform's or the HTTP server's doing:
what is no HTTP, fields about the connection, another Host, and "." and ".." and "\\" in a path. Characters
that this Python's Unicode does not know are left out too: WebAssembly's Python knows more.
"""

import itertools
import json
import random
import re
import unicodedata
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.api.bodies import ROUTES, Route
from tests.api.courses import (
    ACCOUNT,
    BEARER,
    CHANGES,
    COURSES,
    COURSES_HELD_ONCE,
    CREDENTIALS,
    CURSOR,
    ETAG,
    JSON,
    READS_OF_THE_LEDGER,
    REFRESH,
    SPENT,
    STAKE,
    TOKEN,
    Conversation,
    Request,
    get,
    post,
    refresh,
)

ORIGIN = b"https://app.example"
LENGTH = 12

_OF_THE_CONNECTION = frozenset(
    b"connection content-length expect host keep-alive te trailer transfer-encoding upgrade".split()
)
_OF_THE_CLIENT = frozenset((b"user-agent", b"x-schemathesis-testcaseid"))
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def conversations(document: dict[str, Any], seed: int, count: int) -> list[Conversation]:
    """Each begins with one of the courses, and goes on at random.

    Sound requests come again and again, at other times; of the others hardly any comes twice.
    """
    order = random.Random(seed)
    each = count * LENGTH // 5

    def some(kind: st.SearchStrategy[Request], number: int = each) -> list[Request]:
        found = _distinct(kind, seed, 3 * number)
        return order.sample(found, min(number, len(found)))

    stakes, reads, accounts = some(_stakes_made()), some(_reads()), some(_account_calls())
    sound = [stakes, stakes, reads, reads, reads, CHANGES, CHANGES, accounts]
    steps = [order.choice(order.choice(sound)) for _ in range(each)]
    steps += some(_described(document)) + some(_broken_bodies()) + some(_broken_heads())
    steps += some(_odd_listings(), each // 2)
    order.shuffle(steps)
    rests = [tuple(steps[at : at + LENGTH]) for at in range(0, len(steps), LENGTH)]
    courses = itertools.chain(COURSES_HELD_ONCE, itertools.cycle(COURSES))
    return [
        Conversation(course.scope, course.requests + rest)
        for course, rest in zip(courses, rests, strict=False)
    ]


def _distinct(kind: st.SearchStrategy[Request], seed: int, tries: int) -> list[Request]:
    """No two the same: Hypothesis likes to repeat what it has found, or most of it."""
    found: dict[Request, None] = {}

    @seeded(seed)
    @settings(
        max_examples=tries, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(kind.filter(_can_be_sent))
    def find(request: Request) -> None:
        found[request] = None

    find()
    return list(found)


def _can_be_sent(request: Request) -> bool:
    """Whether both services are certain to be asked the same, and to know the same characters."""
    path = request.target.partition(b"?")[0].lower().replace(b"%2e", b".")
    if not {b".", b".."}.isdisjoint(path.split(b"/")) or b"\\" in path:
        return False
    if not all(_FIELD_VALUE.fullmatch(value) for _, value in request.fields):
        return False
    try:
        text = json.dumps(json.loads(request.body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return True  # None of it gets as far as being a name or a password.
    return all(unicodedata.category(character) != "Cn" for character in text)


def _described(document: dict[str, Any]) -> st.SearchStrategy[Request]:
    """What the document allows, and what it forbids, by Schemathesis."""
    schema = schemathesis.openapi.from_dict(document)
    cases = [
        found.ok().as_strategy(generation_mode=mode)
        for found in schema.get_all_operations()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    return st.builds(_of_case, st.one_of(cases), _SIGNED_IN)


def _of_case(case: schemathesis.Case, authorization: tuple[tuple[bytes, bytes], ...]) -> Request:
    options = case.as_transport_kwargs(base_url="http://stakehold.test")
    names = ("method", "url", "headers", "params", "cookies", "data", "json", "files")
    prepared = requests.Request(**{name: options[name] for name in names if name in options}).prepare()
    body = prepared.body or b""
    assert isinstance(body, str | bytes)
    content = body.encode() if isinstance(body, str) else body
    fields = [(_bytes(name), _bytes(value).strip(b" \t")) for name, value in prepared.headers.items()]
    kept = [
        (name, value) for name, value in fields if name.lower() not in _OF_THE_CONNECTION | _OF_THE_CLIENT
    ]
    if authorization and b"authorization" not in {name.lower() for name, _ in kept}:
        kept += authorization
    target = prepared.path_url.encode("ascii")
    return Request(str(prepared.method), target, tuple(kept), content)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


_SIGNED_IN = st.sampled_from([(BEARER,), (BEARER,), (BEARER,), ()])
_KEYS = st.sampled_from([b'"one"', b'"two"', b"one", b'"\\"three\\""'])


def _stakes_made() -> st.SearchStrategy[Request]:
    bodies = st.builds(
        b'{"amount": %b, "period": %d}'.__mod__,
        st.tuples(
            st.sampled_from([b'"1"', b"0.1", b'"1e2"', b"12.50", b"99999999999999999999.00000001"]),
            st.sampled_from([1, 3, 6, 12, 12, 2]),
        ),
    )
    keys = st.none() | _KEYS
    return st.builds(
        lambda body, key: Request(
            "POST", b"/api/stake", (BEARER, JSON, *(((b"Idempotency-Key", key),) if key else ())), body
        ),
        bodies,
        keys,
    )


_TARGETS_READ = (
    b"/api/stake", b"/api/stake?limit=2", b"/api/stake?limit=2&cursor=" + CURSOR,
    b"/api/stake?page=2&limit=1", b"/api/stake/" + STAKE, b"/api/stake/" + STAKE,
    b"/api/me", b"/api/plans", b"/api/plans/GLD-6M", b"/api/plans/STK-12M/versions",
    b"/healthz", b"/readyz", *READS_OF_THE_LEDGER, b"/api/rewards?limit=1&cursor=" + CURSOR,
)  # fmt: skip


def _reads() -> st.SearchStrategy[Request]:
    conditions = st.sampled_from([(), ((b"If-None-Match", ETAG),), ((b"If-None-Match", b"*"),)])
    return st.builds(
        lambda method, target, signed_in, condition: Request(method, target, (*signed_in, *condition)),
        st.sampled_from(["GET", "GET", "GET", "HEAD"]),
        st.sampled_from(_TARGETS_READ),
        _SIGNED_IN,
        conditions,
    )


def _account_calls() -> st.SearchStrategy[Request]:
    """Those that end sessions, and those that take the time of a password's hash, are few."""
    others = [post(b"/api/users", CREDENTIALS), refresh(SPENT), post(b"/api/auth/logout", b"")]
    return st.sampled_from([*ACCOUNT, refresh(REFRESH), *others])


_TOKENS = st.sampled_from([
    "null", "true", "0", "-0", "00", "1", "1.0", "12.0", "1e1", "1E400", "-1", "NaN", "-Infinity", "0x10", "",
    '""', '"\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', '"a\tb"', '"\\x"', '"', "'a'", "[]", "{}", "[[1]]",
    '{"a": {"b": 1, "b": 2}}', '" 1"', '"1_000"', '"\u0661"', '"1e-9"', "9" * 40, '"' + "a" * 300 + '"',
    '"' + "é" * 200 + '"', "1 2", "nul", "\u00a0 1", "\x0b1", "// 1\n1",
])  # fmt: skip
_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False))
_MEMBER_NAMES = st.sampled_from(
    ["", "a/b~c", "\\u0000", "\\ud800", "Amount", "amount ", "__proto__", "a` of `b"]
)
_MEDIA_TYPES = st.sampled_from(
    [
        b"application/json", b"application/json", b"application/json", b"application/json; charset=utf-8",
        b"Application/JSON;charset=\"UTF-8\"", b"application/json; charset=latin-1", b"application/json;",
        b"application/json; a=b", b"text/plain", b"application/merge-patch+json", b"", b"json",
        b"application/json, application/json", b"application/x-www-form-urlencoded", b"\xe4/\xff",
    ]
)  # fmt: skip


@st.composite
def _broken_bodies(draw: st.DrawFn) -> Request:
    """A body that a route takes, with something wrong in one or two places."""
    route: Route = draw(st.sampled_from(ROUTES))
    members = [(json.dumps(name), json.dumps(value)) for name, value in route.sound.items()]
    members = members or [('"none"', "1")]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(members) - 1))
        name, token = members[at]
        match draw(st.sampled_from(["value", "value", "value", "name", "again", "more", "less"])):
            case "value":
                members[at] = name, draw(_TOKENS | _JSON_VALUES)
            case "name":
                members[at] = f'"{draw(_MEMBER_NAMES)}"', token
            case "again":
                members.append(members[at])
            case "more":
                members.append((json.dumps(draw(st.text(max_size=80))), draw(_TOKENS)))
            case "less" if len(members) > 1:
                del members[at]
    text = "{" + ", ".join(f"{name}: {token}" for name, token in members) + "}"
    content = draw(st.sampled_from([_as_it_is] * 6 + [_cut, _spoilt, *_WRAPPED]))(draw, text)
    fields = [*draw(_SIGNED_IN), (b"Content-Type", draw(_MEDIA_TYPES))]
    if draw(st.integers(0, 7)) == 0:
        fields.append((b"Content-Encoding", draw(st.sampled_from([b"identity", b"gzip", b"", b"IDENTITY"]))))
    if route.method == "PATCH":
        fields += draw(st.sampled_from([[], [(b"If-Match", b"*")]]))
    path = route.template.encode().replace(b"{stakeId}", STAKE)
    return Request(route.method, path, tuple(fields), content, chunked=draw(st.booleans()))


def _as_it_is(draw: st.DrawFn, text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _cut(draw: st.DrawFn, text: str) -> bytes:
    content = _as_it_is(draw, text)
    return content[: draw(st.integers(0, len(content)))]


def _spoilt(draw: st.DrawFn, text: str) -> bytes:
    content = _as_it_is(draw, text)
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(min_size=1, max_size=3)) + content[at:]


_WRAPPED = [
    lambda draw, text: b"\xef\xbb\xbf" + _as_it_is(draw, text),
    lambda draw, text: text.encode("utf-16", "surrogatepass"),
    lambda draw, text: text.encode("utf-32-le", "surrogatepass"),
    lambda draw, text: _as_it_is(draw, f" \n\t{text}\r\n"),
    lambda draw, text: _as_it_is(draw, f"{text}{text}"),
    lambda draw, text: _as_it_is(draw, f"[{text}]"),
    lambda draw, text: b"[" * 40 + _as_it_is(draw, text) + b"]" * 40,
    lambda draw, text: b"[" * 6000,
    lambda draw, text: _as_it_is(draw, text) + b" " * 17_000,
]

_METHODS = st.sampled_from(
    ["GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
_SEGMENTS = st.sampled_from([
    "api", "stake", "plans", "me", "auth", "users", "healthz", "readyz", "docs", "openapi.json", "API",
    "quote", "unstake", "cancel", "versions", "STK-12M", "stk-12m", "ledger", "verification", "admin",
    "", "%20", "%2F", "%", "%zz", "%00", "%ff", "%C3%A9", "%0a", ";a=b", "a+b", "'\"<>`{}|^", "~", "$",
    STAKE.decode(),
]) | st.text(max_size=8).map(
    lambda text: quote(text.encode("utf-8", "replace"), safe="!$&'()*+,;=:@")
)  # fmt: skip
_KNOWN_PATHS = st.sampled_from(
    sorted({request.target.partition(b"?")[0].decode() for request in (*CHANGES, *ACCOUNT)})
    + sorted({target.partition(b"?")[0].decode() for target in _TARGETS_READ})
)
_PATHS = st.one_of(
    _KNOWN_PATHS,
    _KNOWN_PATHS,
    st.lists(_SEGMENTS, max_size=4).map(lambda segments: "/" + "/".join(segments)),
    _SEGMENTS.map(lambda segment: f"/api/stake/{segment}"),
    _SEGMENTS.map(lambda segment: f"/api/plans/{segment}"),
)
_QUERY_NAMES = st.sampled_from([
    "limit", "page", "cursor", "from", "to", "asOf", "after", "before", "format",
    "Limit", "", "limit%00", "a", "%FF", "%6cimit",
])  # fmt: skip
_QUERY_VALUES = st.sampled_from([
    "1", "0", "-1", "100", "101", "1e2", "+1", "%2B1", " 1", "01", "1.0", "1_0", "%D9%A1", "%FF", "%", "%4",
    "", "9" * 30, "true", "null", "[1]", "1;page=2", "'\"<>|", "A" * 22, "A" * 70, CURSOR.decode(),
    "2026-01-01", "2100-12-31", "2026-02-30", "0001-01-01", "9999-12-31", "2026-01-01T00:00:00", "csv", "CSV",
    "2026-01-01T00:00:00Z", "2100-01-01t00:00:00.123456789%2b23:59", "9999-12-31T23:59:60-23:59", "20260101",
]).map(lambda value: value.replace(" ", "%20")) | st.text(max_size=10).map(
    lambda text: quote(text.encode("utf-8", "replace"))
)  # fmt: skip
_QUERIES = st.one_of(
    st.just(""),
    st.lists(st.tuples(_QUERY_NAMES, _QUERY_VALUES).map("=".join) | _QUERY_VALUES, max_size=3).map("&".join),
    st.sampled_from(["&", "=", "&&limit=1", "limit=1&limit=2", "limit", "a&" * 30, "?limit=1", "limit=1&"]),
).map(lambda query: f"?{query}" if query else "")  # fmt: skip

_ODD_VALUES = {
    b"Authorization": [
        b"Bearer", b"bearer " + TOKEN, b"Bearer  " + TOKEN, b"Bearer\t" + TOKEN, b"Bearer " + TOKEN + b"A",
        TOKEN, b"Basic YTpi", b"", b"Bearer a.b.c", b"Bearer \xe4\xf6", b"Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
    b"If-Match": [ETAG, b"W/" + ETAG, b'"a", ' + ETAG, b"*", b",", b"\xff", b""],
    b"If-None-Match": [ETAG, b"W/" + ETAG, b'"a", ' + ETAG, b"*", b",", b"\xff", b"W/"],
    b"Idempotency-Key": [
        b'"one"', b"", b'"', b"a b", b"\xe9", b'"\\x"', b"k" * 255, b"k" * 256, b'"a";b=1',
    ],
    b"X-Request-Id": [b"given-1", b"a b", b"", b"\xff", b"x" * 128, b"x" * 129, b"shr_a"],
    b"Origin": [ORIGIN, ORIGIN, b"null", b"https://other.example", b"\xff"],
    b"Access-Control-Request-Method": [b"POST", b"x"],
    b"Content-Type": [b"application/json", b"text/html"],
    b"Content-Encoding": [b"gzip"],
    b"Accept": [b"text/html", b"application/json;q=0"],
    b"Accept-Encoding": [b"gzip, br"],
    b"Range": [b"bytes=0-1"],
    b"Cookie": [b"a=b"],
    b"If-Modified-Since": [b"Mon, 23 Nov 2026 05:00:00 GMT"],
    b"X-Forwarded-Host": [b"other.example"],
    b"X-HTTP-Method-Override": [b"PUT"],
    b"X-Filler": [b"a" * 9_000, b"a" * 17_000],
    b"!#$%&'*+-.^_`|~": [b'a "b", \xe4'],
}  # fmt: skip
_READ_BY_US = (
    b"Authorization", b"If-Match", b"If-None-Match", b"Idempotency-Key", b"X-Request-Id", b"Origin"
)  # fmt: skip
_ODD_FIELDS = st.sampled_from([*_READ_BY_US, *_READ_BY_US, *_ODD_VALUES]).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(_ODD_VALUES[name]))
)


@st.composite
def _broken_heads(draw: st.DrawFn) -> Request:
    """Any method, at a path there is or none, with an odd query and odd fields, some of them twice."""
    target = (draw(_PATHS) + draw(_QUERIES)).encode()
    odd = draw(st.lists(_ODD_FIELDS, max_size=4))
    body = draw(st.sampled_from([b"", b"", b"{}", b'{"amount": "1", "period": 12}']))
    return Request(draw(_METHODS), target, (*draw(_SIGNED_IN), *odd), body)


def _odd_listings() -> st.SearchStrategy[Request]:
    """Of the operations that have a query: an odd one, or something odd in one that would do."""
    sound = [
        target.decode()
        for target in (*_TARGETS_READ, b"/api/plans/STK-12M/versions?before=2")
        if b"?" in target
    ]
    bare = sorted({target.partition("?")[0] for target in sound})
    targets = st.one_of(
        st.builds("{}{}".format, st.sampled_from(bare), _QUERIES),
        st.builds("{}&{}={}".format, st.sampled_from(sound), _QUERY_NAMES, _QUERY_VALUES),
        st.builds(
            lambda target, value: re.sub(r"=[^=&]*$", lambda _: f"={value}", target),
            st.sampled_from(sound),
            _QUERY_VALUES,
        ),
    )
    return targets.map(lambda target: get(target.encode()))
