"""Keys of clients, claimed and answered inside transactions, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import idempotency
from stakehold.database.idempotency import Idempotency
from stakehold.database.port import Connection
from stakehold.domain.errors import ValidationError

ALICE = UUID(int=1)
KEY = Idempotency("key-1", "POST /api/other", b"body-1")


@pytest.fixture
def once(run: Any) -> Callable[..., Awaitable[str]]:
    """Do something under a key, which answers with `answer`; what was answered before where it was done."""

    async def once(key: Idempotency | None, answer: str, user_id: UUID = ALICE) -> str:
        async def work(connection: Connection) -> str:
            async with connection.transaction():
                kept = await idempotency.claim(connection, user_id, key)
                if kept is None:
                    await connection.execute(
                        "INSERT INTO assets (code, scale) VALUES (gen_random_uuid()::TEXT, 0)"
                    )
                    await idempotency.keep_answer(connection, user_id, key, answer)
            return answer if kept is None else kept

        done: str = await run(work)
        return done

    return once


async def _effects(run: Any) -> int:
    made: int = await run(lambda c: c.fetchval("SELECT count(*) FROM assets WHERE scale = 0"))
    return made


async def test_a_key_has_one_effect_and_one_answer(run: Any, once: Any) -> None:
    """Sent again it is answered as the first time; of another user, or another call, it is another key."""
    assert await once(KEY, "first") == "first"
    assert await once(KEY, "second") == "first"
    assert await _effects(run) == 1
    assert await once(KEY, "bobs", UUID(int=2)) == "bobs"
    assert await once(replace(KEY, scope="POST /api/third"), "other") == "other"
    assert await once(None, "none") == await once(None, "none") == "none"
    assert await _effects(run) == 5


async def test_a_key_stands_for_one_body(run: Any, once: Any) -> None:
    """With another body it is refused, and nothing is done."""
    await once(KEY, "first")
    with pytest.raises(ValidationError) as refused:
        await once(replace(KEY, body_hash=b"body-2"), "second")
    assert refused.value.code == "idempotency_key_reused"
    assert await _effects(run) == 1


async def test_racers_on_a_key(run: Any, once: Any) -> None:
    """Of 20 at once one does it, and all hear its answer."""
    answers = await asyncio.gather(*(once(KEY, f"answer-{number}") for number in range(20)))
    assert len(set(answers)) == 1
    assert await _effects(run) == 1


async def test_an_expired_key_is_as_good_as_new(run: Any, once: Any) -> None:
    """After 24 hours it may stand for another body, and what was answered is forgotten."""
    await once(KEY, "first")
    await run(lambda c: c.execute("UPDATE idempotency SET expires_at = now()"))
    assert await once(replace(KEY, body_hash=b"body-2"), "second") == "second"
    assert await once(replace(KEY, body_hash=b"body-2"), "third") == "second"
    left_h = "SELECT extract(epoch FROM expires_at - now())::FLOAT8 / 3600 FROM idempotency"
    assert 23.9 < await run(lambda c: c.fetchval(left_h)) <= 24
