"""Where webhooks may go."""

import pytest

from stakehold.security.destinations import check_destination, is_allowed_address

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1",
    "100.127.255.255", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::",     "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "ff0e::1",
    "receiver.example", "", "127.1", "0x7f000001", "2130706433",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "2606:4700::1111",
    "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_not_connected_to(address: str) -> None:
    """Whatever name led there, and also where loopback is allowed."""
    for private in (False, True):
        assert not is_allowed_address(address, host="receiver.example", private=private)
    assert not is_allowed_address(address, host="localhost", private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is(address: str) -> None:
    """Public addresses pass; that of localhost is not expected to be one."""
    assert is_allowed_address(address, host="receiver.example", private=False)
    assert not is_allowed_address(address, host="localhost", private=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_machine_is_reached_by_its_name_where_that_is_allowed(address: str) -> None:
    """With `private`, and not under another name."""
    assert is_allowed_address(address, host="localhost", private=True)
    assert not is_allowed_address("10.0.0.1", host="localhost", private=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example",
        "https://receiver.example/hooks?token=1",
        "https://hooks.receiver.co.example:8443/",
        "https://xn--bcher-kva.example/",
        "https://a_b.receiver.example/",
        "HTTPS://Receiver.Example/",
    ],
)
def test_https_to_a_public_name_passes(url: str) -> None:
    """Any port and path."""
    check_destination(url, private=False)


NOWHERE = [
    "",
    "receiver.example",
    "//receiver.example/",
    "https:receiver.example",
    "https://",
    "https:///path",
    "ftp://receiver.example/",
    "file:///etc/passwd",
    "http://receiver.example/",
    "https://user@receiver.example/",
    "https://user:engines@receiver.example/",
    "https://@receiver.example/",
    "https://receiver.example/#there",
    "https://receiver.example:0/",
    "https://receiver.example:99999/",
    "https://receiver.example:port/",
    "https://receiver.example./",
    "https://receiver/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://db.localhost/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:10.0.0.1]/",
    "https://2130706434/",
    "https://0x0a000001/",
    "https://0xa.1/",
    "https://10.1/",
    "https://receiver.example.1/",
    "https://receiver.example.0x1/",
    "https://%31%30.0.0.1.example%2f/",
    "https://１０.0.0.1/",
    "https://receiver.example\\@10.0.0.1/",
    "https://10.0.0.1\\.receiver.example/",
    "https://rece iver.example/",
    "https://receiver.example/\n",
    "https://receiver.exa\tmple/",
    "https://[::1%25eth0]/",
    "https://[::1/",
    "https://receiver..example/",
    "https://-receiver.example-/",
    f"https://{'a' * 64}.example/",
    f"https://{'a.' * 130}example/",
    "https://receiver.example/" + "a" * 2048,
]


@pytest.mark.parametrize("url", NOWHERE)
def test_everything_else_is_refused_and_not_shown(url: str) -> None:
    """Also where loopback is allowed. The message has neither the address nor a password in it."""
    for private in (False, True):
        with pytest.raises(ValueError, match=r"\.$") as refused:
            check_destination(url, private=private)
        assert "engines" not in str(refused.value)
        assert "receiver" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/hook",
        "https://127.0.0.1/",
        "http://localhost/",
        "http://[::1]:80/",
        "http://127.9.9.9/",
    ],
)
def test_loopback_is_for_those_who_ask_for_it(url: str) -> None:
    """With `private` also without TLS; without it never."""
    check_destination(url, private=True)
    with pytest.raises(ValueError, match=r"https|public"):
        check_destination(url, private=False)
