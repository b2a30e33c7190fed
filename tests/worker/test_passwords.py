"""Passwords on Workers: the same hashes as natively, and no more of them at once than an isolate can bear."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from stakehold.domain.accounts import normalise_password
from stakehold.runtime.outside import SystemEntropy
from stakehold.security.passwords import PasswordHasher
from stakehold.security.threaded_scrypt import ThreadedScrypt
from tests.support.service import Person, assert_problem, count_by_status
from tests.support.worker import WorkerHost, WorkerService
from tests.worker.conftest import StartWorker

ANSWER_MAX_MS = 10_000
WAITING_MAX = 10
PLACE_LIFE_S = 10.0
"""What worker_scrypt.py says: how many wait, and when the place of one who was killed is free again."""

PASSWORDS = pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "Pa\u0308ssword \U0001f511 \u212b\u00a0long", "x" * 128],
    ids=["ASCII", "not in normal form", "long"],
)


@pytest.fixture
async def native() -> AsyncIterator[PasswordHasher]:
    """What hashes where the service runs natively."""
    scrypt = ThreadedScrypt(max_concurrent=1, max_waiting=1)
    yield PasswordHasher(scrypt=scrypt, entropy=SystemEntropy())
    scrypt.close()


async def sign_in(person: Person, password: str | None = None) -> httpx.Response:
    """As the user, by this password or their own."""
    credentials = {"username": person.username, "password": password or person.password}
    return await person.service.client.post("/api/auth", json=credentials)


@PASSWORDS
async def test_a_hash_made_natively_verifies_on_workers(
    start_worker: StartWorker, native: PasswordHasher, password: str
) -> None:
    """Whoever signed up at a server signs in at a Worker, and nobody with another password."""
    service = await start_worker()
    person = await service.enrol()
    phc = await native.hash(normalise_password(password))
    await service.sql("UPDATE users SET password_hash = $1 WHERE username = $2", phc, person.username)
    assert (await sign_in(person, password)).status_code == 200
    assert_problem(await sign_in(person, password + "!"), 401, "invalid_credentials")
    # There was nothing to hash anew: it is what a Worker would have made.
    assert await service.sql("SELECT password_hash FROM users WHERE username = $1", person.username) == [
        (phc,)
    ]


@PASSWORDS
async def test_a_hash_made_on_workers_verifies_natively(
    start_worker: StartWorker, native: PasswordHasher, password: str
) -> None:
    """And the other way round; two users with one password have two hashes."""
    service = await start_worker()
    for name in ("first", "second"):
        made = await service.client.post("/api/users", json={"username": name, "password": password})
        assert made.status_code == 201, made.text
    hashes = [phc for (phc,) in await service.sql("SELECT password_hash FROM users")]
    assert len(set(hashes)) == 2
    for phc in hashes:
        assert await native.verify(normalise_password(password), phc)
        assert not await native.verify(normalise_password(password + "!"), phc)
        assert not native.needs_rehash(phc)


async def test_too_many_sign_ins_at_once_are_refused_and_none_hangs(start_worker: StartWorker) -> None:
    """Those beyond the bound get 503 `overloaded` with Retry-After; the others sign in, all within 10 s.

    Requests that need no password are answered meanwhile, and afterwards there is room again.
    """
    service = await start_worker()
    person = await service.enrol()
    signing_in = [asyncio.ensure_future(sign_in(person)) for _ in range(2 * WAITING_MAX)]
    await asyncio.wait(signing_in, return_when=asyncio.FIRST_COMPLETED)
    assert (await person.get("/api/plans")).status_code == 200
    answers = await asyncio.gather(*signing_in)
    counts = count_by_status(answers)
    took_ms = max(report.answer_ms for report in await service.reports())
    print(f"{counts} in {took_ms:.0f} ms")
    assert took_ms < ANSWER_MAX_MS
    assert set(counts) == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert_problem(answer, 503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
    assert (await sign_in(person)).status_code == 200


async def test_a_sign_in_is_not_held_up_until_all_others_are_through(start_worker: StartWorker) -> None:
    """Between two hashes the isolate goes on with its requests: the first answer does not come with the last.

    The hashes are computed one after the other, on the isolate's one thread, and take nearly all the time.
    """
    service = await start_worker()
    person = await service.enrol()
    assert (await sign_in(person)).status_code == 200
    loop = asyncio.get_running_loop()
    answered_s: list[float] = []

    async def timed() -> None:
        assert (await sign_in(person)).status_code in (200, 503)
        answered_s.append(loop.time() - started_s)

    started_s = loop.time()
    await asyncio.gather(*(timed() for _ in range(WAITING_MAX)))
    print(answered_s)
    assert answered_s[0] < answered_s[-1] / 2


async def _tell(service: WorkerService, what: str) -> None:
    """Tell timed_entry.py something."""
    assert (await service.client.post(f"/-/{what}")).status_code == 200


async def test_places_come_back_after_those_who_held_them_were_killed(
    start_worker: StartWorker, timed_host: WorkerHost
) -> None:
    """Requests that are killed while they wait for their turn hold their places for a time, and no longer."""
    service = await start_worker(on=timed_host)
    person = await service.enrol()
    await _tell(service, "hold?on=1")
    waiting = [asyncio.ensure_future(sign_in(person)) for _ in range(WAITING_MAX)]
    async with asyncio.timeout(10):
        while (refused := await asyncio.wait_for(_sign_in_or_give_up(person), 10)) is None:
            pass
    assert_problem(refused, 503, "overloaded")
    assert await service.abandon(unanswered=True) >= WAITING_MAX
    await asyncio.gather(*waiting, return_exceptions=True)
    await _tell(service, "hold?on=0")
    assert_problem(await sign_in(person), 503, "overloaded")
    await _tell(service, f"later?s={PLACE_LIFE_S}")
    assert (await sign_in(person)).status_code == 200


async def _sign_in_or_give_up(person: Person) -> httpx.Response | None:
    """The answer, if there is one soon: a place may still have been free."""
    try:
        return await asyncio.wait_for(sign_in(person), 2)
    except TimeoutError:
        return None
