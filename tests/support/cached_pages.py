"""What the cache holds of a user's stakes, looked at and aged in Redis."""

from tests.support.service import Person, Service


async def keys_like(service: Service, pattern: str) -> list[str]:
    """The keys that match a glob pattern."""
    found = await service.redis("KEYS", pattern)
    assert isinstance(found, list)
    return [key.decode() for key in found if isinstance(key, bytes)]


async def age_pages(person: Person, seconds: int) -> None:
    """Set the times of what is cached of the user's stakes back. There must be something."""
    service = person.service
    (key,) = await keys_like(service, "*}:stakes")
    fields = await service.redis("HGETALL", key)
    assert isinstance(fields, list)
    aged = 0
    for field, value in zip(fields[::2], fields[1::2], strict=True):
        assert isinstance(field, bytes)
        assert isinstance(value, bytes)
        if field.startswith(b"e:"):
            created, fresh_until, stale_until, rest = value.split(b" ", 3)
            times = [str(int(each) - seconds * 1000) for each in (created, fresh_until, stale_until)]
            text = f"{' '.join(times)} {rest.decode()}"
            await service.redis("HSET", key, field.decode(), text)
            aged += 1
    assert aged
