"""Entries as they are stored and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.cache.entries import ENTRY_BYTES_MAX, Entry, NewEntry, decode_entry, encode_entry
from stakehold.cache.user_entry import read_state, state_entry
from stakehold.domain.accounts import UserState

ENTERED_MS = 1_800_000_000_123


@given(st.text(), st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100))
def test_an_entry_is_read_back_as_it_was(body: str, etag: str) -> None:
    """Body and entity tag survive, whatever line feeds and digits are in them."""
    encoded = encode_entry(NewEntry(body.encode(), etag, 300, 300, 0), ENTERED_MS)
    assert encoded is not None
    assert decode_entry(encoded[0]) == Entry(body.encode(), etag)


def test_times_are_counted_from_when_the_reader_entered() -> None:
    """Fresh for five minutes, then stale for five more."""
    encoded = encode_entry(NewEntry(b"body", '"e"', 300, 300, 0), ENTERED_MS)
    assert encoded == (
        f'{ENTERED_MS} {ENTERED_MS + 300_000} {ENTERED_MS + 600_000} "e"\nbody'.encode(),
        ENTERED_MS + 600_000,
    )


@pytest.mark.parametrize(
    ("life_ms", "fresh_ms", "stale_ms"),
    [(1, 1, 1), (300_000, 300_000, 300_000), (400_000, 300_000, 400_000), (700_000, 300_000, 600_000)],
)
def test_an_entry_ends_with_what_it_says(life_ms: int, fresh_ms: int, stale_ms: int) -> None:
    """An entry true for a while is fresh and stale within that while."""
    entry = NewEntry(b"", "e", 300, 300, now_ms=5_000, not_after_ms=5_000 + life_ms)
    encoded = encode_entry(entry, ENTERED_MS)
    assert encoded is not None
    assert encoded[0].split()[1:3] == [b"%d" % (ENTERED_MS + fresh_ms), b"%d" % (ENTERED_MS + stale_ms)]


def test_what_is_over_or_too_long_is_not_stored() -> None:
    """An entry that is true no more, and one beyond the bound, is none."""
    assert encode_entry(NewEntry(b"", "e", 300, 300, now_ms=5_000, not_after_ms=5_000), ENTERED_MS) is None
    assert encode_entry(NewEntry(b"", "e", 300, 300, now_ms=5_000, not_after_ms=1), ENTERED_MS) is None
    assert encode_entry(NewEntry(b"x" * ENTRY_BYTES_MAX, "e", 300, 300, 0), ENTERED_MS) is not None
    assert encode_entry(NewEntry(b"x" * (ENTRY_BYTES_MAX + 1), "e", 300, 300, 0), ENTERED_MS) is None


@pytest.mark.parametrize("etag", ["", "a b", "a\nb", "ä", "x" * 101])
def test_an_entity_tag_that_would_not_be_read_back_is_refused(etag: str) -> None:
    """A tag ends at the line's end and has no space; anything else is a mistake of ours."""
    with pytest.raises(ValueError, match="entity tag"):
        encode_entry(NewEntry(b"", etag, 300, 300, 0), ENTERED_MS)


@given(
    st.builds(
        UserState,
        st.sampled_from(["active", "disabled"]),
        st.integers(0, 2**53),
        st.frozensets(st.uuids().map(str), max_size=5),
    )
)
def test_a_user_entry_is_read_back_as_it_was(state: UserState) -> None:
    """Status, epoch and revoked sessions survive."""
    assert read_state(state_entry(state).body) == state
