"""Waits between attempts are spread over a bounded range."""

from stakehold.domain.backoff import full_jitter_s
from tests.support.fakes import SeededEntropy


class _Constant:
    def __init__(self, byte: int) -> None:
        self._byte = byte

    def random_bytes(self, count: int) -> bytes:
        return bytes([self._byte]) * count


def test_waits_double_up_to_the_cap() -> None:
    """The longest wait grows from the base to the cap, also after very many attempts."""
    longest = [round(full_jitter_s(_Constant(255), n, base_s=0.05, cap_s=1.0), 6) for n in (0, 1, 2, 5, 5000)]
    assert longest == [0.05, 0.1, 0.2, 1.0, 1.0]


def test_waits_are_spread_from_zero(entropy: SeededEntropy) -> None:
    """Full jitter: no wait is too short to happen, and half of them are under half of the longest."""
    assert full_jitter_s(_Constant(0), 3, base_s=0.05, cap_s=1.0) == 0.0
    waits = [full_jitter_s(entropy, 4, base_s=0.05, cap_s=1.0) for _ in range(2000)]
    assert 0.45 < sum(wait < 0.4 for wait in waits) / len(waits) < 0.55
