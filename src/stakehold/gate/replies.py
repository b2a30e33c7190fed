"""How the replies of the gate's scripts read (gate/scripts.py says what they hold).

What answers need not be Redis: over HTTP it may be anything on the way, with well-formed JSON in the place of
a reply. So each reply is looked at before it is believed.
"""

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

_HEAD: list[type] = [bytes, int, bytes]
# By kind: the types before the numbers, and how many numbers each limit has.
_SHAPES = {
    b"ok": (_HEAD + [bytes] * (_OK_NUMBERS - len(_HEAD)), 2),
    b"denied": (_HEAD, 2),
    b"refused": (_HEAD, 0),
    b"forgot": (_HEAD, 0),
}


def is_of_enter(reply: Any, policies: tuple[Policy, ...]) -> bool:
    """Whether the script that lets requests in replies like this, asked about `policies`."""
    if type(reply) is not list or not reply or type(reply[0]) is not bytes or reply[0] not in _SHAPES:
        return False
    types, numbers = _SHAPES[reply[0]]
    if [type(part) for part in reply] != types + [int] * (numbers * len(policies)):
        return False
    return reply[0] != b"denied" or any(remaining < 0 for remaining in reply[_DENIED_NUMBERS::2])


def is_done(reply: Any) -> bool:
    """Whether a script replies like this that has nothing to say."""
    return type(reply) is int and reply == 1


def is_of_fill(reply: Any) -> bool:
    """Whether the script that stores what was read replies like this."""
    return type(reply) is int and reply in (0, 1)


def is_of_return(reply: Any) -> bool:
    """Whether the script replies like this that tells the time and the incarnation."""
    return (
        type(reply) is list
        and [type(part) for part in reply] == [bytes, bytes]
        and reply[0].isdigit()
        and bool(reply[1])
    )


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
