"""The HTTP suite finds out where the Worker answers otherwise than a server, and what was left out there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.answers import Answers, differences
from tests.support.halves import NATIVE, RUNTIMES, WORKER, Halves
from tests.support.worker_node import node_program

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_S = 120
ID = "019a9c40-11f2-7d0b-8a55-c0ffee5eed01"
BODY = {"id": ID, "amount": "10", "createdAt": "2026-11-23T05:00:00.000Z", "fromCache": True}
HEADERS = {
    "content-type": "application/json",
    "etag": 'W/"one"',
    "ratelimit": '"stake-read";r=5;t=60',
    "x-request-id": "0" * 32,
}


def answered(
    body: Any = BODY, status: int = 200, method: str = "GET", times: int = 1, **headers: str | None
) -> Answers:
    """Answers to one request that was sent so often."""
    fields = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    given = {name: value for name, value in fields.items() if value is not None}
    answers = Answers()
    for _ in range(times):
        request = httpx.Request(method, f"http://stakehold.test/api/stake/{ID}?limit=5")
        answers.add(httpx.Response(status, headers=given, content=json.dumps(body), request=request))
    return answers


@pytest.mark.parametrize(
    "other",
    [
        answered(status=201),
        answered(method="HEAD"),
        answered({**BODY, "amount": "11"}),
        answered({**BODY, "amount": 10}),
        answered({**BODY, "more": None}),
        answered(dict(reversed(BODY.items()))),
        answered(etag=None),
        answered(etag='"strong"'),
        answered(content_type="application/json; charset=utf-8"),
        answered(content_length=None, cache_control="no-store"),
        answered(ratelimit='"stake-read";r=4;t=60'),
        answered(times=2),
        Answers(),
    ],
)  # fmt: skip
def test_what_is_answered_otherwise_is_found(other: Answers) -> None:
    """Status, a header or its lack, a member of the body, their order, and how often; from either side."""
    for pair in ((answered(), other), (other, answered())):
        assert differences(*pair, RUNTIMES)


def test_what_differs_from_run_to_run_is_no_difference() -> None:
    """Ids, times, tags, and the headers of the connection."""
    body = {
        **BODY,
        "id": ID.replace("7d0b", "7000"),
        "createdAt": "2027-01-01T00:00:00.000Z",
        "fromCache": False,
    }
    other = answered(
        body, etag='W/"two"', ratelimit='"stake-read";r=5;t=59', x_request_id="1" * 32,
        date="Mon, 23 Nov 2026 05:00:00 GMT", connection="keep-alive",
    )  # fmt: skip
    assert differences(answered(), other, RUNTIMES) == []


def test_of_what_is_chance_the_kinds_are_compared() -> None:
    """Neither how many nor which values; but a status, a header or a member that the other never had."""
    one = answered(times=2).kinds()
    assert (
        differences(
            one, answered({**BODY, "amount": "11"}, ratelimit='"stake-read";r=1;t=1').kinds(), RUNTIMES
        )
        == []
    )
    for other in (answered(status=429), answered({**BODY, "more": 1}), answered(vary="Origin")):
        assert differences(one, other.kinds(), RUNTIMES)


def test_only_what_has_a_reason_may_be_left_out() -> None:
    """A test that passed natively and was skipped on Workers, or the other way about, is named."""
    halves = Halves(exceptions={"c": "moves the clock"})
    for test, native, worker in (
        ("a", "passed", "passed"), ("b", "passed", "skipped"), ("c", "passed", "skipped"),
        ("d", "skipped", "passed"), ("e", "skipped", "skipped"),
    ):  # fmt: skip
        halves.ended(test, NATIVE, native)
        halves.ended(test, WORKER, worker)
    assert halves.unlike() == ["b: native passed, worker skipped", "d: native skipped, worker passed"]
    assert halves.summary()[:2] == [
        "HTTP suite: native 3 passed, worker 2 passed, 1 native only:",
        "  c: moves the clock",
    ]
    halves.unavailable = "no Node"
    assert halves.unlike() == []


def test_a_run_fails_for_either() -> None:
    """With a header changed on the Worker's way, and a test forgotten there, pytest names both and fails."""
    node_program()
    run = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "tests.worker.planted", "-p", "no:cacheprovider", "-q",
            "tests/http/health", "tests/http/ready/test_200.py::test_ready",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "ERROR tests/http/ready/test_200.py::test_ready[worker]" in run.stdout
    assert "1 time(s) by worker alone: GET /readyz -> 200" in run.stdout
    assert "vary: Origin" in run.stdout
    assert "NOT ALIKE tests/http/health/test_200.py::" in run.stdout
