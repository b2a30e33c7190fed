"""Who a request comes from, as far as limits are concerned."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

UNKNOWN = "unknown"
_IPV6_PREFIX_BITS = 64
"""What one customer gets at least: with a shorter prefix they could be somebody new in every request."""


def client_address_reader(trusted_proxies: int) -> Callable[[Scope], str]:
    """How to find a request's client address.

    With none trusted it is the peer's. With `trusted_proxies` in front, each of which appends the address it
    was called from to `X-Forwarded-For`, it is that many from the right; whatever a client wrote stands
    further left. When the header does not have it, the peer's counts.
    """
    if trusted_proxies == 0:
        return _peer

    def read(scope: Scope) -> str:
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        entries = b",".join(values).decode("latin-1").split(",")
        if len(entries) < trusted_proxies:
            return _peer(scope)
        address = subject_address(entries[-trusted_proxies])
        return _peer(scope) if address == UNKNOWN else address

    return read


def _peer(scope: Scope) -> str:
    peer = scope.get("client")
    return subject_address(peer[0]) if peer else UNKNOWN


@lru_cache(maxsize=4096)
def subject_address(text: str) -> str:
    """An address in the form that limits count by: IPv4 as it is, IPv6 by its /64; UNKNOWN for none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((address, _IPV6_PREFIX_BITS), strict=False))
    return str(address)
