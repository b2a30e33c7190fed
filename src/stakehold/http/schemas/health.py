"""The bodies of health."""

from typing import Annotated, Literal

from msgspec import Meta

from stakehold.http.schemas.base import Reply


class Health(Reply):
    """The process is up."""

    status: Annotated[Literal["up"], Meta(description="Always this.")]


class Check(Reply):
    """One thing the service depends on."""

    state: Annotated[Literal["up", "down"], Meta(description="Whether it answered just now.")]


class Checks(Reply):
    """What the service depends on."""

    database: Check
    redis: Check


class Readiness(Reply):
    """Whether the service can serve, and what it depends on."""

    status: Annotated[
        Literal["ready", "degraded", "unready", "draining"],
        Meta(
            description="`degraded`: Redis is away, and the service goes on without. "
            "`draining`: the process is about to stop."
        ),
    ]
    checks: Checks


_UP = Check(state="up")

EXAMPLES = (Health(status="up"), Readiness(status="ready", checks=Checks(database=_UP, redis=_UP)))
