"""The one trip to Redis at a request's door: session, limits, then page or fence.

What the rest of the service needs of limits and cache is here as well.
"""

from stakehold.cache.entries import Entry, FillTicket, NewEntry
from stakehold.cache.flights import Flights, Joining, NoFlights
from stakehold.gate.gate import Gate
from stakehold.gate.passage import (
    AccountRead,
    Caller,
    Entered,
    Entering,
    Fence,
    LimitedError,
    PageRead,
    Resource,
    SessionRefusedError,
)
from stakehold.limits.fallback import PlatformLimiter, platform_period_s
from stakehold.limits.headers import LimitState, limit_header, policy_header
from stakehold.limits.policies import Policies, Policy, parse_limits

__all__ = [
    "AccountRead",
    "Caller",
    "Entered",
    "Entering",
    "Entry",
    "Fence",
    "FillTicket",
    "Flights",
    "Gate",
    "Joining",
    "LimitState",
    "LimitedError",
    "NewEntry",
    "NoFlights",
    "PageRead",
    "PlatformLimiter",
    "Policies",
    "Policy",
    "Resource",
    "SessionRefusedError",
    "limit_header",
    "parse_limits",
    "platform_period_s",
    "policy_header",
]
