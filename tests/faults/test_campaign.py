"""A short campaign of the kind that `make soak` runs: every fault at least once, and no promise broken."""

import os
import secrets
from pathlib import Path

from tests.faults import store_faults, wire_faults
from tests.faults.campaign import Plan, run_campaign
from tests.faults.cluster import Stores

FAULTS_S = 12.0
CALM_S = 4.0


async def test_no_promise_is_broken_by_any_fault(tmp_path: Path) -> None:
    """Three servers under load while processes, stores, wires and clocks fail: every promise is kept.

    STAKEHOLD_TEST_SEED repeats who asks what, and which faults come in which order.
    """
    seed = int(os.environ.get("STAKEHOLD_TEST_SEED") or secrets.randbelow(2**31))
    print(f"STAKEHOLD_TEST_SEED={seed}")
    async with Stores(tmp_path) as stores:
        result = await run_campaign(Plan(seed, FAULTS_S, CALM_S), stores, tmp_path)
    print(result.summary())
    struck = {fault.__name__ for fault in (*store_faults.FAULTS, *wire_faults.FAULTS)}
    assert set(result.faults) == struck
    assert not result.violations, result.summary()
    done = {operation.kind for operation in result.history.operations if operation.outcome == "ok"}
    assert done >= {"sign_up", "sign_in", "create", "list", "get"}
