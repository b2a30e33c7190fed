"""Isolates beside their model: requests killed or held up at any trip break no promise of the cache.

What happens, and which rules hold, is said in tests/stateful/models/isolates.py.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from stakehold.domain.slots import ExpiringSlots
from stakehold.gate.unfenced import BATCH, UnfencedWrites
from tests.stateful.models.client import with_redis
from tests.stateful.models.findings import Findings
from tests.stateful.models.isolates import COMES_BACK, NO_REMAINS, NOT_OLDER, explore_isolates
from tests.support.fakes import SeededEntropy


def _explore(redis_url: str, seed: int, runs: int) -> Findings:
    findings = with_redis(redis_url, lambda redis: explore_isolates(redis, seed=seed, runs=runs))
    print(findings.report())
    return findings


def test_no_killed_request_breaks_a_promise(redis_url: str, entropy: SeededEntropy) -> None:
    """No page older than an acknowledged write, nothing stale left, Redis found again, nobody waits."""
    findings = _explore(redis_url, entropy.seed, 200)
    assert not findings.violations, findings.report()
    assert findings.seen["a cached page was served"] > 200
    assert findings.seen["a write without Redis was put right"] > 50


def _never_expires(patch: pytest.MonkeyPatch) -> None:
    take = ExpiringSlots.take
    patch.setattr(ExpiringSlots, "take", lambda slots, life_s: take(slots, 1e9))
    patch.setattr(ExpiringSlots, "renew", lambda slots, slot, life_s: True)


def _forgets_what_it_takes(patch: pytest.MonkeyPatch) -> None:
    repairs = UnfencedWrites.repairs

    def forgetting(writes: UnfencedWrites, reopened: set[str]) -> Any:
        taken = repairs(writes, reopened)
        for tag in list(islice(writes._users, BATCH)):
            del writes._users[tag]
        return taken

    patch.setattr(UnfencedWrites, "repairs", forgetting)


def _forgets_who_never_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UnfencedWrites, "opened", lambda writes, fence: None)


@pytest.mark.parametrize(
    ("plant", "rules"),
    [
        (_never_expires, {COMES_BACK}),
        (_forgets_what_it_takes, {NO_REMAINS, NOT_OLDER}),
        (_forgets_who_never_left, {NO_REMAINS, NOT_OLDER}),
    ],
)
def test_the_model_notices_planted_bugs(
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    rules: set[str],
) -> None:
    """A claim that a killed request keeps for good, and repairs that end with it, are found."""
    plant(monkeypatch)
    assert _explore(redis_url, 1, 150).rules & rules
