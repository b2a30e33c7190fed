"""The ledger as its owner reads it: balances, transfers, and whether the chain holds."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from stakehold.database import balances, ledger, stakes
from stakehold.database.balances import Balance
from stakehold.database.port import Connection
from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.ledger import Head, Transfer, hash_of, is_well_formed
from stakehold.domain.ports import Deadline
from stakehold.domain.settlement import fault_of_making, fault_of_terms
from stakehold.domain.stakes import Stake
from stakehold.gate import Caller
from stakehold.services import settlement
from stakehold.services.context import Services

VERIFIED_AT_ONCE_MAX: Final = 5000
_END_OF_TIME_MS: Final = 2**62
_PAGE: Final = 1000


_WRONG_BOOKS: Final = (
    (balances.find_wrong_asset, "does not come to the balances in asset "),
    (balances.find_wrong_account, "does not come to the principal in "),
    (balances.find_wrong_reward, "does not come to the reward of stake "),
    (balances.find_wrong_life, "does not come to the beginning and end of "),
)


@dataclass(frozen=True, slots=True)
class TransferList:
    """Some of a user's transfers, newest first, and whether there are older ones."""

    transfers: list[Transfer]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """A transfer that is not what it was, or a balance that the ledger does not come to."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying transfers from `first` to `last`.

    `complete`: that is the end of the chain, and what it comes to was compared. Where something was appended
    meanwhile, it was not.
    """

    first: int
    last: int
    last_hash: str
    complete: bool
    fault: Fault | None


async def read_balances(
    services: Services, caller: Caller, at_ms: int | None, deadline: Deadline
) -> list[Balance]:
    """The caller's balances, by asset: now, with all that was due settled, or as they were at a moment."""
    if at_ms is None:
        # Whatever goes wrong here the loop meets as well, and logs.
        with contextlib.suppress(Exception):
            await settlement.settle_user(services, caller.user_id, deadline)
        return await services.read(
            lambda connection: balances.read_balances(connection, caller.user_id), deadline
        )
    return await services.read(
        lambda connection: balances.fold_before(connection, caller.user_id, at_ms + 1, _END_OF_TIME_MS),
        deadline,
    )


async def list_transfers(
    services: Services, caller: Caller, before_seq: int | None, limit: int, deadline: Deadline
) -> TransferList:
    """The caller's transfers before the `before_seq`-th, newest first; without it the newest."""
    before = _END_OF_TIME_MS if before_seq is None else before_seq
    found = await services.read(
        lambda connection: ledger.list_before(connection, caller.user_id, before, limit + 1), deadline
    )
    return TransferList(found[:limit], len(found) > limit)


async def verify(services: Services, user_id: UUID, after_seq: int, deadline: Deadline) -> Verification:
    """Compute the hashes of a user's transfers after the `after_seq`-th again, of 5,000 at most.

    At the end of the chain its head, the balances beside it, and what belongs to stakes have to be what the
    transfers come to. Raises ValidationError where the chain ends before the `after_seq`-th.
    """
    head = await services.read(lambda connection: ledger.get_head(connection, user_id), deadline)
    if after_seq > head.seq:
        raise ValidationError(
            "The ledger ends before that.",
            fields=(FieldError("?after", "past_the_end", f"The last transfer is {head.seq}."),),
        )
    last = await _head_at(services, user_id, after_seq, deadline)
    if last is None:
        return Verification(after_seq + 1, after_seq, "", False, Fault(after_seq, "is missing"))
    seq, until = after_seq, min(after_seq + VERIFIED_AT_ONCE_MAX, head.seq)
    while seq < until:
        start, limit = seq, min(_PAGE, until - seq)
        page = await services.read(
            lambda connection, start=start, limit=limit: ledger.list_after(  # type: ignore[misc]
                connection, user_id, start, limit
            ),
            deadline,
        )
        for transfer in page:
            seq += 1
            what = _fault_of(transfer, seq, last.hash)
            if what is not None:
                return Verification(after_seq + 1, seq, "", False, Fault(seq, what))
            last = _end_at(transfer)
        if not page:
            return Verification(after_seq + 1, seq, "", False, Fault(seq + 1, "is missing"))
    if seq < head.seq:
        return Verification(after_seq + 1, seq, last.hash, False, None)
    fault = await _fault_at_the_end(services, user_id, head, last, deadline)
    complete = fault is not None or head == await services.read(
        lambda connection: ledger.get_head(connection, user_id), deadline
    )
    return Verification(after_seq + 1, seq, last.hash, complete, fault)


