"""A campaign: load on several servers, faults for a while, then calm, in which all must be well again."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import Rules, Violation, check
from tests.faults.cluster import Cluster, Stores
from tests.faults.final_state import FinalState, read_final_state
from tests.faults.history import History
from tests.faults.nemesis import Nemesis
from tests.faults.operator import running_operator
from tests.faults.recorder import Recorder
from tests.faults.workload import LIMITS, Newcomers, Runner, enrolled, limits_setting

RECOVERY_S = 20.0
"""Within this time after the last harm is undone every server says that it is ready."""

SETTLED_S = 3.0
"""And so long after that every request is done: connections have been replaced by then."""

HASHING = ("sign_up", "sign_in", "change_password")

NEWCOMER, OPERATOR = 1000, 1001
"""Their numbers as clients."""


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

    def summary(self) -> str:
        """What was done, what came of it, and what was broken."""
        statuses = Counter(str(one.status) for one in self.history.operations)
        answers = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        head = (
            f"SEED={self.plan.seed}: {self.took_s:.0f} s, {self.faults.total()} faults, "
            f"{len(self.history.operations)} operations ({answers}), {len(self.violations)} violations"
        )
        broken = [f"  {one.promise}: {one.detail} {one.operations}" for one in self.violations]
        return "\n".join([head, *broken])


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


async def _load_and_faults(plan: Plan, cluster: Cluster, nemesis: Nemesis, history: History) -> float | None:
    """Load throughout, and faults for a while; the moment from which on all must be well, None for never."""
    recorder = Recorder(cluster, history)
    clients = await _clients(plan, recorder)
    over = asyncio.Event()
    async with running_operator(recorder, OPERATOR) as operator, asyncio.TaskGroup() as group:
        try:
            for client in clients:
                group.create_task(client.run(over.is_set))
            troubles = random.Random(f"{plan.seed} operator")
            group.create_task(operator.trouble(f"user-{plan.users - 1}", troubles, over.is_set))
            await nemesis.strike(plan.faults_s)
            if not await nemesis.is_settled(RECOVERY_S):
                return None
            calm_s = time.monotonic() + SETTLED_S
            await asyncio.sleep(SETTLED_S + plan.calm_s)
        finally:
            over.set()
    return calm_s


async def _clients(plan: Plan, recorder: Recorder) -> list[Runner]:
    rng = random.Random(f"{plan.seed} clients")
    intentions = itertools.count(1)
    runners: list[Runner] = [Newcomers(NEWCOMER, recorder, random.Random(rng.getrandbits(64)), intentions)]
    for number in range(plan.users):
        own = random.Random(rng.getrandbits(64))
        clients = await enrolled(recorder, 2 * number, f"user-{number}", own, intentions)
        clients[0].changes_password = number == 0
        runners += clients
    return runners


def _unrecovered(history: History, calm_s: float | None) -> Iterator[Violation]:
    """Whatever still failed for want of a store when everything had been put right."""
    if calm_s is None:
        yield Violation("recovers_by_itself", f"not every server was ready within {RECOVERY_S} s")
        return
    for operation in history.operations:
        # A password that nobody had time to hash tells of the machine's cores, not of a store.
        no_core = operation.kind in HASHING and operation.answer.get("code") == "overloaded"
        if operation.started_s >= calm_s and operation.status in (None, 500, 503) and not no_core:
            detail = f"{operation.kind} was answered {operation.status} {operation.answer.get('code')}"
            yield Violation("recovers_by_itself", detail, (operation.number,))
