"""Quotes are read again as they were signed, by their user and for what they were made for, or not at all."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.errors import ValidationError
from stakehold.security.quotes import MAX_QUOTE_CHARACTERS, Quote, QuoteSigner
from stakehold.security.tokens import AccessTokens
from tests.support.fakes import ManualClock, SeededEntropy

USER = UUID("01a20505-e0af-7c44-9f0a-2f3b6c1d8e90")
OTHER = UUID("01a20505-e0af-7c44-9f0a-2f3b6c1d8e91")
SECRET, PREVIOUS = "a secret of the tests, long enough", "another secret of the tests, as long"
SIGNER = QuoteSigner(secret=SECRET, previous_secret=None)
FIELDS: dict[str, str | int] = {
    "plan": "STK-12M",
    "version": 3,
    "amount": "9" * 38,
    "valueDate": "2026-11-23",
}
EXPIRES_AT_MS = 1_795_000_000_123


def refused(kind: str, user_id: UUID, text: str, signer: QuoteSigner = SIGNER) -> str:
    with pytest.raises(ValidationError) as caught:
        signer.read(kind, user_id, text)
    assert [field.pointer for field in caught.value.fields] == ["/quoteId"]
    return caught.value.code


def test_a_quote_is_read_as_it_was_signed() -> None:
    """Fields and expiry come back to the digit, from text that fits well into a body and a URL."""
    text = SIGNER.sign("stake", USER, FIELDS, EXPIRES_AT_MS)
    assert SIGNER.read("stake", USER, text) == Quote(FIELDS, EXPIRES_AT_MS)
    assert text.isascii()
    assert text.startswith("shq_")
    assert len(text) < MAX_QUOTE_CHARACTERS / 2


def test_another_user_kind_or_secret_reads_nothing() -> None:
    """A quote is for one user, of one kind, under one secret."""
    text = SIGNER.sign("stake", USER, FIELDS, EXPIRES_AT_MS)
    assert refused("stake", OTHER, text) == "invalid_quote"
    assert refused("exit", USER, text) == "invalid_quote"
    assert refused("stake", USER, text, QuoteSigner(secret=PREVIOUS, previous_secret=None)) == "invalid_quote"


def test_the_previous_secret_still_verifies() -> None:
    """A secret can be exchanged within the life of a quote; the new one signs from then on."""
    rotated = QuoteSigner(secret=PREVIOUS, previous_secret=SECRET)
    old = SIGNER.sign("stake", USER, FIELDS, EXPIRES_AT_MS)
    assert rotated.read("stake", USER, old).fields == FIELDS
    assert refused("stake", USER, rotated.sign("stake", USER, FIELDS, EXPIRES_AT_MS)) == "invalid_quote"


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=127))
def test_no_changed_character_passes(position: int, code: int) -> None:
    """A quote has one spelling: with any one character another it is none, spare bits included."""
    text = SIGNER.sign("stake", USER, FIELDS, EXPIRES_AT_MS)
    position %= len(text)
    changed = text[:position] + chr(code) + text[position + 1 :]
    if changed != text:
        assert refused("stake", USER, changed) == "invalid_quote"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shq_",
        "shq_.",
        "shq_A",
        "shq_AAAA.AAAA",
        "shq_é",
        "x" * 5000,
        "shq_" + "A" * 2000,
        "\ud800",
        "shq_=.",
    ],
)
def test_what_is_no_quote_is_refused(text: str) -> None:
    """Whatever else is sent is answered in the same way."""
    assert refused("stake", USER, text) == "invalid_quote"


def test_a_quote_is_no_token() -> None:
    """A quote is signed with another key than tokens are, though both come from one secret."""
    tokens = AccessTokens(secret=SECRET, previous_secret=None, clock=ManualClock(), entropy=SeededEntropy(1))
    header, payload, signature = tokens.issue(USER, OTHER, 0).split(".")
    assert refused("stake", USER, f"shq_{payload}.{signature}") == "invalid_quote"
    assert (
        refused("stake", USER, f"shq_{base64.urlsafe_b64encode(b'{}').decode()}.{signature}")
        == "invalid_quote"
    )
    assert header
