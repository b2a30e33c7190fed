"""Health and documentation."""

from stakehold.http.handlers import documents, health
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.health import (
    Health,
    Readiness,
)

OPERATIONS = (
    Operation(
        id="health",
        method="GET",
        path="/healthz",
        summary="Whether the process is up",
        tag="service",
        handler=health.healthz,
        outcomes=(Outcome(200, "It is.", Health),),
    ),
    Operation(
        id="readiness",
        method="GET",
        path="/readyz",
        summary="Whether the service can serve",
        tag="service",
        handler=health.readyz,
        outcomes=(
            Outcome(200, "Ready, or degraded: Redis is away.", Readiness),
            Outcome(
                503,
                "Unready: the database is away, or the process is about to stop.",
                Readiness,
                ("Retry-After",),
            ),
        ),
    ),
    Operation(
        id="openapi",
        method="GET",
        path="/openapi.json",
        summary="The OpenAPI 3.1 document",
        tag="service",
        handler=documents.openapi,
        outcomes=(Outcome(200, "The document."),),
    ),
    Operation(
        id="docs",
        method="GET",
        path="/docs",
        summary="This documentation, to read and try",
        tag="service",
        handler=documents.docs,
        outcomes=(Outcome(200, "The page."),),
    ),
    Operation(
        id="docsStyle",
        method="GET",
        path="/docs.css",
        summary="The documentation's style sheet",
        tag="service",
        handler=documents.docs_css,
        outcomes=(Outcome(200, "The style sheet."),),
    ),
    Operation(
        id="docsScript",
        method="GET",
        path="/docs.js",
        summary="The documentation's script",
        tag="service",
        handler=documents.docs_js,
        outcomes=(Outcome(200, "The script."),),
    ),
)
