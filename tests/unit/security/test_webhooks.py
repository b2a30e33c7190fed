"""Signatures by Standard Webhooks, and the secrets they are made with."""

import base64
import hashlib
import hmac

import pytest

from stakehold.security.webhooks import WebhookSigner, check_webhook_key, webhook_key

KEY = bytes(range(100, 132))
OTHER = bytes(range(180, 204))
PUBLISHED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_the_vector_of_the_reference_implementations() -> None:
    """Byte for byte what their libraries sign, and so verify."""
    headers = WebhookSigner((webhook_key(PUBLISHED),)).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_make_two_signatures() -> None:
    """While rotating, either secret verifies: each signature is the HMAC by one of them."""
    signed = WebhookSigner((KEY, OTHER)).headers("id", 7, b"body")["webhook-signature"]
    expected = [
        b"v1," + base64.b64encode(hmac.new(key, b"id.7.body", hashlib.sha256).digest())
        for key in (KEY, OTHER)
    ]
    assert signed.encode().split(b" ") == expected


def test_a_signer_shows_no_key() -> None:
    """Not in its representation, whole or in part."""
    shown = repr(WebhookSigner((KEY,)))
    assert shown == "WebhookSigner(1 keys)"


def test_nothing_is_sent_unsigned() -> None:
    """A signer without a key is refused when it is made."""
    with pytest.raises(ValueError, match="no key"):
        WebhookSigner(())


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_secret_is_a_prefix_and_base64(length: int) -> None:
    """From 24 bytes to 64, as the specification has it."""
    key = bytes(range(length))
    assert webhook_key(secret_of(key)) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        secret_of(KEY).removeprefix("whsec_"),
        secret_of(KEY)[:-1],
        secret_of(KEY[:23]),
        secret_of(KEY + KEY + KEY),
        "whsec_" + "_-" * 16,
        "whsec_" + "é" * 32,
        secret_of(KEY) + "\n",
        "whsk_" + base64.b64encode(KEY).decode(),
    ],
)
def test_other_secrets_are_refused_and_not_shown(secret: str) -> None:
    """The message says what a secret is and how to make one, and nothing of this one."""
    with pytest.raises(ValueError, match="whsec_ and base64 of 24 to 64 bytes") as refused:
        webhook_key(secret)
    encoded = secret.removeprefix("whsec_").strip()
    assert not encoded or encoded not in str(refused.value)


@pytest.mark.parametrize(
    "key", [bytes(32), b"ab" * 16, b"correct horse battery staple, no", webhook_key(PUBLISHED)]
)
def test_keys_that_were_not_drawn_at_random_are_told(key: bytes) -> None:
    """Repeated, typed by hand, or out of an example."""
    with pytest.raises(ValueError, match="secret") as refused:
        check_webhook_key(key)
    assert base64.b64encode(key).decode() not in str(refused.value)
    check_webhook_key(KEY)
