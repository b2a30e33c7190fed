"""A machine over small quotas: one process, one user, and an exact log of who was let in when."""

import asyncio
from typing import Any, ClassVar, Final

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.stateful.machine import strategies as draw
from tests.stateful.machine.model import promise
from tests.stateful.machine.processes import Process, World

WINDOW_MS: Final = 60_000
QUOTAS: Final = {"stake-read": 3, "stake-create": 2, "global": 4}
LIMITS: Final = ",".join(f"{name}={quota}" for name, quota in QUOTAS.items())
NEVER_MORE: Final = "at most N requests in any window"
NEVER_LESS: Final = "nobody is refused while there is room"
ROUNDING_MS: Final = 1000
"""Who was refused is refused until the whole second that Retry-After named."""

WAITS_MS: Final = st.sampled_from([1, 499, 10_007, 30_011, 59_987, 60_013])
CREDENTIALS: Final = {"username": "ada", "password": "a long walk on a cold day"}


class LimitsMachine(RuleBasedStateMachine):
    """Reads, writes and time. Once Redis was lost, the process may refuse more, and never less."""

    world: ClassVar[World]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self._process: Process | None = None
        self._headers: dict[str, str] = {}
        self._token_until_ms = 0
        self._may_be_lost = self._was_lost = False
        self._let_in_ms: dict[str, list[int]] = {name: [] for name in QUOTAS}

    @initialize(now_ms=draw.BEGINNINGS, may_be_lost=st.booleans())
    def begin(self, now_ms: int, may_be_lost: bool) -> None:
        self._may_be_lost = may_be_lost

        async def begin() -> None:
            await self.world.begin(now_ms)
            self._process = await self.world.start_process()
            assert (await self._ask("POST", "/api/users", json=CREDENTIALS)).status_code == 201

        self.runner.run(begin())

    def teardown(self) -> None:
        if self._process is not None:
            self.runner.run(self._process.kill())

    @property
    def _now_ms(self) -> int:
        return self.world.clock.now_ms()

    @rule(writes=st.booleans(), times=st.integers(1, 4))
    def ask(self, writes: bool, times: int) -> None:
        """Ask one after the other, whatever was answered."""

        async def ask() -> None:
            await self._sign_in()
            for _ in range(times):
                if writes:
                    answer = await self._ask("POST", "/api/stake", json={"amount": 1, "period": 1})
                else:
                    answer = await self._ask("GET", "/api/stake")
                self._check(answer, ("stake-create" if writes else "stake-read", "global"))

        self.runner.run(ask())

    @rule(wait_ms=WAITS_MS)
    def wait(self, wait_ms: int) -> None:
        self.runner.run(self.world.advance(wait_ms / 1000))

    @rule(seconds=st.integers(0, 1))
    def wait_as_told(self, seconds: int) -> None:
        """Until the oldest charge has left, or a second less."""
        oldest = [times[0] for times in self._recent().values() if times]
        if oldest:
            wait_ms = min(oldest) + WINDOW_MS + 1 - self._now_ms - seconds * 1000
            self.runner.run(self.world.advance(max(0, wait_ms) / 1000))

    @precondition(lambda self: self._may_be_lost)
    @rule(wipes=st.booleans(), away=st.booleans())
    def redis_fails(self, wipes: bool, away: bool) -> None:
        assert self._process is not None
        self._was_lost = True
        if wipes:
            self.runner.run(self.world.stores.wipe_redis())
        self._process.fate.redis_away = away

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        assert self._process is not None
        request = self._process.build_request(method, path, headers=self._headers, **options)
        answer = await self._process.ask(request)
        assert answer is not None
        await self._process.finish_background()
        return answer

    async def _sign_in(self) -> None:
        """With a token that lives on; the address pays for it, not the user."""
        if self._now_ms >= self._token_until_ms:
            answer = await self._ask("POST", "/api/auth", json=CREDENTIALS)
            assert answer.status_code == 200, answer.text
            self._headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            self._token_until_ms = self._now_ms + 800_000

    def _recent(self, older_ms: int = 0) -> dict[str, list[int]]:
        """Who was let in within the window, or within one that ended `older_ms` ago at the latest."""
        since_ms = self._now_ms - WINDOW_MS - older_ms
        return {name: [at for at in times if at > since_ms] for name, times in self._let_in_ms.items()}

    def _check(self, answer: httpx.Response, names: tuple[str, ...]) -> None:
        recent = self._recent()
        if answer.status_code == 429:
            was_full = [
                name for name, times in self._recent(ROUNDING_MS).items() if len(times) >= QUOTAS[name]
            ]
            promise(
                self._was_lost or bool({*names} & {*was_full}), NEVER_LESS, (answer.text, self._let_in_ms)
            )
            # Up to a second more than the window: times are told in whole seconds, and never too short.
            wait_s = int(answer.headers["retry-after"])
            promise(1 <= wait_s <= WINDOW_MS // 1000 + 1, NEVER_LESS, answer.headers)
            return
        assert answer.status_code in (200, 201), answer.text
        for name in names:
            promise(len(recent[name]) < QUOTAS[name], NEVER_MORE, (name, self._now_ms, recent[name]))
            self._let_in_ms[name].append(self._now_ms)
