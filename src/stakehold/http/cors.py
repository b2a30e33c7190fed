"""Cross-origin requests (Fetch standard): for the origins that a setting names, and no others."""

from stakehold.http.call import Headers

_EXPOSED = (
    b"Allow, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"WWW-Authenticate, X-Request-Id"
)
_ACCEPTED = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
_PREFLIGHT_AGE_S = 600
ANY = "*"


def headers(origins: frozenset[str], request_headers: dict[bytes, bytes], method: str, allow: str) -> Headers:
    """What to add to an answer, a preflight's included. Credentials are not allowed: there are no cookies."""
    vary = (b"vary", b"Origin")
    origin = request_headers.get(b"origin")
    if origin is None or not (ANY in origins or origin.decode("latin-1") in origins):
        return [vary]
    added = [vary, (b"access-control-allow-origin", origin)]
    if method == "OPTIONS" and b"access-control-request-method" in request_headers:
        return [
            *added,
            (b"access-control-allow-methods", allow.encode()),
            (b"access-control-allow-headers", _ACCEPTED),
            (b"access-control-max-age", str(_PREFLIGHT_AGE_S).encode()),
        ]
    return [*added, (b"access-control-expose-headers", _EXPOSED)]
