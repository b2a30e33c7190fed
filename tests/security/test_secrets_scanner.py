"""The scanner that the tests of secrets trust finds each form of each kind of secret."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.security.scanning import Scanner, command_lines, signature

SECRETS = {
    "password": "a lovelace/of engines & 'Grüße' + \"ünder\" 7%",
    "key": "kQ3vN7-pT_x9Lw2Zr8Yb5Dm1Hs6Jf4Gc0Ea",
    "refresh token": "shr_" + "AaIFYYVWeYaceAKselR99Q-_" * 3,
    "short": "xK7-q/Zw",
}
WRITTEN: dict[str, Callable[[str], str]] = {
    "a line": lambda secret: f'{{"event":"library","message":"{secret}"}}',
    "JSON": lambda secret: json.dumps({"message": secret}),
    "JSON with UTF-8": lambda secret: json.dumps({"message": secret}, ensure_ascii=False),
    "JSON in JSON": lambda secret: json.dumps({"body": json.dumps({"password": secret})}),
    "JSON with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "JSON of code points": lambda secret: "".join(f"\\u{ord(character):04X}" for character in secret),
    "a query": lambda secret: f"GET /api/stake?token={quote(secret, safe='')} 404",
    "a query in lower case": lambda secret: quote(secret, safe="").lower(),
    "a form": lambda secret: urlencode({"password": secret}),
    "bytes in percent": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "hex": lambda secret: secret.encode().hex(),
    "upper-case hex": lambda secret: secret.encode().hex(" ").upper().replace(" ", ""),
    "Basic credentials": lambda secret: base64.b64encode(f"ada:{secret}".encode()).decode(),
    "base64 of it": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 after one": lambda secret: base64.b64encode(f"x{secret}y".encode()).decode(),
    "base64 after two": lambda secret: base64.b64encode(f"xy{secret}".encode()).decode(),
    "base64url": lambda secret: base64.urlsafe_b64encode(f"abc{secret}xyz".encode()).decode(),
    "a repr": lambda secret: f"ValueError({secret!r})",
    "a repr of bytes": lambda secret: f"ValueError({secret.encode()!r})",
    "upper case": lambda secret: secret.upper() if secret.isascii() else secret,
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("name", SECRETS)
def test_a_planted_leak_is_found(name: str, how: str) -> None:
    """Each kind of secret, in each form a log may have it in; the leak names the secret and the place."""
    scanner = Scanner(SECRETS)
    written = f"all is well\n{WRITTEN[how](SECRETS[name])}\nall is well\n".encode()
    assert {(leak.secret, leak.place) for leak in scanner.leaks("a log", written)} == {(name, "a log")}


@pytest.mark.parametrize("how", ["hex", "base64"])
def test_bytes_that_are_secret_are_found(how: str) -> None:
    """What is no text, such as the secret within a refresh token, as hex or base64."""
    data = bytes(range(200, 232))
    written = data.hex() if how == "hex" else base64.b64encode(b"u" * 32 + data).decode()
    assert Scanner({"bytes": data}).leaks("a log", written.encode())


@pytest.mark.parametrize("cut", [slice(None, 20), slice(-20, None)])
def test_a_secret_that_was_cut_is_found(cut: slice) -> None:
    """A log shortens long texts: what is left of a token is a leak."""
    assert Scanner(SECRETS).leaks("a log", SECRETS["refresh token"][cut].encode())


def test_nothing_is_found_where_nothing_is() -> None:
    """A usual line, and a token's public parts, are no leaks."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0." + "s" * 43
    scanner = Scanner({**SECRETS, "signature": signature(token)})
    assert scanner.leaks("a log", token.rpartition(".")[0].encode()) == []
    assert scanner.leaks("a log", b'{"event":"request","route":"/api/auth","status":401}') == []


def test_files_and_their_names_are_looked_at(tmp_path: Path) -> None:
    """Below a directory, at any depth, but for the files that may hold secrets."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "jwt-secret").write_text(SECRETS["key"])
    assert Scanner(SECRETS).leaks_below(tmp_path, but=("jwt-secret",)) == []
    (inner / "dump").write_text(SECRETS["key"])
    (inner / SECRETS["short"].replace("/", "%2F")).touch()
    found = {leak.secret for leak in Scanner(SECRETS).leaks_below(tmp_path, but=("jwt-secret",))}
    assert found == {"key", "short"}


def test_command_lines_are_those_of_every_process() -> None:
    """This one's at least."""
    assert any(b"pytest" in line for line in command_lines())
