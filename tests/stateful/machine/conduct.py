"""One example under way: two processes, the model, and requests whose answers are checked as they come."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import jsonschema

from tests.stateful.machine.faults import CALM, KILLS, Faults, StatementFault
from tests.stateful.machine.model import Access, Model, User, Violation, promise
from tests.stateful.machine.processes import Process, World
from tests.stateful.machine.stores import UserRow
from tests.support.conformance import Conformance

PROCESSES: Final = 2


@dataclass(frozen=True)
class Answer:
    """What came of a request that was made at `start_ms` and over at `end_ms`."""

    response: httpx.Response | None
    """None: the process died on the way."""
    start_ms: int
    end_ms: int

    @property
    def status(self) -> int:
        """The status; 0 when there was no answer."""
        return self.response.status_code if self.response is not None else 0

    @property
    def code(self) -> str:
        """The problem's code; empty for a success."""
        return str(self.body["code"]) if self.status >= 400 else ""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        assert self.response is not None
        body: dict[str, Any] = self.response.json()
        return body

    @property
    def is_unknown(self) -> bool:
        """Whether nobody said what came of it."""
        return self.response is None or self.code == "outcome_unknown"

    @property
    def failed(self) -> bool:
        """Whether the service could not do it, or did not say so: only ever after a fault."""
        return self.status in (0, 503)

    def must_be(self, status: int, code: str, name: str) -> None:
        """Violation of the promise `name` unless this is the answer."""
        seen = (self.status, self.code)
        promise(seen == (status, code), name, f"{seen} in place of {(status, code)}: {self.described}")

    @property
    def described(self) -> str:
        """For messages."""
        if self.response is None:
            return "no answer"
        request = self.response.request
        return f"{request.method} {request.url.raw_path.decode()}: {self.status} {self.response.text[:2000]}"


class Conduct:
    """What rules act through."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.model = Model()
        self.processes: list[Process] = []
        self.redis_is_away = False
        self._conformance: Conformance | None = None

    @property
    def now_ms(self) -> int:
        """The machine's time."""
        return self.world.clock.now_ms()

    async def begin(self, now_ms: int) -> None:
        """Start with nothing but the processes."""
        await self.world.begin(now_ms)
        self.processes = [await self.world.start_process() for _ in range(PROCESSES)]
        document = await self.processes[0].ask(self.processes[0].build_request("GET", "/openapi.json"))
        assert document is not None
        self._conformance = Conformance(document.json())

    async def end(self) -> None:
        """Forget the processes."""
        for process in self.processes:
            await process.kill()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        at: int = 0,
        faults: Faults = CALM,
        access: Access | None = None,
        hold: bool = False,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Ask process `at`, and check what holds of every answer. `hold` leaves the work behind it undone."""
        headers = dict(headers or {})
        if access is not None:
            headers["Authorization"] = f"Bearer {access.text}"
        process, start_ms = self.processes[at], self.now_ms
        request = process.build_request(method, path, headers=headers, **options)
        response = await process.ask(request, self._possible(faults))
        await self.world.stores.follow(self.now_ms)
        answer = Answer(response, start_ms, self.now_ms)
        if response is None:
            await self.crash(at)
        else:
            self._check(answer, was_late=process.fate.was_late)
            if not hold:
                await process.finish_background()
        await self._find_redis()
        return answer

    async def settle(self) -> None:
        """After work that no request did: let the stores' time follow, and Redis be found again."""
        await self.world.stores.follow(self.now_ms)
        await self._find_redis()

    def _possible(self, faults: Faults) -> Faults:
        """A process that dies with writes it could not fence is the documented exception: have none."""
        if not self.redis_is_away:
            return faults
        spared = tuple(StatementFault.ANSWER_CUT if fault in KILLS else fault for fault in faults.statements)
        return replace(faults, statements=spared)

    def _check(self, answer: Answer, *, was_late: bool) -> None:
        assert answer.response is not None
        assert self._conformance is not None
        try:
            self._conformance.check(answer.response)
        except (AssertionError, jsonschema.ValidationError, KeyError, ValueError) as error:
            raise Violation("every answer is as documented", f"{error!r}: {answer.described}") from error
        name = "no answer but what the fault accounts for"
        promise(answer.status not in (429, 500), name, answer.described)
        # Conflicts, lost answers and the loss of Redis are mended while there is time.
        promise(answer.status != 503 or was_late, name, answer.described)
        reads = answer.response.request.method == "GET"
        promise(not reads or answer.code != "outcome_unknown", name, answer.described)

    async def _find_redis(self) -> None:
        if not self.redis_is_away:
            for process in self.processes:
                if not process.finds_redis:
                    await process.find_redis()

    async def crash(self, at: int) -> None:
        """Kill a process and start another. Without Redis all die together (see `_possible`)."""
        for each in range(PROCESSES) if self.redis_is_away else (at,):
            await self.processes[each].kill()
            self.processes[each] = await self.world.start_process()
            self.processes[each].fate.redis_away = self.redis_is_away

    async def take_redis_away(self, *, crashed: bool) -> None:
        """Let no process reach Redis. One that crashed comes back with what it holds now, and no more."""
        if self.redis_is_away:
            return
        if crashed:
            await self.world.stores.remember_redis()
        self._set_redis_away(True)

    async def give_redis_back(self) -> None:
        """Let Redis be reached, and wait until every process has found it."""
        if not self.redis_is_away:
            return
        await self.world.stores.restore_redis()
        self._set_redis_away(False)
        await self._find_redis()

    def _set_redis_away(self, away: bool) -> None:
        self.redis_is_away = away
        for process in self.processes:
            process.fate.redis_away = away

    async def rows(self) -> dict[str, UserRow]:
        """What the database holds."""
        return await self.world.stores.users()

    async def audit(self) -> None:
        """The database holds what was acknowledged, and nothing else."""
        rows = await self.rows()
        _same("users are those who signed up", rows, [user.name for user in self.model.users])
        for user in self.model.users:
            self._audit_user(user, rows[user.name])

    def _audit_user(self, user: User, row: UserRow) -> None:
        promise(row.id == user.id and row.active == user.enabled, "a user is as told", (user, row))
        stored = {(stake.id, stake.amount_minor, stake.period_months) for stake in row.stakes.values()}
        owed = {(stake.id, stake.asked.amount_minor, stake.asked.period) for stake in user.stakes}
        promise(not owed - stored, "no acknowledged stake is lost", owed - stored)
        promise(not stored - owed, "no stake is made twice, or unasked", stored - owed)
        keys = {key: kept.stake.id for key, kept in user.keys.items() if user.key(key, self.now_ms)}
        promise(row.keys == keys, "a key is kept with its stake", (row.keys, keys))
        for session in user.sessions:
            stands = row.sessions[session.id]
            promise(stands.ended == session.ended, "a session ends when it is ended", (session, stands))


def _same(name: str, seen: Iterable[str], owed: Iterable[str]) -> None:
    promise(sorted(seen) == sorted(owed), name, f"{sorted(seen)} in place of {sorted(owed)}")
