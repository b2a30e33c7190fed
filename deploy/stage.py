"""Lay out build/deploy/ as wrangler wants it: `python -m deploy.stage`.

It is the bundle with its `python_modules/` beside `src/` rather than in it, the static files that Cloudflare
serves by itself, and wrangler.jsonc. Needs what the service needs, since the files' headers are asked of it.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from deploy import bundle
from stakehold.http.app import API_POLICY, HSTS, SECURITY_HEADERS
from stakehold.http.docs_page import DOCS_CSS, DOCS_JS, Document

ASSETS = {"docs.css": DOCS_CSS, "docs.js": DOCS_JS}
"""What Cloudflare serves by itself; wrangler.jsonc names them too, in `run_worker_first`."""

_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def main() -> int:
    """Exit status: 0 when it is laid out, 1 with a message when not."""
    try:
        directory = stage(bundle.PROJECT)
    except bundle.BundleError as error:
        print(f"stage: {error}", file=sys.stderr)
        return 1
    print(f"stage: {directory} is ready for wrangler --cwd")
    return 0


def stage(project: Path) -> Path:
    """Bundle `project` and lay out its build/deploy/ anew. Raises BundleError as bundle.make does."""
    bundled, staged = project / "build" / "worker", project / "build" / "deploy"
    bundle.make(bundled, project)
    if staged.exists():
        shutil.rmtree(staged)
    shutil.copytree(bundled, staged / "src", ignore=shutil.ignore_patterns("python_modules"))
    shutil.copytree(bundled / "python_modules", staged / "python_modules")
    assets = staged / "assets"
    assets.mkdir()
    for name, document in ASSETS.items():
        (assets / name).write_bytes(document.body)
    (assets / "_headers").write_text("".join(map(headers_of, ASSETS, ASSETS.values())), encoding="utf-8")
    shutil.copyfile(project / "wrangler.jsonc", staged / "wrangler.jsonc")
    return staged


def headers_of(name: str, document: Document) -> str:
    """The lines of Cloudflare's `_headers` for `document`: what the service answers, with its HSTS on."""
    pairs = [*document.headers, *SECURITY_HEADERS, document.content_policy or API_POLICY, HSTS]
    lines = (f"  {key.decode()}: {value.decode()}\n" for key, value in pairs)
    return f"/{name}\n{''.join(lines)}"


def read_config(path: Path) -> dict[str, Any]:
    """What wrangler.jsonc says. Raises ValueError when it is no JSON with comments."""
    text = _STRING_OR_COMMENT.sub(lambda found: found[1] or "", path.read_text(encoding="utf-8"))
    config: dict[str, Any] = json.loads(text)
    return config


if __name__ == "__main__":
    sys.exit(main())
