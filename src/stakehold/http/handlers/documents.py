"""The OpenAPI document and the page that shows it, both made at import."""

from stakehold.http.call import Answer, Call
from stakehold.http.docs_page import DOCS_CSS, DOCS_HTML, DOCS_JS, Document


def _answer(document: Document) -> Answer:
    return Answer(200, document.body, list(document.headers), document.content_policy)


async def docs(call: Call) -> Answer:
    """GET /docs"""
    return _answer(DOCS_HTML)


async def docs_css(call: Call) -> Answer:
    """GET /docs.css"""
    return _answer(DOCS_CSS)


async def docs_js(call: Call) -> Answer:
    """GET /docs.js"""
    return _answer(DOCS_JS)


async def openapi(call: Call) -> Answer:
    """GET /openapi.json"""
    from stakehold.http.openapi import openapi_document  # reads the route table, which names this handler

    return Answer(
        200,
        openapi_document(),
        [(b"content-type", b"application/json"), (b"cache-control", b"public, max-age=60")],
    )
