"""Keys that clients gave to what they asked for, kept in the transaction of the effect for 24 hours."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from stakehold.database.port import Connection, RunAgainError
from stakehold.domain.errors import ConflictError, FieldError, ValidationError

_CLAIM = """
INSERT INTO idempotency (user_id, scope, key, body_hash, expires_at)
VALUES ($1::UUID, $2::TEXT, $3::TEXT, $4::BYTEA, now() + INTERVAL '24 hours')
ON CONFLICT (user_id, scope, key) DO UPDATE
   SET body_hash = excluded.body_hash, stake_id = NULL, answer = NULL, expires_at = excluded.expires_at
 WHERE idempotency.expires_at <= now()
RETURNING key
"""
_FIND = """
SELECT k.body_hash, k.answer FROM idempotency k
 WHERE k.user_id = $1::UUID AND k.scope = $2::TEXT AND k.key = $3::TEXT
"""
_KEEP = """
UPDATE idempotency SET answer = $4::TEXT WHERE user_id = $1::UUID AND scope = $2::TEXT AND key = $3::TEXT
"""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, what it applies to, and the SHA-256 of what the request asked for."""

    key: str
    scope: str
    body_hash: bytes


async def claim(connection: Connection, user_id: UUID, idempotency: Idempotency | None) -> str | None:
    """Take a key at the beginning of the caller's transaction: None for a new one, else what was answered.

    Of two that race the second waits for the first. Raises RunAgainError when the wait outlived the
    statement's timeout, which becomes ConflictError (`idempotency_in_flight`) when there is no time to run
    again; ValidationError (`idempotency_key_reused`) where the key stands for another body.
    """
    if idempotency is None:
        return None
    of_key = (user_id, idempotency.scope, idempotency.key)
    try:
        if await connection.fetchval(_CLAIM, *of_key, idempotency.body_hash) is not None:
            return None
    except asyncpg.QueryCanceledError as error:
        raise RunAgainError(in_flight()) from error
    kept = await connection.fetchrow(_FIND, *of_key)
    if kept is None or kept["body_hash"] != idempotency.body_hash or kept["answer"] is None:
        raise key_reused()
    answer: str = kept["answer"]
    return answer


async def keep_answer(
    connection: Connection, user_id: UUID, idempotency: Idempotency | None, answer: str
) -> None:
    """Keep the JSON that is answered, at the end of the same transaction."""
    if idempotency is not None:
        await connection.execute(_KEEP, user_id, idempotency.scope, idempotency.key, answer)


def in_flight() -> ConflictError:
    """What is answered while the first request with a key is not done."""
    return ConflictError(
        "A request with this Idempotency-Key is under way.", code="idempotency_in_flight", retry_after_s=1
    )


def key_reused() -> ValidationError:
    """What is answered to a key that came before with another body."""
    return ValidationError(
        "This Idempotency-Key was used before, with a different body.",
        code="idempotency_key_reused",
        fields=(FieldError("Idempotency-Key", "reused", "Use a new key for a new request."),),
    )
