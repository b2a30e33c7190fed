"""POST /api/stake answers 400 when the body is not JSON at all, whatever is wrong with it."""

import pytest

from tests.support.service import Person, assert_problem

JSON = {"Content-Type": "application/json"}

BROKEN = {
    "empty": b"",
    "white space": b"  \n",
    "cut short": b'{"amount": 1, "period": 12',
    "trailing comma": b'{"amount": 1, "period": 12,}',
    "single quotes": b"{'amount': 1, 'period': 12}",
    "a comment": b'{"amount": 1, /* locked */ "period": 12}',
    "two values": b'{"amount": 1, "period": 12}{"amount": 2, "period": 12}',
    "something after": b'{"amount": 1, "period": 12} ;',
    "NaN": b'{"amount": NaN, "period": 12}',
    "Infinity": b'{"amount": Infinity, "period": 12}',
    "minus Infinity": b'{"amount": -Infinity, "period": 12}',
    "leading zero": b'{"amount": 01, "period": 12}',
    "leading plus": b'{"amount": +1, "period": 12}',
    "hexadecimal": b'{"amount": 0x10, "period": 12}',
    "grouped": b'{"amount": 1_000, "period": 12}',
    "bare fraction": b'{"amount": .5, "period": 12}',
    "unfinished fraction": b'{"amount": 5., "period": 12}',
    "no UTF-8": b'{"amount": "\xff", "period": 12}',
    "overlong UTF-8": b'{"amount": "\xc0\xb1", "period": 12}',
    "half a surrogate pair as UTF-8": b'{"amount": "\xed\xa0\x80", "period": 12}',
    "half a surrogate pair as a name": b'{"\\ud800": 1, "amount": 1, "period": 12}',
    "half a surrogate pair as a name, twice": b'{"\\ud800": 1, "\\ud800": 2}',
    "UTF-16": '{"amount": 1, "period": 12}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"amount": 1, "period": 12}',
    "raw control character": b'{"amount": "1\x01", "period": 12}',
    "raw line break": b'{"amount": "1\n", "period": 12}',
    "unknown escape": b'{"amount": "\\x31", "period": 12}',
    "a form": b"amount=1&period=12",
}

NESTED = {
    "arrays nested deep": b'{"amount": ' + b"[" * 8000 + b"]" * 8000 + b', "period": 12}',
    "objects nested deep": b'{"amount": ' + b'{"a":' * 2500 + b"1" + b"}" * 2500 + b', "period": 12}',
    "nested without end": b"[" * 16_000,
    "brackets after a string that holds some": b'{"amount": "]]]]", "period": '
    + b"[" * 33
    + b"]" * 33
    + b"}",
}


async def test_what_is_not_json_is_malformed(person: Person) -> None:
    """400 for each, and the parser's own words stay inside."""
    for name, body in BROKEN.items():
        answer = await person.post("/api/stake", content=body, headers=JSON)
        assert answer.status_code == 400, (name, answer.text)
        problem = assert_problem(answer, 400, "malformed_request")
        assert problem["detail"] == "The body is not valid JSON."
        assert "errors" not in problem
    assert (await person.list_stakes())["items"] == []


@pytest.mark.parametrize(
    "body", [b'{"amount":1,"amount":2,"period":12}', b'{"amount":1,"period":12,"\\u0070eriod":1}']
)
async def test_a_field_given_twice_is_refused(person: Person, body: bytes) -> None:
    """Two readers of one body must not see two amounts; escapes do not hide the second."""
    problem = assert_problem(
        await person.post("/api/stake", content=body, headers=JSON), 422, "validation_error"
    )
    assert problem["errors"][0]["code"] == "repeated"
    assert (await person.list_stakes())["items"] == []


async def test_what_is_nested_too_deep_is_malformed(person: Person) -> None:
    """400 beyond 32 levels, whatever this Python's parser could follow; brackets in a string are text."""
    for name, body in NESTED.items():
        answer = await person.post("/api/stake", content=body, headers=JSON)
        problem = assert_problem(answer, 400, "malformed_request")
        assert problem["detail"] == "The body is nested more than 32 deep.", name
    text = b'{"amount": "' + b"[" * 40 + b'", "period": 12}'
    answer = await person.post("/api/stake", content=text, headers=JSON)
    assert_problem(answer, 422, "validation_error")
