"""An amount is taken exactly when the documentation says so, and is then the one that was sent."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.api.oracle import amount_is_taken
from tests.support.conformance import Conformance
from tests.support.served import ServedService
from tests.support.service import assert_field, assert_problem

# Digits most of all; then what stands in numbers somewhere, if not in JSON's.
_CHARACTERS = st.sampled_from("0123456789" * 4 + "eE+-..,_ xX'٣１½∞\u200b\u2212")
TEXTS = (
    st.text(_CHARACTERS, min_size=1, max_size=14)
    | st.decimals(min_value=0, max_value="1e31", places=8).map("{:f}".format)
    | st.decimals(min_value=-1, max_value=1, places=12).map("{:f}".format)
    | st.from_regex(r"-?[0-9]{1,36}(\.[0-9]{0,12})?[eE][+-]?[0-9]{1,4}", fullmatch=True)
    | st.from_regex(r"[0-9]{60,66}", fullmatch=True)
)
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)
    | st.integers(min_value=-(10**32), max_value=10**32).map(str)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,34})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
)


@pytest.fixture
def client(api: ServedService, api_url: str, conformance: Conformance) -> Iterator[httpx.Client]:
    """Signed in, with every answer checked."""
    person = asyncio.run(api.enrol(f"person-{secrets.token_hex(8)}"))

    def check(answer: httpx.Response) -> None:
        answer.read()
        conformance.check(answer)

    with httpx.Client(
        base_url=api_url, headers=person.headers, timeout=15, event_hooks={"response": [check]}
    ) as client:
        yield client


def check_amount(client: httpx.Client, token: str, text: str) -> None:
    """Lock `token`, an amount as it stands in the body; `text` is what it says."""
    body = f'{{"amount": {token}, "period": 1}}'.encode()
    answer = client.post("/api/stake", content=body, headers={"Content-Type": "application/json"})
    if not amount_is_taken(text):
        assert_field(assert_problem(answer, 422, "validation_error"), "/amount", "invalid_amount")
        return
    assert answer.status_code == 201, (token, answer.text)
    kept = client.get(answer.headers["location"]).json()["amount"]
    assert Decimal(kept) == Decimal(text)
    assert "e" not in kept.lower()
    assert not ("." in kept and kept.endswith("0"))


def explored(seed: int) -> settings:
    print(f"STAKEHOLD_TEST_SEED={seed}")
    return settings(
        max_examples=150,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def test_an_amount_in_quotes(client: httpx.Client, seed: int) -> None:
    """Of any text, what JSON's grammar of numbers, the scale and the size allow is locked, to the unit."""

    @seeded(seed)
    @explored(seed)
    @given(TEXTS)
    @example("1e-8")
    @example("1e-9")
    @example("10e-9")
    @example("0.00000001000")
    @example("999999999999999999999999999999.99999999")
    @example("1000000000000000000000000000000")
    @example("0e999")
    @example("1e0001")
    def check(text: str) -> None:
        check_amount(client, json.dumps(text, ensure_ascii=False), text)

    check()


def test_an_amount_as_a_number(client: httpx.Client, seed: int) -> None:
    """A number is read as it is written: what a binary float could not hold is kept, or refused, exactly."""

    @seeded(seed)
    @explored(seed)
    @given(NUMBERS)
    @example("0.1")
    @example("0.000000001")
    @example("1e-9")
    @example("0.30000000000000004")
    @example("9007199254740993")
    @example("123456789012345678901234567890.12345678")
    @example("1E+29")
    @example("10000000000000000000.000000001")
    def check(number: str) -> None:
        check_amount(client, number, number)

    check()
