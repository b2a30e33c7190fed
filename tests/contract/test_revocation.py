"""A session that has ended is refused from the very next request on, whatever Redis knows, forgot or was.

Two processes of the service run on one PostgreSQL and one Valkey; both have just served the user.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import httpx
import pytest

from stakehold.domain.ports import Deadline
from stakehold.runtime.embedded import EmbeddedValkey
from stakehold.services import accounts
from tests.contract.conftest import StartProcess, until_up
from tests.support.native import Process
from tests.support.resp_proxy import RespProxy
from tests.support.service import PASSWORD, Person, assert_problem
from tests.support.upstash_front import UpstashFront

STAKE = {"amount": "1", "period": 12}

End = Callable[[Process, Person], Awaitable[None]]


async def disable(process: Process, person: Person) -> None:
    deadline = Deadline.after(process.services.clock, 8.0)
    await accounts.set_user_status(process.services, person.username, "disabled", deadline)


async def change_password(process: Process, person: Person) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "a long walk on a cold day"}
    assert (await person.at(process.service).post("/api/me/password", body)).status_code == 200


async def sign_out(process: Process, person: Person) -> None:
    assert (await person.at(process.service).post("/api/auth/logout", {})).status_code == 204


async def sign_out_everywhere(process: Process, person: Person) -> None:
    answer = await person.at(process.service).post("/api/auth/logout", {"all": True})
    assert answer.status_code == 204


async def reuse_refresh_token(process: Process, person: Person) -> None:
    assert (await _refresh(process, person.refresh_token)).status_code == 200
    assert_problem(await _refresh(process, person.refresh_token), 401, "invalid_refresh_token")


ENDS = pytest.mark.parametrize(
    "end",
    [disable, change_password, sign_out, sign_out_everywhere, reuse_refresh_token],
    ids=lambda end: end.__name__,
)


async def _refresh(process: Process, refresh_token: str) -> httpx.Response:
    return await process.service.client.post("/api/auth/refresh", json={"refreshToken": refresh_token})


async def _known_to_both(one: Process, other: Process) -> Person:
    """Somebody whose session both processes have just let in, so that all of it is cached."""
    person = await one.service.sign_up()
    for process in (one, other):
        for _ in range(2):
            assert (await person.at(process.service).get("/api/stake")).status_code == 200
        assert (await person.at(process.service).get("/api/me")).status_code == 200
    return person


async def _kept_on_disk(process: Process) -> None:
    """Wait until the user's entry, which is stored behind an answer, is in Redis and in its file."""
    async with asyncio.timeout(10):
        while await process.service.redis("HEXISTS", (await _accounts(process))[0], "e:state") != 1:
            await asyncio.sleep(0.01)
    await process.service.redis_on_disk()


async def _refused(person: Person, *processes: Process) -> None:
    """Neither reads nor writes nor refreshes by what the user had."""
    for process in processes:
        held = person.at(process.service)
        for method, path in (("GET", "/api/stake"), ("POST", "/api/stake"), ("GET", "/api/me")):
            answer = await held.request(method, path, json=STAKE if method == "POST" else None)
            assert_problem(answer, 401, "session_ended")
        assert_problem(await _refresh(process, person.refresh_token), 401, "invalid_refresh_token")
    stakes = "SELECT count(*) FROM stakes s JOIN users u ON u.id = s.user_id WHERE u.username = $1"
    assert await person.service.sql(stakes, person.username) == [(0,)]


@ENDS
async def test_the_next_request_is_refused(start_process: StartProcess, redis_url: str, end: End) -> None:
    """With Redis well: by the process that ended the session, and by the other."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await _known_to_both(one, other)
    await end(one, person)
    await _refused(person, other, one)


@ENDS
async def test_a_wiped_redis_revives_nobody(start_process: StartProcess, redis_url: str, end: End) -> None:
    """Right after FLUSHALL the database says what Redis has forgotten."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await _known_to_both(one, other)
    await end(one, person)
    await one.service.redis("FLUSHALL")
    await _refused(person, other, one)


async def _accounts(process: Process) -> list[str]:
    """The keys of cached user entries; one that is nobody's if there are none."""
    keys = await process.service.redis("KEYS", "*}:account")
    assert isinstance(keys, list)
    return [key.decode() for key in keys if isinstance(key, bytes)] or ["none"]


