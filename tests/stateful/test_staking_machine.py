"""Whatever is done to stakes, and whatever befalls the service, its books are right and its word is kept."""

import os

import pytest

from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.stateful.machine.run import run_machine, seed_of_this_run
from tests.stateful.machine.stores import StoreUrls, prepare_stores
from tests.stateful.staking.machine import StakingMachine

EXAMPLES = int(os.environ.get("STAKEHOLD_SOAK_EXAMPLES") or 15)


@pytest.fixture(scope="module")
def staking_stores(postgres: EmbeddedPostgres, migrated_template: str, valkey: EmbeddedValkey) -> StoreUrls:
    return prepare_stores(postgres, migrated_template, valkey, "staking_machine")


def test_every_unit_is_accounted_for(staking_stores: StoreUrls) -> None:
    """The invariants of staking hold after any rules and faults (staking/machine.py)."""
    run_machine(
        stores=staking_stores,
        machine=StakingMachine,
        max_examples=EXAMPLES,
        steps=30,
        seed=seed_of_this_run(),
    )