def _fault_of(transfer: Transfer, seq: int, previous: str) -> str | None:
    if transfer.seq != seq:
        return "is missing"
    if transfer.hash != hash_of(transfer, previous) or not is_well_formed(transfer):
        return "is not what its hash was made of"
    return None


def _end_at(transfer: Transfer) -> Head:
    return Head(transfer.seq, transfer.at_ms, transfer.hash)


async def _head_at(services: Services, user_id: UUID, seq: int, deadline: Deadline) -> Head | None:
    """The end of the user's chain when it had `seq` transfers; None where the last of them is missing."""
    if seq == 0:
        return Head()
    page = await services.read(
        lambda connection: ledger.list_after(connection, user_id, seq - 1, 1), deadline
    )
    return _end_at(page[0]) if page and page[0].seq == seq else None


async def _fault_at_the_end(
    services: Services, user_id: UUID, head: Head, last: Head, deadline: Deadline
) -> Fault | None:
    """What is wrong with the end of a chain, which is `last`, or with what it comes to."""
    seq = last.seq
    if head != last:
        return Fault(seq, "is not the end that the head of the ledger has")
    beyond = await services.read(lambda connection: ledger.list_after(connection, user_id, seq, 1), deadline)
    now = await services.read(lambda connection: ledger.get_head(connection, user_id), deadline)
    if now != head:
        # Something was appended meanwhile: the balances are those of a longer chain.
        return None
    if beyond:
        return Fault(beyond[0].seq, "lies beyond the head of the ledger")
    what = await _find_wrong_books(services, user_id, seq, deadline)
    again = await services.read(lambda connection: ledger.get_head(connection, user_id), deadline)
    return None if what is None or again != head else Fault(seq, what)


async def _find_wrong_books(services: Services, user_id: UUID, seq: int, deadline: Deadline) -> str | None:
    """What beside a chain of `seq` transfers is not what they come to."""
    folded = await services.read(
        lambda connection: balances.fold_before(connection, user_id, _END_OF_TIME_MS, seq), deadline
    )
    kept = await services.read(lambda connection: balances.read_balances(connection, user_id), deadline)
    if folded != kept:
        return "does not come to the balances that are kept"
    for find, words in _WRONG_BOOKS:
        wrong = await services.read(functools.partial(find, user_id=user_id), deadline)
        if wrong is not None:
            return words + wrong
    return None


async def verify_usage(services: Services, user_id: UUID, deadline: Deadline) -> str | None:
    """What plans count of a user that is not what they have staked; None when all is."""
    plan_id = await services.read(
        lambda connection: balances.find_wrong_user_usage(connection, user_id), deadline
    )
    return None if plan_id is None else f"counts another amount of plan {plan_id} than is staked"


async def find_strangers(services: Services, deadline_of_page: Callable[[], Deadline]) -> list[UUID]:
    """Who has a ledger, a balance or a stake, and is no user."""
    strangers: set[UUID] = set()
    for book in balances.BOOKS:
        start: UUID | None = UUID(int=0)
        while start is not None:
            found, start = await services.read(
                lambda connection, book=book, start=start: balances.find_strangers(  # type: ignore[misc]
                    connection, book, start
                ),
                deadline_of_page(),
            )
            strangers.update(found)
    return sorted(strangers)


async def verify_stakes(
    services: Services, user_id: UUID, deadline_of_page: Callable[[], Deadline]
) -> tuple[UUID, str] | None:
    """The first of a user's stakes that is not as its terms say, and what of it; None when all are.

    What is paid, and when, is computed again from the version of the plan that it was made under, which the
    transfer that made it names.
    """

    async def read(connection: Connection, before: UUID) -> tuple[list[Stake], dict[UUID, Transfer]]:
        page = await stakes.list_after(connection, user_id, before, _PAGE)
        return page, await ledger.find_makings(connection, ((user_id, stake.id) for stake in page))

    before = UUID(int=2**128 - 1)
    while True:
        page, makings = await services.read(functools.partial(read, before=before), deadline_of_page())
        for stake in page:
            what = fault_of_terms(stake) or fault_of_making(stake, makings.get(stake.id))
            if what is not None:
                return stake.id, what
        if len(page) < _PAGE:
            return None
        before = page[-1].id
