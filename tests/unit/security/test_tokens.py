"""Only what this service signed, for itself, not long ago, is an access token."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.errors import AuthenticationError
from stakehold.domain.ids import new_id
from stakehold.security import tokens
from stakehold.security.tokens import AccessTokens, Claims
from tests.support.fakes import ManualClock, SeededEntropy
from tests.support.forged_tokens import FORGED_TOKENS, OTHER_SECRET, Forge, parts, resign, sign

SECRET = "kq2Lr0r5uXn9b6Wm3yTz8vCe1fGh4jKs"
OLD_SECRET = "Zx8Cv7Bn6Mq5We4Rt3Yu2Io1Pa0Sd9Fg"
USER = UUID("0192f0c1-2345-7abc-8def-0123456789ab")
SESSION = UUID("0192f0c1-9999-7abc-9def-ba9876543210")


def access_tokens(
    clock: ManualClock, secret: str = SECRET, previous_secret: str | None = None
) -> AccessTokens:
    return AccessTokens(secret=secret, previous_secret=previous_secret, clock=clock, entropy=SeededEntropy(1))


def refusal(of: AccessTokens, token: str) -> str:
    """The code `token` is refused with."""
    with pytest.raises(AuthenticationError) as caught:
        of.verify(token)
    return caught.value.code


def test_a_token_says_who_in_which_session_and_epoch_until_when(clock: ManualClock) -> None:
    """What was issued is what is verified."""
    issuer = access_tokens(clock)
    expires_at_s = clock.now_ms() // 1000 + 900
    for _ in ("read", "remembered"):
        claims = issuer.verify(issuer.issue(USER, SESSION, 7))
        assert claims == Claims(USER, str(SESSION), 7, expires_at_s, str(USER))


def test_a_token_has_the_documented_header_and_claims(clock: ManualClock) -> None:
    """Header and claims are these and no others."""
    header, payload, _ = parts(access_tokens(clock).issue(USER, SESSION, 7))
    now_s = clock.now_ms() // 1000
    assert set(header) == {"alg", "typ", "kid"}
    assert (header["alg"], header["typ"]) == ("HS256", "at+jwt")
    assert len(payload.pop("jti")) == 22
    assert payload == {
        "iss": "stakehold",
        "aud": "stakehold",
        "sub": str(USER),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 900,
        "sid": str(SESSION),
        "epoch": 7,
    }


def test_a_token_says_what_its_user_may_do(clock: ManualClock) -> None:
    """`scope` is there for an operator, and verified with the rest; others' tokens have none."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7, "admin")
    assert parts(token)[1]["scope"] == "admin"
    assert issuer.verify(token).scope == "admin"
    assert issuer.verify(issuer.issue(USER, SESSION, 7)).scope == ""


@pytest.mark.parametrize("scope", [None, 1, True, ["admin"], {"admin": True}])
def test_a_scope_is_text(scope: object, clock: ManualClock) -> None:
    """Signed or not: what could be read in two ways is not read."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    _, payload, _ = parts(token)
    assert refusal(issuer, resign(token, {**payload, "scope": scope}, SECRET)) == "invalid_token"


@pytest.mark.parametrize(("name", "forge"), FORGED_TOKENS, ids=[name for name, _ in FORGED_TOKENS])
def test_a_forged_token_is_refused(name: str, forge: Forge, clock: ManualClock) -> None:
    """Every kind of forgery is refused, whether or not the token it was made from is remembered."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    forged = forge(token, SECRET)
    assert forged != token
    expected = "token_expired" if name == "expired" else "invalid_token"
    assert refusal(issuer, forged) == expected
    issuer.verify(token)
    assert refusal(issuer, forged) == expected


def test_forging_without_a_change_gives_the_token_itself(clock: ManualClock) -> None:
    """The forging helpers write what we do: what a forgery is refused for is what was changed in it."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    header, payload, _ = parts(token)
    assert resign(token, payload, SECRET) == sign(header, payload, SECRET) == token


def test_an_unknown_claim_is_ignored(clock: ManualClock) -> None:
    """A later version may add claims while this one still runs."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    assert issuer.verify(resign(token, {**parts(token)[1], "scope": "read"}, SECRET)).epoch == 7


@given(st.data())
def test_no_single_character_can_be_changed(data: st.DataObject) -> None:
    """A token with any one character replaced is refused."""
    issuer = access_tokens(ManualClock())
    token = issuer.issue(USER, SESSION, 7)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[at]))
    assert refusal(issuer, token[:at] + other + token[at + 1 :]) == "invalid_token"


@given(st.text())
def test_no_text_makes_verification_fail_otherwise(text: str) -> None:
    """Whatever is presented, the answer is a refusal."""
    assert refusal(access_tokens(ManualClock()), text) == "invalid_token"


