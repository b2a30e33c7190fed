"""Every interleaving of a few actors, by running the real code again and again.

An *actor* is a coroutine that awaits `Schedule.turn(touches)` before each thing it does: a trip to Redis, a
statement. Between two turns it runs alone and undisturbed. A *schedule* is the order in which actors get
their turns. `explore` begins with one schedule, notes at each moment who else could have had the turn, and
runs those as well, until nothing is left: the whole tree, with no chance in it and no bound on depth.

Two schedules that differ only in the order of neighbours that do not touch the same thing (one reads the
database, the other asks Redis) show every actor the same and end alike. Of those only one is run: the others
are cut by *sleep sets* (Godefroid 1996), which cut nothing else. `reduce=False` runs them all, and a test
shows that nothing else is observed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

Touches = Literal["redis", "reads", "writes"]
"""What a turn touches: Redis (or what a process knows of it), or the database, which it reads or writes."""

CONCURRENT = 64
REST_TIMEOUT_S = 60.0
# A flight passes on what it has through callbacks; three rounds of the loop reach its last waiter.
_ROUNDS = 4

_actor: ContextVar[str] = ContextVar("actor")


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody's next turn."""

    actor: str
    touches: Touches

    def disturbs(self, other: "Turn") -> bool:
        """Whether the order of the two can matter."""
        if self.actor == other.actor:
            return True
        if "redis" in (self.touches, other.touches):
            return self.touches == other.touches
        return "writes" in (self.touches, other.touches)


@dataclass(slots=True)
class _Waiting:
    turn: Turn
    when: Callable[[], bool] | None
    go: asyncio.Future[None]


class Schedule:
    """The actors of one run, and whose turn it is."""

    def __init__(self) -> None:
        self.taken: list[Turn] = []
        self.free = True
        """Nobody waits: before the actors begin, and after their end."""
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asking = 0
        self._answered = asyncio.Event()
        self._granted = False

    def start(self, actor: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin an actor; it comes as far as its first turn."""

        async def run() -> None:
            _actor.set(actor)
            await work

        self._tasks[actor] = asyncio.get_running_loop().create_task(run())

    def cancel(self, actor: str) -> None:
        """Cancel an actor wherever it waits."""
        self._tasks[actor].cancel()

    async def turn(self, touches: Touches, when: Callable[[], bool] | None = None) -> None:
        """Wait for the next turn, which does not come before `when` is true."""
        if self.free:
            return
        actor = _actor.get()
        assert actor not in self._waiting, f"{actor} would do two things at once"
        go = asyncio.get_running_loop().create_future()
        self._waiting[actor] = _Waiting(Turn(actor, touches), when, go)
        try:
            await go
        finally:
            self._waiting.pop(actor, None)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Around each trip to Redis. The first after a turn belongs to it; each further one has its own."""
        if not self._granted:
            await self.turn("redis")
        self._granted = False
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self._answered.set()

    def extend_turn(self) -> None:
        """The next trip belongs to this turn as well."""
        self._granted = True

    def possible(self) -> list[Turn]:
        """Who can have the next turn, in the order of their names."""
        ready = [waiting.turn for waiting in self._waiting.values() if not waiting.when or waiting.when()]
        return sorted(ready, key=lambda turn: turn.actor)

    async def take(self, turn: Turn) -> None:
        """Give somebody the turn, and let all come to rest again."""
        self.taken.append(turn)
        self._granted = True
        self._waiting[turn.actor].go.set_result(None)
        await self.rest()
        self._granted = False

    async def rest(self) -> None:
        """Until every actor has ended, waits for its turn, or for somebody who does."""
        quiet_rounds = 0
        while quiet_rounds < _ROUNDS:
            self._answered.clear()
            if self._asking:
                await asyncio.wait_for(self._answered.wait(), REST_TIMEOUT_S)
            await asyncio.sleep(0)
            quiet_rounds = 0 if self._asking or self._answered.is_set() else quiet_rounds + 1
        for task in self._tasks.values():
            if task.done() and not task.cancelled():
                task.result()

    async def end(self) -> None:
        """Cancel who is still there, and who waits for a turn on behalf of one who is gone."""
        left = [task for task in self._tasks.values() if not task.done()]
        for ending in (*left, *(waiting.go for waiting in self._waiting.values())):
            ending.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @property
    def all_ended(self) -> bool:
        """Whether no actor is left."""
        return all(task.done() for task in self._tasks.values())

    def __str__(self) -> str:
        return " ".join(f"{turn.actor}:{turn.touches}" for turn in self.taken)


@dataclass(frozen=True, slots=True)
class _Branch:
    """Schedules to run: those that begin with `taken`, but for what `asleep` would do first."""

    taken: tuple[Turn, ...]
    asleep: frozenset[Turn]


class Search:
    """The branches of the tree that were not yet run."""

    def __init__(self, *, reduce: bool) -> None:
        self._reduce = reduce
        self._branches = [_Branch((), frozenset())]

    def branch(self) -> "Path | None":
        """The next branch to run; None when there is none now."""
        return Path(self, self._branches.pop()) if self._branches else None

    def choose(self, taken: tuple[Turn, ...], possible: list[Turn], asleep: frozenset[Turn]) -> "_Choice":
        """The first of `possible` that does not sleep, the others becoming branches; None if all sleep."""
        chosen = None
        for turn in possible:
            if turn in asleep:
                continue
            quiet = frozenset(one for one in asleep if not one.disturbs(turn)) if self._reduce else asleep
            if chosen is None:
                chosen = (turn, quiet)
            else:
                self._branches.append(_Branch((*taken, turn), quiet))
            if self._reduce:
                asleep |= {turn}
        return chosen


_Choice = tuple[Turn, frozenset[Turn]] | None


class Path:
    """One schedule on its way: who is next, by the branch at first and then by the search."""

    def __init__(self, search: Search, branch: _Branch) -> None:
        self._search = search
        self._branch = branch
        self._asleep = branch.asleep

    def next(self, taken: list[Turn], possible: list[Turn]) -> Turn | None:
        """Who has the next turn; None when an equivalent schedule is run elsewhere."""
        done = len(taken)
        if done < len(self._branch.taken):
            turn = self._branch.taken[done]
            assert turn in possible, f"not repeatable: {turn} after {taken}, possible are {possible}"
            return turn
        choice = self._search.choose(tuple(taken), possible, self._asleep)
        if choice is None:
            return None
        turn, self._asleep = choice
        return turn


async def explore(run: Callable[[Path], Awaitable[bool]], *, reduce: bool = True) -> int:
    """Run every schedule once, some at a time; how many there were.

    `run` gives turns as its path says, and tells whether it came to the end.
    """
    search = Search(reduce=reduce)
    ran = 0
    running: set[asyncio.Task[bool]] = set()
    while True:
        while len(running) < CONCURRENT and (path := search.branch()):
            running.add(asyncio.ensure_future(run(path)))
        if not running:
            return ran
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        ran += sum(task.result() for task in done)