@ENDS
async def test_an_evicted_entry_revives_nobody(start_process: StartProcess, redis_url: str, end: End) -> None:
    """A user entry that is gone from Redis stands for nothing."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await _known_to_both(one, other)
    await end(one, person)
    await one.service.redis("DEL", *await _accounts(one))
    await _refused(person, other, one)


@ENDS
async def test_a_redis_that_dies_after_revives_nobody(
    start_process: StartProcess, private_valkey: EmbeddedValkey, end: End
) -> None:
    """The session ends, Redis is killed, and comes back with its data: refused throughout."""
    url = private_valkey.url
    one, other = await start_process(url), await start_process(url)
    person = await _known_to_both(one, other)
    await end(one, person)
    private_valkey.kill()
    await _refused(person, other, one)
    private_valkey.start()
    await until_up(one, other)
    await _refused(person, other, one)


@ENDS
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_a_redis_that_returns_with_old_data_revives_nobody(
    start_process: StartProcess, private_valkey: EmbeddedValkey, end: End, noticed: bool
) -> None:
    """The session ends while Redis is dead; Redis comes back, still holding the good old entry.

    The other process may have noticed the loss, or have had no request in all that time.
    """
    url = private_valkey.url
    one, other = await start_process(url), await start_process(url)
    person = await _known_to_both(one, other)
    private_valkey.kill()
    await end(one, person)
    await _refused(person, one)
    if noticed:
        await _refused(person, other)
    private_valkey.start()
    await until_up(one)
    await _refused(person, other, one)
    await until_up(one, other)
    await _refused(person, other, one)


@ENDS
async def test_a_process_that_died_before_redis_returned_revives_nobody(
    start_process: StartProcess, private_valkey: EmbeddedValkey, end: End
) -> None:
    """The process that ended the session without Redis never comes back to drop the old entry.

    Redis has it still; whoever lost Redis, or starts only now, does not believe it.
    """
    proxy = RespProxy(private_valkey.url)
    await proxy.start()
    dead, other = await start_process(proxy.url), await start_process(private_valkey.url)
    person = await _known_to_both(dead, other)
    await _kept_on_disk(other)
    private_valkey.kill()
    await end(dead, person)
    await proxy.stop()
    private_valkey.start()
    found = await other.service.redis("EXISTS", *await _accounts(other))
    assert found == 1, "the old entry is there"
    assert_problem(await person.at(other.service).get("/api/me"), 401, "session_ended")
    await until_up(other)
    assert_problem(await person.at(other.service).get("/api/me"), 401, "session_ended")
    await _refused(person, await start_process(private_valkey.url), other)


@pytest.mark.parametrize("end", [disable, sign_out], ids=lambda end: end.__name__)
async def test_a_redis_that_hangs_revives_nobody(
    start_process: StartProcess, private_valkey: EmbeddedValkey, end: End
) -> None:
    """The session ends while Redis takes connections and answers nobody (SIGSTOP), then goes on."""
    one, other = await start_process(private_valkey.url), await start_process(private_valkey.url)
    person = await _known_to_both(one, other)
    assert private_valkey.process is not None
    os.kill(private_valkey.process.pid, signal.SIGSTOP)
    try:
        await end(one, person)
        await _refused(person, one, other)
    finally:
        os.kill(private_valkey.process.pid, signal.SIGCONT)
    await until_up(one, other)
    await _refused(person, other, one)


@ENDS
async def test_a_process_cut_off_alone_tells_the_others_when_it_is_back(
    start_process: StartProcess, redis_proxy: RespProxy, redis_url: str, end: End
) -> None:
    """Only the process that ends the session has lost Redis. It refuses at once; the other once it is told.

    Until then the other may believe what Redis has: that is the one exception, as old as the entry at most.
    """
    cut_off, other = await start_process(redis_proxy.url), await start_process(redis_url)
    person = await _known_to_both(cut_off, other)
    redis_proxy.refuse()
    redis_proxy.cut()
    await end(cut_off, person)
    await _refused(person, cut_off)
    await redis_proxy.listen_again()
    await until_up(cut_off)
    await _refused(person, other, cut_off)


@pytest.mark.parametrize("end", [disable, change_password, sign_out_everywhere], ids=lambda end: end.__name__)
async def test_not_even_a_process_that_was_not_told_writes_for_who_is_shut_out(
    start_process: StartProcess, redis_proxy: RespProxy, redis_url: str, end: End
) -> None:
    """While the one that shut the user out has lost Redis alone, the other's statement refuses the write.

    It looks at the user's row, whatever the cached entry says.
    """
    cut_off, other = await start_process(redis_proxy.url), await start_process(redis_url)
    person = await _known_to_both(cut_off, other)
    redis_proxy.refuse()
    redis_proxy.cut()
    await end(cut_off, person)
    assert (await person.at(other.service).get("/api/stake")).status_code == 200, "it was not told"
    answer = await person.at(other.service).post("/api/stake", STAKE)
    assert_problem(answer, 401, "session_ended")
    await _refused(person, cut_off)


@ENDS
async def test_a_redis_over_rest_that_fails_and_returns_revives_nobody(
    start_process: StartProcess, redis_url: str, end: End
) -> None:
    """Over Upstash's REST: the session ends while every call of both processes fails, then all is well."""
    front = UpstashFront(redis_url)
    await front.start()
    rest = {"UPSTASH_REDIS_REST_URL": front.url, "UPSTASH_REDIS_REST_TOKEN": front.token}
    one, other = await start_process("", **rest), await start_process("", **rest)
    one.service.redis_url = redis_url
    person = await _known_to_both(one, other)
    front.faults.statuses = [503] * 1000
    await end(one, person)
    await _refused(person, one, other)
    assert await one.service.redis("EXISTS", *await _accounts(one)) == 1, "the old entry is there"
    front.faults.statuses = []
    await until_up(one, other)
    await _refused(person, other, one)
    await front.stop()