@pytest.mark.parametrize("remembered", [True, False])
def test_a_token_expires_to_the_millisecond(remembered: bool, clock: ManualClock) -> None:
    """It is good until the last millisecond before `exp`, and refused from there on, remembered or not."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    if remembered:
        issuer.verify(token)
    clock.advance(899.999)
    assert (issuer if remembered else access_tokens(clock)).verify(token).user_id == USER
    clock.advance(0.001)
    assert refusal(issuer if remembered else access_tokens(clock), token) == "token_expired"


def test_a_clock_behind_the_issuers_is_tolerated_within_the_leeway() -> None:
    """A token from a process whose clock is 30 s ahead is good; from 31 s ahead it is refused."""
    ahead = ManualClock()
    token = access_tokens(ahead).issue(USER, SESSION, 7)
    assert access_tokens(ManualClock(ahead.now_ms() - 30_000)).verify(token).user_id == USER
    assert refusal(access_tokens(ManualClock(ahead.now_ms() - 31_000)), token) == "invalid_token"


def test_the_previous_secret_still_verifies(clock: ManualClock) -> None:
    """After a rotation old tokens are good and new ones are signed with the new secret."""
    old, rotated, later = (
        access_tokens(clock, OLD_SECRET),
        access_tokens(clock, SECRET, OLD_SECRET),
        access_tokens(clock, SECRET),
    )
    assert rotated.verify(old.issue(USER, SESSION, 7)).user_id == USER
    assert later.verify(rotated.issue(USER, SESSION, 7)).user_id == USER
    assert refusal(later, old.issue(USER, SESSION, 7)) == "invalid_token"


def test_a_key_does_not_verify_under_the_others_id(clock: ManualClock) -> None:
    """A token that names one key and is signed with the other is refused."""
    rotated = access_tokens(clock, SECRET, OLD_SECRET)
    token = rotated.issue(USER, SESSION, 7)
    assert refusal(rotated, resign(token, parts(token)[1], OLD_SECRET)) == "invalid_token"


def test_the_key_id_tells_keys_apart_and_stays() -> None:
    """The same secret has the same id in every process; another secret has another."""
    assert tokens.key_id(SECRET.encode()) == tokens.key_id(SECRET.encode())
    assert len({tokens.key_id(secret.encode()) for secret in (SECRET, OLD_SECRET, OTHER_SECRET)}) == 3


def test_every_token_is_another(clock: ManualClock) -> None:
    """Two tokens for one session at one moment differ."""
    issuer = access_tokens(clock)
    assert len({issuer.issue(USER, SESSION, 7) for _ in range(50)}) == 50


def test_the_table_of_verified_tokens_is_bounded(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never holds more than its size; the oldest goes first, and is read again when presented."""
    monkeypatch.setattr(tokens, "VERIFIED_TOKENS_MAX", 8)
    issuer = access_tokens(clock)
    issued = [issuer.issue(new_id(clock, SeededEntropy(n)), SESSION, n) for n in range(20)]
    for number, token in enumerate(issued):
        assert issuer.verify(token).epoch == number
        assert len(issuer._verified) == min(number + 1, 8)
    assert list(issuer._verified) == issued[-8:]
    assert issuer.verify(issued[0]).epoch == 0


def test_what_is_refused_is_not_kept(clock: ManualClock) -> None:
    """Forged and expired tokens take no room in the table."""
    issuer = access_tokens(clock)
    token = issuer.issue(USER, SESSION, 7)
    for _, forge in FORGED_TOKENS:
        refusal(issuer, forge(token, SECRET))
    issuer.verify(token)
    clock.advance(900)
    refusal(issuer, token)
    assert not issuer._verified


@pytest.mark.parametrize("ttl_s", [0, -1, 901])
def test_a_life_beyond_the_limit_cannot_be_set(ttl_s: int, clock: ManualClock) -> None:
    """Revoked sessions are remembered for longer than 900 s, and so no token may live longer."""
    with pytest.raises(ValueError, match="900"):
        AccessTokens(secret=SECRET, previous_secret=None, clock=clock, entropy=SeededEntropy(1), ttl_s=ttl_s)


def test_a_refusal_says_nothing_of_the_token(clock: ManualClock) -> None:
    """The detail is one sentence, whatever was wrong."""
    issuer = access_tokens(clock)
    details = set()
    for name, forge in FORGED_TOKENS:
        with pytest.raises(AuthenticationError) as caught:
            issuer.verify(forge(issuer.issue(USER, SESSION, 7), SECRET))
        details.add((name == "expired", caught.value.detail))
    assert details == {(False, "The access token is not valid."), (True, "The access token has expired.")}


def test_forgeries_are_of_many_kinds() -> None:
    """There are at least 24, each of its own name and its own text."""
    token = access_tokens(ManualClock()).issue(USER, SESSION, 7)
    assert len({name for name, _ in FORGED_TOKENS}) == len(FORGED_TOKENS) >= 24
    assert len({forge(token, SECRET) for _, forge in FORGED_TOKENS}) == len(FORGED_TOKENS)
