"""Whether the process is up, and whether it can serve. Never limited, so both must stay cheap."""

import asyncio

from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.schemas.health import Check, Checks, Health, Readiness
from stakehold.services.context import Services

_CHECK_TIMEOUT_S = 2.0


async def healthz(call: Call) -> Answer:
    """GET /healthz"""
    return json_answer(200, Health(status="up"), NO_STORE)


async def readyz(call: Call) -> Answer:
    """GET /readyz"""
    services = call.container.services
    # Nobody is limited here, so those who ask at once share one look at the stores.
    database_up, redis_up = await services.gate.flights.join("readiness", lambda: look(services))
    checks = Checks(database=_check(database_up), redis=_check(redis_up))
    if call.container.draining():
        return json_answer(503, Readiness(status="draining", checks=checks), NO_STORE, _RETRY_AFTER)
    if not database_up:
        return json_answer(503, Readiness(status="unready", checks=checks), NO_STORE, _RETRY_AFTER)
    return json_answer(200, Readiness(status="ready" if redis_up else "degraded", checks=checks), NO_STORE)


_RETRY_AFTER = (b"retry-after", b"1")


def _check(up: bool) -> Check:
    return Check(state="up" if up else "down")


async def look(services: Services) -> tuple[bool, bool]:
    """Whether the database and Redis answer now. Takes at most 2 seconds and raises nothing."""
    database_up, redis_up = await asyncio.gather(_database_is_up(services), services.gate.ping())
    return database_up, redis_up


async def _database_is_up(services: Services) -> bool:
    try:
        await services.database.ping(Deadline.after(services.clock, _CHECK_TIMEOUT_S))
    except StakeholdError:
        return False
    return True
