"""No page is older than the last acknowledged write, whatever happens between the two.

Two processes of the service run on one PostgreSQL and one Redis.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from stakehold.runtime.embedded import EmbeddedValkey
from tests.contract.conftest import StartProcess, roomy_limits, until_up
from tests.support.fakes import CheapScrypt, HeldBackground
from tests.support.native import Process, running_process
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.service import Person, assert_problem

STAKE = {"amount": "1", "period": 12}
INSERT = "INSERT INTO stakes"


def _ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


async def _sees(person: Person, *processes: Process) -> list[list[str]]:
    """What the user's first page is at each process, read twice there."""
    return [_ids(await person.at(process.service).list_stakes()) for process in processes for _ in range(2)]


class Ledger:
    """What was acknowledged to whom, and readers that hold each page against it."""

    def __init__(self) -> None:
        self.everywhere: set[str] = set()
        """Acknowledged while both processes had Redis, or before they found it again."""
        self.by_process: dict[int, set[str]] = {}
        """Acknowledged by each process since Redis was lost."""
        self.writing = True
        self.pages = 0

    async def write(self, person: Person, count: int) -> None:
        """Make stakes one after the other; each is to be read at once where it was made."""
        own = self.by_process.setdefault(id(person.service), set())
        for _ in range(count):
            own.add(await person.stake())

    async def read(self, person: Person) -> None:
        """Read without pause: every page has all that was acknowledged before it was asked for."""
        own = self.by_process.setdefault(id(person.service), set())
        while self.writing:
            acknowledged = self.everywhere | own
            page = await person.list_stakes(limit=100)
            assert acknowledged <= set(_ids(page))
            self.pages += 1

    def settle(self) -> None:
        """From now on every process answers for what any of them acknowledged."""
        for own in self.by_process.values():
            self.everywhere |= own


class SharedLedger(Ledger):
    """Every process answers for every acknowledgement at once."""

    async def write(self, person: Person, count: int) -> None:
        for _ in range(count):
            self.everywhere.add(await person.stake())


async def test_every_page_has_every_acknowledged_stake(start_process: StartProcess, redis_url: str) -> None:
    """One user writes and reads through two processes at once: no page lacks what was acknowledged."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await one.service.sign_up()
    ledger = SharedLedger()
    readers = [asyncio.create_task(ledger.read(person.at(p.service))) for p in (one, other) * 2]
    await asyncio.gather(*(ledger.write(person.at(p.service), 15) for p in (one, other) * 2))
    ledger.writing = False
    await asyncio.gather(*readers)
    assert len(ledger.everywhere) == 60
    for process in (one, other):
        page = await person.at(process.service).list_stakes(limit=100)
        assert set(_ids(page)) == ledger.everywhere
    assert ledger.pages > 60


async def test_pages_between_writes_come_from_the_cache_and_are_true(
    start_process: StartProcess, redis_url: str
) -> None:
    """With pauses between the writes pages are cached, and each write is seen by the next read anywhere."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await one.service.sign_up()
    made: list[str] = []
    cached = 0
    for round_number in range(20):
        writer, reader = (one, other) if round_number % 2 else (other, one)
        made.insert(0, await person.at(writer.service).stake())
        for process in (reader, writer) * 3:
            page = await person.at(process.service).list_stakes(limit=100)
            assert _ids(page) == made
            cached += page["fromCache"]
    assert cached >= 20


async def test_redis_dies_and_returns_while_stakes_are_made_and_read(
    start_process: StartProcess, private_valkey: EmbeddedValkey
) -> None:
    """Redis is killed under load and comes back with its old pages: nothing acknowledged is missing.

    From the loss until both processes have found Redis again, each answers for its own acknowledgements: what
    the other did unfenced it learns when that one is back. After that each answers for all.
    """
    url = private_valkey.url
    one, other = await start_process(url), await start_process(url)
    person = await one.service.sign_up()
    both = [person.at(process.service) for process in (one, other)]
    ledger = Ledger()
    for held in both:
        await ledger.write(held, 3)
        await held.list_stakes(limit=100)
    ledger.settle()
    readers = [asyncio.create_task(ledger.read(held)) for held in both * 2]
    writers = [asyncio.create_task(ledger.write(held, 10)) for held in both]
    private_valkey.kill()
    await asyncio.gather(*writers)
    private_valkey.start()
    await asyncio.gather(*(ledger.write(held, 5) for held in both))
    await until_up(one, other)
    ledger.settle()
    await asyncio.gather(*(ledger.write(held, 5) for held in both))
    ledger.settle()
    for held in both:
        assert set(_ids(await held.list_stakes(limit=100))) == ledger.everywhere
    ledger.writing = False
    await asyncio.gather(*readers)
    assert len(ledger.everywhere) == 46


