"""The table of limits, and how an operator changes it."""

import re

import pytest

from stakehold.limits.headers import LimitState, limit_header, policy_header, retry_after_s
from stakehold.limits.policies import DEFAULTS, Policies, Policy, parse_limits


def test_the_limits_promised_are_the_defaults() -> None:
    """Sign-in 10, creation 20, retrieval 60, everything together 100, each a minute."""
    policies = Policies()
    promised = {"auth": 10, "stake-create": 20, "stake-read": 60, "global": 100}
    assert {name: policies.get(name) for name in promised} == {
        name: Policy(name, quota, 60) for name, quota in promised.items()
    }


def test_an_operators_limits_are_read() -> None:
    """Quota, and seconds after a slash; a minute otherwise; spaces do not matter."""
    assert parse_limits("") == {}
    assert parse_limits("auth=10, stake-create = 20,auth-failure=50/900,") == {
        "auth": (10, 60),
        "stake-create": (20, 60),
        "auth-failure": (50, 900),
    }


def test_overrides_change_what_they_name_alone() -> None:
    """The other limits stay as they are."""
    policies = Policies(parse_limits("auth=3/10"))
    assert policies.get("auth") == Policy("auth", 3, 10)
    assert policies.get("global") == Policy("global", 100, 60)


def test_all_limits_are_those_in_force() -> None:
    """Who configures every limit elsewhere too finds each once, as it was overridden."""
    named = {policy.name: policy for policy in Policies(parse_limits("auth=3/10")).all()}
    assert named == {policy.name: policy for policy in DEFAULTS} | {"auth": Policy("auth", 3, 10)}


@pytest.mark.parametrize(
    "item",
    [
        "nonsense",
        "unknown=5",
        "auth=",
        "auth=0",
        "auth=-1",
        "auth=1.5",
        "auth=1000000001",
        "auth=٣",
        "auth=5/0",
        "auth=5/86401",
        "auth=5/60/60",
        "auth=5 auth=6",
        "=5",
    ],
)
def test_a_wrong_item_is_named(item: str) -> None:
    """What cannot be a limit is refused, and the message says which item it is."""
    with pytest.raises(ValueError, match=re.escape(repr(item))):
        parse_limits(f"global=100,{item}")


def test_a_limit_given_twice_is_refused() -> None:
    """Of two values for one limit nobody can say which is meant."""
    with pytest.raises(ValueError, match="twice"):
        parse_limits("auth=5,auth=6")


@pytest.mark.parametrize("name", ["", "Auth", "a b", 'a"b', "a\\b", "ä", "a\n", "1a", "a" * 33])
def test_a_name_is_safe_in_a_header_and_a_key(name: str) -> None:
    """A policy's name can be written as a structured-field string as it is."""
    with pytest.raises(ValueError, match="name"):
        Policy(name, 1)


def test_headers_read_as_the_draft_has_them() -> None:
    """The two examples of draft-ietf-httpapi-ratelimit-headers-11, in our names."""
    create, everything = Policy("stake-create", 20), Policy("global", 100)
    assert policy_header((create, everything)) == '"stake-create";q=20;w=60, "global";q=100;w=60'
    states = (LimitState(create, 19, 42), LimitState(everything, 99, 7))
    assert limit_header(states) == '"stake-create";r=19;t=42, "global";r=99;t=7'
    assert retry_after_s(states) == 42


def test_every_default_can_be_written_in_a_header() -> None:
    """All names and numbers are within what headers and scripts take."""
    for policy in DEFAULTS:
        assert re.fullmatch(r'"[ -!#-\[\]-~]+";q=[0-9]+;w=[1-9][0-9]*', policy_header((policy,)))
