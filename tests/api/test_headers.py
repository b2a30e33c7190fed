"""Heads as bytes that no client library would send: nothing is guessed at, split, folded or repeated back."""

import secrets

import pytest

from tests.api.raw import RawAnswer, connected, exchange, request
from tests.support.service import Person

JSON = b"Content-Type: application/json"
STAKE = b'{"amount":"1","period":12}'
CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = b"1a\r\n" + STAKE + b"\r\n0\r\n\r\n"


def bearer(person: Person) -> bytes:
    return b"Authorization: Bearer " + person.token.encode()


async def asked(url: str, *parts: bytes) -> RawAnswer:
    answer = await exchange(url, *parts)
    assert answer is not None
    return answer


async def stakes_of(person: Person) -> int:
    return len((await person.list_stakes())["items"])


FRAMINGS = {
    "two lengths that agree": (b"Content-Length: 26", b"Content-Length: 26"),
    "two lengths": (b"Content-Length: 26", b"Content-Length: 5"),
    "a list of lengths": (b"Content-Length: 26, 26",),
    "a sign": (b"Content-Length: +26",),
    "less than nothing": (b"Content-Length: -1",),
    "hexadecimal": (b"Content-Length: 0x1a",),
    "no digits": (b"Content-Length: ",),
    "a space between digits": (b"Content-Length: 2 6",),
    "a vertical tab": (b"Content-Length: \x0b26",),
    "digits of another script": ("Content-Length: ٢٦".encode(),),
    "no number could be so large": (b"Content-Length: 99999999999999999999999",),
    "26 when it has run over": (b"Content-Length: 18446744073709551642",),
    "a length and chunks": (CHUNKED, b"Content-Length: 26"),
    "chunked twice": (CHUNKED, CHUNKED),
    "chunked, then compressed": (b"Transfer-Encoding: chunked, gzip",),
    "compressed, then chunked": (b"Transfer-Encoding: gzip, chunked",),
    "identity": (b"Transfer-Encoding: identity",),
    "not quite chunked": (b"Transfer-Encoding: xchunked",),
    "a vertical tab before chunked": (b"Transfer-Encoding: \x0bchunked",),
    "a space before the colon": (b"Transfer-Encoding : chunked",),
    "folded": (b"Transfer-Encoding:\r\n chunked",),
}


@pytest.mark.parametrize("fields", FRAMINGS.values(), ids=FRAMINGS.keys())
async def test_a_body_whose_end_is_in_doubt_is_not_read(
    person: Person, api_url: str, fields: tuple[bytes, ...]
) -> None:
    """What another server might frame otherwise is 400 here, and makes nothing."""
    head = request("POST", "/api/stake", bearer(person), JSON, *fields)
    for body in (STAKE, IN_CHUNKS):
        answer = await asked(api_url, head, body)
        assert answer.status == 400, answer
        assert answer.problem()["code"] == "malformed_request"
    assert await stakes_of(person) == 0


CHUNK_SIZES = (
    b"+1a\r\n", b"-1a\r\n", b"0x1a\r\n", b"1a \r\n", b" 1a\r\n", b"1a\n", b"\r\n1a\r\n", b"1a\r\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n", b"1a;\x00\r\n", b'1a;a="\r\n"\r\n', b"\r\n", b"1a:x\r\n",
)  # fmt: skip


@pytest.mark.parametrize("size", CHUNK_SIZES)
async def test_a_chunk_says_its_size_in_hexadecimal_alone(person: Person, api_url: str, size: bytes) -> None:
    """As RFC 9112 writes it, and in no other way; the connection ends, since nobody knows where it stands."""
    head = request("POST", "/api/stake", bearer(person), JSON, CHUNKED)
    answer = await asked(api_url, head, size, STAKE, b"\r\n0\r\n\r\n")
    assert answer.problem()["code"] == "malformed_request"
    assert answer.get("connection") == ["close"]
    assert await stakes_of(person) == 0


async def test_chunks_are_a_body_like_any_other(person: Person, api_url: str) -> None:
    """Size in either case, with extensions, which say nothing; in one piece and in many."""
    head = request("POST", "/api/stake", bearer(person), JSON, CHUNKED)
    single = b"".join(b"1\r\n%c\r\n" % byte for byte in STAKE) + b"0\r\n\r\n"
    for body in (IN_CHUNKS, IN_CHUNKS.replace(b"1a", b"001A;a=b", 1), single):
        assert (await asked(api_url, head, body)).status == 201
    assert await stakes_of(person) == 3


