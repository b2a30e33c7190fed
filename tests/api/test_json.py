"""Bodies that are nearly JSON, or JSON and nearly a request, are told apart and named, on every route."""

import gzip
import json
import secrets
import time

import httpx
import pytest
import pytest_asyncio

from tests.api.bodies import ROUTES, Route
from tests.api.oracle import amount_is_taken
from tests.http.create_stake.test_400 import BROKEN
from tests.support.service import Person, assert_field, assert_problem

JSON = {"Content-Type": "application/json"}

each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.template)


@pytest_asyncio.fixture
async def sender(person: Person, route: Route, resident: bytes) -> Person:
    """Who may send what the route takes; whom operators pay is there."""
    if not route.scope:
        return person
    return await person.service.enrol(f"operator-{secrets.token_hex(8)}", scope=route.scope)


async def send(sender: Person, route: Route, body: bytes, **headers: str) -> httpx.Response:
    return await sender.request(route.method, route.path, content=body, headers={**JSON, **headers})


async def test_these_are_all_routes_with_a_body(person: Person) -> None:
    """What is shown of the routes here is shown of every route the document gives a body."""
    document = (await person.get("/openapi.json")).json()
    described = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "requestBody" in operation
    }
    assert described == {(route.method, route.template) for route in ROUTES}


