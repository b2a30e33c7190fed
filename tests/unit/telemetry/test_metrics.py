"""Counters have documented names."""

import pytest

from stakehold.telemetry.metrics import NAMES, Metrics


def test_counters_start_at_zero_and_add_up() -> None:
    """A snapshot holds every documented counter, and is not changed by later counts."""
    metrics = Metrics()
    name = next(iter(NAMES))
    metrics.count(name)
    before = metrics.snapshot()
    metrics.count(name, 2)
    assert before == dict.fromkeys(NAMES, 0) | {name: 1}
    assert metrics.snapshot()[name] == 3


def test_an_undocumented_name_is_refused() -> None:
    """A counter nobody could look up is a mistake in the code."""
    with pytest.raises(KeyError):
        Metrics().count("no_such_counter")