LINES = {
    "folded": b"X-A: 1\r\n 2",
    "a space before the colon": b"X-A : 1",
    "no colon": b"X-A",
    "no name": b": 1",
    "a carriage return": b"X-A: a\rb",
    "NUL in a value": b"X-A: a\x00b",
    "a control character": b"X-A: a\x01b",
    "DEL": b"X-A: a\x7fb",
    "NUL in a name": b"X-\x00A: 1",
    "a bracket in a name": b"X-(A): 1",
    "not ASCII in a name": b"X-\xff: 1",
    "NUL in a request id": b"X-Request-Id: a\x00b",
    "a second Host": b"Host: y",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
async def test_a_line_that_is_no_field_is_refused(api_url: str, line: bytes) -> None:
    """400, and not a word of it comes back."""
    answer = await asked(api_url, request("GET", "/api/plans", line))
    assert answer.status == 400
    assert answer.problem()["code"] == "malformed_request"
    assert b"X-" not in answer.body


HOSTS = (b"a b", b"a,b", b"a/b", b"user@a", b"a?b", b"\xff", b"a\tb", b'"a"', b"<a>", b"{a}", b"a\\b", b"a|b")


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_is_a_name_or_an_address(api_url: str, host: bytes) -> None:
    """RFC 9112, section 3.2: what cannot be one is 400; whatever can be is taken, and plays no part."""
    assert (await asked(api_url, request("GET", "/api/plans", host=host))).status == 400
    for other in (b"", b"localhost:8000", b"[::1]:80", b"192.0.2.1", b"xn--bcher-kva.example."):
        assert (await asked(api_url, request("GET", "/api/plans", host=other))).status == 200


REQUEST_LINES = (
    b"GET /healthz http/1.1", b"GET /healthz HTTP/1.10", b"GET /healthz HTTP/9.9", b"GET /healthz ICY/1.1",
    b"GET /healthz HTTP/1.1 ", b"get /healthz HTTP/1.1", b"G\x00ET /healthz HTTP/1.1",
    b" GET /healthz HTTP/1.1", b"/healthz HTTP/1.1", b"GET healthz HTTP/1.1", b"GET /health z HTTP/1.1",
    b"GET /healthz\x00 HTTP/1.1", b"GET /healthz\x7f HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /\t HTTP/1.1",
    b"PRI * HTTP/2.0", b"NOSUCHMETHOD /healthz HTTP/1.1", b"X" * 300 + b" / HTTP/1.1", b"GET", b"\x00",
    b"CONNECT evil.example:443 HTTP/1.1", b"GET http://[::1/healthz HTTP/1.1",
)  # fmt: skip


@pytest.mark.parametrize("line", REQUEST_LINES)
async def test_what_is_no_request_line_is_refused(api_url: str, line: bytes) -> None:
    """400 as a problem, and the connection ends."""
    answer = await asked(api_url, line, b"\r\nHost: x\r\n\r\n")
    assert answer.status == 400
    assert answer.problem()["code"] == "malformed_request"
    assert answer.get("connection") == ["close"]


@pytest.mark.parametrize("count", [1000, 4000])
async def test_many_fields_cost_no_more_than_their_size(api_url: str, count: int) -> None:
    """Thousands of short ones are read or refused like few long ones, by their size together."""
    fields = [b"X-%04d: a" % number for number in range(count)]
    size = sum(len(field) + 2 for field in fields)
    answer = await asked(api_url, request("GET", "/api/plans", *fields))
    assert answer.status == (200 if size < 16_000 else 431)


async def test_two_tokens_are_none(person: Person, api_url: str) -> None:
    """A second Authorization, good or not, before or after: nobody is to wonder which one was read."""
    good, bad = bearer(person), b"Authorization: Bearer x"
    assert (await asked(api_url, request("GET", "/api/me", good))).status == 200
    for fields in (
        (good, good),
        (good, bad),
        (bad, good),
        (good, b"authorization: "),
        (b"AUTHORIZATION:", good),
    ):
        assert (await asked(api_url, request("GET", "/api/me", *fields))).problem()["code"] == "invalid_token"


CREDENTIALS = (
    b"", b"Bearer", b"Bearer ", b"Basic dGVzdHVzZXI6cGFzc3dvcmQxMjM=", b"Token %s", b"%s", b"Bearer\t%s",
    b"Bearer %s x", b"Bearer %s,", b"Bearer %s.", b"Bearer %s=", b'Bearer "%s"', b"Bearer \xff%s",
    b"Bearer %s\xa0", b"Bearer Bearer %s", b"Digest username=a, Bearer %s",
)  # fmt: skip


@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_a_token_stands_alone_after_its_scheme(
    person: Person, api_url: str, credentials: bytes
) -> None:
    """Nothing is stripped from it, unpacked or looked for behind it."""
    sent = credentials.replace(b"%s", person.token.encode())
    answer = await asked(api_url, request("GET", "/api/me", b"Authorization: " + sent))
    assert answer.problem()["code"] == "invalid_token"
    assert person.token.encode() not in answer.body


REQUEST_IDS = (
    b"a\r\nX-Injected: 1", b"%0d%0aX-Injected: 1", b"\xe4", b"\xe2\x80\xa8X-Injected: 1", b"a b", b"a;b",
    b"<script>", b"\x85X-Injected: 1", b"x" * 5000, b"a, b", b"${jndi:ldap://x}",
)  # fmt: skip


@pytest.mark.parametrize("given", REQUEST_IDS)
async def test_nothing_is_injected_by_what_is_repeated(api_url: str, given: bytes) -> None:
    """The request id comes back as it is where it is harmless, and else not at all; the path, escaped."""
    answer = await asked(api_url, request("GET", "/no/where", b"X-Request-Id: " + given))
    assert answer.problem()["code"] == "not_found"
    assert not answer.get("x-injected")
    [identifier] = answer.get("x-request-id")
    assert identifier == "a" if b"\r\n" in given else len(identifier) == 32
    assert b"Injected" not in answer.body


async def test_two_request_ids_are_none(api_url: str) -> None:
    """A new one is made."""
    answer = await asked(api_url, request("GET", "/no", b"X-Request-Id: a", b"X-Request-Id: b"))
    [identifier] = answer.get("x-request-id")
    assert len(identifier) == 32


ETAGS = (
    b"", b'"', b"W/", b'W/"x', b'"a","b", ,', b"\xff\xff", b'W/W/"x"', b"," * 10_000, b'"*"', b"w/%s",
    b"%s x", b'""', b"'x'", b"a" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize("given", ETAGS)
async def test_an_etag_that_is_none_matches_nothing(resident: bytes, api_url: str, given: bytes) -> None:
    """If-None-Match is for those who know the answer: whatever else it says, the answer is given."""
    [etag] = (await asked(api_url, request("GET", "/api/stake", resident))).get("etag")
    field = b"If-None-Match: " + given.replace(b"%s", etag.removeprefix("W/").encode())
    assert (await asked(api_url, request("GET", "/api/stake", resident, field))).status == 200
    for known in (etag, f'"other" ,\t{etag}', "*"):
        field = b"If-None-Match: " + known.encode()
        answer = await asked(api_url, request("GET", "/api/stake", resident, field))
        assert (answer.status, answer.body) == (304, b"")


async def test_idempotency_keys_are_trimmed_of_blanks_alone(person: Person, api_url: str) -> None:
    """What another header parser would keep is kept: a key with a no-break space is no key."""
    key, to_stake = b"Idempotency-Key: ", ("POST", "/api/stake", bearer(person), JSON)
    for given in (
        b"\xa0key",
        b"key\xa0",
        b"\x85key",
        b'"key" "key"',
        b'"key";a=b',
        b"key,key",
        b'"\xc3\xa4"',
    ):
        answer = await asked(api_url, request(*to_stake, key + given, body=STAKE))
        assert [field["code"] for field in answer.problem()["errors"]] == ["invalid_key"], given
    identifiers = set()
    for given in (b"key", b'"key"', b" \t key \t", b'"k\x65y"'):
        answer = await asked(api_url, request(*to_stake, key + given, body=STAKE))
        assert answer.status == 201
        identifiers |= set(answer.get("location"))
    assert len(identifiers) == 1


async def test_asked_to_go_on_it_says_so_first(person: Person, api_url: str) -> None:
    """`Expect: 100-continue` is answered before the body is sent; another expectation is passed over."""
    head = request("POST", "/api/stake", bearer(person), JSON, b"Content-Length: 26", b"Expect: 100-continue")
    async with connected(api_url) as connection:
        connection.send(head)
        assert (await connection.answer()).status == 100
        connection.send(STAKE)
        assert (await connection.answer()).status == 201
    refused = request("POST", "/api/stake", JSON, b"Content-Length: 26", b"Expect: 100-continue")
    assert (await asked(api_url, refused)).status == 401
    other = request(
        "POST", "/api/stake", bearer(person), JSON, b"Expect: " + secrets.token_hex(4).encode(), body=STAKE
    )
    assert (await asked(api_url, other)).status == 201


async def test_no_other_protocol_is_spoken(api_url: str) -> None:
    """An offer to change to one is declined by answering in this one."""
    for offer in (b"websocket", b"h2c", b"TLS/1.0, HTTP/1.1"):
        fields = b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + offer, b"HTTP2-Settings: AAMAAABk"
        answer = await asked(api_url, request("GET", "/api/plans", *fields))
        assert answer.status == 200
        assert not answer.get("upgrade")
