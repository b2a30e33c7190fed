"""The harness with a small Worker in it, whose entry each test can write anew."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from textwrap import dedent

import pytest
import pytest_asyncio

from tests.support.worker import WorkerHost, WorkerService, make_sample, running_worker

NOTHING = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("nothing")
"""

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