async def test_a_write_without_redis_is_seen_when_its_old_pages_return(
    start_process: StartProcess, private_valkey: EmbeddedValkey
) -> None:
    """A page cached before, a stake made while Redis is dead, Redis back with the page: it is not served."""
    one, other = await start_process(private_valkey.url), await start_process(private_valkey.url)
    person = await one.service.sign_up()
    assert await _sees(person, one, other) == [[]] * 4
    private_valkey.kill()
    made = await person.stake()
    assert await _sees(person, one) == [[made]] * 2
    private_valkey.start()
    await until_up(one)
    assert await _sees(person, other, one) == [[made]] * 4
    await until_up(one, other)
    assert await _sees(person, other, one) == [[made]] * 4


async def test_a_process_cut_off_alone_tells_the_others_of_its_writes(
    start_process: StartProcess, redis_proxy: RespProxy, redis_url: str
) -> None:
    """A stake made by the one process without Redis is read there at once, and by all when it is back."""
    cut_off, other = await start_process(redis_proxy.url), await start_process(redis_url)
    person = await cut_off.service.sign_up()
    assert await _sees(person, cut_off, other) == [[]] * 4
    redis_proxy.refuse()
    redis_proxy.cut()
    made = await person.stake()
    assert await _sees(person, cut_off) == [[made]] * 2
    await redis_proxy.listen_again()
    await until_up(cut_off)
    assert await _sees(person, other, cut_off) == [[made]] * 4


@pytest.mark.parametrize("reached", [True, False], ids=["done, answer lost", "not done"])
async def test_a_write_whose_leaving_fails_is_seen_at_once(
    start_process: StartProcess,
    redis_proxy: RespProxy,
    redis_url: str,
    postgres_proxy: PostgresProxy,
    reached: bool,
) -> None:
    """Redis is lost between the statement and the fence's end: 201, and every process reads the stake."""
    writer = await start_process(redis_proxy.url, database_url=postgres_proxy.url)
    other = await start_process(redis_url)
    person = await writer.service.sign_up()
    first = await person.stake()
    assert await _sees(person, writer, other) == [[first]] * 4
    postgres_proxy.executed.clear()
    postgres_proxy.hold_answers()
    writing = asyncio.create_task(person.post("/api/stake", STAKE))
    async with asyncio.timeout(5):
        while not any(INSERT in statement for statement in postgres_proxy.executed):
            await asyncio.sleep(0.001)
    if reached:
        redis_proxy.cut_at = b"EVALSHA"
    else:
        redis_proxy.refuse()
        redis_proxy.cut()
    postgres_proxy.resume()
    answer = await writing
    assert answer.status_code == 201
    made = answer.json()["stakeId"]
    assert await _sees(person, other, writer) == [[made, first]] * 4
    if not reached:
        page = await person.at(other.service).list_stakes()
        assert page["fromCache"] is False, "the mark is still there"
        await redis_proxy.listen_again()
    await until_up(writer)
    assert await _sees(person, other, writer) == [[made, first]] * 4


async def test_a_reader_that_read_before_a_write_stores_nothing_after_it(
    start_process: StartProcess, database_url: str, redis_url: str
) -> None:
    """A page read from the database before a write in another process, and stored late, is not kept."""
    background = HeldBackground()
    limits = {"STAKEHOLD_LIMITS": roomy_limits()}
    writer = await start_process(redis_url)
    person = await writer.service.sign_up()
    async with running_process(
        database_url, redis_url, limits, scrypt=CheapScrypt(), background=background
    ) as slow:
        assert _ids(await person.at(slow.service).list_stakes()) == []
        made = await person.stake()
        await background.run()
        assert _ids(await person.at(slow.service).list_stakes()) == [made]
        assert await _sees(person, writer) == [[made]] * 2
        background.drop()


