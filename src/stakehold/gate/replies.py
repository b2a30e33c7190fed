"""How the replies of the script that lets requests in read (gate/scripts.py says what they hold)."""

from typing import Any

from stakehold.cache.entries import FillTicket, body_of, decode_entry
from stakehold.cache.user_entry import STATE_NAME, read_state
from stakehold.gate.passage import AccountRead, LimitedError, PageRead
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy
from stakehold.limits.script import limit_states, violated_states

NOW, INCARNATION = 1, 2
_DENIED_NUMBERS = 3
_ACCOUNT, _PAGE, _OK_NUMBERS = 3, 6, 9


def limits_of(reply: list[Any], policies: tuple[Policy, ...]) -> tuple[LimitState, ...]:
    """The limits of a request that was let in."""
    return limit_states(policies, reply[_OK_NUMBERS:])


def denial_of(reply: list[Any], policies: tuple[Policy, ...]) -> LimitedError:
    """The error of a request that was denied."""
    numbers = reply[_DENIED_NUMBERS:]
    states = limit_states(policies, numbers)
    return LimitedError(states, violated_states(states, numbers))


def account_of(reply: list[Any], tag: str) -> AccountRead:
    """What the reply says of the caller's user entry. There is a caller."""
    kind, stored, generation = reply[_ACCOUNT:_PAGE]
    if kind == b"fresh" or kind == b"stale":
        return AccountRead(read_state(body_of(stored)))
    if kind == b"bypass":
        return AccountRead(None)
    ticket = FillTicket(tag, "account", STATE_NAME, generation, reply[NOW])
    if kind == b"renew":
        return AccountRead(read_state(body_of(stored)), ticket, refresh=True)
    return AccountRead(None, ticket)


def page_of(reply: list[Any], tag: str, name: str) -> PageRead:
    """What the reply says of the page asked for."""
    kind, stored, generation = reply[_PAGE:_OK_NUMBERS]
    if kind == b"fresh":
        return PageRead("fresh", decode_entry(stored))
    if kind == b"stale":
        return PageRead("stale", decode_entry(stored))
    if kind == b"bypass":
        return PageRead("bypass")
    ticket = FillTicket(tag, "stakes", name, generation, reply[NOW])
    if kind == b"renew":
        return PageRead("stale", decode_entry(stored), ticket, refresh=True)
    return PageRead("miss", None, ticket)
