"""Three Valkeys as one ring, emptied for each test, and started again after a test that ended one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stakehold.runtime.embedded import EmbeddedValkey
from tests.ring.databases import RingDatabase


@pytest.fixture(scope="package")
def valkeys() -> Iterator[list[EmbeddedValkey]]:
    with tempfile.TemporaryDirectory(prefix="stakehold-ring-") as directory:
        servers = [EmbeddedValkey(Path(directory) / str(number)) for number in range(3)]
        try:
            for server in servers:
                server.start()
            yield servers
        finally:
            for server in servers:
                server.kill()


@pytest.fixture
def databases(valkeys: list[EmbeddedValkey]) -> Iterator[list[RingDatabase]]:
    """The ring's databases in the order they are listed in; none knows anything."""
    for server in valkeys:
        if not server.is_alive():
            server.start()
    found = [RingDatabase(server) for server in valkeys]
    for database in found:
        database.ask("CONFIG", "SET", "maxmemory", "256mb")
        database.ask("FLUSHALL")
    yield found
    for database in found:
        database.thaw()
