"""Whom a request comes from: not what a client writes about itself."""

import pytest

from stakehold.runtime.addresses import UNKNOWN, client_address_reader, subject_address


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 1234) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, ["203.0.113.9"], "192.0.2.1"),
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
        (2, ["198.51.100.7, 203.0.113.9"], "198.51.100.7"),
        (2, ["203.0.113.9"], "192.0.2.1"),
        (1, [], "192.0.2.1"),
        (1, ["nonsense"], "192.0.2.1"),
        (1, ["203.0.113.9, "], "192.0.2.1"),
        (1, ["203.0.113.9:5000"], "203.0.113.9"),
        (1, ["[2001:db8:1:2::3]:5000"], "2001:db8:1:2::/64"),
    ],
)
def test_only_what_trusted_proxies_appended_counts(proxies: int, forwarded: list[str], expected: str) -> None:
    """Counted from the right; whatever is missing or unreadable leaves the peer's address."""
    assert client_address_reader(proxies)(scope("192.0.2.1", *forwarded)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.256", UNKNOWN),
        ("", UNKNOWN),
        ("[", UNKNOWN),
        ("x" * 10_000, UNKNOWN),
    ],
)
def test_an_ipv6_customer_is_one_subject(text: str, expected: str) -> None:
    """The /64 is what counts; an IPv4 address inside IPv6 is that IPv4 address."""
    assert subject_address(text) == expected


def test_a_peer_without_an_address_is_unknown() -> None:
    """A Unix socket's peer, for example: all such share one subject."""
    assert client_address_reader(0)(scope(None)) == UNKNOWN
