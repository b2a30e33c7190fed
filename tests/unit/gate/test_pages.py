"""Pages at the gate: hit, stale, miss and bypass; what fences and fills do to them."""

import asyncio
import dataclasses
import itertools
from uuid import UUID

import pytest

from stakehold.domain.errors import DatabaseError, NotFoundError
from stakehold.gate import Entry, FillTicket, PageRead
from stakehold.redis.resp import RespRedis
from tests.unit.gate.conftest import PAGE, USER, Process, Start, a_page

STAKES = f"sh0:{{u:{USER}}}:stakes"
OTHER = UUID("0190a000-0000-7000-8000-000000000002")


async def _look(process: Process, name: str = PAGE) -> PageRead:
    page = (await process.enter(page=name)).page
    assert page is not None
    return page


async def _ticket(process: Process, name: str = PAGE) -> FillTicket:
    page = await _look(process, name)
    assert page.kind == "miss"
    assert page.ticket is not None
    return page.ticket


async def _age_marks(redis: RespRedis, seconds: int) -> None:
    """Make the marks and their key older, as if time had passed."""
    marks = f"{STAKES}:marks"
    left_ms = await redis.command("PTTL", marks, timeout_s=1)
    assert isinstance(left_ms, int)
    nonces = await redis.command("ZRANGE", marks, 0, -1, timeout_s=1)
    assert isinstance(nonces, list)
    for nonce in nonces:
        assert isinstance(nonce, bytes)
        await redis.command("ZINCRBY", marks, -seconds * 1000, nonce, timeout_s=1)
    await redis.command("PEXPIRE", marks, left_ms - seconds * 1000, timeout_s=1)


async def _age(redis: RespRedis, seconds: int, name: str = PAGE) -> None:
    """Make an entry older, as if time had passed."""
    stored = await redis.command("HGET", STAKES, f"e:{name}", timeout_s=1)
    assert isinstance(stored, bytes)
    head, _, body = stored.partition(b"\n")
    *times, etag = head.split(b" ")
    older = b" ".join([str(int(time) - seconds * 1000).encode() for time in times] + [etag])
    await redis.command("HSET", STAKES, f"e:{name}", older + b"\n" + body, timeout_s=1)


async def test_a_stored_page_is_served_as_it_was_stored(start: Start) -> None:
    """Any process serves the very bytes, fresh, with their entity tag, in one trip."""
    one, two = await start(), await start()
    body = b'{"items":[{"amount":"1"}],\n"fromCache":true}'
    await one.gate.fill(await _ticket(one), a_page(body))
    trips = two.wire.trips
    assert await _look(two) == PageRead("fresh", Entry(body, '"tag"'))
    assert two.wire.trips == trips + 1


async def test_pages_of_users_and_names_are_apart(start: Start) -> None:
    """A page is served to its user under its name and to nobody else."""
    process = await start()
    await process.fill(b"mine")
    assert await process.read(OTHER) is None
    assert await process.read(name="page=2&limit=10") is None
    assert await process.read() == b"mine"


async def test_one_reader_renews_a_stale_page(start: Start, redis: RespRedis) -> None:
    """A stale page is served to all; one reader in any process is chosen to renew it."""
    one, two = await start(), await start()
    await one.fill(b"old")
    await _age(redis, 301)
    reads = await asyncio.gather(*[_look(process) for process in (one, two) for _ in range(5)])
    assert {read.kind for read in reads} == {"stale"}
    assert {read.entry.body for read in reads if read.entry} == {b"old"}
    chosen = [read for read in reads if read.refresh]
    assert len(chosen) == 1
    assert chosen[0].ticket is not None
    assert all(read.ticket is None for read in reads if not read.refresh)
    await one.gate.fill(chosen[0].ticket, a_page(b"new"))
    assert await two.read() == b"new"
    await _age(redis, 301)
    assert (await _look(two)).refresh, "the lease was given up when the page was stored"


async def test_a_lease_that_led_to_nothing_runs_out(start: Start, redis: RespRedis) -> None:
    """When the chosen reader dies, another is chosen after the lease's time."""
    process = await start()
    await process.fill(b"old")
    await _age(redis, 301)
    assert (await _look(process)).refresh
    assert not (await _look(process)).refresh
    await redis.command("HSET", STAKES, f"l:{PAGE}", 1, timeout_s=1)
    assert (await _look(process)).refresh


