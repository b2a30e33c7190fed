"""Changing the ring: who stays keeps everything, who moves begins anew, and a new epoch forgets all of it."""

from contextlib import AsyncExitStack

import pytest

from tests.ring.databases import (
    Places,
    RingDatabase,
    one_on_each,
    ring_settings,
    until_cached,
)
from tests.support.native import running_service
from tests.support.service import Person, Service

QUOTA = 4
LIMITS = {"STAKEHOLD_LIMITS": f"stake-create={QUOTA}"}


async def use_up(person: Person, service: Service) -> int:
    """Stake until it is refused; how many were made."""
    there = person.at(service)
    for made in range(10 * QUOTA):
        answer = await there.post("/api/stake", {"amount": 1, "period": 1})
        if answer.status_code == 429:
            return made
        assert answer.status_code == 201, answer.text
    raise AssertionError("no limit was met")


async def test_with_one_removed_only_its_users_begin_anew(
    databases: list[RingDatabase], database_url: str
) -> None:
    """With the same epoch: limits used up on the databases that stay are used up after the change."""
    before = ring_settings(databases, **LIMITS)
    async with running_service(database_url, "", before) as service:
        people = await one_on_each(service, Places(before))
        assert [await use_up(person, service) for person in people] == [QUOTA] * 3
    after = ring_settings(databases[:2], **LIMITS)
    async with running_service(database_url, "", after) as service:
        assert [await use_up(person, service) for person in people] == [0, 0, QUOTA]


async def test_with_one_added_only_those_it_gets_begin_anew(
    databases: list[RingDatabase], database_url: str
) -> None:
    """With the same epoch: users move to the new database, and to no other."""
    before, after = ring_settings(databases[:2], **LIMITS), ring_settings(databases, **LIMITS)
    async with running_service(database_url, "", before) as service:
        people = await one_on_each(service, Places(after))
        assert [await use_up(person, service) for person in people] == [QUOTA] * 3
    async with running_service(database_url, "", after) as service:
        assert [await use_up(person, service) for person in people] == [0, 0, QUOTA]


async def test_a_new_epoch_sees_no_key_of_an_old_one(
    databases: list[RingDatabase], database_url: str
) -> None:
    """Every key a process names has its own epoch: at the wire, and in what is added."""
    settings = ring_settings(databases, epoch=6, **LIMITS)
    async with running_service(database_url, "", settings) as service:
        people = await one_on_each(service, Places(settings))
        for person in people:
            assert await use_up(person, service) == QUOTA
            await until_cached(person)
    old_keys = [database.kept() for database in databases]
    raised = ring_settings(databases, epoch=7, **LIMITS)
    for person, database, old in zip(people, databases, old_keys, strict=True):
        with database.watched() as seen:
            async with running_service(database_url, "", raised) as service:
                assert await use_up(person, service) == QUOTA
                await until_cached(person.at(service))
        assert seen.epochs == {7}
        new = database.kept() - old
        assert new
        assert all(key.startswith("sh7:") for key in new)


@pytest.mark.parametrize("raised", [True, False])
async def test_a_database_that_returns_to_the_ring(
    databases: list[RingDatabase], database_url: str, raised: bool
) -> None:
    """Away for one change of the ring, with all it knew: its users' pages are the newest.

    With the epoch raised at each change nothing it had kept counts; without, its old limits do.
    """
    epochs = [0, 1, 2] if raised else [0, 0, 0]
    full, without = ring_settings(databases, epochs[0], **LIMITS), ring_settings(databases[:2], epochs[1])
    async with running_service(database_url, "", full) as service:
        person = (await one_on_each(service, Places(full)))[2]
        assert await use_up(person, service) == QUOTA
        assert len((await until_cached(person))["items"]) == QUOTA
    async with running_service(database_url, "", without) as service:
        await person.at(service).stake()
    async with running_service(database_url, "", ring_settings(databases, epochs[2], **LIMITS)) as service:
        page = await person.at(service).list_stakes()
        assert (len(page["items"]), page["fromCache"]) == (QUOTA + 1, False)
        assert await use_up(person, service) == (QUOTA if raised else 0)


async def test_the_worst_case_of_the_limits_across_a_change(
    databases: list[RingDatabase], database_url: str
) -> None:
    """At most the quota twice in a window: once on the old ring, once on the new, even side by side.

    More changes in one window would each add one; a second process of either ring adds nothing.
    """
    old, new = ring_settings(databases, 0, **LIMITS), ring_settings(databases[:2], 1, **LIMITS)
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(running_service(database_url, "", settings))
            for settings in (old, new, old, new)
        ]
        for person in await one_on_each(services[0], Places(old)):
            assert [await use_up(person, service) for service in services] == [QUOTA, QUOTA, 0, 0]
