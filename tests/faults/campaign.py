"""A campaign: load on several servers, faults for a while, then a calm in which all must be well; judgement."""

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import Rules, Violation, check
from tests.faults.cluster import Cluster, Stores
from tests.faults.final_state import FinalState, read_final_state
from tests.faults.history import History
from tests.faults.nemesis import Nemesis
from tests.faults.recorder import Recorder
from tests.faults.workload import LIMITS, Client, enrolled, limits_setting

RECOVERY_S = 20.0
"""Within this time after the last harm is undone every server says that it is ready."""

SETTLED_S = 3.0
"""And so long after that every request is done: connections have been replaced by then."""


@dataclass(frozen=True)
class Plan:
    """What a campaign consists of. The seed decides who asks what and which faults come in which order."""

    seed: int
    faults_s: float
    calm_s: float = 8.0
    servers: int = 3
    users: int = 6
    plant: str = ""


@dataclass
class Result:
    """What a campaign found, with what it did."""

    plan: Plan
    history: History
    final: FinalState
    faults: Counter[str]
    violations: list[Violation]
    took_s: float = 0.0

    def counts(self) -> list[str]:
        """What was asked and how it ended, a line a kind."""
        by_kind: dict[str, Counter[str]] = {}
        for operation in self.history.operations:
            by_kind.setdefault(operation.kind, Counter())[operation.outcome] += 1
        return [
            f"{kind}: {counted['ok']} ok, {counted['fail']} fail, {counted['unknown']} unknown"
            for kind, counted in sorted(by_kind.items())
        ]


async def run_campaign(plan: Plan, stores: Stores, directory: Path) -> Result:
    """Run it, in a database of its own, with its servers' logs in `directory`."""
    began_s = time.monotonic()
    name = f"campaign_{plan.seed}"
    database_url = await stores.new_database(name)
    history = History()
    settings = {"STAKEHOLD_LIMITS": limits_setting(), "STAKEHOLD_POOL_SIZE": "4"}
    cluster = Cluster(
        directory, database_url, stores.valkey.url, servers=plan.servers, settings=settings, plant=plan.plant
    )
    async with cluster:
        nemesis = Nemesis(cluster, stores, history, random.Random(f"{plan.seed} faults"))
        calm_s = await _load_and_faults(plan, cluster, nemesis, history)
        await cluster.stop_servers()
        final = await read_final_state(database_url)
    await stores.drop_database(name)
    rules = Rules(limits=LIMITS, processes=plan.servers)
    violations = [*check(history, final, rules), *_unrecovered(history, calm_s)]
    return Result(plan, history, final, nemesis.counts, violations, time.monotonic() - began_s)


async def _load_and_faults(plan: Plan, cluster: Cluster, nemesis: Nemesis, history: History) -> float:
    """Load throughout, and faults for a while; the moment from which on all must be well."""
    recorder = Recorder(cluster, history)
    clients = await _clients(plan, recorder)
    over = asyncio.Event()
    load = asyncio.gather(*(client.run(over.is_set) for client in clients))
    try:
        await nemesis.strike(plan.faults_s)
        async with asyncio.timeout(RECOVERY_S):
            await nemesis.settled()
        calm_s = time.monotonic() + SETTLED_S
        await asyncio.sleep(SETTLED_S + plan.calm_s)
    finally:
        over.set()
        await load
    return calm_s


async def _clients(plan: Plan, recorder: Recorder) -> list[Client]:
    rng = random.Random(f"{plan.seed} clients")
    intentions = itertools.count(1)
    clients: list[Client] = []
    for number in range(plan.users):
        own = random.Random(rng.getrandbits(64))
        clients += await enrolled(recorder, 2 * number, f"user-{number}", own, intentions)
    clients[0].changes_password = True
    return clients


def _unrecovered(history: History, calm_s: float) -> list[Violation]:
    """Whatever still failed for want of a store when everything had been put right."""
    return [
        Violation(
            "recovers_by_itself", f"{operation.kind} was answered {operation.status}", (operation.number,)
        )
        for operation in history.operations
        if operation.started_s >= calm_s and operation.status in (None, 500, 503)
    ]
