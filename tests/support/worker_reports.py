"""What the harness tells of a Worker's import, and of each of its requests."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RequestReport:
    """What one request (or run of the cron handler) did, from its start to the end of its background work."""

    request: str
    """Method and path, or "cron …"."""
    status: int | None
    outcome: str
    """"ok", "exception" (which the Worker let out), "client gone" or "cut" (before it was answered)."""
    error: str | None
    fetches: list[str]
    """The paths that were fetched, in order."""
    statuses: list[int | None]
    """Of the answers to those."""
    sockets_opened: int
    sockets_open_at_end: int
    connections_most: int
    """At once; a seventh waits, as `connections_waited` says."""
    connections_waited: int
    timers: int
    """With a delay."""
    wait_until: int
    """How many promises were given to waitUntil."""
    answered_first: bool
    """Whether some of those were still under way when the answer had been sent."""
    wait_until_failed: int
    wait_until_cut: bool
    handler_busy_ms: float
    """How long the one thread did not wait, until the Worker returned its Response: its CPU time where no
    other process is in the way. JavaScript's part (fetch, sockets) is in it."""
    answer_busy_ms: float
    """The same until the answer was sent."""
    busy_ms: float
    """The same until the end of background work."""
    cpu_ms: float
    """CPU time until then. Some systems count it by ticks of 4 ms, so that only means are of use."""
    alone: bool
    """Whether no other request overlapped; else these times are of both."""
    answer_ms: float
    total_ms: float

    @classmethod
    def of(cls, report: dict[str, Any]) -> "RequestReport":
        """From the harness' JSON."""
        return cls(
            request=report["request"],
            status=report["status"],
            outcome=report["outcome"],
            error=report["error"],
            fetches=[each["path"] for each in report["fetches"]],
            statuses=[each["status"] for each in report["fetches"]],
            sockets_opened=report["socketsOpened"],
            sockets_open_at_end=report["socketsOpenAtEnd"],
            connections_most=report["connectionsMost"],
            connections_waited=report["connectionsWaited"],
            timers=report["timers"],
            wait_until=report["waitUntil"],
            answered_first=report["waitUntilUnsettledAtAnswer"] > 0,
            wait_until_failed=report["waitUntilFailed"],
            wait_until_cut=report["waitUntilCut"],
            handler_busy_ms=report["handlerBusyMs"] or report["busyMs"],
            answer_busy_ms=report["answerBusyMs"] or report["busyMs"],
            busy_ms=report["busyMs"],
            cpu_ms=report["cpuMs"],
            alone=report["alone"],
            answer_ms=report["answerMs"] or report["totalMs"],
            total_ms=report["totalMs"],
        )


@dataclass(frozen=True)
class Startup:
    """What an import of the Worker took and did."""

    ms: float
    cpu_ms: float
    heap_bytes_before: int
    heap_bytes: int
    """Of WebAssembly, after it."""
    fetches: int
    sockets: int
    timers: int
    entropy: int
    violations: tuple[str, ...]
    error: str | None
    """Why it failed: then no service can be started."""

    @classmethod
    def of(cls, load: dict[str, Any]) -> "Startup":
        """From the harness' JSON."""
        return cls(
            ms=load["ms"],
            cpu_ms=load["cpuMs"],
            heap_bytes_before=load["heapBytesBefore"],
            heap_bytes=load["heapBytes"],
            fetches=load["fetches"],
            sockets=load["sockets"],
            timers=load["timers"],
            entropy=load["entropy"],
            violations=tuple(load["violations"]),
            error=load["error"],
        )
