"""Harms a cluster at random, from a seed, and puts right what it did.

Two lanes strike at the same time: one at the stores themselves, one at server processes and the wires between
them and the stores. Within a lane one fault follows the other, in an order that the seed shuffles, so that
each comes up before any comes up again. Now and then there is a lull: some promises have exceptions while a
store is away, and are strict only when none has been for a while.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from tests.faults import store_faults, wire_faults
from tests.faults.cluster import Cluster, Stores
from tests.faults.harm import Harm
from tests.faults.history import History

Act = Callable[[Harm], Awaitable[None]]

STORM_S, LULL_S = 20.0, 12.0
"""A lull comes after each storm. It is longer than a window of most limits, and what settles before."""

GAP_S = 1.0
"""Between two faults of a lane, at most; less when there is little time for all."""


class Nemesis:
    """Strikes for a while; `counts` says how often by which fault."""

    def __init__(self, cluster: Cluster, stores: Stores, history: History, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._harm = Harm(cluster, stores, history, rng)
        self._random = rng

    async def strike(self, seconds: float) -> None:
        """Let every fault happen at least once, and go on for `seconds`; all harm is undone at the end."""
        lanes = (store_faults.FAULTS, wire_faults.FAULTS)
        # Each lane draws from its own numbers: the other's progress must not change its order.
        seeds = [self._random.getrandbits(64) for _ in lanes]
        async with asyncio.TaskGroup() as group:
            for lane, seed in zip(lanes, seeds, strict=True):
                group.create_task(self._strike_lane(lane, random.Random(seed), seconds))

    async def is_settled(self, within_s: float) -> bool:
        """Wait until the servers say that all they had lost is back; False when that takes longer."""
        return await self._harm.is_settled(within_s)

    async def _strike_lane(self, faults: Sequence[Act], rng: random.Random, seconds: float) -> None:
        share_s = seconds / len(faults)
        harm = self._harm.drawing_from(rng, longest_s=min(4.0, share_s))
        bag = _shuffled(faults, rng)
        struck = 0
        began_s = time.monotonic()
        while struck < len(faults) or time.monotonic() < began_s + seconds:
            since_s = (time.monotonic() - began_s) % (STORM_S + LULL_S)
            if since_s > STORM_S:
                await asyncio.sleep(STORM_S + LULL_S - since_s)
            bag = bag or _shuffled(faults, rng)
            act = bag.pop()
            await act(harm)
            struck += 1
            self.counts[act.__name__] += 1
            await asyncio.sleep(rng.uniform(0, min(GAP_S, share_s / 2)))


def _shuffled(faults: Sequence[Act], rng: random.Random) -> list[Act]:
    bag = list(faults)
    rng.shuffle(bag)
    return bag
