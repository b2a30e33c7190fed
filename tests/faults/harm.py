"""What every fault needs: the cluster, its stores, chance, and a note of what was done to whom, and when."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from stakehold.redis.port import Reply
from stakehold.redis.resp import RespRedis
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.faults.cluster import Cluster, Server, Stores
from tests.faults.history import ANY_SERVER, Fault, FaultKind, History
from tests.support.fakes import CountingCounters

READY_INTERVAL_S = 0.1


class Harm:
    """One lane's view of what it may harm."""

    def __init__(self, cluster: Cluster, stores: Stores, history: History, rng: random.Random) -> None:
        self.cluster = cluster
        self.stores = stores
        self.random = rng
        self.longest_s = 4.0
        self._history = history
        self._watching: set[asyncio.Task[None]] = set()

    def drawing_from(self, rng: random.Random, *, longest_s: float) -> "Harm":
        """The same, with chance of its own, for faults of at most `longest_s`."""
        other = Harm(self.cluster, self.stores, self._history, rng)
        other.longest_s = longest_s
        other._watching = self._watching
        return other

    def a_server(self) -> Server:
        """One of the servers."""
        return self.random.choice(self.cluster.servers)

    async def a_while(self, least: float = 0.2) -> None:
        """Let the harm last."""
        await asyncio.sleep(self.random.uniform(least * self.longest_s, self.longest_s))

    @asynccontextmanager
    async def noted(
        self, kind: FaultKind, *hit: Server, detail: str, until_ready: bool = True
    ) -> AsyncIterator[None]:
        """Note the fault that happens inside, for each server that was hit, or for all when none is named.

        With `until_ready` it is over when the server says that it reaches both stores, which is waited for
        behind: the next fault may come before.
        """
        began_s = time.monotonic()
        yield
        servers: Sequence[Server] = hit or self.cluster.servers
        if not until_ready:
            self._note(kind, hit[0].number if len(hit) == 1 else ANY_SERVER, began_s, detail)
            return
        for server in servers:
            task = asyncio.create_task(self._note_when_ready(kind, server, began_s, detail))
            self._watching.add(task)

    async def is_settled(self, within_s: float) -> bool:
        """Wait until every fault is over; False, and no more watching, when that takes longer."""
        _, unsettled = await asyncio.wait(self._watching, timeout=within_s)
        for task in unsettled:
            task.cancel()
        return not unsettled

    async def _note_when_ready(self, kind: FaultKind, server: Server, began_s: float, detail: str) -> None:
        while await self.cluster.readiness(server) != "ready":
            await asyncio.sleep(READY_INTERVAL_S)
        self._note(kind, server.number, began_s, detail)

    def _note(self, kind: FaultKind, server: int, began_s: float, detail: str) -> None:
        self._history.note_fault(Fault(kind, server, began_s, time.monotonic(), detail))

    async def redis(self, *commands: Sequence[str | int]) -> list[Reply]:
        """Give Valkey commands, past all proxies."""
        redis = RespRedis(
            self.stores.valkey.url,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            counters=CountingCounters(),
        )
        try:
            return [await redis.command(*command, timeout_s=5.0) for command in commands]
        finally:
            with contextlib.suppress(Exception):
                await redis.close()
