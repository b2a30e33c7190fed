"""Short scenes, each of which one planted bug cannot get through: who asks what, where, while what is held.

The order of things is forced by proxies and by looking at the database, never by waiting for a while.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import asyncpg

from tests.faults.cluster import Cluster
from tests.faults.history import History, Operation
from tests.faults.recorder import Call, Members, Recorder
from tests.faults.workload import Tokens, enrolled

STEP_TIMEOUT_S = 10.0
READS_MAX = 10
LIMITS = {"stake-read": (READS_MAX, 60), "account": (50, 60), "stake-create": (20, 60), "global": (100, 60)}


@dataclass
class Actor:
    """A user of a scene, signed in."""

    stage: "Stage"
    name: str
    tokens: Tokens

    async def create(self, server: int, key: str | None = None) -> Operation:
        """Ask for a stake that nobody has asked for."""
        asked = {"amount": self.stage.new_amount(), "period": 12, "idempotency_key": key}
        body = {"amount": asked["amount"], "period": 12}
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        return await self._ask(server, "create", "POST", "/api/stake", asked, body, headers)

    async def list(self, server: int, limit: int = 10) -> Operation:
        """Read the first page of this length; each length is kept by itself."""
        asked = {"page": None, "limit": limit, "cursor": None}
        return await self._ask(server, "list", "GET", f"/api/stake?limit={limit}", asked)

    async def me(self, server: int) -> Operation:
        """Ask who is signed in. What this server sent to Redis before is done when this is answered."""
        return await self._ask(server, "me", "GET", "/api/me", {})

    async def sign_out(self, server: int) -> Operation:
        """End the session."""
        return await self._ask(server, "sign_out", "POST", "/api/auth/logout", {"all": False}, {"all": False})

    async def _ask(
        self, server: int, kind: str, method: str, path: str, asked: Members, body: Members | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Operation:  # fmt: skip
        sent = {"Authorization": f"Bearer {self.tokens.access}", **(headers or {})}
        call = Call(kind, method, path, {**asked, **self.tokens.claims}, sent, body)
        return await self.stage.recorder.ask(self.stage.new_client(), self.name, server, call)


class Stage:
    """Two servers, and a history of what is asked of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.history = History()
        self.recorder = Recorder(cluster, self.history)
        self._amounts, self._clients = itertools.count(1), itertools.count(1)

    def new_amount(self) -> str:
        """One that nobody has asked for."""
        return str(next(self._amounts))

    def new_client(self) -> int:
        """Every request of a scene comes from a client of its own, so that they may overlap."""
        return next(self._clients)

    async def actor(self, name: str) -> Actor:
        """A new user whose sessions both servers know, as does the cache."""
        client, _ = await enrolled(self.recorder, 0, name, random.Random(0), self._amounts)
        assert client.tokens is not None
        actor = Actor(self, name, client.tokens)
        for _ in range(2):
            for server in self.cluster.servers:
                await actor.me(server.number)
        return actor

    @contextlib.asynccontextmanager
    async def answer_held(self, server: int, asking: Awaitable[Operation], text: str) -> AsyncIterator[None]:
        """While `asking` waits for its answer to a statement with this text, which the database has done.

        The server has prepared the statement before: the answer to preparing it is held as well.
        """
        proxy = self.cluster.servers[server].postgres_proxy
        observer = await asyncpg.connect(self.cluster.database_url, timeout=STEP_TIMEOUT_S)
        try:
            began_at = await observer.fetchval("SELECT clock_timestamp()")
            proxy.executed.clear()
            proxy.hold_answers()
            asked = asyncio.ensure_future(asking)
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    while not any(text in statement for statement in proxy.executed):
                        assert not asked.done(), asked
                        await asyncio.sleep(0.002)
                    while not await observer.fetchval(_IS_DONE, began_at, text):
                        await asyncio.sleep(0.002)
                yield
            finally:
                proxy.resume()
                await asked
        finally:
            await observer.close(timeout=STEP_TIMEOUT_S)


# How the statement that makes a stake begins: PostgreSQL shows the first kilobyte of a statement.
CREATION = "WITH caller AS"

# Idle again, after a statement that began later.
_IS_DONE = """
SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'
                  AND query_start >= $1::TIMESTAMPTZ AND position($2::TEXT IN query) > 0)
"""


async def dead_writer(stage: Stage) -> None:
    """A stake is committed and not answered yet: who has seen it on one page sees it on another, kept one."""
    ada = await stage.actor("fence-ada")
    await ada.create(0)
    await ada.list(1)
    await ada.me(1)
    async with stage.answer_held(0, ada.create(0), CREATION):
        await ada.list(1, limit=9)
        await ada.list(1)


async def late_reader(stage: Stage) -> None:
    """A page is read, a stake made and another page kept, and only then the first page is to be stored."""
    ada = await stage.actor("generation-ada")
    await ada.create(0)
    await ada.list(1, limit=8)
    async with stage.answer_held(1, ada.list(1), "FROM stakes s"):
        await ada.create(0)
        await ada.list(0, limit=9)
        await ada.me(0)
    await ada.me(1)
    await ada.list(0)


async def lost_answer(stage: Stage) -> None:
    """The connection breaks when a stake without a key is committed: the service runs the statement again."""
    ada = await stage.actor("retry-ada")
    await ada.create(0)
    proxy = stage.cluster.servers[0].postgres_proxy
    proxy.cut_answers(1, "INSERT INTO stakes")
    await ada.create(0)
    assert proxy.answers_to_cut == 0
    await ada.list(1)


async def two_users(stage: Stage) -> None:
    """Two users read the same page, one after the other."""
    ada, bob = await stage.actor("key-ada"), await stage.actor("key-bob")
    await ada.create(0)
    await ada.list(0)
    await ada.me(0)
    await bob.list(0)


async def both_doors(stage: Stage) -> None:
    """A user asks each server as often as all of them together allow."""
    ada = await stage.actor("limit-ada")
    for server in (0, 1):
        for _ in range(READS_MAX):
            await ada.list(server)


async def lost_commit(stage: Stage) -> None:
    """What the service leaves to be committed after its answer is lost."""
    ada = await stage.actor("commit-ada")
    proxy = stage.cluster.servers[0].postgres_proxy
    proxy.cut_requests(1, "COMMIT")
    await ada.create(0)
    await ada.me(0)
    proxy.cut_requests(0)


async def signed_out_elsewhere(stage: Stage) -> None:
    """Signed out at one server, the token is shown to the other."""
    ada = await stage.actor("token-ada")
    await ada.sign_out(0)
    await ada.me(1)


Scene = Callable[[Stage], Awaitable[None]]

SCENES: Mapping[str, tuple[Scene, str]] = {
    "fence_never_opened": (dead_writer, "no_page_is_older_than_one_seen_before"),
    "generation_not_checked": (late_reader, "no_page_is_older_than_an_acknowledged_write"),
    "retry_with_a_new_id": (lost_answer, "stake_is_made_once"),
    "cache_key_without_the_user": (two_users, "nobody_sees_another_users_stake"),
    "limit_by_process_instead_of_shared": (both_doors, "at_most_the_quota"),
    "commit_acknowledged_before_it_happened": (lost_commit, "acknowledged_stake_is_kept"),
    "revoked_token_accepted_from_cache": (signed_out_elsewhere, "ended_session_stays_ended"),
}
"""By planted bug: the scene that shows it, and the promise that it breaks."""
