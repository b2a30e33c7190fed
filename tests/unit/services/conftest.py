"""Use cases on real stores, without HTTP; the password hash is one that costs nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from stakehold.domain.ports import Clock, Deadline
from stakehold.services import accounts
from stakehold.services.context import Services
from tests.support.fakes import CheapScrypt
from tests.support.native import running_process

PASSWORD = "correct horse battery staple"
WRONG = "incorrect horse battery staple"


@dataclass
class Desk:
    """The use cases of one process, as its HTTP side calls them."""

    services: Services
    scrypt: CheapScrypt
    database_url: str

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.services.clock, 8.0)

    async def add_user(self, username: str = "maria") -> None:
        await accounts.add_user(self.services, username, PASSWORD, self.deadline)
        self.scrypt.costs.clear()

    async def sign_in(self, password: str, username: str = "maria") -> accounts.Tokens:
        request_id = self.services.entropy.random_bytes(16).hex()
        return await accounts.sign_in(self.services, username, password, request_id, self.deadline)

    async def sql(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        """What the database answers to the test itself."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [tuple(row.values()) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()


OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def open_desk(database_url: str, redis_url: str) -> AsyncIterator[OpenDesk]:
    async with AsyncExitStack() as stack:

        async def open_desk(
            *,
            limits: str = "",
            clock: Clock | None = None,
            scrypt: CheapScrypt | None = None,
            database_url: str = database_url,
        ) -> Desk:
            scrypt = scrypt or CheapScrypt()
            process = await stack.enter_async_context(
                running_process(
                    database_url, redis_url, {"STAKEHOLD_LIMITS": limits}, clock=clock, scrypt=scrypt
                )
            )
            return Desk(process.services, scrypt, database_url)

        yield open_desk


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    return await open_desk()
