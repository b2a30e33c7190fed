"""Files and directories of secrets, passwords and data: for their owner alone."""

import os
import secrets
from pathlib import Path

PRIVATE = 0o600
"""The mode of a file that nobody but its owner reads."""


def private_directory(path: Path) -> Path:
    """Make `path` if it is not there, for nobody else to read. Raises OSError.

    For root's PostgreSQL, which runs as somebody else, it may be passed through.
    """
    path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone (mode 0600), whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as file:
        file.write(text)
    fresh.rename(path)


def kept_secret(path: Path) -> str:
    """The secret kept in `path`, made and written (mode 0600) the first time."""
    if not path.exists() or not path.read_text().strip():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()
