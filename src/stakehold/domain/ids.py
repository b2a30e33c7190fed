"""Ids: UUIDv7 (RFC 9562, section 5.7), so that a user's rows are ordered by the time they were made."""

from uuid import UUID

from stakehold.domain.ports import Clock, Entropy


def new_id(clock: Clock, entropy: Entropy) -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = clock.now_ms().to_bytes(6, "big")
    tail = bytearray(entropy.random_bytes(10))
    tail[0] = (tail[0] & 0x0F) | 0x70
    tail[2] = (tail[2] & 0x3F) | 0x80
    return UUID(bytes=milliseconds + bytes(tail))


def created_at_ms(identifier: UUID) -> int:
    """When a UUIDv7 was made, in milliseconds since the Unix epoch."""
    return identifier.int >> 80
