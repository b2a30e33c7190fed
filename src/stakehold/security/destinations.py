"""Where webhooks may go: to public addresses over TLS, never to what is on this side of the fence.

Whoever could have us send to an address of their choosing would reach what only we reach: the stores, the
cloud's metadata service, the neighbours (server-side request forgery).
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

URL_LENGTH_MAX: Final = 2048

_PRINTABLE: Final = re.compile(r"[!-~]+")
# Labels of letters, digits and hyphens, two at least. The last begins with a letter: browsers and Workers
# read a name whose last label is a number as an IPv4 address, in all its forms (0x7f.1, 127.1).
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}", re.IGNORECASE)
_NAME_LENGTH_MAX: Final = 253

# Last labels of names that are not of the public DNS (RFC 6761, 6762, 7686, 8375, and ICANN's .internal).
_PRIVATE_LABELS: Final = frozenset({"localhost", "local", "internal", "arpa", "onion", "lan", "home", "corp"})

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Said here, since `is_global` differs between versions of Python: protocols' own addresses and tunnels to
# IPv4 (Teredo, 6to4), documentation, and the relays of 6to4 (IANA's special-purpose registries; RFC 7526).
_SPECIAL_6: Final = (IPv6Network("2001::/23"), IPv6Network("2002::/16"), IPv6Network("3fff::/20"))
_SPECIAL_4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
# What a resolver makes of an IPv4 address where there is IPv6 alone (RFC 6052).
_NAT64: Final = IPv6Network("64:ff9b::/96")


def check_destination(url: str, *, private: bool) -> None:
    """Raise ValueError, saying why and not what `url` is, unless webhooks may go there.

    That is https:// to a name of the public DNS, without credentials; an IP address is none. With `private`,
    for development, tests and a forwarder on the same machine, also loopback, with or without TLS. What the
    name resolves to is for whoever connects to look at, by `is_allowed_address`.
    """
    if len(url) > URL_LENGTH_MAX or not _PRINTABLE.fullmatch(url):
        raise ValueError(f"this is no address of at most {URL_LENGTH_MAX} printable ASCII characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("this is no address.") from None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise ValueError("this is no address that begins with https://.")
    if "@" in parts.netloc:
        raise ValueError("the address has credentials in it.")
    if parts.fragment:
        raise ValueError("the address has a fragment (#) in it.")
    if private and is_loopback_host(host):
        return
    if parts.scheme != "https":
        raise ValueError("the address must begin with https://.")
    if not _is_public_name(host):
        raise ValueError("its host is no name of the public DNS.")


def is_loopback_host(host: str) -> bool:
    """Whether a host of an address, as it is written there, is this machine."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_allowed_address(text: str, *, host: str, private: bool) -> bool:
    """Whether to connect to an IP address that `host` resolved to: a public one.

    With `private` and a host that is this machine: a loopback one.
    """
    address = _address(text)
    if address is None:
        return False
    if private and is_loopback_host(host):
        return address.is_loopback
    return _is_public(address)


def _is_public_name(host: str) -> bool:
    if len(host) > _NAME_LENGTH_MAX or not _NAME.fullmatch(host):
        return False
    return host.lower().rpartition(".")[2] not in _PRIVATE_LABELS


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None  # a scope belongs to this machine's links
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped
        if embedded is None and address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
        if embedded is not None:
            return _is_public(embedded)
        if address not in _GLOBAL_UNICAST or any(address in each for each in _SPECIAL_6):
            return False
    elif address.is_multicast or address.is_reserved or any(address in each for each in _SPECIAL_4):
        return False
    return address.is_global
