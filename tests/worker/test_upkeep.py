"""The Worker's cron: what is due is settled and what has expired is swept."""

import json
import time
from typing import Any

from stakehold.domain.timestamps import DAY_MS
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.receiver import KEY, SECRET, running_receiver
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


async def test_the_cron_tells_the_receiver(database_clock: DatabaseClock, start_worker: StartWorker) -> None:
    """What was made and what matured, once, signed; what is refused is told again, under the same id."""
    began_ms = int(time.time() * 1000)
    await database_clock.set(began_ms)
    async with running_receiver() as receiver:
        service = await start_worker(
            STAKEHOLD_WEBHOOK_URL=receiver.url,
            STAKEHOLD_WEBHOOK_SECRET=SECRET,
            STAKEHOLD_WEBHOOK_PRIVATE="on",
        )
        person = await service.enrol()
        stakes = {await person.stake(amount="1000") for _ in range(6)}
        receiver.answers(404)
        assert (await _scheduled(service))["delivered"] == 0
        refused = {received.id for received in receiver.received}
        receiver.received.clear()
        receiver.answers(204)
        await database_clock.set(began_ms + YEAR_AND_MORE_MS)
        # Of 30 days ago and more, they would be swept: the receiver has them before.
        assert (await _scheduled(service))["delivered"] == 12
    assert all(received.is_signed_with(KEY) for received in receiver.received)
    told = [(each.json()["type"], each.json()["data"]["stakeId"]) for each in receiver.received]
    assert sorted(told) == sorted(
        (kind, stake) for kind in ("stake.created", "stake.matured") for stake in stakes
    )
    assert refused == {each.id for each in receiver.received if each.json()["type"] == "stake.created"}
    assert not await service.violations()
