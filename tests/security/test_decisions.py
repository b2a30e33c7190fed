"""Decisions that docs/security.md states, and that no other test shows."""

import os

import pytest

from stakehold.domain.accounts import check_new_password
from stakehold.domain.ids import new_id
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.security.refresh_tokens import new_refresh_token


@pytest.mark.parametrize(
    "password", ["stakehold", "Stakehold", "STAKEHOLD1", "stakehold123", "ｓｔａｋｅｈｏｌｄ"]
)
def test_the_name_of_the_service_is_no_password(password: str) -> None:
    """Nor is it with the usual endings, in any case or width."""
    with pytest.raises(ValueError, match="commonest"):
        check_new_password(password, "ada")


def test_randomness_is_the_operating_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the service draws is what the operating system gave, and given to nobody else."""
    given, urandom = bytearray(), os.urandom

    def recorded(count: int) -> bytes:
        block = urandom(count)
        given.extend(block)
        return block

    monkeypatch.setattr(os, "urandom", recorded)
    entropy = SystemEntropy()
    drawn = [entropy.random_bytes(count) for count in (8, 16, 32) * 400]
    assert all(piece in given for piece in drawn)
    assert len({piece[:8] for piece in drawn}) == len(drawn)


class _Drawn(SystemEntropy):
    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def random_bytes(self, count: int) -> bytes:
        self.counts.append(count)
        return super().random_bytes(count)


def test_a_refresh_token_is_256_random_bits() -> None:
    """Beside the ids that it names; all of them are its secret."""
    ids = new_id(SystemClock(), SystemEntropy()), new_id(SystemClock(), SystemEntropy())
    entropy = _Drawn()
    token = new_refresh_token(*ids, entropy)
    assert entropy.counts == [32]
    assert len(token.secret) == 32
