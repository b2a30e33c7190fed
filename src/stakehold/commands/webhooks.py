"""`stakehold webhooks list | replay`: what became of events, and having them sent again."""

import argparse
import functools
import sys
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from stakehold.commands import arguments
from stakehold.commands.actions import Actions, CarryOut, Work
from stakehold.database import events
from stakehold.database.events import EventRow, ReplayPosition
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import STATEMENT_TIMEOUT_S
from stakehold.runtime.container import NativeContainer

LISTED_MAX: Final = 200
PAGE: Final = 500
REPLAYED_MAX: Final = 100_000
"""A replay of more says where to go on."""


def register(command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
    """Add the actions to `stakehold webhooks`; `carry_out` does work with the stores of the environment."""
    actions = Actions(command, carry_out)
    listing = actions.add(
        "list",
        lambda options: functools.partial(_list, options.failed),
        f"Show the newest events, at most {LISTED_MAX}.",
    )
    listing.add_argument("--failed", action="store_true", help="only those that were given up")
    replay = actions.add("replay", _replay, "Have events sent again.")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("event", nargs="?", type=arguments.event_id, metavar="EVENT_ID", help="this one")
    which.add_argument(
        "--since", type=arguments.moment, metavar="TIME", help="all since then: 2027-01-31T09:30:00Z"
    )
    replay.add_argument("--failed", action="store_true", help="with --since: only those that were given up")
    replay.set_defaults(refuse=replay.error)


async def _list(failed: bool, container: NativeContainer, deadline: Deadline) -> int:
    read = functools.partial(events.list_events, failed=failed, limit=LISTED_MAX)
    for row in await container.services.read(read, deadline):
        print(row.id, _text(row.created_at), row.type, row.user_id, _state(row), sep="\t")
    return 0


def _state(row: EventRow) -> str:
    tried = f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}"
    if row.delivered_at is not None:
        return f"delivered {_text(row.delivered_at)}"
    if row.failed_at is not None:
        return f"given up {_text(row.failed_at)}, {tried}: {row.last_error}"
    if row.due_at is None:
        return "not to be sent"
    why = f": {row.last_error}" if row.last_error else ""
    return f"due {_text(row.due_at)}, {tried}{why}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _replay(options: argparse.Namespace) -> Work:
    if options.since is None:
        if options.failed:
            options.refuse("argument --failed: not allowed with argument EVENT_ID")
        return functools.partial(_replay_one, options.event)
    return functools.partial(_replay_since, options.since, options.failed)


async def _replay_one(identifier: UUID, container: NativeContainer, deadline: Deadline) -> int:
    replay = functools.partial(events.replay_event, identifier=identifier)
    if await container.services.run(replay, deadline):
        print(f"{identifier} is due")
        return 0
    print(f"stakehold: there is no event {identifier}", file=sys.stderr)
    return 1


async def _replay_since(since: datetime, failed: bool, container: NativeContainer, deadline: Deadline) -> int:
    """Page by page, so that a long replay holds no lock for long. Events made meanwhile are due anyway.

    One that is cut short says how to go on, and fails: whoever scripted it is not done.
    """
    until = await container.services.read(events.database_time, deadline)
    position, count = ReplayPosition(since, UUID(int=0)), 0
    while count < REPLAYED_MAX and deadline.left_s() > STATEMENT_TIMEOUT_S:
        page = functools.partial(events.replay_page, after=position, until=until, failed=failed, limit=PAGE)
        found, position = await container.services.run(page, deadline)
        if not found:
            print(f"{count} events are due")
            return 0
        count += found
    print(f"{count} events are due")
    go_on = f"stakehold webhooks replay --since {_text(position.created_at)}{' --failed' if failed else ''}"
    print(f"stakehold: there may be more, go on with: {go_on}", file=sys.stderr)
    return 1
