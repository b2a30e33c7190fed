"""Running the machine: a number of examples from a seed, over a service that the caller builds."""

import asyncio
import os
import secrets
from typing import Final

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.stateful.machine.processes import ROOMY, ServiceFactory, World, build_service
from tests.stateful.machine.rules import ServiceMachine
from tests.stateful.machine.stores import Stores, StoreUrls
from tests.support.postgres_proxy import PostgresProxy

STEPS: Final = 40


def seed_of_this_run() -> int:
    """STAKEHOLD_TEST_SEED, or a new one; printed either way."""
    seed = int(os.environ.get("STAKEHOLD_TEST_SEED") or secrets.randbelow(2**32))
    print(f"STAKEHOLD_TEST_SEED={seed}")
    return seed


def run_machine(
    *,
    stores: StoreUrls,
    service_factory: ServiceFactory = build_service,
    max_examples: int,
    seed: int,
    steps: int = STEPS,
    shrink: bool = True,
    machine: type[RuleBasedStateMachine] = ServiceMachine,
    limits: str = ROOMY,
) -> None:
    """Run `max_examples` of at most `steps` rules each, drawn from `seed`.

    Raises Violation, which names the promise that was not kept (`.promise`), or what the service itself
    raised. `stores` are made by `prepare_stores`. `service_factory` builds each process of the service: a
    test that plants a fault changes what it is given, or what comes out. Without `shrink` the first
    violation is raised as it was found, which is quick. `limits` is what STAKEHOLD_LIMITS says.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    settings = hypothesis.settings(
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        phases=phases,
        # The seed repeats a run; examples kept from a planted fault would only mislead the next.
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        world, proxy = runner.run(_open(stores, service_factory, limits))
        bound = type(machine.__name__, (machine,), {"world": world, "runner": runner})
        try:
            run_state_machine_as_test(hypothesis.seed(seed)(bound), settings=settings)
        finally:
            runner.run(_close(world, proxy))


async def _open(urls: StoreUrls, service_factory: ServiceFactory, limits: str) -> tuple[World, PostgresProxy]:
    stores = Stores(urls)
    await stores.open()
    proxy = await PostgresProxy(urls.database).__aenter__()
    return World(stores, proxy, service_factory, limits), proxy


async def _close(world: World, proxy: PostgresProxy) -> None:
    await proxy.__aexit__(None, None, None)
    await world.stores.close()