@pytest.fixture
async def unsure(
    start_process: StartProcess, postgres_proxy: PostgresProxy, redis_url: str
) -> tuple[Person, Process]:
    """A user of a process whose database's answers can be lost, and another process; both cache."""
    one = await start_process(redis_url, database_url=postgres_proxy.url)
    other = await start_process(redis_url)
    person = await one.service.sign_up()
    assert await _sees(person, one, other) == [[]] * 4
    return person, other


async def _unknown(request: Awaitable[httpx.Response]) -> None:
    answer = await request
    assert_problem(answer, 503, "outcome_unknown")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def _marks(process: Process) -> list[str]:
    keys = await process.service.redis("KEYS", "*}:stakes:marks")
    assert isinstance(keys, list)
    return [key.decode() for key in keys if isinstance(key, bytes)]


@pytest.mark.parametrize("cut", ["cut_answers", "cut_requests"], ids=["done, answer lost", "not done"])
async def test_a_write_of_unknown_outcome_is_told_as_such_and_stays_fenced(
    unsure: tuple[Person, Process], postgres_proxy: PostgresProxy, cut: str
) -> None:
    """503 `outcome_unknown` with Retry-After; until the mark runs out nobody caches a page; sent again with
    its key there is exactly one stake, and once the mark is gone pages are cached again, with it."""
    person, other = unsure
    getattr(postgres_proxy, cut)(100, INSERT)
    headers = {"Idempotency-Key": '"once"'}
    await _unknown(person.post("/api/stake", STAKE, headers=headers))
    getattr(postgres_proxy, cut)(0)
    (marks,) = await _marks(other)
    for process in (person.service, other.service):
        for _ in range(2):
            page = await person.at(process).list_stakes()
            assert page["fromCache"] is False
            assert len(page["items"]) == (1 if cut == "cut_answers" else 0)
    again = await person.post("/api/stake", STAKE, headers=headers)
    assert again.status_code == 201
    replayed = again.headers.get("idempotency-replayed")
    assert replayed == ("true" if cut == "cut_answers" else None)
    third = await person.at(other.service).post("/api/stake", STAKE, headers=headers)
    assert (third.status_code, third.json()) == (201, again.json())
    assert third.headers["idempotency-replayed"] == "true"
    (nonce,) = await other.service.redis("ZRANGE", marks, "0", "-1")  # type: ignore[misc]
    assert isinstance(nonce, bytes)
    await other.service.redis("ZADD", marks, "1", nonce.decode())
    made = [again.json()["stakeId"]]
    assert await _sees(person, other) == [made] * 2
    assert (await person.list_stakes())["fromCache"] is True
    assert _ids(await person.list_stakes()) == made


async def test_a_keyless_write_of_unknown_outcome_is_never_two(
    unsure: tuple[Person, Process], postgres_proxy: PostgresProxy
) -> None:
    """However often the service itself tried again, there is one stake of one request."""
    person, other = unsure
    postgres_proxy.cut_answers(100, INSERT)
    await _unknown(person.post("/api/stake", STAKE))
    tries = sum(INSERT in statement for statement in postgres_proxy.executed)
    postgres_proxy.cut_answers(0)
    assert tries > 1
    seen = await _sees(person, other)
    assert len(seen[0]) == 1
    postgres_proxy.cut_answers(1, INSERT)
    made = await person.stake()
    assert await _sees(person, other) == [[made, *seen[0]]] * 2


async def test_an_invalid_write_during_an_unknown_one_does_not_lift_its_fence(
    unsure: tuple[Person, Process], postgres_proxy: PostgresProxy
) -> None:
    """Another write's leaving takes its own mark alone: pages stay uncached while the outcome is unknown."""
    person, other = unsure
    postgres_proxy.cut_answers(100, INSERT)
    await _unknown(person.post("/api/stake", STAKE))
    postgres_proxy.cut_answers(0)
    refused = await person.at(other.service).post("/api/stake", {"amount": "1", "period": 5})
    assert_problem(refused, 422, "unknown_period")
    assert await person.at(other.service).stake()
    for _ in range(2):
        page = await person.at(other.service).list_stakes()
        assert (page["fromCache"], len(page["items"])) == (False, 2)
