"""Limits on Workers while Upstash is away: the bindings are asked beside the isolate's own share."""

import pytest

from tests.support.service import assert_problem
from tests.support.worker import WorkerService
from tests.worker.conftest import StartWorker

STAKE = {"amount": "1", "period": 12}
AGES_S = 10**8
"""A window of the simulated binding that no test sees the end of, unless it moves the clock."""

ROOMY = (1000, AGES_S)
BY_THE_MINUTE = "global=1000"
"""Windows of the length that the platform counts over."""


async def _away(service: WorkerService) -> None:
    assert service.front is not None
    await service.front.stop()


async def test_with_upstash_there_no_binding_is_asked(start_worker: StartWorker) -> None:
    """Its own limits are exact; a binding that would refuse everything changes nothing."""
    service = await start_worker(
        limits={"LIMIT_STAKE_CREATE": (0, AGES_S), "LIMIT_GLOBAL": (0, AGES_S)},
        STAKEHOLD_LIMITS=BY_THE_MINUTE,
    )
    person = await service.enrol()
    await person.stake()
    assert await service.limit_calls() == 0


async def test_without_upstash_the_bindings_of_the_policies_decide(start_worker: StartWorker) -> None:
    """Each request asks those of its policies, by name; what one refuses is 429 with Retry-After.

    By user: another one has room. With the binding's next period there is room again.
    """
    service = await start_worker(
        limits={"LIMIT_STAKE_CREATE": (2, AGES_S), "LIMIT_STAKE_READ": ROOMY, "LIMIT_GLOBAL": ROOMY},
        STAKEHOLD_LIMITS=BY_THE_MINUTE,
    )
    person, other = await service.enrol(), await service.enrol()
    await _away(service)
    for _ in range(2):
        assert (await person.post("/api/stake", STAKE)).status_code == 201
    assert await service.limit_calls() == 4
    for _ in range(2):
        answer = await person.post("/api/stake", STAKE)
        assert_problem(answer, 429, "rate_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "stake-create" in answer.headers["ratelimit"]
    assert (await person.get("/api/stake")).status_code == 200
    assert (await other.post("/api/stake", STAKE)).status_code == 201
    await service.later(AGES_S)
    assert (await person.post("/api/stake", STAKE)).status_code == 201
    assert len((await person.list_stakes())["items"]) == 3


async def test_the_binding_of_everything_together_counts_too(start_worker: StartWorker) -> None:
    """LIMIT_GLOBAL, over all of a user's calls."""
    service = await start_worker(limits={"LIMIT_GLOBAL": (3, AGES_S)}, STAKEHOLD_LIMITS=BY_THE_MINUTE)
    person = await service.enrol()
    await _away(service)
    statuses = [(await person.get(path)).status_code for path in ("/api/stake", "/api/me", "/api/plans")]
    assert statuses == [200, 200, 200]
    assert_problem(await person.get("/api/me"), 429, "rate_limited")


async def test_who_is_not_signed_in_is_asked_for_by_address(start_worker: StartWorker) -> None:
    """Sign-ins from one address are refused, and from another let in."""
    service = await start_worker(limits={"LIMIT_AUTH": (1, AGES_S)}, STAKEHOLD_LIMITS=BY_THE_MINUTE)
    await service.enrol()
    await _away(service)
    statuses = []
    for address in ("203.0.113.9", "203.0.113.9", "203.0.113.10"):
        answer = await service.client.post(
            "/api/auth",
            json={"username": "nobody-here", "password": "a wrong password"},
            headers={"X-Harness-Client": address},
        )
        statuses.append(answer.status_code)
    assert statuses == [401, 429, 401]


@pytest.mark.parametrize("fault", ["error", "hang", "none there"])
async def test_a_binding_that_says_nothing_leaves_it_to_the_isolate(
    start_worker: StartWorker, fault: str
) -> None:
    """One that fails, hangs or is not bound: the isolate's own share admits the quota, and no more."""
    limits = {} if fault == "none there" else {"LIMIT_STAKE_CREATE": (0, AGES_S), "LIMIT_GLOBAL": ROOMY}
    service = await start_worker(limits=limits, STAKEHOLD_LIMITS="stake-create=3/900")
    person = await service.enrol()
    await service.limit_fault(None if fault == "none there" else fault)
    await _away(service)
    answers = [await person.post("/api/stake", STAKE) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    rows = await service.sql("SELECT count(*) FROM stakes")
    assert rows == [(3,)]
