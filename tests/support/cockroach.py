"""The cluster that COCKROACH_URL names, for the tests of the database that are to run on a real one.

It is one to be thrown away, reached without TLS (`cockroach start-single-node --insecure`), since some tests
put a proxy in between that reads what passes. Every database made in it is dropped at the end.
"""

import asyncio
import os
from urllib.parse import urlsplit

import asyncpg

from stakehold.database.migrate import migrate
from tests.support.fakes import ManualClock, SeededEntropy

COCKROACH_URL = os.environ.get("COCKROACH_URL")
TIMEOUT_S = 60


class Cockroach:
    """Makes databases in the cluster at `url`, and drops them again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []

    def create(self, name: str, *, migrated: bool) -> str:
        """A new database; its URL."""
        name = f"stakehold_{os.getpid()}_{name}"
        url = urlsplit(self._url)._replace(path=f"/{name}").geturl()
        self._made.append(name)
        asyncio.run(self._execute(f"CREATE DATABASE {name}"))
        if migrated:
            asyncio.run(migrate(url, clock=ManualClock(), entropy=SeededEntropy(1)))
        return url

    def drop_all(self) -> None:
        """Drop what was made."""
        for name in self._made:
            asyncio.run(self._execute(f"DROP DATABASE {name}"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
