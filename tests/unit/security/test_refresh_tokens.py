"""A refresh token has one spelling, and what is stored of it does not give it away."""

import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.errors import AuthenticationError
from stakehold.security.refresh_tokens import RefreshToken, new_refresh_token
from tests.support.fakes import SeededEntropy

TOKENS = st.builds(RefreshToken, st.uuids(), st.uuids(), st.binary(min_size=32, max_size=32))
TOKEN = new_refresh_token(UUID(int=1), UUID(int=2), SeededEntropy(1))
TEXT = TOKEN.encode()


@given(TOKENS)
def test_decoding_gives_what_was_encoded(token: RefreshToken) -> None:
    """Encoding and decoding lose nothing; the text is 90 characters that need no quoting anywhere."""
    text = token.encode()
    assert RefreshToken.decode(text) == token
    assert len(text) == 90
    assert text.startswith("shr_")
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text() | st.text(alphabet="AZaz09-_", min_size=86, max_size=86).map("shr_".__add__))
def test_any_other_text_is_refused(text: str) -> None:
    """Whatever is presented is either the one spelling of a token or refused as one."""
    try:
        token = RefreshToken.decode(text)
    except AuthenticationError:
        return
    assert token.encode() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT + "A",
        TEXT + "==",
        TEXT.removeprefix("shr_") + "AAAA",
        "SHR_" + TEXT[4:],
        " " + TEXT[:-1],
        TEXT[:-1] + chr(ord(TEXT[-1]) + 1),
        TEXT[:-1] + "=",
        TEXT[:-1] + "é",
        TEXT[:40] + "+" + TEXT[41:],
        TEXT[:40] + "\n" + TEXT[41:],
    ],
)
def test_what_is_not_the_spelling_is_refused(text: str) -> None:
    """Cut, padded, in another alphabet, or with the last character's spare bits set: refused."""
    with pytest.raises(AuthenticationError) as caught:
        RefreshToken.decode(text)
    assert caught.value.code == "invalid_refresh_token"


def test_the_hash_is_sha_256_of_the_secret() -> None:
    """What is stored is the plain SHA-256 of the 32 secret bytes."""
    assert TOKEN.hash() == hashlib.sha256(TOKEN.secret).digest()
    assert len(TOKEN.secret) == 32


def test_every_new_token_has_another_secret() -> None:
    """One session's tokens all differ."""
    entropy = SeededEntropy(7)
    assert len({new_refresh_token(UUID(int=1), UUID(int=2), entropy).secret for _ in range(100)}) == 100


def test_printing_a_token_does_not_show_its_secret() -> None:
    """A token that ends up in a log or a traceback gives nothing away."""
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert TOKEN.secret.hex() not in repr(TOKEN)
    assert "secret" not in repr(TOKEN)
