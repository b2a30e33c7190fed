"""The cached user entry: what decides whether a token is still good, in the form the script reads.

The body is `<status> <epoch> ,<session>,<session>,`: the sessions revoked while a token of theirs may live.
"""

from functools import lru_cache

from stakehold.cache.entries import NewEntry
from stakehold.domain.accounts import UserState

STATE_NAME = "state"
STATE_FRESH_S = 600
STATE_STALE_S = 600
_NO_ETAG = "-"


def state_entry(state: UserState) -> NewEntry:
    """The entry to store for `state`."""
    revoked = "".join(f"{session}," for session in sorted(state.revoked_sessions))
    body = f"{state.status} {state.epoch} ,{revoked}".encode()
    return NewEntry(body, _NO_ETAG, STATE_FRESH_S, STATE_STALE_S, now_ms=0)


# Nearly all users share one body: active, epoch 0, nothing revoked.
@lru_cache(maxsize=4096)
def read_state(body: bytes) -> UserState:
    """The state that an entry's body says."""
    status, epoch, revoked = body.decode().split(" ", 2)
    sessions = frozenset(filter(None, revoked.split(",")))
    return UserState("active" if status == "active" else "disabled", int(epoch), sessions)
