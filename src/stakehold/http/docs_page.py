"""The documentation page: static files that show /openapi.json, read once at import.

The page asks nothing of any other host, and its policy lets it run nothing but its own two files.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_CONTENT_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_CACHE_CONTROL: Final = (b"cache-control", b"public, max-age=60")


@dataclass(frozen=True, slots=True)
class Document:
    """A file as it is answered."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    content_policy: tuple[bytes, bytes] | None = None


def _document(name: str, media_type: bytes, content_policy: tuple[bytes, bytes] | None = None) -> Document:
    body = files("stakehold").joinpath("web", name).read_bytes()
    return Document(body, ((b"content-type", media_type), _CACHE_CONTROL), content_policy)


DOCS_HTML: Final = _document(
    "docs.html", b"text/html; charset=utf-8", (b"content-security-policy", _CONTENT_POLICY)
)
DOCS_CSS: Final = _document("docs.css", b"text/css; charset=utf-8")
DOCS_JS: Final = _document("docs.js", b"text/javascript; charset=utf-8")
