"""Whatever people do and whatever befalls it, the service keeps its promises to each of them."""

import os

import pytest

from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.stateful.machine.limits import LIMITS, LimitsMachine
from tests.stateful.machine.run import run_machine, seed_of_this_run
from tests.stateful.machine.stores import StoreUrls, prepare_stores

EXAMPLES = int(os.environ.get("STAKEHOLD_SOAK_EXAMPLES") or 25)


@pytest.fixture(scope="module")
def machine_stores(postgres: EmbeddedPostgres, migrated_template: str, valkey: EmbeddedValkey) -> StoreUrls:
    return prepare_stores(postgres, migrated_template, valkey, "service_machine")


def test_every_promise_is_kept(machine_stores: StoreUrls) -> None:
    """Accounts, sessions and stakes are as the model says after any rules and faults (machine/rules.py)."""
    run_machine(stores=machine_stores, max_examples=EXAMPLES, seed=seed_of_this_run())


def test_limits_are_exact(machine_stores: StoreUrls) -> None:
    """At most N are let in in any window, whatever becomes of Redis; and N are, as long as it is there."""
    run_machine(
        stores=machine_stores,
        machine=LimitsMachine,
        limits=LIMITS,
        max_examples=EXAMPLES,
        steps=20,
        seed=seed_of_this_run(),
    )