async def test_a_page_past_its_stale_time_is_a_miss(start: Start, redis: RespRedis) -> None:
    """Ten minutes after its reader entered, a page is not served."""
    process = await start()
    await process.fill(b"old")
    await _age(redis, 600)
    assert (await _look(process)).kind == "miss"


async def test_a_page_from_the_future_is_a_miss(start: Start, redis: RespRedis) -> None:
    """When Redis' clock was set back, an entry's age cannot be told, and it is not served."""
    process = await start()
    await process.fill(b"old")
    await _age(redis, -3600)
    assert (await _look(process)).kind == "miss"


async def test_a_page_does_not_outlive_the_next_maturity_on_it(start: Start, redis: RespRedis) -> None:
    """A page true for 100 s more is served for at most 100 s, and not stored when it is true no more."""
    process = await start()
    await process.gate.fill(await _ticket(process), a_page(b"soon", life_ms=100_000))
    await _age(redis, 99)
    assert await process.read() == b"soon"
    await _age(redis, 1)
    assert await process.read() is None
    await process.gate.fill(await _ticket(process), a_page(b"over", life_ms=0))
    assert await process.read() is None


async def test_a_reader_during_a_write_bypasses(start: Start) -> None:
    """While a fence is open readers are told to read the database and store nothing; then they may again."""
    writer, reader = await start(), await start()
    await reader.fill(b"old")
    fence = (await writer.enter(fences=("stakes",))).fence
    assert fence is not None
    assert await _look(reader) == PageRead("bypass")
    await writer.gate.leave(fence, writer.deadline)
    assert (await _look(reader)).kind == "miss"


async def test_each_writer_has_its_own_mark(start: Start) -> None:
    """With two writes under way, the first to leave does not open the cache."""
    process = await start()
    first = (await process.enter(fences=("stakes",))).fence
    second = (await process.enter(fences=("stakes",))).fence
    assert first
    assert second
    await process.gate.leave(first, process.deadline)
    assert (await _look(process)).kind == "bypass"
    await process.gate.leave(second, process.deadline)
    assert (await _look(process)).kind == "miss"


async def test_a_fence_drops_its_resource_alone(start: Start) -> None:
    """A write to the account leaves the pages of stakes, and the other way round."""
    process = await start()
    await process.fill(b"page")
    fence = (await process.enter(fences=("account",))).fence
    assert fence
    entered = await process.enter(page=PAGE)
    assert entered.page
    assert entered.page.kind == "fresh"
    assert entered.account
    assert entered.account.fill is None


@pytest.mark.parametrize("when", ["open", "left"])
async def test_a_fill_from_before_a_write_is_refused(start: Start, when: str) -> None:
    """What was read before a write began is not stored, neither during it nor after."""
    process = await start()
    ticket = await _ticket(process)
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence
    if when == "left":
        await process.gate.leave(fence, process.deadline)
        await _ticket(process)
    await process.gate.fill(ticket, a_page(b"old"))
    assert await process.read() is None
    assert process.count("cache_fills_refused") == 1


@pytest.mark.parametrize("change", ["a mark", "another incarnation"])
async def test_a_fill_looks_at_marks_and_incarnation_itself(
    start: Start, redis: RespRedis, change: str
) -> None:
    """Even with its generation in place, as a Redis restored from a copy may have it, a fill is refused."""
    process = await start()
    ticket = await _ticket(process)
    if change == "a mark":
        await redis.command("ZADD", f"{STAKES}:marks", 10**15, "somebody", timeout_s=1)
    else:
        await redis.command("SET", "sh0:incarnation", "another", timeout_s=1)
    await process.gate.fill(ticket, a_page(b"old"))
    assert process.count("cache_fills_refused") == 1


async def test_a_retried_reader_does_not_bring_a_generation_back(start: Start) -> None:
    """The same request entering twice, with a write between, gets two generations."""
    process = await start()
    first = (await process.enter(page=PAGE, request_id="same")).page
    await process.write()
    second = (await process.enter(page=PAGE, request_id="same")).page
    assert first
    assert first.ticket
    assert second
    assert second.ticket
    assert first.ticket.generation != second.ticket.generation
    await process.gate.fill(first.ticket, a_page(b"old"))
    assert await process.read() is None