NOT_JSON = {
    **BROKEN,
    "a lone continuation byte": b'{"a": "\x80"}',
    "a character cut short": b'{"a": "\xe2\x82"}',
    "a character cut short at the end": b'{"a": 1}\xe2\x82',
    "an overlong slash": b'{"a": "\xe0\x80\xaf"}',
    "beyond the last character": b'{"a": "\xf4\x90\x80\x80"}',
    "five bytes to a character": b'{"a": "\xf8\x88\x80\x80\x80"}',
    "a surrogate pair as UTF-8": b'{"a": "\xed\xa0\xbd\xed\xb8\x80"}',
    "no UTF-8 in a name": b'{"\xff": 1}',
    "no UTF-8 around": b"\xff{}\xff",
    "UTF-16 without a mark": '{"a": 1}'.encode("utf-16-le"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "NUL before": b"\x00{}",
    "NUL after": b"{}\x00",
    "a form feed as white space": b"{\x0c}",
    "a no-break space as white space": b"{\xc2\xa0}",
    "a line separator as white space": b"{\xe2\x80\xa8}",
    "several lines of JSON": b"{}\n{}",
    "a record separator": b"\x1e{}\n",
    "unquoted name": b"{a: 1}",
    "number as a name": b"{1: 1}",
    "no colon": b'{"a" 1}',
    "no comma": b'{"a": 1 "b": 2}',
    "two commas": b'{"a": 1,, "b": 2}',
    "closed by the other bracket": b'{"a": [1}',
    "True": b'{"a": True}',
    "undefined": b'{"a": undefined}',
    "nan": b'{"a": nan}',
    "-NaN": b'{"a": -NaN}',
    "Infinity in an array": b'{"a": [Infinity]}',
    "minus alone": b'{"a": -}',
    "exponent alone": b'{"a": 1e}',
    "exponent with a point": b'{"a": 1e1.5}',
    "two points": b'{"a": 1.2.3}',
    "digits of another script": '{"a": ١}'.encode(),
    "an escape cut short": b'{"a": "\\u12"}',
    "an escape in capitals": b'{"a": "\\U00000041"}',
    "a quote that does not end": b'{"a": "',
    "a tab in a name": b'{"a\tb": 1}',
    "compressed": gzip.compress(b"{}"),
}


@each_route
async def test_what_is_not_json_is_malformed(sender: Person, route: Route) -> None:
    """400, in the same words whatever is wrong: none of the parser's, and no field, since none was read."""
    for name, body in NOT_JSON.items():
        if not body and route.may_be_empty:
            continue
        answer = await send(sender, route, body)
        assert answer.status_code == 400, (name, answer.text)
        problem = assert_problem(answer, 400, "malformed_request")
        assert problem["detail"] == "The body is not valid JSON.", name
        assert "errors" not in problem, name


@each_route
async def test_white_space_of_json_is_taken(sender: Person, route: Route) -> None:
    """Space, tab, line feed and carriage return may stand around anything."""
    body = json.dumps({**route.sound, "no_such": 1}, indent="\t").replace("\n", "\r\n")
    answer = await send(sender, route, f" \r\n\t{body}\n ".encode())
    assert_field(assert_problem(answer, 422, "validation_error"), "/no_such", "unknown_field")


@each_route
async def test_a_member_given_twice_is_named(sender: Person, route: Route) -> None:
    """Every member, known or not, in the same words or with escapes, with the same value or another."""
    for name in [*route.sound, "no_such", ""]:
        whole = json.dumps({**route.sound, "y": 1})[1:-1]
        escaped = "".join(f"\\u{ord(character):04X}" for character in name)
        for again in (name, escaped):
            body = f'{{{whole}, "{name}": null, "x": 1, "{again}": null}}'
            answer = await send(sender, route, body.encode())
            problem = assert_problem(answer, 422, "validation_error")
            assert [(field["pointer"], field["code"]) for field in problem["errors"]] == [
                (f"/{name}", "repeated")
            ], body


@each_route
async def test_a_member_given_twice_further_in_is_not_taken_for_one_of_the_body(
    sender: Person, route: Route
) -> None:
    """The member that holds the object is the one that is wrong."""
    for name in route.sound:
        members = {**route.sound, name: "?"}
        body = json.dumps(members).replace('"?"', '{"a": 1, "a": 2}')
        assert_field(
            assert_problem(await send(sender, route, body.encode()), 422, "validation_error"), f"/{name}"
        )


@each_route
async def test_nesting_is_counted_exactly(sender: Person, route: Route) -> None:
    """32 levels are read and refused for what they are, 33 are not followed, however they are mixed."""
    name = next(iter(route.sound), "no_such")
    rest = {key: value for key, value in route.sound.items() if key != name}
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        width = opening.count("[") + opening.count("{")
        for depth, status in ((32, 422), (34, 400)):
            levels = (depth - 1) // width
            value = opening * levels + "[" * ((depth - 1) % width) + "1" + "]" * ((depth - 1) % width)
            body = json.dumps({**rest, name: "?"}).replace('"?"', value + closing * levels)
            answer = await send(sender, route, body.encode())
            assert answer.status_code == status, (depth, opening, answer.text)
            if status == 422:
                assert_field(assert_problem(answer, 422, "validation_error"), f"/{name}")
            else:
                assert assert_problem(answer, 400, "malformed_request")["detail"].endswith("32 deep.")


HUGE_NUMBERS = (
    "9" * 16_000, "-" + "9" * 16_000, "0." + "0" * 16_000 + "1", "1e400", "1E+400", "-1e400", "1e-400",
    "1e" + "9" * 4000, "1e-" + "9" * 4000, "0e999999999999", "9" * 4301, "1" + "0" * 308, "1" + "0" * 309,
    "18446744073709551616", "9223372036854775808", "-9223372036854775809",
)  # fmt: skip


@each_route
async def test_huge_numbers_are_refused_by_name_and_at_once(sender: Person, route: Route) -> None:
    """No number is too large to be refused for being the wrong thing there, nor costs time to read."""
    for name in route.sound:
        for number in HUGE_NUMBERS:
            if name == "amount" and amount_is_taken(number):
                continue
            body = json.dumps({**route.sound, name: "?"}).replace('"?"', number)
            started = time.perf_counter()
            answer = await send(sender, route, body.encode())
            assert answer.status_code == 422, (name, number[:40], answer.text)
            assert_field(assert_problem(answer, 422, "validation_error"), f"/{name}")
            assert len(answer.content) < 1000
            assert time.perf_counter() - started < 5


@each_route
async def test_half_a_character_is_no_text(sender: Person, route: Route) -> None:
    """A surrogate without its other half can be written in JSON, and is neither stored nor answered."""
    if route.text is None:
        return
    for half in ("\\ud800", "\\udfff", "x\\ud83dx", "\\ude00\\ud83d"):
        body = json.dumps({**route.sound, route.text: "?"}).replace("?", half)
        assert_problem(await send(sender, route, body.encode()), 400, "malformed_request")


NAMES = (
    "\u0000",
    "\u202eabc",
    "💰",
    "a" * 5000,
    "`",
    "/~",
    "$.amount",
    "</script>",
    "'; --",
    "\n",
    "__proto__",
    "é",
)


@each_route
async def test_a_strange_name_is_repeated_as_it_is_and_no_longer_than_needed(
    sender: Person, route: Route
) -> None:
    """A member that is not known is named by a JSON pointer of at most 64 of its characters."""
    for name in NAMES:
        answer = await send(sender, route, json.dumps({**route.sound, name: 1}).encode())
        pointer = "/" + name[:64].replace("~", "~0").replace("/", "~1")
        assert_field(assert_problem(answer, 422, "validation_error"), pointer, "unknown_field")
        assert len(answer.content) < 2000


WRONG_TYPES = (None, True, False, 0, -1, 1.5, "", [], {}, [1], {"a": 1}, "\u0000")


@each_route
async def test_a_member_of_the_wrong_type_is_named(sender: Person, route: Route) -> None:
    """Nothing is converted: what is not of the member's type is refused under its name."""
    for name, sound in route.sound.items():
        for value in WRONG_TYPES:
            if type(value) is type(sound) or (name == "amount" and isinstance(value, (int, float))):
                continue
            answer = await send(sender, route, json.dumps({**route.sound, name: value}).encode())
            assert answer.status_code == 422, (name, value, answer.text)
            assert_field(assert_problem(answer, 422, "validation_error"), f"/{name}")


JSON_TYPES = (
    "application/json", "APPLICATION/JSON", "application/json;", "application/json; charset=utf-8",
    'application/json;charset="UTF-8"', "application/json ;\tcharset=utf-8",
    "application/json; Charset=UTF8",
)  # fmt: skip
OTHER_TYPES = (
    b"application/json; charset=utf-16", b"application/json; charset=iso-8859-1",
    b"application/json; charset=", b"application/json; charset=utf-8; charset=utf-16",
    b"application/json, application/json", b"application/problem+json", b"text/json; charset=utf-8",
    b"\xa0application/json", b"application/json\xa0", b"application/json; charset=\xa0utf-8",
    b"application/json/", b"application\\json", b"/", b";charset=utf-8",
)  # fmt: skip


@each_route
async def test_the_media_type_is_json_in_utf8(sender: Person, route: Route) -> None:
    """However it is written, and nothing else, doubled or decorated."""
    body = json.dumps({**route.sound, "no_such": 1}).encode()
    for taken in JSON_TYPES:
        answer = await send(sender, route, body, **{"Content-Type": taken})
        assert answer.status_code == 422, (taken, answer.text)
    for refused in OTHER_TYPES:
        answer = await sender.request(
            route.method, route.path, content=body, headers={b"Content-Type": refused}
        )
        assert_problem(answer, 415, "unsupported_media_type")


@each_route
async def test_a_compressed_body_is_not_unpacked(sender: Person, route: Route) -> None:
    """Whatever the coding is called, and if it is called so twice: nothing can be larger than it came."""
    body = gzip.compress(json.dumps(route.sound).encode())
    for coding in ("gzip", "GZIP", "x-gzip", "identity, gzip", "zstd", ""):
        answer = await send(sender, route, body, **{"Content-Encoding": coding})
        assert_problem(answer, 415, "unsupported_media_type")
    twice = [("Content-Encoding", "identity"), ("Content-Encoding", "identity"), *JSON.items()]
    answer = await sender.service.client.request(
        route.method, route.path, content=json.dumps(route.sound), headers=[*twice, *sender.headers.items()]
    )
    assert_problem(answer, 415, "unsupported_media_type")
