"""`stakehold settle`: settle everything that is due now."""

import argparse
import sys
from typing import Final

from stakehold.commands.actions import CarryOut
from stakehold.domain.errors import AlteredRowError
from stakehold.domain.ports import Deadline
from stakehold.runtime.container import NativeContainer
from stakehold.services.settlement import Aside, settle_due
from stakehold.services.upkeep import BATCH_TIME_S

BATCHES_SAID: Final = 50
"""After so many batches a line tells how far it has come."""


def register(command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
    """Make `stakehold settle` of a command; `carry_out` does work with the stores of the environment."""
    command.set_defaults(run=lambda _: carry_out(_settle))


async def _settle(container: NativeContainer, _: Deadline) -> int:
    """Batch after batch, each with a deadline of its own; one that fails ends the command with its error."""
    services = container.services
    settled = batches = 0
    aside: Aside = {}
    try:
        while count := await settle_due(services, Deadline.after(services.clock, BATCH_TIME_S), aside=aside):
            settled, batches = settled + count, batches + 1
            if batches % BATCHES_SAID == 0:
                print(f"settled so far: {settled}", flush=True)
    finally:
        print(f"settled: {settled}")
        for (user_id, stake_id), error in aside.items():
            why = _first_cause(error)
            print(f"stakehold: not settled: stake {stake_id} of user {user_id}: {why}", file=sys.stderr)
    return 1 if aside else 0


def _first_cause(error: BaseException) -> str:
    """What was raised first; by its type alone where a driver's words may quote what was being stored."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error.fault if isinstance(error, AlteredRowError) else type(error).__qualname__
