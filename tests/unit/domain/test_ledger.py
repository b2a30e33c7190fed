"""The chain of transfers: no two texts that are hashed are the same, and none can be read in two ways."""

from dataclasses import replace
from uuid import UUID

import pytest

from stakehold.domain.ledger import Head, Movement, append, hash_of, is_well_formed

USER_ID, TRANSFER_ID, STAKE_ID = (UUID(int=number) for number in (1, 2, 3))
MOVED = Movement("deposit", "custody", "available", "STK", 5, reason="4711|Wire of May")
TRANSFER = append(Head(7, 90, "f" * 64), USER_ID, TRANSFER_ID, MOVED, "cli", 100)


def test_a_transfer_comes_after_the_head() -> None:
    """The next number, a time that is not before, and a hash over the one before."""
    assert (TRANSFER.seq, TRANSFER.at_ms) == (8, 100)
    assert append(Head(7, 900, ""), USER_ID, TRANSFER_ID, MOVED, "cli", 100).at_ms == 900
    assert hash_of(TRANSFER, "f" * 64) == TRANSFER.hash != hash_of(TRANSFER, "e" * 64)
    assert is_well_formed(TRANSFER)


def test_a_reason_passes_for_nothing_else() -> None:
    """A part of it that was moved to the values before has the same hash, and is found for its `|`."""
    shifted = replace(
        TRANSFER, actor="cli|100", at_ms=4711, movement=replace(MOVED, reason="Wire of May"),
    )  # fmt: skip
    assert hash_of(shifted, "f" * 64) == TRANSFER.hash
    assert not is_well_formed(shifted)


def test_no_reason_is_not_an_empty_one() -> None:
    """Both are hashed as nothing, and only none is ever written."""
    none = replace(TRANSFER, movement=replace(MOVED, reason=None))
    empty = replace(TRANSFER, movement=replace(MOVED, reason=""))
    assert hash_of(none, "") == hash_of(empty, "")
    assert (is_well_formed(none), is_well_formed(empty)) == (True, False)


@pytest.mark.parametrize("name", ["kind", "debit_account", "credit_account", "asset"])
def test_no_other_value_has_a_separator(name: str) -> None:
    """Whichever it is."""
    assert not is_well_formed(replace(TRANSFER, movement=replace(MOVED, **{name: "a|b"})))
