"""The machine's randomness, as it is handed out."""

import pytest

from stakehold.runtime.outside import SystemEntropy


def test_no_piece_of_a_block_is_handed_out_twice() -> None:
    """Ids and salts of several blocks, first pieces included, are all different."""
    entropy = SystemEntropy()
    drawn = [entropy.random_bytes(16) for _ in range(1000)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("count", [1, 8, 16, 17, 32, 5000])
def test_it_is_as_long_as_was_asked_for(count: int) -> None:
    """Whether cut from a block, as its first piece or a later one, or asked of the system."""
    entropy = SystemEntropy()
    assert [len(entropy.random_bytes(count)) for _ in range(2)] == [count, count]
