"""How long to wait before trying again."""

from stakehold.domain.ports import Entropy


def full_jitter_s(entropy: Entropy, attempt: int, *, base_s: float, cap_s: float) -> float:
    """Seconds, drawn evenly from zero up to `base_s` doubled `attempt` times, at most `cap_s`."""
    fraction = int.from_bytes(entropy.random_bytes(4), "big") / 2**32
    return float(fraction * min(cap_s, base_s * 2 ** min(attempt, 30)))
