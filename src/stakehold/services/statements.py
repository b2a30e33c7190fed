"""Statements: what a user's balances were, each transfer of a time, and what they came to.

Pages are read one by one, no further than the last transfer there was at the beginning, so that a statement
of any length takes little memory, and what is added meanwhile is not half in it.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from stakehold.database import balances, ledger
from stakehold.database.balances import Balance
from stakehold.database.stakes import database_now_ms
from stakehold.domain.ledger import AVAILABLE, Transfer, fold, is_stake_account
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller
from stakehold.services import settlement
from stakehold.services.context import Services

PAGE_TRANSFERS: Final = 500
FINAL_AFTER_MS: Final = 60_000
"""A transfer is of the moment its transaction began, and can be written this much later at the most."""


@dataclass(slots=True)
class Entry:
    """A transfer on a statement: how it changed the balances of its asset, and what they were after it."""

    transfer: Transfer
    scale: int
    available_change_minor: int
    staked_change_minor: int
    available_minor: int
    staked_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was begun: its bounds in milliseconds, and the balances when it opens and closes.

    `final`: no transfer can be added to it any more.
    """

    from_ms: int
    until_ms: int
    final: bool
    last_seq: int
    opening: list[Balance]
    closing: list[Balance]


async def open_statement(
    services: Services, caller: Caller, from_ms: int, until_ms: int, deadline: Deadline
) -> Statement:
    """Begin a statement of [from_ms, until_ms), with all that was due settled before."""
    # Whatever goes wrong here the loop meets as well, and logs.
    with contextlib.suppress(Exception):
        await settlement.settle_user(services, caller.user_id, deadline)
    now_ms = await services.read(database_now_ms, deadline)
    head = await services.read(lambda connection: ledger.get_head(connection, caller.user_id), deadline)

    async def at(moment_ms: int) -> list[Balance]:
        return await services.read(
            lambda connection: balances.fold_before(connection, caller.user_id, moment_ms, head.seq), deadline
        )

    opening, closing = await at(from_ms), await at(until_ms)
    known = {balance.asset for balance in opening}
    opening += [Balance(one.asset, one.scale, 0, 0) for one in closing if one.asset not in known]
    return Statement(
        from_ms,
        until_ms,
        until_ms <= now_ms - FINAL_AFTER_MS,
        head.seq,
        sorted(opening, key=lambda one: one.asset),
        closing,
    )


async def entries(
    services: Services, caller: Caller, statement: Statement, deadline_of_page: Callable[[], Deadline]
) -> AsyncGenerator[list[Entry], None]:
    """The entries of a statement, oldest first, in pages; they lead from the opening to the closing balances.

    Raises RuntimeError where they do not: a statement that does not reconcile is not to look whole.
    """
    running = {one.asset: [one.available_minor, one.staked_minor] for one in statement.opening}
    seq = 0
    while True:
        after_seq = seq
        page = await services.read(
            lambda connection, after_seq=after_seq: balances.list_between(  # type: ignore[misc]
                connection,
                caller.user_id,
                after_seq=after_seq,
                last_seq=statement.last_seq,
                from_ms=statement.from_ms,
                until_ms=statement.until_ms,
                limit=PAGE_TRANSFERS,
            ),
            deadline_of_page(),
        )
        if page:
            yield [_entry(transfer, scale, running[transfer.movement.asset]) for transfer, scale in page]
            seq = page[-1][0].seq
        if len(page) < PAGE_TRANSFERS:
            break
    closing = {one.asset: [one.available_minor, one.staked_minor] for one in statement.closing}
    if running != closing:
        raise RuntimeError("the statement does not reconcile")


def _entry(transfer: Transfer, scale: int, running: list[int]) -> Entry:
    """The entry of a transfer, which moves `running`: what is available, and what is staked."""
    available = staked = 0
    for (_, account), change_minor in fold([transfer.movement]).items():
        if account == AVAILABLE:
            available += change_minor
        elif is_stake_account(account):
            staked += change_minor
    running[0] += available
    running[1] += staked
    return Entry(transfer, scale, available, staked, running[0], running[1])
