"""Every planted bug is found, by the promise that it breaks; the same scenes without one find nothing.

The servers are real processes on real stores (cluster.py), the bugs are planted in them alone (plants.py),
what is asked and answered is judged by the campaign's own checker (checker.py).

| planted | found by, always | the scene |
| --- | --- | --- |
| fence_never_opened | no_page_is_older_than_one_seen_before | dead_writer |
| generation_not_checked | no_page_is_older_than_an_acknowledged_write | late_reader |
| retry_with_a_new_id | stake_is_made_once | lost_answer |
| cache_key_without_the_user | nobody_sees_another_users_stake | two_users |
| limit_by_process_instead_of_shared | at_most_the_quota | both_doors |
| commit_acknowledged_before_it_happened | acknowledged_stake_is_kept | lost_commit |
| revoked_token_accepted_from_cache | ended_session_stays_ended | signed_out_elsewhere |
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.checker import Rules, Violation, check
from tests.faults.cluster import Cluster
from tests.faults.final_state import read_final_state
from tests.faults.plants import PLANTS
from tests.faults.scenarios import LIMITS, SCENES, Scene, Stage


async def _play(
    directory: Path, database_url: str, redis_url: str, scenes: Iterable[Scene], plant: str = ""
) -> list[Violation]:
    """What the checker finds in these scenes, played by two servers with this bug."""
    limits = ",".join(f"{name}={quota}/{window_s}" for name, (quota, window_s) in LIMITS.items())
    settings = {"STAKEHOLD_LIMITS": limits}
    cluster = Cluster(directory, database_url, redis_url, servers=2, settings=settings, plant=plant)
    async with cluster:
        stage = Stage(cluster)
        for scene in scenes:
            await scene(stage)
        await cluster.stop_servers()
        final = await read_final_state(database_url)
    rules = Rules()
    return check(stage.history, final, Rules(limits={**rules.limits, **LIMITS}, processes=2))


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_bug_is_found(tmp_path: Path, database_url: str, redis_url: str, plant: str) -> None:
    """In servers with this bug its scene breaks a promise, and it is the one that the bug is about."""
    scene, promise = SCENES[plant]
    found = await _play(tmp_path, database_url, redis_url, [scene], plant)
    assert promise in {violation.promise for violation in found}, found


async def test_nothing_is_found_without_a_planted_bug(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    """The same scenes, all of them, played by the service as it is."""
    assert await _play(tmp_path, database_url, redis_url, [scene for scene, _ in SCENES.values()]) == []


def test_every_plant_has_a_scene() -> None:
    """A bug that is planted without being looked for would prove nothing."""
    assert PLANTS.keys() == SCENES.keys()
