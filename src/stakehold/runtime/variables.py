"""Single variables of the environment: reading them, and what a text in one may be.

A parser takes a text and gives its value, or raises ValueError in words for whoever set the variable.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from stakehold.database.stake_creation import Funding
from stakehold.security.destinations import check_destination
from stakehold.security.secrets import check_jwt_secret
from stakehold.security.webhooks import check_webhook_key, webhook_key

T = TypeVar("T")

_DIGITS_MAX = 20
"""Of a whole number: more are refused unread."""


class VariableReader:
    """Reads one variable after the other and collects what is wrong. An empty variable is one not set."""

    def __init__(self, environ: Mapping[str, str], production: bool) -> None:
        self.problems: list[str] = []
        self.production = production
        self._environ = environ

    def text(self, name: str) -> str:
        """What it says, without the blanks around it; empty where it is not set."""
        return self._environ.get(name, "").strip()

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """What `parse` makes of it; `default` where it is not set, or makes no sense."""
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return default

    def secret(self, name: str, *, needed: bool) -> str:
        """A secret that signs access tokens; empty where it is not set."""
        # Not stripped: its bytes are the key.
        secret = self._environ.get(name, "")
        if not secret and not needed:
            return ""
        # `dev` uses any secret it is given, and says what `serve` would say.
        if self.production:
            try:
                check_jwt_secret(secret)
            except ValueError as error:
                self.problems.append(f"{name}: {error}" if secret else f"{name} is not set. {error}")
        return secret

    def address(self, name: str, schemes: tuple[str, ...], *, needed: bool) -> str:
        """An address with one of `schemes`; empty where it is not set."""
        url = self.text(name)
        if not url:
            if needed:
                self.problems.append(f"{name} is not set.")
        elif not is_address(url, schemes):
            self.problems.append(f"{name}: this is no address that begins with {schemes[0]}://.")
        return url

    def destination(self, name: str, *, private: bool) -> str:
        """An address that events may go to; empty where it is not set."""
        url = self.text(name)
        if url:
            try:
                check_destination(url, private=private)
            except ValueError as error:
                self.problems.append(f"{name}: {error}")
        return url

    def webhook_keys(self, *, needed: bool) -> tuple[bytes, ...]:
        """The key to sign with, then the one before it, where they are given."""
        keys = []
        for name in ("STAKEHOLD_WEBHOOK_SECRET", "STAKEHOLD_WEBHOOK_SECRET_PREVIOUS"):
            secret = self.text(name)
            try:
                if secret:
                    keys.append(webhook_key(secret))
                    if self.production:
                        check_webhook_key(keys[-1])
            except ValueError as error:
                self.problems.append(f"{name}: {error}")
        if needed and not self.text("STAKEHOLD_WEBHOOK_SECRET"):
            self.problems.append("STAKEHOLD_WEBHOOK_SECRET is not set, and STAKEHOLD_WEBHOOK_URL is.")
        return tuple(keys)


def is_address(url: str, schemes: tuple[str, ...]) -> bool:
    """Whether it has one of `schemes`, and a host or a query that may name one."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname or parts.query)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and low <= int(text) <= high):
            raise ValueError(f"{text!r} is no whole number from {low} to {high}.")
        return int(text)

    return parse


def seconds_up_to(high: float) -> Callable[[str], float]:
    """A parser of seconds from 0 to `high`."""

    def parse(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= high:
            raise ValueError(f"{text!r} is no number of seconds from 0 to {high:g}.")
        return seconds

    return parse


def switch(text: str) -> bool:
    """What `on` and `off` mean."""
    if text not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off.")
    return text == "on"


def funding(text: str) -> Funding:
    """What pays for stakes."""
    fundings: dict[str, Funding] = {"external": "external", "balance": "balance"}
    if text not in fundings:
        raise ValueError(f"{text!r} is neither external nor balance.")
    return fundings[text]


def origins(text: str) -> frozenset[str]:
    """The origins of a list with commas between, or `*`."""
    listed = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in listed:
        parts = urlsplit(origin)
        whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
        if origin != "*" and not whole:
            raise ValueError(f"{origin!r} is no origin like https://app.example.org.")
    return frozenset(listed)
