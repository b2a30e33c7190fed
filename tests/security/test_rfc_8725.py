"""The advice of RFC 8725 on JSON Web Tokens, section by section, and the forgeries that each one rules out.

The forgeries themselves are refused in tests/unit/security/test_tokens.py, and over HTTP in
tests/http/create_stake/test_401.py. Here is shown that none of the advice has been forgotten, and what
refusing a token must not do.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import jwt
import pytest

from stakehold.domain.errors import AuthenticationError
from stakehold.security.secrets import check_jwt_secret
from stakehold.security.tokens import MAX_TOKEN_CHARACTERS, AccessTokens
from tests.support.fakes import ManualClock, SeededEntropy
from tests.support.forged_tokens import FORGED_TOKENS, parts, resign, segment, sign

SECRET = "kq2Lr0r5uXn9b6Wm3yTz8vCe1fGh4jKs"
OLD_SECRET = "Zx8Cv7Bn6Mq5We4Rt3Yu2Io1Pa0Sd9Fg"
USER = UUID("0192f0c1-2345-7abc-8def-0123456789ab")
SESSION = UUID("0192f0c1-9999-7abc-9def-ba9876543210")

# 3.4 is about curves and 3.5 about the key, which is asked for below; both need no token.
RULED_OUT = {
    "3.1 the algorithm is checked": (
        "alg none, no signature",
        "alg None, no signature",
        "alg NONE, no signature",
        "alg empty, no signature",
        "alg RS256 on the shared key",
        "alg in another case",
        "alg HS512",
        "alg HS384",
        "two algs",
    ),
    "3.2 no other algorithm is offered": ("alg HS512", "alg HS384", "compressed"),
    "3.3 every operation is checked": (
        "good header, signature left out",
        "good header, last segment left out",
        "one bit of the signature flipped",
        "signature cut short",
        "another user's id under the old signature",
        "signed with another key",
        "a token in a token",
        "five segments",
    ),
    "3.5 the key is no guess": ("signed with an empty key", "signed with the key id as key"),
    "3.6 nothing is unpacked": ("compressed",),
    "3.7 UTF-8 alone": ("claims that are no UTF-8", "a letter of another script"),
    "3.8 issuer and subject": (
        "another issuer",
        "no subject",
        "subject that is no id",
        "subject in another spelling",
        "subject in braces",
    ),
    "3.9 audience": ("another audience", "several audiences", "no audience"),
    "3.10 what a header says is not believed": (
        "own key in jwk",
        "own key at jku",
        "own key at x5u",
        "own certificate in x5c",
        "kid of a file known to all",
        "kid with SQL",
        "kid of another type",
        "unknown kid",
        "no kid",
        "critical extension",
        "unencoded payload",
    ),
    "3.11 the type is explicit": ("typ JWT", "no typ"),
    "3.12 rules for one kind of token refuse the others": ("no session", "no epoch", "no jti", "typ JWT"),
}
"""Sections of RFC 8725, and the names of the forgeries in tests/support/forged_tokens.py."""


@pytest.fixture
def tokens(clock: ManualClock) -> AccessTokens:
    return AccessTokens(secret=SECRET, previous_secret=OLD_SECRET, clock=clock, entropy=SeededEntropy(1))


@pytest.mark.parametrize("section", RULED_OUT)
def test_the_forgeries_of_a_section_are_refused(section: str, tokens: AccessTokens) -> None:
    """Each one, by a service that has two keys and remembers the token it was made from."""
    forge = dict(FORGED_TOKENS)
    token = tokens.issue(USER, SESSION, 7)
    tokens.verify(token)
    for name in RULED_OUT[section]:
        with pytest.raises(AuthenticationError):
            tokens.verify(forge[name](token, SECRET))


_touched: list[str] = []
_watching = False


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event.partition(".")[0] in ("open", "socket", "subprocess", "os", "import", "urllib"):
        _touched.append(f"{event} {arguments[:1]}")


@contextmanager
def _nothing_touched() -> Iterator[None]:
    """Fails for any file, connection, process or module that is opened meanwhile."""
    global _watching
    _touched.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    assert not _touched


@pytest.fixture(scope="module", autouse=True)
def audit() -> None:
    # A hook stays for good; outside of `_nothing_touched` it looks at nothing.
    sys.addaudithook(_note)


def test_no_token_makes_the_service_open_anything(tokens: AccessTokens) -> None:
    """Whatever `jku`, `x5u` or `kid` name: no file is read and nobody is called (3.10)."""
    token = tokens.issue(USER, SESSION, 7)
    forged = [forge(token, SECRET) for _, forge in FORGED_TOKENS]
    tokens.verify(token)
    with _nothing_touched():
        for each in forged:
            with pytest.raises(AuthenticationError):
                tokens.verify(each)
    with pytest.raises(AssertionError), _nothing_touched(), open("/dev/null"):
        pass


def test_a_header_of_somebody_else_is_not_even_read(
    tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that is not ours to the byte is refused before anything is decoded or computed (3.1, 3.10)."""
    token = tokens.issue(USER, SESSION, 7)
    header, payload, _ = parts(token)

    def not_reached(*_: object, **__: object) -> None:
        raise AssertionError("the token was decoded")

    monkeypatch.setattr(jwt.PyJWS, "decode", not_reached)
    respelled = [
        json.dumps(header).encode(),
        json.dumps({**header, "jku": "https://attacker.invalid"}, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(header.items())), separators=(",", ":")).encode(),
        b'{"alg":"HS256",' + json.dumps(header, separators=(",", ":")).encode()[1:],
    ]
    for raw in respelled:
        assert segment(raw) != token.partition(".")[0]
        with pytest.raises(AuthenticationError):
            tokens.verify(sign(raw, payload, SECRET))


