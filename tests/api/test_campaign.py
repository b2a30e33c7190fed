"""The service does what its own OpenAPI document says, whatever is sent that the document allows or forbids.

Schemathesis makes the requests: from the examples, at the bounds of every schema, at random, and in chains
along the links, valid and not valid, against a server process. Every check it has is on. A failure prints the
seed; STAKEHOLD_TEST_SEED repeats a run, and STAKEHOLD_SOAK_EXAMPLES makes a longer one.
"""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from stakehold.runtime.embedded import EmbeddedValkey
from tests.api.campaign import Result, run_campaign
from tests.support.served import ServedService, served

EXAMPLES = int(os.environ.get("STAKEHOLD_SOAK_EXAMPLES") or 10)
FEW_EXAMPLES = max(3, EXAMPLES // 4)
RUN_TIMEOUT_S = 180 + 10 * EXAMPLES
AT_THE_BOUNDS = "coverage,fuzzing" if EXAMPLES > 10 else "coverage"
"""Where nearly all is refused for one reason, chance adds little to the bounds of every schema."""


@pytest.fixture(scope="module")
def document(api_url: str) -> dict[str, Any]:
    """The OpenAPI document as it is served."""
    served_document: dict[str, Any] = httpx.get(f"{api_url}/openapi.json").json()
    return served_document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of a document: its method, path and description."""
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def assert_without_finding(result: Result) -> None:
    assert result.status == 0, result.output
    assert not result.found


def assert_each_took_and_refused(result: Result, document: dict[str, Any]) -> None:
    """Each operation was sent good data and bad, and took some and refused some."""
    for method, path, operation in operations(document):
        tried = result.of(method, path)
        assert any(200 <= one.status < 300 for one in tried), (method, path, tried)
        if operation["security"] or operation["parameters"] or "requestBody" in operation:
            assert any(400 <= one.status < 500 for one in tried), (method, path, tried)
            assert {one.positive for one in tried} == {True, False}, (method, path, tried)
        assert {one.status for one in result.of("DELETE", path)} == {405}, path


def test_every_operation_keeps_to_its_description(
    api: ServedService, document: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    """No check finds anything; each operation was sent good data and bad, and took some and refused some."""
    result = run_campaign(api, tmp_path, document, seed=seed, examples=EXAMPLES, timeout_s=RUN_TIMEOUT_S)
    assert_without_finding(result)
    assert_each_took_and_refused(result, document)


def test_signed_out_nothing_is_given(
    api: ServedService, document: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    """The same without a token to begin with: where one is needed, nothing but 401 is answered."""
    result = run_campaign(
        api, tmp_path, document,
        seed=seed, examples=FEW_EXAMPLES, signed_in=False, phases=AT_THE_BOUNDS, timeout_s=RUN_TIMEOUT_S,
    )  # fmt: skip
    assert_without_finding(result)
    for method, path, operation in operations(document):
        without = {one.status for one in result.of(method, path) if not one.has_token}
        if operation["security"]:
            assert without == {401}, (method, path, without)
        else:
            assert any(200 <= status < 300 for status in without), (method, path, without)


async def test_a_limit_is_answered_as_described(
    api: ServedService, api_valkey: EmbeddedValkey, document: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    """With the limits as they come, what is answered with 429 is limited by the document, and says it so."""
    settings = {"REDIS_URL": api_valkey.url, "STAKEHOLD_RING_EPOCH": "1"}
    async with served(tmp_path, api.database_url, settings, processes=1) as limited:
        result = run_campaign(
            limited, tmp_path, document,
            seed=seed, examples=FEW_EXAMPLES, phases=AT_THE_BOUNDS, timeout_s=RUN_TIMEOUT_S,
        )  # fmt: skip
    assert_without_finding(result)
    limited_ones = {(one.method, one.path) for one in result.tried if one.status == 429}
    assert limited_ones >= {("POST", "/api/auth"), ("POST", "/api/users")}
    for method, path, operation in operations(document):
        assert "x-rate-limits" in operation or (method, path) not in limited_ones, (method, path)


def lie(document: dict[str, Any]) -> None:
    """Make the document say something untrue of the service, for each kind of check another thing."""
    paths, schemas = document["paths"], document["components"]["schemas"]
    schemas["StakeCreated"]["properties"]["stakeId"] = {"type": "integer"}
    del paths["/api/auth/refresh"]["post"]["responses"]["401"]
    plans = paths["/api/plans"]["get"]
    plans["security"] = [{"bearer": []}]
    plans["responses"]["401"] = paths["/api/me"]["get"]["responses"]["401"]
    paths["/healthz"]["get"]["responses"]["200"]["content"] = {"text/plain": {}}
    readiness = paths["/readyz"]["get"]["responses"]["200"]
    readiness["headers"]["X-Nothing"] = {"schema": {"type": "string"}, "required": True}
    schemas["SignIn"]["properties"]["username"]["maxLength"] = 5
    schemas["SignOut"]["properties"]["reason"] = {"type": "string"}
    schemas["SignOut"]["required"] = ["reason"]
    limit = next(one for one in paths["/api/stake"]["get"]["parameters"] if one.get("name") == "limit")
    limit["schema"]["maximum"] = 1000


FOUND_OUT = {
    ("JsonSchemaError", "POST /api/stake"),
    ("UndefinedStatusCode", "POST /api/auth/refresh"),
    ("IgnoredAuth", "GET /api/plans"),
    ("MissingHeaderNotRejected", "GET /api/plans"),
    ("UndefinedContentType", "GET /healthz"),
    ("MissingHeaders", "GET /readyz"),
    ("AcceptedNegativeData", "POST /api/auth"),
    ("RejectedPositiveData", "POST /api/auth/logout"),
    ("CustomFailure", "GET /api/stake"),
}


def test_the_campaign_sees(api: ServedService, document: dict[str, Any], seed: int, tmp_path: Path) -> None:
    """Where service and document differ, each check says so, and at the right operation."""
    lie(document)
    lied_about = {where.split(" ")[1] for _, where in FOUND_OUT}
    document["paths"] = {path: item for path, item in document["paths"].items() if path in lied_about}
    result = run_campaign(
        api, tmp_path, document, seed=seed, examples=3, phases="coverage", timeout_s=RUN_TIMEOUT_S
    )
    assert result.found >= FOUND_OUT, (FOUND_OUT - result.found, result.output)
    assert result.status == 1
