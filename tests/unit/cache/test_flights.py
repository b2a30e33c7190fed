"""One reading for all who miss the same page at once."""

import asyncio

import pytest

from stakehold.cache.flights import Flights, NoFlights


class _Reading:
    """A slow reading of the database that a test lets end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times = 0
        self.go = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.times += 1
        number = self.times
        await self.go.wait()
        if self._error:
            raise self._error
        return number


async def _join(flights: Flights | NoFlights, keys: list[str], reading: _Reading) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flights.join(key, reading)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_readers_of_one_key_share_one_reading() -> None:
    """Fifty at once read once; the next one after them reads again."""
    flights, reading = Flights(), _Reading()
    tasks = await _join(flights, ["k"] * 50, reading)
    reading.go.set()
    assert await asyncio.gather(*tasks) == [1] * 50
    assert await flights.join("k", reading) == 2


async def test_readers_of_other_keys_read_for_themselves() -> None:
    """A key carries the generation: after a write nobody joins a reading from before it."""
    flights, reading = Flights(), _Reading()
    tasks = await _join(flights, ["k before", "k after"], reading)
    reading.go.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2]


async def test_a_leader_that_is_cancelled_takes_nobody_along() -> None:
    """The reading goes on for those who joined."""
    flights, reading = Flights(), _Reading()
    leader, *others = await _join(flights, ["k"] * 3, reading)
    leader.cancel()
    await asyncio.sleep(0)
    reading.go.set()
    assert await asyncio.gather(*others) == [1, 1]
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_an_error_goes_to_all_and_is_not_kept() -> None:
    """Whoever joined a reading that fails is told; the next reader tries anew."""
    flights, reading = Flights(), _Reading(OSError("gone"))
    tasks = await _join(flights, ["k"] * 3, reading)
    reading.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 3
    healthy = _Reading()
    healthy.go.set()
    assert await flights.join("k", healthy) == 1


async def test_a_reading_that_is_cancelled_is_reported_to_its_readers_alone() -> None:
    """As when the process ends: who joined is cancelled, nothing more is said, the next one reads anew."""
    flights, started = Flights(), asyncio.Event()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def cancelled() -> int:
        await started.wait()
        raise asyncio.CancelledError

    tasks = [asyncio.create_task(flights.join("k", cancelled)) for _ in range(2)]
    await asyncio.sleep(0)
    started.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
    healthy = _Reading()
    healthy.go.set()
    assert await flights.join("k", healthy) == 1
    assert reported == []


async def test_beyond_the_bound_readers_read_for_themselves() -> None:
    """A full table neither refuses nor grows; those who can join still do."""
    flights, reading = Flights(flights_max=2), _Reading()
    tasks = await _join(flights, ["a", "b", "c", "c", "a"], reading)
    reading.go.set()
    await asyncio.gather(*tasks)
    assert reading.times == 4


async def test_without_flights_everybody_reads() -> None:
    """On Workers no request waits for another's."""
    reading = _Reading()
    tasks = await _join(NoFlights(), ["k"] * 3, reading)
    reading.go.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3]