def test_a_huge_token_is_refused_before_it_is_decoded(
    tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One character more than is allowed, or a megabyte: nothing is computed, and nothing is kept."""
    token = tokens.issue(USER, SESSION, 7)
    payload = parts(token)[1]
    huge = resign(token, {**payload, "note": "x" * 1_000_000}, SECRET)
    shortest = token + "A" * (MAX_TOKEN_CHARACTERS + 1 - len(token))

    def not_reached(*_: object, **__: object) -> None:
        raise AssertionError("the token was decoded")

    monkeypatch.setattr(jwt.PyJWS, "decode", not_reached)
    for each in (huge, shortest):
        with pytest.raises(AuthenticationError):
            tokens.verify(each)
    with pytest.raises(AssertionError, match="decoded"):
        tokens.verify(shortest[:-1])


@pytest.mark.parametrize(
    ("first", "last", "good"),
    [
        ('"exp":1', None, True),
        (None, '"exp":1', False),
        (None, '"sub":"somebody-else"', False),
        ('"aud":"another-service"', None, True),
        (None, '"aud":"another-service"', False),
    ],
)
def test_of_a_claim_given_twice_the_last_counts(
    tokens: AccessTokens, first: str | None, last: str | None, good: bool
) -> None:
    """Only our own key could sign it; the same one is checked and used (RFC 7519, section 4)."""
    token = tokens.issue(USER, SESSION, 7)
    claims = json.dumps(parts(token)[1], separators=(",", ":"))[1:-1]
    text = "{" + ",".join(filter(None, (first, claims, last))) + "}"
    twice = resign(token, text.encode(), SECRET)
    if good:
        assert tokens.verify(twice) == tokens.verify(token)
    else:
        with pytest.raises(AuthenticationError):
            tokens.verify(twice)


@pytest.mark.parametrize(
    "weak", ["", "short", "x" * 32, "password" * 5, "0123456789abcdef" * 2, "change-me-" * 4]
)
def test_a_weak_key_is_not_taken(weak: str) -> None:
    """In production: too short, one text over and over, or known from an example (3.5)."""
    with pytest.raises(ValueError, match="secret"):
        check_jwt_secret(weak)


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400)])
def test_times_at_the_ends_of_numbers_are_refused(tokens: AccessTokens, claim: str, number: int) -> None:
    """None of them overflows, or means for ever."""
    token = tokens.issue(USER, SESSION, 7)
    with pytest.raises(AuthenticationError):
        tokens.verify(resign(token, {**parts(token)[1], claim: number}, SECRET))
