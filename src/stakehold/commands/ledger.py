"""`stakehold ledger verify | show | deposit | withdraw | reverse`: the books, and what puts them right."""

import argparse
import functools
import json
import sys
from typing import Final
from uuid import UUID

from stakehold.commands import arguments
from stakehold.commands.actions import Actions, CarryOut, Work
from stakehold.database import balances, ledger, users
from stakehold.domain.errors import NotFoundError, StakeholdError
from stakehold.domain.money import format_amount
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import rfc3339
from stakehold.runtime.container import NativeContainer
from stakehold.services.ledger import (
    VERIFIED_AT_ONCE_MAX,
    find_strangers,
    verify,
    verify_stakes,
    verify_usage,
)
from stakehold.services.operators import Adjusted, Adjustment, Direction, adjust, reverse
from stakehold.services.plans import scale_of

USERS_A_TIME: Final = 200
SHOWN_MAX: Final = 100
USER_TIME_S: Final = 600.0
ENDS_MAX: Final = 20
"""How often the end of a chain is looked for that others append to meanwhile."""


def register(command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
    """Add the actions to `stakehold ledger`; `carry_out` does work with the stores of the environment."""
    actions = Actions(command, carry_out)
    verifying = actions.add(
        "verify",
        lambda options: functools.partial(_verify, options.username),
        "Compute every hash and balance again, and name what is not right.",
    )
    verifying.add_argument("username", nargs="?", type=arguments.username, help="of this user alone")
    showing = actions.add(
        "show",
        lambda options: functools.partial(_show, options.username),
        f"Show a user's newest transfers, at most {SHOWN_MAX}.",
    )
    showing.add_argument("username", type=arguments.username)
    directions: tuple[tuple[str, Direction, str], ...] = (
        ("deposit", "deposit", "Put an amount at a user's disposal."),
        ("withdraw", "withdrawal", "Take an amount from a user's available balance."),
    )
    for name, direction, summary in directions:
        adjusting = actions.add(name, functools.partial(_adjustment, direction), summary)
        adjusting.add_argument("username", type=arguments.username)
        adjusting.add_argument("amount", type=arguments.amount, help="a decimal in the asset")
        adjusting.add_argument("--asset", required=True, type=arguments.name)
        adjusting.add_argument("--reason", required=True, type=arguments.reason)
    reversing = actions.add(
        "reverse",
        lambda options: functools.partial(_reverse, options.username, options.seq, options.reason),
        "Undo a deposit or a withdrawal by a transfer the other way.",
    )
    reversing.add_argument("username", type=arguments.username)
    reversing.add_argument("seq", type=arguments.transfer_seq, help="the transfer's number")
    reversing.add_argument("--reason", required=True, type=arguments.reason)


async def _verify(username: str | None, container: NativeContainer, deadline: Deadline) -> int:
    """Every user in turn, or one; what is wrong goes to standard error, and makes the status 1."""
    services = container.services
    wrong = verified = transfers = 0
    after: str | None = None
    while True:
        if username is not None:
            found = [await _find(container, username, deadline)]
        else:
            read = functools.partial(users.list_users, after=after, limit=USERS_A_TIME)
            page = await services.read(read, Deadline.after(services.clock, USER_TIME_S))
            found = [(user.id, user.username) for user in page]
        for user_id, name in found:
            count, fault = await _verify_user(container, user_id)
            verified, transfers = verified + 1, transfers + count
            if fault is not None:
                wrong += 1
                print(f"{name} ({user_id}): {fault}", file=sys.stderr)
        if username is not None or len(found) < USERS_A_TIME:
            break
        after = found[-1][1]
    if username is None:
        for fault in await _verify_all(container):
            wrong += 1
            print(fault, file=sys.stderr)
    print(f"users: {verified}; transfers: {transfers}; wrong: {wrong}")
    return 1 if wrong else 0


async def _verify_user(container: NativeContainer, user_id: UUID) -> tuple[int, str | None]:
    """How many transfers were verified, and the first thing that is wrong, or why that cannot be told."""
    services, last, ends = container.services, 0, 0
    deadline = functools.partial(Deadline.after, services.clock, USER_TIME_S)
    try:
        while True:
            found = await verify(services, user_id, last, deadline())
            ends += found.last - last < VERIFIED_AT_ONCE_MAX
            last = found.last
            if found.fault is not None:
                return last, f"transfer {found.fault.seq} {found.fault.what}"
            if found.complete:
                break
            if ends == ENDS_MAX:
                return last, f"could not be verified beyond transfer {last}: more is written all the time"
        wrong = await verify_stakes(services, user_id, deadline)
        if wrong is not None:
            return last, f"stake {wrong[0]} {wrong[1]}"
        return last, await verify_usage(services, user_id, deadline())
    except Exception as error:  # a row that was altered need not be readable: of others it may be told
        return last, f"could not be verified beyond transfer {last}: {_why(error)}"


async def _verify_all(container: NativeContainer) -> list[str]:
    """What is wrong beside the users' own books."""
    services = container.services
    deadline = functools.partial(Deadline.after, services.clock, USER_TIME_S)
    wrong = []
    try:
        plans = await services.read(balances.find_wrong_usage, deadline())
        wrong += [f"plan {plan}: counts another amount than is staked" for plan in plans]
        plans = await services.read(balances.find_wrong_scales, deadline())
        wrong += [f"plan {plan}: has another scale than its asset" for plan in plans]
    except Exception as error:
        wrong.append(f"what plans count could not be verified: {_why(error)}")
    try:
        strangers = await find_strangers(services, deadline)
        wrong += [f"{user_id}: has books, and is no user" for user_id in strangers]
    except Exception as error:
        wrong.append(f"whether all books are of users could not be verified: {_why(error)}")
    return wrong


def _why(error: Exception) -> str:
    return error.detail if isinstance(error, StakeholdError) else repr(error)


async def _show(username: str, container: NativeContainer, deadline: Deadline) -> int:
    services = container.services
    user_id, _ = await _find(container, username, deadline)
    head = await services.read(lambda connection: ledger.get_head(connection, user_id), deadline)
    found = await services.read(
        lambda connection: ledger.list_before(connection, user_id, head.seq + 1, SHOWN_MAX), deadline
    )
    for transfer in found:
        moved = transfer.movement
        amount = format_amount(moved.amount_minor, await scale_of(services, moved.asset, deadline))
        accounts = f"{moved.debit_account} -> {moved.credit_account}"
        fields = (transfer.seq, rfc3339(transfer.at_ms), moved.kind, f"{amount} {moved.asset}", accounts)
        print(*fields, transfer.actor, moved.reason or "-", sep="\t")
    return 0


def _adjustment(direction: Direction, options: argparse.Namespace) -> Work:
    amount = json.dumps(options.amount).encode()
    asked = Adjustment(direction, options.username, options.asset, amount, options.reason)

    async def work(container: NativeContainer, deadline: Deadline) -> int:
        done, _ = await adjust(container.services, asked, None, None, deadline)
        return _tell(done)

    return work


async def _reverse(
    username: str, seq: int, reason: str, container: NativeContainer, deadline: Deadline
) -> int:
    return _tell(await reverse(container.services, username, seq, reason, deadline))


def _tell(done: Adjusted) -> int:
    amount = format_amount(done.amount_minor, done.scale)
    print(f"transfer {done.seq}: {done.kind} of {amount} {done.asset}")
    return 0


async def _find(container: NativeContainer, username: str, deadline: Deadline) -> tuple[UUID, str]:
    """The id and the name of a user. Raises NotFoundError."""
    found = await container.services.read(
        lambda connection: users.find_credentials(connection, username), deadline
    )
    if found is None:
        raise NotFoundError(f"There is no user {username!r}.")
    return found.user_id, found.username
