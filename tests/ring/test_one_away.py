"""One database of the ring is killed, frozen, full or emptied: only its own users' requests can tell."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.ring.databases import Places, RingDatabase, one_on_each, ring_settings, until_cached
from tests.support.native import Process, running_process
from tests.support.service import Person

PROCESSES = 2
QUOTA = 10
LIMITS = f"stake-create={QUOTA},stake-read=1000,global=1000"
RETURN_S = 10.0
AWAY = 1
"""The place of the one that is troubled, in the list of the ring's databases."""


@dataclass
class Running:
    """Two processes of the service on the ring, and a user on each database."""

    processes: list[Process]
    people: list[Person]

    @property
    def others(self) -> list[Person]:
        return [person for number, person in enumerate(self.people) if number != AWAY]

    @property
    def own(self) -> Person:
        return self.people[AWAY]

    def everywhere(self, person: Person) -> list[Person]:
        """The same user at each process."""
        return [person.at(process.service) for process in self.processes]

    def counted(self, name: str) -> int:
        return sum(process.container.metrics.snapshot().get(name, 0) for process in self.processes)


@asynccontextmanager
async def running(databases: list[RingDatabase], database_url: str) -> AsyncIterator[Running]:
    settings = ring_settings(databases, STAKEHOLD_LIMITS=LIMITS, STAKEHOLD_PROCESSES=str(PROCESSES))
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(running_process(database_url, "", settings))
            for _ in range(PROCESSES)
        ]
        found = Running(processes, await one_on_each(processes[0].service, Places(settings)))
        for person in found.people:
            for there in found.everywhere(person):
                await until_cached(there)
        yield found


def trouble(database: RingDatabase, how: str) -> None:
    if how == "killed":
        database.server.kill()
    elif how == "frozen":
        database.freeze()
    elif how == "full":
        database.ask("CONFIG", "SET", "maxmemory", "1")
    else:
        database.ask("FLUSHALL")


def mend(database: RingDatabase, how: str) -> None:
    if how == "killed":
        # In the main thread: a server dies with the thread that started it.
        database.server.start()
    elif how == "frozen":
        database.thaw()
    elif how == "full":
        database.ask("CONFIG", "SET", "maxmemory", "256mb")


async def try_to_stake(running: Running, person: Person, attempts: int) -> Counter[int]:
    """Attempts in turn at each process; how many were answered with each status."""
    statuses: Counter[int] = Counter()
    for number in range(attempts):
        there = running.everywhere(person)[number % PROCESSES]
        answer: httpx.Response = await there.post("/api/stake", {"amount": 1, "period": 1})
        statuses[answer.status_code] += 1
    return statuses


async def assert_others_notice_nothing(running: Running, databases: list[RingDatabase]) -> None:
    """Pages from the cache with one trip a read, and limits that are exact over both processes."""
    local = running.counted("limits_local_admissions")
    for number, database in enumerate(databases):
        if number == AWAY:
            continue
        person = running.people[number]
        before = database.trips()
        for there in running.everywhere(person) * 3:
            assert (await there.list_stakes())["fromCache"] is True
        assert database.trips() - before == 3 * PROCESSES
        # All at one process first: were the other's share kept for it, this one would refuse at half.
        at_first = person.at(running.processes[0].service)
        for _ in range(QUOTA):
            await at_first.stake()
        assert await try_to_stake(running, person, 2 * PROCESSES) == {429: 2 * PROCESSES}
    assert running.counted("limits_local_admissions") == local
    assert running.counted("unfenced_writes") == 0


@pytest.mark.parametrize("how", ["killed", "frozen", "full", "emptied"])
async def test_users_of_the_other_databases_notice_nothing(
    databases: list[RingDatabase], database_url: str, how: str
) -> None:
    """Their pages stay cached, a read stays one trip, their limits stay exact, no write goes unfenced.

    The processes know that one is in trouble: the same users, before and after one of its own has met it.
    """
    async with running(databases, database_url) as service:
        trouble(databases[AWAY], how)
        for there in service.everywhere(service.own):
            await there.list_stakes()
        await assert_others_notice_nothing(service, databases)
        mend(databases[AWAY], how)


@pytest.mark.parametrize("how", ["killed", "frozen", "full", "emptied"])
async def test_its_own_users_go_on_as_when_redis_is_away(
    databases: list[RingDatabase], database_url: str, how: str
) -> None:
    """They read and write meanwhile, within the limits' bound, and nobody reads a page from before it.

    After the return their newest stakes are read, and pages are cached again.
    """
    async with running(databases, database_url) as service:
        await service.own.stake()
        trouble(databases[AWAY], how)
        statuses = await try_to_stake(service, service.own, 2 * QUOTA)
        assert set(statuses) <= {201, 429}
        made = 1 + statuses[201]
        assert made <= QUOTA + (PROCESSES - 1) * (QUOTA // PROCESSES)
        for there in service.everywhere(service.own):
            page = await there.list_stakes(limit=100)
            assert len(page["items"]) == made
        if how != "emptied":
            assert service.counted("redis_losses") >= PROCESSES
        mend(databases[AWAY], how)
        await until_ready(service)
        for there in service.everywhere(service.own):
            # What a frozen one was sent it does when it goes on, fences of writes included: those last 15 s.
            page = await (there.list_stakes(limit=100) if how == "frozen" else until_cached(there))
            assert len(page["items"]) == (made if how == "frozen" else min(made, 10))
        assert service.counted("redis_returns") == service.counted("redis_losses")
        assert service.counted("redis_forgot") == (PROCESSES if how == "emptied" else 0)


async def test_a_loss_is_of_one_database(databases: list[RingDatabase], database_url: str) -> None:
    """One killed of three: each process counts one loss and one return, and is degraded in between."""
    async with running(databases, database_url) as service:
        trouble(databases[AWAY], "killed")
        for person in service.people * 2:
            for there in service.everywhere(person):
                await there.list_stakes()
        assert service.counted("redis_losses") == PROCESSES
        assert service.counted("cache_down") == 2 * PROCESSES
        ready = await service.processes[0].service.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        mend(databases[AWAY], "killed")
        await until_ready(service)
        assert service.counted("redis_returns") == PROCESSES


async def until_ready(running: Running) -> None:
    async with asyncio.timeout(RETURN_S):
        for process in running.processes:
            while (await process.service.client.get("/readyz")).json()["status"] != "ready":
                await asyncio.sleep(0.01)
