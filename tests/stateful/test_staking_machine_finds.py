"""Bugs that are planted in staking are found by the machine, by the promise that each breaks."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis.errors import FlakyFailure

from stakehold.domain import settlement
from stakehold.domain.ledger import Movement
from stakehold.domain.plans import Plan
from stakehold.domain.stakes import Stake
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.services import operators
from stakehold.services import settlement as settling
from tests.stateful.machine.faults import _FaultyConnection
from tests.stateful.machine.model import Violation
from tests.stateful.machine.run import run_machine, seed_of_this_run
from tests.stateful.machine.stores import StoreUrls, prepare_stores
from tests.stateful.staking.acts import KEYED
from tests.stateful.staking.audit import BOOKS, EXACT, LIMITS, ONE_END, TOLD, UNTOUCHED
from tests.stateful.staking.machine import StakingMachine

EXAMPLES_MAX = 400

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def planted_stores(postgres: EmbeddedPostgres, migrated_template: str, valkey: EmbeddedValkey) -> StoreUrls:
    return prepare_stores(postgres, migrated_template, valkey, "planted_machine")


def _rewards_rounded_up(patch: pytest.MonkeyPatch) -> None:
    def rounded_up(plan: Plan, amount: int, first: date, end: date, day: date) -> int:
        return accrued(plan, amount, first, end, day) + 1

    accrued = settlement.accrued_minor
    patch.setattr(settlement, "accrued_minor", rounded_up)


def _principal_paid_twice(patch: pytest.MonkeyPatch) -> None:
    def twice(stake: Stake, reward_minor: int) -> list[Movement]:
        movements = payout(stake, reward_minor)
        return [movements[0], *movements]

    payout = settlement.payout
    patch.setattr(settlement, "payout", twice)


def _renewals_with_a_gap(patch: pytest.MonkeyPatch) -> None:
    def a_day_later(stake: Stake, plan: Plan | None, identifier: UUID) -> Stake | None:
        renewal = renewal_of(stake, plan, identifier)
        if renewal is None or plan is None:
            return None
        return replace(renewal, value_date=stake.maturity_date + timedelta(1))

    renewal_of = settling.renewal_of
    patch.setattr(settling, "renewal_of", a_day_later)


def _deposits_without_keys(patch: pytest.MonkeyPatch) -> None:
    async def keep_nothing(*arguments: object) -> None: ...

    patch.setattr(operators, "keep_answer", keep_nothing)


def _settlement_that_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    async def tell_nobody(*arguments: object, **options: object) -> None: ...

    patch.setattr(settling.events, "insert_events", tell_nobody)


def _no_transactions(patch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def nothing(self: object, **options: object) -> AsyncIterator[None]:
        yield

    patch.setattr(_FaultyConnection, "transaction", nothing)


PLANTED: dict[str, tuple[Plant, set[str] | None]] = {
    "rewards rounded up": (_rewards_rounded_up, {EXACT, UNTOUCHED}),
    "principal paid twice": (_principal_paid_twice, {ONE_END, BOOKS, UNTOUCHED, EXACT}),
    "renewals with a gap": (_renewals_with_a_gap, {UNTOUCHED, EXACT}),
    "deposits without keys": (_deposits_without_keys, {KEYED, LIMITS}),
    "settlement that tells nobody": (_settlement_that_tells_nobody, {TOLD}),
    # Half of a command stays behind, and what it breaks first is chance: of all promises one.
    "no transactions": (_no_transactions, None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(
    planted_stores: StoreUrls, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Within some hundred examples, also where chance decides who comes first, and does not a second time."""
    plant, promises = PLANTED[name]
    plant(monkeypatch)
    with pytest.raises((Violation, FlakyFailure)) as found:
        run_machine(
            stores=planted_stores, machine=StakingMachine, max_examples=EXAMPLES_MAX, steps=30,
            seed=seed_of_this_run(), shrink=False,
        )  # fmt: skip
    violation = _violation_in(found.value)
    assert violation is not None
    assert promises is None or violation.promise in promises, violation


def _violation_in(error: BaseException) -> Violation | None:
    """The first in an error, or in a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_violation_in, error.exceptions)), None)
    return error if isinstance(error, Violation) else None
