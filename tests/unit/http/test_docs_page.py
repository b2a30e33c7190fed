"""The documentation page asks nothing of another host and cannot be made to run anything but its script."""

import re

import pytest

from stakehold.http.docs_page import DOCS_CSS, DOCS_HTML, DOCS_JS, Document

HTML = DOCS_HTML.body.decode()
JS = DOCS_JS.body.decode()


@pytest.mark.parametrize("document", [DOCS_HTML, DOCS_CSS, DOCS_JS], ids=["html", "css", "js"])
def test_nothing_is_loaded_from_elsewhere(document: Document) -> None:
    """No file names another host, so the page works offline."""
    assert not re.search(r"""(https?:)?//[a-z0-9]""", re.sub(r"(?m)^\s*// .*", "", document.body.decode()))


def test_the_policy_allows_its_own_files_alone() -> None:
    """The page's policy has no source but itself, nothing inline, and no framing."""
    assert DOCS_HTML.content_policy is not None
    policy = DOCS_HTML.content_policy[1].decode()
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in policy


def test_nothing_is_inline() -> None:
    """What the policy would block is not there: no inline script, style or handler."""
    assert re.findall(r"<script(.*?)>(.*?)</script>", HTML, re.DOTALL) == [(' src="/docs.js" defer', "")]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", HTML)


def test_data_never_becomes_markup() -> None:
    """The script sets text and builds elements; it has no way to parse markup or run strings."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", JS)


def test_the_token_is_kept_in_memory_alone() -> None:
    """Nothing the page is given outlives it."""
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", JS)


def test_media_types_are_right() -> None:
    """With `nosniff`, a browser takes a style sheet and a script by their media types only."""
    types = [dict(document.headers)[b"content-type"] for document in (DOCS_HTML, DOCS_CSS, DOCS_JS)]
    assert types == [
        b"text/html; charset=utf-8",
        b"text/css; charset=utf-8",
        b"text/javascript; charset=utf-8",
    ]