async def test_a_mark_runs_out(start: Start, redis: RespRedis) -> None:
    """The mark of a writer that died stops counting when it expires, and its key goes with it."""
    process = await start()
    await process.enter(fences=("stakes",))
    marks = f"{STAKES}:marks"
    life_ms = await redis.command("PTTL", marks, timeout_s=1)
    assert isinstance(life_ms, int)
    assert 14_000 <= life_ms <= 15_000
    nonces = await redis.command("ZRANGE", marks, 0, -1, timeout_s=1)
    assert isinstance(nonces, list)
    assert isinstance(nonces[0], bytes)
    await redis.command("ZADD", marks, 1, nonces[0], timeout_s=1)
    assert (await _look(process)).kind == "miss"


async def test_a_later_fence_outlives_the_one_before(start: Start, redis: RespRedis) -> None:
    """The key of the marks lives as long as the last of them: no read is trusted while it holds.

    Otherwise the key would go with the first mark's time, and the fence of a write under way with it.
    """
    process = await start()
    await process.enter(fences=("stakes",))
    await _age_marks(redis, 10)
    await process.enter(fences=("stakes",))
    life_ms = await redis.command("PTTL", f"{STAKES}:marks", timeout_s=1)
    assert isinstance(life_ms, int)
    assert 14_000 <= life_ms <= 15_000
    await _age_marks(redis, 6)
    assert (await _look(process)).kind == "bypass", "the first fence is over, the second is not"
    await _age_marks(redis, 10)
    assert (await _look(process)).kind == "miss"


async def test_the_33rd_page_drops_the_others(start: Start, redis: RespRedis) -> None:
    """A user keeps at most 32 pages; replacing one of them drops none."""
    process = await start()
    for number in range(32):
        await process.fill(b"page", name=f"page={number}")
    await _age(redis, 600, "page=5")
    await process.fill(b"again", name="page=5")
    assert await process.read(name="page=0") == b"page"
    await process.fill(b"one more", name="page=32")
    assert await process.read(name="page=32") == b"one more"
    assert await process.read(name="page=0") is None
    fields = await redis.command("HKEYS", STAKES, timeout_s=1)
    assert isinstance(fields, list)
    assert set(fields) == {b"generation", b"e:page=32"}


async def test_a_page_too_long_is_not_stored(start: Start) -> None:
    """A page beyond 256 KiB is answered and not kept."""
    process = await start()
    await process.gate.fill(await _ticket(process), a_page(b"x" * (256 * 1024 + 1)))
    assert (await _look(process)).kind == "miss"


async def test_an_entry_that_cannot_be_read_is_a_miss(start: Start, redis: RespRedis) -> None:
    """What somebody else wrote into our hash is not served and breaks nothing."""
    process = await start()
    await process.fill(b"good")
    await redis.command("HSET", STAKES, f"e:{PAGE}", "garbage", timeout_s=1)
    assert (await _look(process)).kind == "miss"
    await redis.command("HSET", STAKES, "generation", "garbage", timeout_s=1)
    assert (await _look(process)).kind == "miss"
    assert process.gate.state == "up"


async def test_a_process_does_not_trust_what_was_stored_before_it_started(start: Start) -> None:
    """A process killed before it could repair is followed by one that drops what was there."""
    old = await start()
    await old.fill(b"old")
    ticket = await _ticket(old, "other")
    new = await start()
    assert await new.read() is None
    await old.gate.fill(ticket, a_page(b"old"))
    assert await new.read(name="other") is None


async def test_operators_fence_users_around_their_change(start: Start) -> None:
    """Inside `fence` the users' readers bypass, after it they read anew; others are not touched."""
    operator, reader = await start(), await start()
    users = [UUID(int=USER.int + 1000 + n) for n in range(250)]
    for user in (users[0], users[-1], USER):
        await reader.fill(b"old", user)
    async with operator.gate.fence(users, "stakes"):
        for user in (users[0], users[-1]):
            page = (await reader.enter(user=user, page=PAGE)).page
            assert page is not None
            assert page.kind == "bypass"
        assert await reader.read() == b"old"
    for user in (users[0], users[-1]):
        page = (await reader.enter(user=user, page=PAGE)).page
        assert page is not None
        assert page.kind == "miss"
    with pytest.raises(ValueError, match="1000"):
        async with operator.gate.fence([USER] * 1001, "stakes"):
            pass


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (NotFoundError("no"), True),
        (DatabaseError("gone"), True),
        (DatabaseError("?", code="outcome_unknown"), False),
        (asyncio.CancelledError(), False),
        (RuntimeError("a fault"), False),
    ],
)
async def test_a_fence_stays_when_the_outcome_is_unknown(
    start: Start, error: BaseException, left: bool
) -> None:
    """A fence is closed after a failure that changed nothing for certain, and left to expire after others."""
    process = await start()
    with pytest.raises(type(error)):
        async with process.gate.fence([USER], "stakes"):
            raise error
    assert (await _look(process)).kind == ("miss" if left else "bypass")


