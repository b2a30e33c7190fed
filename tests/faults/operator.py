"""The operator of a campaign, who disables and enables a user, as `stakehold users` does."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Literal

from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import REQUEST_DEADLINE_S
from stakehold.http.problems import kind_of
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.settings import load_settings
from stakehold.services.accounts import set_user_status
from stakehold.services.context import Services
from tests.faults.history import ANY_SERVER, Operation, classify
from tests.faults.recorder import Recorder

REST_S = 6.0
DISABLED_S = 1.5


class Operator:
    """Reaches the stores past all proxies."""

    def __init__(self, client: int, recorder: Recorder, services: Services) -> None:
        self._client = client
        self._recorder = recorder
        self._services = services

    async def trouble(self, username: str, rng: random.Random, until: Callable[[], bool]) -> None:
        """Disable the user now and then, and always enable them again."""
        while not until():
            await asyncio.sleep(rng.uniform(0, REST_S))
            if until():
                return
            await self.set_status(username, "disable")
            await asyncio.sleep(rng.uniform(0, DISABLED_S))
            while not await self.set_status(username, "enable"):
                await asyncio.sleep(0.2)

    async def set_status(self, username: str, kind: Literal["enable", "disable"]) -> bool:
        """Do it, and note it; whether it is known to be done."""
        number, began_s = self._recorder.number(), time.monotonic()
        status, answer = 200, {}
        try:
            deadline = Deadline.after(self._services.clock, REQUEST_DEADLINE_S)
            wanted: Literal["active", "disabled"] = "active" if kind == "enable" else "disabled"
            await set_user_status(self._services, username, wanted, deadline)
        except StakeholdError as error:
            status, answer = kind_of(error).status, {"code": error.code}
        outcome = classify(kind, status, answer.get("code"))
        self._recorder.history.append(
            Operation(
                number, self._client, ANY_SERVER, username, kind, began_s, time.monotonic(), status, outcome,
                {}, answer,
            )
        )  # fmt: skip
        return outcome == "ok"


@asynccontextmanager
async def running_operator(recorder: Recorder, client: int) -> AsyncIterator[Operator]:
    """An operator with the cluster's own settings."""
    container = await build_container(
        load_settings(recorder.cluster.settings, production=True), log_stream=BytesIO()
    )
    try:
        yield Operator(client, recorder, container.services)
    finally:
        await close_container(container)
