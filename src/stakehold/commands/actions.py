"""The actions of a command, `stakehold COMMAND ACTION`: work with the stores, and how it is added."""

import argparse
from collections.abc import Awaitable, Callable

from stakehold.domain.ports import Deadline
from stakehold.runtime.container import NativeContainer

Work = Callable[[NativeContainer, Deadline], Awaitable[int]]
"""What is done with the stores; it gives the status to end with."""

CarryOut = Callable[[Work], int]
"""Does work with the stores of the environment."""


class Actions:
    """The actions of a command, one of which must be given."""

    def __init__(self, command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
        self._actions = command.add_subparsers(required=True, metavar="ACTION")
        self._carry_out = carry_out

    def add(
        self, name: str, work: Callable[[argparse.Namespace], Work], summary: str
    ) -> argparse.ArgumentParser:
        """Add an action, whose work follows from its arguments; they are for the caller to add."""
        action = self._actions.add_parser(name, help=summary, description=summary)
        action.set_defaults(run=lambda options: self._carry_out(work(options)))
        return action
