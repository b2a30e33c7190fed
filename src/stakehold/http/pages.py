"""Pages: answers to reads as bytes, with what the cache and a conditional request need to know of them."""

import hashlib
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Page:
    """One read, encoded: `body` as it is answered now, `cached_body` as it is from the cache.

    `etag` is weak where the two differ in `fromCache`. The page was made at `now_ms` and must not be served
    after `not_after_ms` (both in Unix milliseconds), when something on it changes by time alone.
    """

    body: bytes
    cached_body: bytes
    etag: str
    now_ms: int
    not_after_ms: int | None


def page_of(
    content: msgspec.Struct,
    cached: msgspec.Struct,
    *,
    now_ms: int,
    not_after_ms: int | None,
    strong: bool = False,
) -> Page:
    """Encode `content` and what is to be served from the cache in its place; `strong` where they are one."""
    cached_body = msgspec.json.encode(cached)
    etag = f'"{hashlib.sha256(cached_body).hexdigest()[:24]}"'
    if not strong:
        etag = "W/" + etag
    return Page(msgspec.json.encode(content), cached_body, etag, now_ms, not_after_ms)


def matches_strongly(etag: str, if_match: bytes) -> bool:
    """Whether If-Match names `etag`, by strong comparison (RFC 9110, section 13.1.1)."""
    candidates = (part.strip() for part in if_match.decode("latin-1").split(","))
    return any(candidate in ("*", etag) for candidate in candidates)


def matches(etag: str, if_none_match: bytes | None) -> bool:
    """Whether If-None-Match names `etag`, by weak comparison (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    wanted = etag.removeprefix("W/")
    candidates = (part.strip() for part in if_none_match.decode("latin-1").split(","))
    return any(candidate == "*" or candidate.removeprefix("W/") == wanted for candidate in candidates)
