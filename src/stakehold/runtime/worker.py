"""What Workers start: `fetch` for each request, `scheduled` for each run of the cron trigger.

At import there is neither I/O nor randomness nor a clock to be had; what is made then is every isolate's. An
isolate makes the rest at its first request, and a request what must be its own.
"""

import asyncio
from typing import Any

from workers import WorkerEntrypoint

from stakehold.domain.errors import ExternalServiceError, StakeholdError
from stakehold.http.app import API_POLICY, SECURITY_HEADERS, create_app
from stakehold.http.call import AnswerCutError
from stakehold.http.handlers.health import look
from stakehold.http.problems import kind_of, problem_body, problem_headers
from stakehold.runtime.outside import SystemEntropy
from stakehold.runtime.settings import SettingsError
from stakehold.runtime.worker_asgi import Exchange
from stakehold.runtime.worker_container import Handling, Isolate, worker_log
from stakehold.services.upkeep import keep_up
from stakehold.telemetry.faults import describe_fault

UPKEEP_S = 45.0
"""Of the time that a run of the cron trigger may take: what is left is for the next run."""

STAKES_MAX = 5000
"""Settled in a run, for the CPU time that it may have (`limits` in wrangler.jsonc): some 1 ms each."""

DELIVERIES_MAX = 2000
"""Each takes some 2 ms of CPU time, and is one of the 10,000 requests that a run may make."""

_app = create_app()
_isolate: Isolate | None = None


class Default(WorkerEntrypoint):  # type: ignore[misc]
    """The Worker. The platform makes one for each request, with its `env` and `ctx`."""

    async def fetch(self, request: Any) -> Any:
        """Answer; what is left to be done then goes on behind the answer.

        All of it is the platform's to wait for, also when the client has gone: a write that was begun ends.
        """
        exchange = Exchange(request.js_object)
        self.ctx.waitUntil(asyncio.create_task(_serve(exchange, self.env)))
        return await exchange.response

    async def scheduled(self, controller: Any, env: Any = None, ctx: Any = None) -> None:
        """Look whether the stores answer; settle, tell and sweep; and write all that to the log."""
        try:
            isolate = _isolate_of(self.env)
        except SettingsError as error:
            _log_settings(error)
            return
        handling = isolate.for_request()
        try:
            database_up, redis_up = await look(handling.container.services)
            isolate.log.write(
                "scheduled", level="info" if database_up and redis_up else "warning",
                database="up" if database_up else "down", redis="up" if redis_up else "down",
            )  # fmt: skip
            if database_up:
                done = await keep_up(
                    handling.container.services,
                    isolate.webhook,
                    UPKEEP_S,
                    stakes=STAKES_MAX,
                    deliveries=DELIVERIES_MAX,
                )
                isolate.log.write("upkeep", level=done.level, **done.counts())
                for fault in done.faults:
                    isolate.log.write("fault", level="error", **describe_fault(fault))
            isolate.write_counters(due_only=False)
        finally:
            await handling.finish()


async def _serve(exchange: Exchange, env: Any) -> None:
    """Answer a request and finish what it began. Raises nothing: there is nobody to catch it."""
    handling: Handling | None = None
    try:
        handling = _isolate_of(env).for_request()
        await _app(exchange.scope(handling.container), exchange.receive, exchange.send)
        exchange.end()
    except AnswerCutError:
        exchange.cut()
    except SettingsError as error:
        _log_settings(error)
        await _refuse(exchange, ExternalServiceError("The service is not set up: see its log."))
    except Exception as fault:
        # The application answers its own faults: this is one of what is around it.
        worker_log().write("fault", level="error", **describe_fault(fault))
        if not exchange.cut():
            await _refuse(exchange, StakeholdError("Something went wrong here; it has been logged."))
    if handling is not None:
        await handling.finish()


def _isolate_of(env: Any) -> Isolate:
    """The isolate, made at its first request. Raises SettingsError, each time until `env` is another."""
    global _isolate
    if _isolate is None:
        _isolate = Isolate(env)
    return _isolate


def _log_settings(error: SettingsError) -> None:
    """Name the settings, and not what they are: logs have other readers than settings."""
    worker_log().write("settings_refused", level="error", settings=error.names)


async def _refuse(exchange: Exchange, error: StakeholdError) -> None:
    """Answer a problem in the place of the application, unless it has answered."""
    request_id = SystemEntropy().random_bytes(16).hex()
    body = problem_body(error, instance="/", request_id=request_id)
    headers = [
        *problem_headers(error),
        (b"x-request-id", request_id.encode()),
        *SECURITY_HEADERS,
        API_POLICY,
        (b"content-length", b"%d" % len(body)),
    ]
    await exchange.send({"type": "http.response.start", "status": kind_of(error).status, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": body})
