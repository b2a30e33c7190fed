"""Balances, the ledger and statements over HTTP. Nothing of it is cached: it is what money is decided by."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from stakehold.database.balances import Balance
from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.ledger import Transfer
from stakehold.domain.money import format_amount
from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, StreamedAnswer, json_answer
from stakehold.http.csv_rows import encode_rows, text_cell
from stakehold.http.moments import read_moment_ms
from stakehold.http.schemas.ledger import (
    BalanceItem,
    Balances,
    BalancesAt,
    FaultItem,
    LedgerVerification,
    ListTransfers,
    StatementEntry,
    StatementQuery,
    TransferItem,
    TransferPage,
    VerifyAfter,
)
from stakehold.services import ledger, statements
from stakehold.services.plans import scale_of
from stakehold.services.statements import Entry, Statement

_JSON = (b"content-type", b"application/json")
_CSV = (b"content-type", b"text/csv; charset=utf-8; header=present")
_CSV_COLUMNS = (
    "seq", "createdAt", "kind", "asset", "availableChange", "stakedChange", "available", "staked", "stakeId",
    "actor", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a statement: [from_ms, until_ms), in milliseconds since the Unix epoch."""

    from_ms: int
    until_ms: int


def parse_as_of(call: Call) -> int | None:
    """The moment asked about; None for now. Raises ValidationError."""
    as_of = call.query_as(BalancesAt).as_of
    return None if as_of is UNSET else read_moment_ms(as_of, "?asOf")


async def read_balances(call: Call) -> Answer:
    """GET /api/balances"""
    found = await ledger.read_balances(
        call.container.services, call.signed_in(), parse_as_of(call), call.deadline
    )
    return json_answer(200, Balances(items=[_balance(one) for one in found]), NO_STORE)


async def list_transfers(call: Call) -> Answer:
    """GET /api/ledger"""
    services, query = call.container.services, call.query_as(ListTransfers)
    before = None if query.cursor is UNSET else int(query.cursor)
    found = await ledger.list_transfers(services, call.signed_in(), before, query.limit, call.deadline)
    items = [
        _transfer(one, await scale_of(services, one.movement.asset, call.deadline)) for one in found.transfers
    ]
    cursor = str(found.transfers[-1].seq) if found.has_more else None
    return json_answer(200, TransferPage(items=items, has_more=found.has_more, next_cursor=cursor), NO_STORE)


async def verify(call: Call) -> Answer:
    """GET /api/ledger/verification"""
    after = call.query_as(VerifyAfter).after
    found = await ledger.verify(call.container.services, call.signed_in().user_id, after, call.deadline)
    content = LedgerVerification(
        valid=found.fault is None,
        complete=found.complete,
        first=found.first,
        last=found.last,
        last_hash=found.last_hash,
        fault=None if found.fault is None else FaultItem(seq=found.fault.seq, what=found.fault.what),
    )
    return json_answer(200, content, NO_STORE)


def parse_span(call: Call) -> Span:
    """The time of a statement. Raises ValidationError."""
    query = call.query_as(StatementQuery)
    span = Span(read_moment_ms(query.from_, "?from"), read_moment_ms(query.to, "?to"))
    if span.until_ms < span.from_ms:
        raise ValidationError(
            "The query is not valid.",
            fields=(FieldError("?to", "before_from", "Not before `from`."),),
        )
    return span


async def read_statement(call: Call) -> StreamedAnswer:
    """GET /api/statement"""
    span = call.parsed_as(Span)
    statement = await statements.open_statement(
        call.container.services, call.signed_in(), span.from_ms, span.until_ms, call.deadline
    )
    if call.query_as(StatementQuery).format == "csv":
        name = b'attachment; filename="statement.csv"'
        headers = [_CSV, NO_STORE, (b"content-disposition", name)]
        return StreamedAnswer(200, _csv_pieces(call, statement), headers)
    return StreamedAnswer(200, _json_pieces(call, statement), [_JSON, NO_STORE])


async def _json_pieces(call: Call, statement: Statement) -> AsyncGenerator[bytes, None]:
    head = {
        "from": rfc3339(statement.from_ms),
        "to": rfc3339(statement.until_ms),
        "final": statement.final,
        "opening": [_balance(one) for one in statement.opening],
        "closing": [_balance(one) for one in statement.closing],
    }
    yield msgspec.json.encode(head)[:-1] + b',"entries":['
    between = b""
    async for page in _pages(call, statement):
        yield between + msgspec.json.encode([_entry(one) for one in page])[1:-1]
        between = b","
    yield b"]}"


async def _csv_pieces(call: Call, statement: Statement) -> AsyncGenerator[bytes, None]:
    opening = [_balance_row("opening", statement.from_ms, one) for one in statement.opening]
    yield encode_rows([_CSV_COLUMNS, *opening])
    async for page in _pages(call, statement):
        yield encode_rows(_entry_row(_entry(one)) for one in page)
    yield encode_rows(_balance_row("closing", statement.until_ms, one) for one in statement.closing)


def _pages(call: Call, statement: Statement) -> AsyncGenerator[list[Entry], None]:
    return statements.entries(call.container.services, call.signed_in(), statement, call.piece_deadline)


def _balance_row(kind: str, at_ms: int, balance: Balance) -> tuple[str, ...]:
    item = _balance(balance)
    asset = text_cell(item.asset)
    return ("", rfc3339(at_ms), kind, asset, "", "", item.available, item.staked, "", "", "")


def _entry_row(entry: StatementEntry) -> tuple[str, ...]:
    return (
        str(entry.seq),
        entry.created_at,
        entry.kind,
        text_cell(entry.asset),
        entry.available_change,
        entry.staked_change,
        entry.available,
        entry.staked,
        entry.stake_id or "",
        text_cell(entry.actor),
        text_cell(entry.reason or ""),
    )


def _balance(balance: Balance) -> BalanceItem:
    scale = balance.scale
    return BalanceItem(
        asset=balance.asset,
        available=format_amount(balance.available_minor, scale),
        staked=format_amount(balance.staked_minor, scale),
        total=format_amount(balance.available_minor + balance.staked_minor, scale),
    )


def _transfer(transfer: Transfer, scale: int) -> TransferItem:
    movement = transfer.movement
    return TransferItem(
        id=str(transfer.id),
        seq=transfer.seq,
        kind=movement.kind,
        debit_account=movement.debit_account,
        credit_account=movement.credit_account,
        asset=movement.asset,
        amount=format_amount(movement.amount_minor, scale),
        stake_id=None if movement.stake_id is None else str(movement.stake_id),
        reverses=movement.reverses,
        actor=transfer.actor,
        reason=movement.reason,
        created_at=rfc3339(transfer.at_ms),
        hash=transfer.hash,
    )


def _entry(entry: Entry) -> StatementEntry:
    transfer, scale = entry.transfer, entry.scale
    movement = transfer.movement
    return StatementEntry(
        seq=transfer.seq,
        created_at=rfc3339(transfer.at_ms),
        kind=movement.kind,
        asset=movement.asset,
        available_change=_signed(entry.available_change_minor, scale),
        staked_change=_signed(entry.staked_change_minor, scale),
        available=format_amount(entry.available_minor, scale),
        staked=format_amount(entry.staked_minor, scale),
        stake_id=None if movement.stake_id is None else str(movement.stake_id),
        actor=transfer.actor,
        reason=movement.reason,
    )


def _signed(change_minor: int, scale: int) -> str:
    text = format_amount(abs(change_minor), scale)
    return "-" + text if change_minor < 0 else text
