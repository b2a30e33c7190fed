"""The Worker's cron: what is due is settled and what has expired is swept."""

import json
import time
from typing import Any

from stakehold.domain.timestamps import DAY_MS
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.worker import WorkerService
from tests.worker.conftest import StartWorker

YEAR_AND_MORE_MS = 370 * DAY_MS


async def _scheduled(service: WorkerService) -> dict[str, Any]:
    """Run it; what it wrote of its upkeep."""
    await service.log()
    assert (await service.scheduled()).outcome == "ok"
    lines = [json.loads(line) for line in await service.log()]
    [told] = [line for line in lines if line["event"] == "upkeep"]
    return dict(told)


async def test_the_cron_settles_and_sweeps(
    database_clock: DatabaseClock, start_worker: StartWorker, database_url: str
) -> None:
    """Each stake is paid, the session and the events are gone, and the next run finds nothing to do."""
    began_ms = int(time.time() * 1000)
    await database_clock.set(began_ms)
    service = await start_worker()
    person = await service.enrol()
    stakes = [await person.stake(amount=amount) for amount in ("1000", "0.00000001")]
    await database_clock.set(began_ms + YEAR_AND_MORE_MS)
    told = await _scheduled(service)
    assert (told["level"], told["settled"], told["not_settled"], told["failed"]) == ("info", 2, 0, None)
    assert told["swept"] == 3
    assert await service.sql("SELECT state FROM stakes") == [("paid_out",)] * 2
    assert await service.sql("SELECT count(*) FROM sessions") == [(0,)]
    books = await check_books(database_url)
    [theirs] = books.transfers.values()
    paid = [str(each.movement.stake_id) for each in theirs if each.movement.kind == "principal"]
    assert sorted(paid) == sorted(stakes)
    told = await _scheduled(service)
    assert (told["settled"], told["swept"]) == (0, 0)
    assert not await service.violations()
