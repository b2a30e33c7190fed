"""A secret that could be guessed does not sign tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.security.secrets import check_jwt_secret, secret_warnings

GOOD = "kq2Lr0r5uXn9b6Wm3yTz8vCe1fGh4jKs"


def test_a_random_secret_is_accepted_without_a_word() -> None:
    """32 mixed characters are good, and nothing is said about them."""
    check_jwt_secret(GOOD)
    assert secret_warnings(GOOD) == []


@given(st.binary(min_size=32, max_size=64).filter(lambda drawn: len(set(drawn)) > len(drawn) // 2))
def test_what_a_generator_draws_is_accepted(drawn: bytes) -> None:
    """Hexadecimal of 32 random bytes and more passes."""
    check_jwt_secret(drawn.hex())


@pytest.mark.parametrize("secret", ["", "short", GOOD[:31], "é" * 15 + "x"])
def test_fewer_than_32_bytes_are_refused(secret: str) -> None:
    """Counted in UTF-8 bytes."""
    with pytest.raises(ValueError, match="fewer than 32 bytes"):
        check_jwt_secret(secret)


def test_32_bytes_may_be_fewer_characters() -> None:
    """Sixteen characters of two bytes each are enough."""
    check_jwt_secret("éàüöäñçøåæßðþýœł")


@pytest.mark.parametrize(
    "secret",
    [
        "a-string-secret-at-least-256-bits-long",
        "A String Secret At Least 256 Bits Long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "change-me-change-me-change-me-change-me",
        "your_jwt_secret_goes_here_and_must_be_long",
        "replace-me-with-32-or-more-random-bytes",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_a_published_example_is_refused(secret: str) -> None:
    """What stands in documentation is known to everybody, however it is punctuated."""
    with pytest.raises(ValueError, match="example"):
        check_jwt_secret(secret)


@given(st.characters(codec="utf-8", exclude_categories=["Cs"]), st.integers(32, 80))
def test_one_repeated_character_is_refused(character: str, count: int) -> None:
    """However long it is."""
    with pytest.raises(ValueError, match="repeated"):
        check_jwt_secret(character * count)


@pytest.mark.parametrize("secret", ["password" * 4, "correct-horse-" * 3 + "corr", GOOD[:16] * 2])
def test_a_short_text_repeated_is_refused(secret: str) -> None:
    """It is as easily guessed as the text is, however often it stands there, the last time cut short."""
    with pytest.raises(ValueError, match="repeated"):
        check_jwt_secret(secret)


@pytest.mark.parametrize(
    "secret",
    ["-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0B\n-----END PUBLIC KEY-----", "ssh-rsa " + GOOD],
)
def test_a_key_of_another_kind_is_refused(secret: str) -> None:
    """A public key in the place of the secret would let everyone sign."""
    with pytest.raises(ValueError, match="another kind"):
        check_jwt_secret(secret)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (GOOD + "\n", "white space"),
        (" " + GOOD, "white space"),
        ("abcabcabcabcabcabcabcabcabcabcabcabc1", "few different"),
        ("thequickbrownfoxjumpsoverthelazydog", "typed by hand"),
        ("31415926535897932384626433832795028841", "typed by hand"),
    ],
)
def test_a_doubtful_secret_is_remarked_on(secret: str, said: str) -> None:
    """It signs, and the operator is told what is doubtful about it."""
    check_jwt_secret(secret)
    assert any(said in warning for warning in secret_warnings(secret))


def test_no_message_repeats_the_secret() -> None:
    """Messages end up in logs."""
    for secret in ("hunter2hunter2", "change-me-change-me-change-me-change-me"):
        with pytest.raises(ValueError, match="secret") as caught:
            check_jwt_secret(secret)
        assert secret not in str(caught.value)
