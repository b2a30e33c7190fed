"""Many requests in one isolate: none waits for another, none gets another's answer, and memory stays flat.

The harness fails a test in which one request touches what is another's, or settles what another waits for.
"""

import asyncio
import random

import httpx
import pytest

from tests.support.cached_pages import age_pages
from tests.support.postgres_proxy import PostgresProxy
from tests.support.service import Person
from tests.support.worker import WorkerHost, WorkerService
from tests.worker.conftest import StartWorker

AT_ONCE = 20
USERS = 4
ROUNDS = 10
PAGE_READ = "FROM stakes"
WARM_UP = 300
REQUESTS = 2000
HEAP_STEP = 1.21
"""WebAssembly's memory grows by a fifth at a time: one step more may be what was left to the next."""

OBJECTS_GROWTH_MAX = 5_000


class Holder:
    """A user, and the stakes that were acknowledged to them."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.made: set[str] = set()

    async def read(self) -> bool:
        """A page has what was acknowledged before it was asked for, and none of another user's."""
        known = set(self.made)
        answer = await self.person.get("/api/stake", params={"limit": "100"})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen = {item["id"] for item in page["items"]}
        assert known <= seen
        assert {item["amount"] for item in page["items"]} <= {self.amount}
        return bool(page["fromCache"])

    async def write(self) -> None:
        self.made.add(await self.person.stake(self.amount))

    async def look(self) -> None:
        """Whose token it is."""
        answer = await self.person.get("/api/me")
        assert answer.status_code == 200, answer.text
        assert answer.json()["username"] == self.person.username

    @property
    def amount(self) -> str:
        """Each user stakes an amount of their own, so that a page tells whose it is."""
        return str(1000 + int(self.person.username.rpartition("-")[2]))


async def _holders(service: WorkerService) -> list[Holder]:
    return [Holder(await service.enrol()) for _ in range(USERS)]


async def test_twenty_requests_at_once_are_each_answered_to_their_user(
    start_worker: StartWorker, entropy: object
) -> None:
    """Reads of the same pages, creations and profiles by several users, 20 at a time, cold and cached.

    Every answer is the asking user's, every page has what was acknowledged before, and no request waits for
    anything of another's: neither I/O nor a future, lock or event.
    """
    service = await start_worker()
    holders = await _holders(service)
    draw = random.Random(getattr(entropy, "seed", 0))
    cached = 0
    for _ in range(ROUNDS):
        works = [draw.choice((h.read, h.read, h.read, h.write, h.look)) for h in holders * (AT_ONCE // USERS)]
        draw.shuffle(works)
        outcomes = await asyncio.gather(*(work() for work in works))
        cached += sum(outcome is True for outcome in outcomes)
    reports = await service.reports()
    assert len(reports) == ROUNDS * AT_ONCE
    assert {report.outcome for report in reports} == {"ok"}
    assert sum(not report.alone for report in reports) > len(reports) / 2
    assert sum(report.connections_waited for report in reports) == 0
    assert await service.violations() == []
    assert cached
    for holder in holders:
        await holder.read()
        rows = await service.sql(
            "SELECT s.id FROM stakes s JOIN users u ON u.id = s.user_id WHERE u.username = $1",
            holder.person.username,
        )
        assert {str(stake_id) for (stake_id,) in rows} == holder.made


async def test_twenty_reads_of_one_page_at_once_are_alike(start_worker: StartWorker) -> None:
    """By one user, of a page that nobody has cached, then of a stale one: each is answered, all the same.

    Nobody joins another's reading; of a stale page, one reading is enough.
    """
    service = await start_worker()
    (holder,) = [Holder(await service.enrol())]
    await holder.write()
    await service.reports()
    for aged_s, readings in ((0, AT_ONCE), (301, 1)):
        if aged_s:
            await age_pages(holder.person, aged_s)
        answers = await asyncio.gather(*(holder.person.get("/api/stake") for _ in range(AT_ONCE)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.headers["etag"] for answer in answers}) == 1
        reports = await service.reports()
        assert 1 <= sum(report.sockets_opened for report in reports) <= readings


@pytest.mark.parametrize("killed", [False, True])
async def test_a_request_that_is_held_up_holds_up_no_other(
    start_worker: StartWorker, postgres_proxy: PostgresProxy, killed: bool
) -> None:
    """One read waits for the database, or was killed there: those of the same page, and others, go on."""
    service = await start_worker()
    holder, other = Holder(await service.enrol()), Holder(await service.enrol())
    await holder.write()
    await other.write()
    await other.read()
    await service.reports()
    postgres_proxy.stall_at(PAGE_READ)
    held_up = asyncio.ensure_future(holder.person.get("/api/stake", params={"limit": "100"}))
    async with asyncio.timeout(10):
        while not postgres_proxy.held:
            await asyncio.sleep(0.005)
    assert await other.read() is True
    if killed:
        await service.abandon(unanswered=True)
        with pytest.raises(httpx.TransportError):
            await held_up
        postgres_proxy.resume()
        assert await holder.read() is False
    else:
        assert not held_up.done()
        postgres_proxy.resume()
        assert (await held_up).status_code == 200


async def test_memory_is_flat_over_two_thousand_requests(
    start_worker: StartWorker, worker_host: WorkerHost
) -> None:
    """WebAssembly's memory, which never shrinks, and Python's objects have a bound that requests do not move.

    Reads that are cached and not, creations, refusals: 20 at a time, by users who come and go.
    """
    service = await start_worker()
    holders = await _holders(service)
    figures = []
    for count in (WARM_UP, REQUESTS // 2, REQUESTS // 2):
        await _serve(service, holders, count)
        reports = await service.reports()
        assert {report.outcome for report in reports} == {"ok"}
        figures.append(await worker_host.memory())
        print({name: f"{value:,}" for name, value in figures[-1].items()})
    warm, _, last = figures
    assert last["heapBytes"] <= warm["heapBytes"] * HEAP_STEP
    assert last["pythonObjects"] - warm["pythonObjects"] <= OBJECTS_GROWTH_MAX


async def _serve(service: WorkerService, holders: list[Holder], count: int) -> None:
    for first in range(0, count, AT_ONCE):
        holders[first // AT_ONCE % USERS] = Holder(await service.enrol())
        works = [holder.read() for holder in holders * (AT_ONCE // USERS - 2)]
        works += [holder.write() for holder in holders]
        works += [_refused(holder, first) for holder in holders]
        await asyncio.gather(*works)


async def _refused(holder: Holder, number: int) -> None:
    if number % 2:
        answer = await holder.person.post("/api/stake", {"amount": "0", "period": 12})
    else:
        answer = await holder.person.get(f"/api/stake/{'0' * 8}-0000-7000-8000-{number:012x}")
    assert answer.status_code in (404, 422)
