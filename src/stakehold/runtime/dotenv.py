"""Reads a `.env` file, for `stakehold dev` alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^'"\#\s][^\#]*?|))
        \s*(?:\#.*)?""",
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "t": "\t"}


class DotenvError(Exception):
    """A line that is no assignment; the message has its number, not its content."""


def with_dotenv(environ: Mapping[str, str], path: Path) -> dict[str, str]:
    """The environment with what `path` adds; what is set already wins. No file adds nothing.

    Lines are `NAME=value`, `NAME="value"` with escapes, or `NAME='value'` as it is, perhaps after `export`;
    `#` begins a comment. Nothing is expanded. Raises DotenvError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return dict(environ)
    except (OSError, UnicodeDecodeError):
        raise DotenvError(f"{path} cannot be read.") from None
    added: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        read = _LINE.fullmatch(stripped)
        if read is None:
            raise DotenvError(f"{path}, line {number}: this is not NAME=value.")
        if read["double"] is not None:
            value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), read["double"])
        else:
            value = read["single"] if read["single"] is not None else read["plain"]
        added[read["name"]] = value
    return {**added, **environ}