@ENDS
async def test_readers_at_work_revive_nobody(start_process: StartProcess, redis_url: str, end: End) -> None:
    """While both processes read for the user without pause: no request begun after the end is let in."""
    one, other = await start_process(redis_url), await start_process(redis_url)
    person = await _known_to_both(one, other)
    ended = asyncio.Event()
    late: list[int] = []

    async def read(process: Process) -> None:
        held = person.at(process.service)
        for _ in range(200):
            begun_after = ended.is_set()
            status = (await held.get("/api/me")).status_code
            assert status in (200, 401)
            if begun_after:
                late.append(status)
                if len(late) > 20:
                    return

    readers = [asyncio.create_task(read(process)) for process in (one, other) * 2]
    await end(one, person)
    ended.set()
    await asyncio.gather(*readers)
    assert len(late) >= 20
    assert set(late) == {401}


async def test_the_family_of_a_reused_refresh_token_ends_whole(
    start_process: StartProcess, private_valkey: EmbeddedValkey
) -> None:
    """Also what the thief or the owner got by the last exchange is refused, with Redis dead and alive."""
    one, other = await start_process(private_valkey.url), await start_process(private_valkey.url)
    for dead in (False, True):
        person = await _known_to_both(one, other)
        exchanged = await _refresh(one, person.refresh_token)
        body = exchanged.json()
        newest = Person(one.service, person.username, PASSWORD, body["token"], body["refreshToken"])
        assert (await newest.get("/api/stake")).status_code == 200
        if dead:
            private_valkey.kill()
        assert_problem(await _refresh(other, person.refresh_token), 401, "invalid_refresh_token")
        await _refused(newest, one, other)
        await _refused(person, one, other)
    private_valkey.start()
    await until_up(one, other)
    await _refused(newest, one, other)


async def test_other_sessions_live_on(start_process: StartProcess, private_valkey: EmbeddedValkey) -> None:
    """Signing out here ends no other session of the user, with Redis dead and after its return."""
    one, other = await start_process(private_valkey.url), await start_process(private_valkey.url)
    person = await _known_to_both(one, other)
    elsewhere = await other.service.sign_in(person.username)
    private_valkey.kill()
    await sign_out(one, person)
    assert (await elsewhere.get("/api/me")).status_code == 200
    private_valkey.start()
    await until_up(one, other)
    await _refused(person, one, other)
    assert (await elsewhere.get("/api/me")).status_code == 200
    assert (await elsewhere.at(one.service).get("/api/stake")).status_code == 200
