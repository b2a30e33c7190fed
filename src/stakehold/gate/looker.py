"""Who looks for the return of Redis behind the requests, where tasks outlive them: natively."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.ports import Background, Clock, Entropy
from stakehold.domain.slots import ExpiringSlots

LOOK_BASE_S = 0.1
LOOK_CAP_S = 1.0

_TURN_S = 60.0
"""After so long without a word, whoever looked is taken to be gone."""


class Looker:
    """One task at a time that calls `try_return` until Redis is there, waiting ever longer in between."""

    def __init__(
        self,
        *,
        is_up: Callable[[], bool],
        try_return: Callable[[], Awaitable[bool]],
        clock: Clock,
        entropy: Entropy,
        background: Background,
    ) -> None:
        self._is_up = is_up
        self._try_return = try_return
        self._entropy = entropy
        self._background = background
        self._turns = ExpiringSlots(clock, 1)
        self._stopped = asyncio.Event()

    def start(self) -> None:
        """Begin to look, unless somebody does."""
        turn = None if self._stopped.is_set() else self._turns.take(_TURN_S)
        if turn is None:
            return
        if not self._background.start(self._look(turn), "look for the return of Redis"):
            # The next request that is decided without Redis tries again.
            self._turns.give_back(turn)

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    async def _look(self, turn: object) -> None:
        attempt = 0
        try:
            while not (self._stopped.is_set() or self._is_up() or await self._try_return()):
                wait_s = full_jitter_s(self._entropy, attempt, base_s=LOOK_BASE_S, cap_s=LOOK_CAP_S)
                attempt += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), wait_s)
                if not self._turns.renew(turn, _TURN_S):
                    return
        finally:
            self._turns.give_back(turn)
