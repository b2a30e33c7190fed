"""A bound on how much is under way at once, for where a holder may be gone without a word."""

from stakehold.domain.ports import Clock


class ExpiringSlots:
    """At most `most` slots: taken or refused at once, never waited for, and free again by time.

    On Workers a request can be ended so that its `finally` never runs, and none may wait for another. So each
    slot is taken for so many seconds; one that is not given back by then may be given to somebody else. A
    holder that is slow, and not gone, is then one too many: ask for more time than the work can take, or
    `renew` in between.
    """

    __slots__ = ("_clock", "_most", "_until_s")

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._until_s: dict[object, float] = {}

    def take(self, life_s: float) -> object | None:
        """A slot for the next `life_s` seconds; None when all are taken."""
        now_s = self._clock.monotonic_s()
        if len(self._until_s) >= self._most:
            self._drop_expired(now_s)
            if len(self._until_s) >= self._most:
                return None
        slot = object()
        self._until_s[slot] = now_s + life_s
        return slot

    def renew(self, slot: object, life_s: float) -> bool:
        """Hold `slot` for `life_s` seconds from now. False: it ran out, and its place was needed."""
        if slot not in self._until_s:
            return False
        self._until_s[slot] = self._clock.monotonic_s() + life_s
        return True

    def give_back(self, slot: object) -> None:
        """Free a slot. One that ran out is nobody's any more: nothing happens."""
        self._until_s.pop(slot, None)

    def _drop_expired(self, now_s: float) -> None:
        for slot in [slot for slot, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[slot]
