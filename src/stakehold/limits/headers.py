"""RateLimit headers: draft-ietf-httpapi-ratelimit-headers-11."""

from collections.abc import Iterable
from dataclasses import dataclass

from stakehold.limits.policies import Policy


@dataclass(slots=True)
class LimitState:
    """What a subject has left: `remaining` requests now, and one more in `reset_s` whole seconds."""

    policy: Policy
    remaining: int
    reset_s: int


def policy_header(policies: Iterable[Policy]) -> str:
    """The value of `RateLimit-Policy`: `"stake-create";q=20;w=60, "global";q=100;w=60`."""
    return ", ".join([policy.item for policy in policies])


def limit_header(states: Iterable[LimitState]) -> str:
    """The value of `RateLimit`: `"stake-create";r=19;t=42, "global";r=99;t=42`."""
    return ", ".join([f'"{state.policy.name}";r={state.remaining};t={state.reset_s}' for state in states])


def retry_after_s(violated: Iterable[LimitState]) -> int:
    """The value of `Retry-After` of a refusal: never before the last of the full windows has room."""
    return max(state.reset_s for state in violated)
