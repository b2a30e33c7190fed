"""A statement of many entries streams from the Worker in little memory, and reconciles."""

import csv
from decimal import Decimal

from tests.unit.services.test_statements import FILL, FIRST_MS, MANY
from tests.worker.conftest import StartWorker

ALL_TIME = {"from": "2020-01-01", "to": "2090-01-01", "format": "csv"}
FEW = 500


async def test_a_hundred_thousand_entries_take_little_memory_and_reconcile(start_worker: StartWorker) -> None:
    """WebAssembly's memory, which never shrinks, grows by less than a tenth of what passes."""
    service = await start_worker()
    person = await service.enrol()
    [(user_id,)] = await service.sql("SELECT id FROM users")
    await service.sql(FILL, user_id, FIRST_MS, MANY)
    await service.sql("INSERT INTO ledger_heads VALUES ($1, $2, $3, 'x')", user_id, MANY, FIRST_MS)

    async def read(**query: str) -> bytes:
        body = bytearray()
        async with service.client.stream(
            "GET", "/api/statement", params={**ALL_TIME, **query}, headers=person.headers
        ) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                body += piece
        return bytes(body)

    await read(to="2027-01-16")
    before = (await service.host.memory())["heapBytes"]
    text = await read()
    assert (await service.host.memory())["heapBytes"] - before < len(text) / 10
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert [row["kind"] for row in (rows[0], rows[-1])] == ["opening", "closing"]
    assert len(rows) == MANY + 2
    opening, *entries, closing = rows
    changed = sum(Decimal(row["availableChange"]) for row in entries)
    assert Decimal(opening["available"]) + changed == Decimal(closing["available"])
