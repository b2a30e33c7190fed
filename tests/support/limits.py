"""Reading RateLimit headers as a client does (draft-ietf-httpapi-ratelimit-headers-11)."""

import re
from dataclasses import dataclass

import httpx

_POLICY = re.compile(r'"([a-z-]+)";q=(\d+);w=(\d+)')
_LIMIT = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')


@dataclass(frozen=True)
class Limit:
    """What an answer says of one limit."""

    quota: int
    window_s: int
    remaining: int
    reset_s: int


def read_limits(answer: httpx.Response) -> dict[str, Limit]:
    """Both headers, by the limits' names; fails unless they are well-formed and name the same limits."""
    policies = [_POLICY.fullmatch(item) for item in answer.headers["ratelimit-policy"].split(", ")]
    limits = [_LIMIT.fullmatch(item) for item in answer.headers["ratelimit"].split(", ")]
    assert None not in policies + limits, answer.headers
    found = {}
    for policy, limit in zip(policies, limits, strict=True):
        assert policy is not None
        assert limit is not None
        assert policy[1] == limit[1]
        found[policy[1]] = Limit(int(policy[2]), int(policy[3]), int(limit[2]), int(limit[3]))
    return found
