"""Finding secrets in what was written, in whatever form they got there."""

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

PART_CHARACTERS = 16
"""A secret that was cut is one still: from twice this length on, either end of it counts as the whole."""


@dataclass(frozen=True)
class Leak:
    """A secret that was found: which, in what form, and where."""

    secret: str
    form: str
    place: str


def forms(secret: str | bytes) -> dict[str, bytes]:
    """Every spelling of a secret that is looked for, by name. Those of hex and percent are in lower case."""
    data = secret.encode() if isinstance(secret, str) else secret
    found = {"hex": data.hex().encode(), **_base64_forms(data)}
    found["every byte in percent"] = "".join(f"%{byte:02x}" for byte in data).encode()
    if isinstance(secret, bytes):
        return found
    escaped = json.dumps(secret)[1:-1]
    found |= {
        "as it is": data,
        "in percent": quote(secret, safe="").lower().encode(),
        "as a form's field": quote_plus(secret).lower().encode(),
        "in JSON": escaped.encode(),
        "in JSON, as UTF-8": json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        "in JSON, slashes too": escaped.replace("/", "\\/").encode(),
        "in JSON, every character": "".join(f"\\u{ord(character):04x}" for character in secret).encode(),
        "in JSON twice": json.dumps(escaped)[1:-1].encode(),
        "in Python": repr(secret)[1:-1].encode(),
        "in Python's bytes": repr(data)[2:-1].encode(),
    }
    if len(secret) >= 2 * PART_CHARACTERS:
        found |= {
            "its beginning": secret[:PART_CHARACTERS].encode(),
            "its end": secret[-PART_CHARACTERS:].encode(),
        }
    return found


def _base64_forms(data: bytes) -> dict[str, bytes]:
    """Base64 of a text that has the secret in it: its spelling depends on where it begins there, modulo 3."""
    found = {}
    for before in range(3):
        # The characters that also depend on the neighbours are left away.
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        text = base64.b64encode(bytes(before) + data)[first:last]
        found[f"base64, {before} after a third"] = text
        found[f"base64url, {before} after a third"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return found


class Scanner:
    """Looks for secrets, each with a name; without regard to case."""

    def __init__(self, secrets: Mapping[str, str | bytes]) -> None:
        self._spellings = [
            (name, form, spelling.lower())
            for name, secret in secrets.items()
            for form, spelling in forms(secret).items()
        ]

    def leaks(self, place: str, written: bytes) -> list[Leak]:
        """The secrets in what was written at `place`."""
        lower = written.lower()
        return [Leak(name, form, place) for name, form, spelling in self._spellings if spelling in lower]

    def leaks_below(self, directory: Path, *, but: Iterable[str] = ()) -> list[Leak]:
        """The secrets in files below `directory`, names and contents, `but` files of these names."""
        found = []
        for path in sorted(directory.rglob("*")):
            place = str(path.relative_to(directory))
            found += self.leaks(f"the name {place}", place.encode())
            if path.is_file() and path.name not in but:
                found += self.leaks(place, path.read_bytes())
        return found


def command_lines() -> set[bytes]:
    """What everybody on this machine may see of every process that runs now."""
    seen = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            seen.add(path.read_bytes())
    return seen


def signature(token: str) -> str:
    """The part of an access token that makes it one; the rest is known to whoever has an earlier one."""
    head, claims, signed = token.split(".")
    assert re.fullmatch("[A-Za-z0-9_-]{43}", signed), (head, claims)
    return signed
