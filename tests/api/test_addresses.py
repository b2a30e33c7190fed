"""Paths and queries that are nearly ours: paths are exact, and a query is read once, whole, or refused."""

import pytest

from tests.api.raw import RawAnswer, exchange, request
from tests.support.service import Person

NOT_FOUND = (
    b"*", b"//healthz", b"/healthz/", b"/./healthz", b"/x/../healthz", b"/%2e%2e/healthz", b"/healthz;x=1",
    b"/healthz%00", b"/healthz%20", b"/healthz%0d%0aX-Injected:1", b"/HEALTHZ", b"/%2568ealthz", b"/healthz%",
    b"/health%zz", b"/%ff", b"/%c0%ae%c0%ae/healthz", b"/%f0%9f%92%b0", b"/\\healthz",
    b"/healthz/..;/", b"/docs/../../etc/passwd", b"/docs%2f..%2fetc", b"//evil.example/%2f..",
    b"/" + b"a" * 9000, b"/" + b"%61" * 3000, b"/" + b"a/" * 4000, b"/" + b"%" * 4000,
    b"/api/stake/%2e%2e", b"/api/stake/..", b"/openapi.json.bak", b"/docs.css.map",
    b"/.well-known/x", b"/api/stake/%00", b"/http://healthz",
)  # fmt: skip


async def get(url: str, target: bytes, *fields: bytes) -> RawAnswer:
    answer = await exchange(url, request("GET", target, *fields))
    assert answer is not None
    return answer


@pytest.mark.parametrize("target", NOT_FOUND, ids=lambda target: target[:40].decode())
async def test_paths_are_exact(resident: bytes, api_url: str, target: bytes) -> None:
    """What is to be unpacked, folded or climbed first is not found; the answer repeats little of it."""
    answer = await get(api_url, target, resident)
    problem = answer.problem()
    assert problem["code"] == "not_found"
    assert problem["instance"].isascii()
    assert len(answer.body) < 2500
    assert not answer.get("x-injected")


async def test_one_path_may_be_spelt_in_several_ways(api_url: str) -> None:
    """Letters may be escaped, an absolute address may be asked, and a fragment is not part of a request."""
    for target in (
        b"/healthz",
        b"/%68ealthz",
        b"/%68%65%61lthz",
        b"http://other.example/healthz",
        b"/healthz?",
    ):
        assert (await get(api_url, target)).status == 200, target


async def test_an_endless_path_is_refused(api_url: str) -> None:
    """Longer than any head may be: 400, and the connection ends."""
    answer = await exchange(api_url, request("GET", b"/" + b"a" * 70_000))
    # The answer may be lost where it comes while we still send.
    assert answer is None or answer.status in (400, 431)


QUERIES = (
    (b"page=%00", "?page"), (b"page=1%00", "?page"), (b"page=%EF%BC%91", "?page"), (b"page=%2531", "?page"),
    (b"page=%201", "?page"), (b"page=1+", "?page"), (b"page=%2B1", "?page"), (b"page=010", "?page"),
    (b"page=-0", "?page"), (b"page=0x1", "?page"), (b"page=1e0", "?page"), (b"page=1.", "?page"),
    (b"page=%u0031", "?page"), (b"page=%F0%9D%9F%8F", "?page"), (b"limit=%E2%82%81", "?limit"),
    (b"limit=%D9%A3", "?limit"), (b"page=1;limit=2", "?page"), (b"page=1%26limit=5", "?page"),
    (b"page=1?limit=1", "?page"), (b"?page=1", "??page"), (b"page[]=1", "?page[]"),
    (b"page%5B%5D=1", "?page[]"),
    (b"=1", "?"), (b"%00=1", "?\x00"), (b"__proto__=1", "?__proto__"), (b"p%C3%A4ge=1", "?p\xe4ge"),
    (b"page%20=1", "?page "), (b"page=1&%70age=2", "?page"), (b"page=1&PAGE=2", "?PAGE"),
    (b"limit=1" + b"0" * 5000, "?limit"), (b"cursor=" + b"A" * 5000, "?cursor"), (b"cursor=%00", "?cursor"),
    (b"x" * 5000 + b"=1", "?" + "x" * 64), (b"page=NaN", "?page"), (b"page=null", "?page"),
    (b"limit=1,2", "?limit"),
    (b"%3Cscript%3E=1", "?<script>"), (b"limit=%31%30%31", "?limit"),
)  # fmt: skip


@pytest.mark.parametrize(("query", "field"), QUERIES, ids=lambda value: str(value)[:40])
async def test_a_parameter_that_is_not_taken_is_named(
    resident: bytes, api_url: str, query: bytes, field: str
) -> None:
    """ASCII digits alone make a number, and every name is known: 422 with the name, once it was unescaped."""
    problem = (await get(api_url, b"/api/stake?" + query, resident)).problem()
    assert problem["code"] == "validation_error"
    assert [one["pointer"] for one in problem["errors"]] == [field]


UNREADABLE = (
    b"&", b"&&&", b"page", b"page&limit=1", b"page=1&&limit=2", b"page=1&", b"a=%ff", b"%ff=1",
    b"page=%c0%b1", b"page=%ed%a0%80", b"page=1&" * 30 + b"x=1", b"x" * 15_000,
)  # fmt: skip


@pytest.mark.parametrize("query", UNREADABLE, ids=lambda query: query[:40].decode())
async def test_a_query_that_cannot_be_read_is_refused_whole(
    resident: bytes, api_url: str, query: bytes
) -> None:
    """No part of it is taken for the whole."""
    problem = (await get(api_url, b"/api/stake?" + query, resident)).problem()
    assert (problem["code"], problem["detail"]) == ("validation_error", "The query could not be read.")


@pytest.mark.parametrize("query", [b"page=\xd9\xa3", b"page=\xff", b"page=1 2", b"page=\x00", b"page=1\x7f"])
async def test_a_query_is_ascii(resident: bytes, api_url: str, query: bytes) -> None:
    """Bytes that no address may have are 400, before anything is read."""
    answer = await get(api_url, b"/api/stake?" + query, resident)
    assert answer.problem()["code"] == "malformed_request"


async def test_escapes_are_read_once(person: Person, api_url: str) -> None:
    """A parameter may be escaped, letter by letter; the values are those of its plain spelling."""
    token = b"Authorization: Bearer " + person.token.encode()
    for _ in range(3):
        await person.stake()
    plain = await get(api_url, b"/api/stake?page=2&limit=2", token)
    for query in (b"%70%61%67%65=%32&limit=2", b"limit=%32&page=2", b"page=2&limit=2#page=1"):
        again = await get(api_url, b"/api/stake?" + query, token)
        assert again.status == 200
        assert again.get("etag") == plain.get("etag")


async def test_where_there_is_no_query_it_is_passed_over(resident: bytes, api_url: str) -> None:
    """However long or broken, on calls that have none."""
    for target in (b"/api/me", b"/api/plans", b"/healthz", b"/openapi.json"):
        for query in (b"x=1", b"%", b"&&", b"page=1&page=2", b"a" * 15_000):
            assert (await get(api_url, target + b"?" + query, resident)).status == 200
