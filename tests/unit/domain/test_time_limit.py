"""A time limit ends its block and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from stakehold.domain.time_limit import TimeLimit

Limited = Callable[[float, Awaitable[None]], Coroutine[Any, Any, None]]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def limited(seconds: float, work: Awaitable[None]) -> None:
    with TimeLimit(seconds):
        await work


async def limited_by_asyncio(seconds: float, work: Awaitable[None]) -> None:
    async with asyncio.timeout(seconds):
        await work


async def test_a_block_that_takes_too_long_is_ended() -> None:
    """With TimeoutError, in the block's own task, which then goes on as if nothing had been."""
    with pytest.raises(TimeoutError):
        await limited(0.01, for_ever())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_block_that_is_in_time_is_left_alone() -> None:
    """Its errors pass, and the limit's timer is gone with it."""

    async def fails() -> None:
        raise KeyError

    await limited(0.01, asyncio.sleep(0))
    with pytest.raises(KeyError):
        await limited(0.01, fails())
    await asyncio.sleep(0.03)


@pytest.mark.parametrize("when_time_is_up", [False, True])
async def test_a_cancellation_by_somebody_else_stays_one(*, when_time_is_up: bool) -> None:
    """Even when the time is up at the same moment."""
    task = asyncio.create_task(limited(0, for_ever()))
    await asyncio.sleep(0)
    if when_time_is_up:
        # After the limit's timer, and before the task is woken by it.
        asyncio.get_running_loop().call_later(0, task.cancel)
    else:
        task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


@pytest.mark.parametrize("outer", [limited, limited_by_asyncio])
@pytest.mark.parametrize("inner", [limited, limited_by_asyncio])
async def test_of_two_limits_each_ends_its_own_block(outer: Limited, inner: Limited) -> None:
    """Ours and asyncio's, which libraries use, within one another."""
    with pytest.raises(TimeoutError):
        await outer(0.01, inner(5, for_ever()))

    async def goes_on() -> None:
        with pytest.raises(TimeoutError):
            await inner(0.01, for_ever())
        await asyncio.sleep(0.02)

    await outer(5, goes_on())
