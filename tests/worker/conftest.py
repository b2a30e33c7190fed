"""The harness with what is deployed, and with a small Worker whose entry each test can write anew."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from textwrap import dedent

import pytest
import pytest_asyncio

from deploy import bundle
from tests.contract.conftest import roomy_limits
from tests.support.postgres_proxy import PostgresProxy
from tests.support.worker import WorkerHost, WorkerService, make_sample, running_worker

NOTHING = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("nothing")
"""

StartWorker = Callable[..., Awaitable[WorkerService]]
StartSample = Callable[..., Awaitable[WorkerService]]


@pytest.fixture(scope="session")
def sample_directory(stores_directory: Path) -> Path:
    return make_sample(stores_directory / "sample-worker", NOTHING)


@pytest.fixture(scope="session")
def sample_host(sample_directory: Path) -> Iterator[WorkerHost]:
    """One Node process for all small Workers."""
    host = WorkerHost(sample_directory)
    host.start()
    yield host
    host.stop()


@pytest_asyncio.fixture
async def start_sample(sample_directory: Path, sample_host: WorkerHost) -> AsyncIterator[StartSample]:
    """Start a Worker of this source, with the options of `running_worker`."""
    async with AsyncExitStack() as stack:

        async def start(entry: str, database_url: str | None = None, **options: object) -> WorkerService:
            (sample_directory / "entry.py").write_text(dedent(entry))
            context = running_worker(sample_host, database_url, **options)  # type: ignore[arg-type]
            return await stack.enter_async_context(context)

        yield start


@pytest.fixture(scope="session")
def timed_host(stores_directory: Path, worker_role: None) -> Iterator[WorkerHost]:
    """What is deployed, with the entry of timed_entry.py."""
    directory = stores_directory / "timed-worker"
    bundle.make(directory)
    shutil.copy(Path(__file__).with_name("timed_entry.py"), directory / "entry.py")
    host = WorkerHost(directory)
    host.start()
    yield host
    host.stop()


@pytest_asyncio.fixture
async def postgres_proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def start_worker(
    worker_host: WorkerHost, postgres_proxy: PostgresProxy, database_url: str, redis_url: str
) -> AsyncIterator[StartWorker]:
    """Start what is deployed, in a fresh isolate with these settings, behind a front and a proxy.

    Limits are in nobody's way, and the test's own statements do not pass the proxy. `through` is where the
    Worker finds its database instead, and `on` where it runs.
    """
    async with AsyncExitStack() as stack:

        async def start(
            *,
            on: WorkerHost = worker_host,
            through: str = postgres_proxy.url,
            limits: dict[str, tuple[int, int]] | None = None,
            **settings: str,
        ) -> WorkerService:
            settings = {"STAKEHOLD_LIMITS": roomy_limits(), **settings}
            context = running_worker(on, through, redis_url, settings, limits=limits)
            service = await stack.enter_async_context(context)
            service.database_url = database_url
            return service

        yield start
