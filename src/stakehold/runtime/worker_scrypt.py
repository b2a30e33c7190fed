"""scrypt by the platform's node:crypto, for Workers: WebAssembly's Python has none."""

import asyncio
from typing import Any, Final

import msgspec
from js import JSON, Array
from pyodide.ffi import to_js
from workers import import_from_javascript

from stakehold.domain.errors import OverloadedError
from stakehold.domain.ports import Clock
from stakehold.domain.slots import ExpiringSlots
from stakehold.domain.timing import REQUEST_DEADLINE_S

WAITING_MAX: Final = 10
"""Some 0.2 s each, one after the other: an isolate has one thread, and all its requests share it."""

_SLOT_LIFE_S: Final = REQUEST_DEADLINE_S + 2.0

_TURN_S: Final = 0.025
"""Between two hashes, for all else that the isolate has to do: that of those who have theirs, for one."""

_WAIT_MAX_S: Final = 3.0
"""Who waits longer has too little time left for what comes after, and would have the hash for nothing."""


class NodeScrypt:
    """Computes hashes one at a time while at most `WAITING_MAX` wait their turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots = ExpiringSlots(clock, WAITING_MAX)
        self._computed = 0
        self._scrypt: Any = None

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        """The derived key. Raises OverloadedError at once when too many wait, and after too long a wait."""
        slot = self._slots.take(_SLOT_LIFE_S)
        if slot is None:
            raise _overloaded()
        try:
            await self._turn()
            self._computed += 1
            return self._derive(password, salt, n, r, p, length)
        finally:
            self._slots.give_back(slot)

    async def _turn(self) -> None:
        """Wait until nobody has computed for `_TURN_S`. Raises OverloadedError.

        Those whose timers end together would otherwise compute one after the other, and the loop would do
        nothing else meanwhile. The clock cannot tell: on Workers it stands still while a hash is computed.
        """
        until_s = self._clock.monotonic_s() + _WAIT_MAX_S
        computed = -1
        while computed != self._computed:
            if self._clock.monotonic_s() >= until_s:
                raise _overloaded()
            computed = self._computed
            await asyncio.sleep(_TURN_S)

    def _derive(self, password: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
        if self._scrypt is None:
            self._scrypt = import_from_javascript("node:crypto").scryptSync
        # The same bound on memory as hashlib is given natively.
        options = JSON.parse(f'{{"N":{n},"r":{r},"p":{p},"maxmem":{128 * r * (n + p + 2)}}}')
        compute = self._scrypt.bind(None, to_js(password), to_js(salt), length, options)
        # Pyodide refuses Node's Buffer, so it stays among JavaScript's: in an array made by one call of
        # `compute`, and then as text, [{"type": "Buffer", "data": [octets]}].
        (key,) = msgspec.json.decode(JSON.stringify(Array.from_("1", compute)))
        return bytes(key["data"])


def _overloaded() -> OverloadedError:
    return OverloadedError("Too many passwords are being checked.", retry_after_s=1)
