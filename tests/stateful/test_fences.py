"""The cache beside its model: every interleaving of readers, writers and one fault, none left out.

Which actors there are, what a turn is, which rules hold, and how the interleavings are enumerated, is said in
tests/stateful/models/fences.py and interleavings.py. The counts are printed.
"""

import dataclasses

from stakehold.redis.port import Script
from tests.stateful.models.client import with_redis
from tests.stateful.models.fences import EXCEPTION, NOT_OLDER, Scenario, explore_fences
from tests.stateful.models.findings import Findings


def test_no_interleaving_breaks_a_promise_while_redis_is_there(redis_url: str) -> None:
    """No page is older than the last acknowledged write, nothing stale stays, the cache goes on working.

    Whatever dies, expires, is evicted, wiped or cancelled, and without an exception.
    """
    findings = with_redis(redis_url, lambda redis: explore_fences(redis, only=_keeps_redis))
    print(findings.report())
    assert not findings.violations, findings.report()
    assert findings.ran.total() > 8_000
    assert findings.seen[EXCEPTION] == 0


def test_no_interleaving_breaks_a_promise_across_a_loss_of_redis(redis_url: str) -> None:
    """The same, but for the documented exception: it ends with the return, or with the page's age."""
    findings = with_redis(redis_url, lambda redis: explore_fences(redis, only=_loses_redis))
    print(findings.report())
    assert not findings.violations, findings.report()
    assert findings.ran.total() > 2_500
    assert findings.seen[EXCEPTION] > 0


def test_the_reduced_search_observes_all_that_the_full_one_does(redis_url: str) -> None:
    """Cutting schedules that differ in nothing loses no outcome: neither when all is well nor with a bug."""

    def observe(*, reduce: bool, broken: bool) -> Findings:
        change = _fill_under_any_generation if broken else None
        return with_redis(
            redis_url,
            lambda redis: explore_fences(
                redis, only=_is_simplest, reduce=reduce, change=change, stop_after=10**9
            ),
        )

    for broken in (False, True):
        reduced, full = observe(reduce=True, broken=broken), observe(reduce=False, broken=broken)
        print(f"{reduced.ran.total()} schedules stand for {full.ran.total()}")
        assert reduced.outcomes == full.outcomes
        assert reduced.rules == full.rules
        assert (NOT_OLDER in full.rules) == broken
        assert reduced.ran.total() < full.ran.total()


def _loses_redis(scenario: Scenario) -> bool:
    return scenario.loses_redis


def _keeps_redis(scenario: Scenario) -> bool:
    return not scenario.loses_redis


def _is_simplest(scenario: Scenario) -> bool:
    return scenario.fault == "none" and scenario.cached == "nothing" and scenario.writers == 1


def _fill_under_any_generation(script: Script) -> Script:
    source = script.source.replace("redis.call('HGET', hash, 'generation') ~= generation", "false")
    return dataclasses.replace(script, source=source)
