"""Goes into a bundle in the place of its entry: the Worker with a clock that tests move, and tight bounds.

`POST /-/later?s=3` moves the isolate's monotonic clock on. `POST /-/hold?on=1` has every password wait, with
its place taken, where it gives others a turn.
"""

import asyncio
from functools import partial
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

from workers import Response

from stakehold.runtime import worker_container, worker_scrypt
from stakehold.runtime.worker import Default as Worker

IN_FLIGHT_MAX = 2

_moved = SimpleNamespace(s=0.0, holding=False)


class _MovedClock(worker_container.SystemClock):
    def monotonic_s(self):
        return super().monotonic_s() + _moved.s


async def _turn(delay_s):
    await asyncio.sleep(30 if _moved.holding else delay_s)


worker_container.SystemClock = _MovedClock
worker_container.UpstashRedis = partial(worker_container.UpstashRedis, max_in_flight=IN_FLIGHT_MAX)
worker_scrypt.asyncio = SimpleNamespace(sleep=_turn)


class Default(Worker):
    async def fetch(self, request):
        parts = urlsplit(request.url)
        told = {name: float(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/-/later":
            _moved.s += told["s"]
            return Response("later")
        if parts.path == "/-/hold":
            _moved.holding = bool(told["on"])
            return Response("so be it")
        return await super().fetch(request)
