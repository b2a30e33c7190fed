"""A running service for every HTTP test, on real stores of its own: each test runs natively and on Workers.

Every answer that any test gets is held against the service's own OpenAPI document, and what the two runtimes
answered in a test against each other.

Marks say what is otherwise, with a reason: `native_only`, and `chance` where it depends on who comes first
which answers there are, so that only their kinds can be the same.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from stakehold.runtime.embedded import EmbeddedPostgres
from tests.support.answers import Answers
from tests.support.conformance import Conformance
from tests.support.halves import NATIVE, RUNTIMES, WORKER, Halves
from tests.support.runtimes import Native, Runtime, Worker
from tests.support.service import Person, Service

StartService = Callable[..., Awaitable[Service]]

_HALVES = pytest.StashKey[Halves]()
_FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marks mean, and begin to count."""
    config.addinivalue_line("markers", "native_only(reason): runs on no Worker")
    config.addinivalue_line("markers", "chance(reason): which kinds of answer there are is the same, no more")
    config.stash[_HALVES] = Halves()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Skip by its name what a Worker cannot run."""
    mark = item.get_closest_marker("native_only")
    if mark is not None:
        (reason,) = mark.args
        item.config.stash[_HALVES].exceptions[_test(item)] = reason
        if _runtime_name(item) == WORKER:
            item.add_marker(pytest.mark.skip(reason=f"native only: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what came of a test."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    item.config.stash[_HALVES].ended(_test(item), _runtime_name(item), report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was left out on one runtime for no reason that has a name."""
    if session.config.stash[_HALVES].unlike() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print both counts, and the exceptions by name."""
    for line in config.stash[_HALVES].summary():
        terminalreporter.write_line(line)


def _runtime_name(item: pytest.Item) -> str:
    name: str = item.callspec.params["runtime"]  # type: ignore[attr-defined]
    return name


def _test(item: pytest.Item) -> str:
    """Its name without the runtime."""
    return item.nodeid.replace(f"[{_runtime_name(item)}]", "").replace(f"[{_runtime_name(item)}-", "[")


@pytest.fixture(scope="session", params=RUNTIMES, autouse=True)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What the services run on: first all tests natively, then all on Workers."""
    if request.param == NATIVE:
        return Native()
    try:
        return Worker(request.getfixturevalue("worker_host"))
    except pytest.skip.Exception as reason:
        request.config.stash[_HALVES].unavailable = str(reason)
        raise


@pytest.fixture(autouse=True)
def answers(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[Answers]:
    """What is answered in this test, which fails unless both runtimes answer alike."""
    answers = Answers()
    yield answers
    if _FAILED in request.node.stash:
        return
    if request.node.get_closest_marker("chance") is not None:
        answers = answers.kinds()
    unlike = request.config.stash[_HALVES].answered(_test(request.node), runtime.name, answers)
    assert not unlike, "\n".join(["The runtimes answered otherwise:", *unlike])


_conformance: dict[str, Conformance] = {}


async def _watch(runtime: Runtime, service: Service, answers: Answers) -> None:
    """Check each answer, and note it."""
    if runtime.name not in _conformance:
        _conformance[runtime.name] = Conformance((await service.client.get("/openapi.json")).json())
        await service.log()  # This request is none of the test's.

    async def check(answer: httpx.Response) -> None:
        await answer.aread()
        _conformance[runtime.name].check(answer)
        answers.add(answer)

    async def strip(request: httpx.Request) -> None:
        # Nobody sees the blanks around a field's value, and no client sends them (RFC 9112, section 5.1).
        request.headers = httpx.Headers([(name, value.strip(b" \t")) for name, value in request.headers.raw])

    service.client.event_hooks = {"request": [strip], "response": [check]}


@pytest.fixture(scope="session")
def http_database_url(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """One migrated database for all HTTP tests: to empty it takes a tenth of the time of making another."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres.database_url("postgres"))
        await connection.execute(f"CREATE DATABASE http_tests TEMPLATE {migrated_template}")
        await connection.execute(
            "ALTER DATABASE http_tests SET default_transaction_isolation = 'serializable'"
        )
        # Nothing here is to survive a crash.
        await connection.execute("ALTER DATABASE http_tests SET synchronous_commit = off")
        await connection.close()

    asyncio.run(prepare())
    return postgres.database_url("http_tests")


_EMPTY = """
SET session_replication_role = replica;
DROP SCHEMA IF EXISTS clock CASCADE;
DELETE FROM stakes;
DELETE FROM idempotency;
DELETE FROM spent_refresh_tokens;
DELETE FROM sessions;
DELETE FROM users;
DELETE FROM balances;
DELETE FROM plan_usage;
DELETE FROM plan_user_usage;
DELETE FROM plans WHERE version > 1 OR id NOT IN ('STK-1M', 'STK-3M', 'STK-6M', 'STK-12M');
DELETE FROM assets WHERE code <> 'STK';
UPDATE plans SET on_sale_until = NULL WHERE on_sale_until IS NOT NULL;
"""


@pytest.fixture
async def database_url(http_database_url: str) -> str:
    """A database as `migrate` leaves it."""
    connection = await asyncpg.connect(http_database_url)
    await connection.execute(_EMPTY)
    await connection.close()
    return http_database_url


@pytest.fixture
async def start_service(
    runtime: Runtime, answers: Answers, database_url: str, redis_url: str
) -> AsyncIterator[StartService]:
    """Start a service with these settings (environment variables); it is stopped when the test ends.

    A second one is another process, or another isolate, on the same stores.
    """
    async with AsyncExitStack() as stack:

        async def start(**settings: str) -> Service:
            urls = settings.pop("DATABASE_URL", database_url), settings.pop("REDIS_URL", redis_url)
            service = await stack.enter_async_context(runtime.running(*urls, settings))
            # The tests look at the stores themselves, whatever stands between them and the service.
            service.database_url, service.redis_url = database_url, redis_url
            await _watch(runtime, service, answers)
            return service

        yield start


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service with the limits as they come."""
    return await start_service()


ROOMY = (
    "auth=1000,stake-create=1000,stake-read=1000,global=1000,"
    "sign-up=1000,refresh=1000,account=1000,plan-read=1000,quote=1000,"
    "stake-change=1000,ledger-read=1000"
)


@pytest.fixture
async def roomy_service(start_service: StartService) -> Service:
    """A service whose limits are out of the way."""
    return await start_service(STAKEHOLD_LIMITS=ROOMY)


@pytest.fixture
async def person(roomy_service: Service) -> Person:
    """A user of the service whose limits are out of the way, with a session."""
    return await roomy_service.enrol()


@pytest.fixture
async def limited_person(service: Service) -> Person:
    """A user of the service with the limits as they come."""
    return await service.enrol()
