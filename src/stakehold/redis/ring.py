"""Several Redis databases as one: each user's keys live on one of them, and always on the same.

Rendezvous hashing (Thaler and Ravishankar, 1998): every member draws a number for the tag, the highest wins.
Adding or removing a member moves only the tags that this member wins. A member that is down is not replaced
by another, which would know nothing of the user's limits and fences.
"""

import hashlib
from collections.abc import Sequence

from stakehold.redis.port import Redis


class Ring:
    """The members and the names they draw by. A name must stay with its data; the order does not matter."""

    def __init__(self, members: Sequence[Redis], names: Sequence[str]) -> None:
        if not members or len(members) != len(names) or len(set(names)) != len(names):
            raise ValueError("A ring has at least one member, and each has a name of its own.")
        self.members = tuple(members)
        self._prefixes = tuple(name.encode() + b"\0" for name in names)

    def member_for(self, tag: str) -> Redis:
        """The member that has the keys of `tag` (a user's id, a client's address)."""
        if len(self.members) == 1:
            return self.members[0]
        encoded = tag.encode()
        draws = [hashlib.sha256(prefix + encoded).digest() for prefix in self._prefixes]
        return self.members[draws.index(max(draws))]

    async def close(self) -> None:
        """Close every member."""
        for member in self.members:
            await member.close()