async def test_trips_of_a_write_fit_the_time_for_redis(start: Start) -> None:
    """Enter and leave together never wait longer than anybody may wait for Redis."""
    process = await start()
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence
    slow = dataclasses.replace(fence, redis_spent_s=0.75)
    await process.gate.leave(slow, process.deadline)
    assert process.wire.timeouts_s[-1] == 0.25
    assert process.wire.timeouts_s[-2] <= 0.75


def _orders(*counts: int) -> list[tuple[int, ...]]:
    """Every way to interleave processes with so many steps each."""
    steps = [process for process, count in enumerate(counts) for _ in range(count)]
    return sorted(set(itertools.permutations(steps)))


FAULTS = ["none", "writer dies", "wiped", "marks evicted", "hash evicted", "marks expired"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_interleaving_leaves_an_older_page(start: Start, redis: RespRedis, fault: str) -> None:
    """A filler and a writer in every order, with one fault at every moment: no page is older than the write.

    The filler enters, reads, fills; the writer enters, commits, leaves (and is thereby acknowledged). Every
    reader after an acknowledged write, and after the mark of a writer that died, sees the row as it is.
    """
    filler, writer, reader = await start(), await start(), await start()
    seen = 0
    for order in _orders(3, 3):
        for fault_at in range(7 if fault != "none" else 1):
            user = UUID(int=seen + 1)
            seen += 1
            await _run_order(order, fault, fault_at, (filler, writer, reader), redis, user)
    assert seen == 20 * (7 if fault != "none" else 1)


async def _run_order(
    order: tuple[int, ...],
    fault: str,
    fault_at: int,
    processes: tuple[Process, Process, Process],
    redis: RespRedis,
    user: UUID,
) -> None:
    filler, writer, reader = processes
    row, acknowledged, died = b"old", False, False
    page: PageRead | None = None
    read = b""
    fence = None
    done = [0, 0]
    hash_key = f"sh0:{{u:{user}}}:stakes"
    for moment, who in enumerate((*order, None)):
        if moment == fault_at:
            died = fault == "writer dies"
            await _tamper(redis, fault, hash_key)
        step = (who, done[who]) if who is not None else None
        if who is not None:
            done[who] += 1
        if step == (0, 0):
            page = (await filler.enter(user=user, page=PAGE)).page
        elif step == (0, 1):
            read = row
        elif step == (0, 2) and page and page.ticket:
            await filler.gate.fill(page.ticket, a_page(read))
        elif step == (1, 0) and not died:
            fence = (await writer.enter(user=user, fences=("stakes",))).fence
        elif step == (1, 1) and not died:
            row = b"new"
        elif step == (1, 2) and not died:
            assert fence is not None
            await writer.gate.leave(fence, writer.deadline)
            acknowledged = True
        if acknowledged:
            assert await reader.read(user) in (None, row), (order, fault, fault_at, moment)
    if died:
        await redis.command("DEL", f"{hash_key}:marks", timeout_s=1)
    assert await reader.read(user) in (None, row), (order, fault, fault_at)


async def _tamper(redis: RespRedis, fault: str, hash_key: str) -> None:
    if fault == "wiped":
        await redis.command("FLUSHALL", timeout_s=1)
    elif fault == "hash evicted":
        await redis.command("DEL", hash_key, timeout_s=1)
    elif fault == "marks evicted":
        await redis.command("DEL", f"{hash_key}:marks", timeout_s=1)
    elif fault == "marks expired":
        nonces = await redis.command("ZRANGE", f"{hash_key}:marks", 0, -1, timeout_s=1)
        assert isinstance(nonces, list)
        for nonce in nonces:
            assert isinstance(nonce, bytes)
            await redis.command("ZADD", f"{hash_key}:marks", 1, nonce, timeout_s=1)
