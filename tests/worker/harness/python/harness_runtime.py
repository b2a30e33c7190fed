"""What the harness does in Python: the loop's callbacks, isolates, and calls of a worker's methods.

Runs in WebAssembly (CPython 3.14), beside the worker but not of it.
"""

import asyncio
import contextvars
import gc
import importlib
import math
import random
import secrets
import site
import sys
import tempfile
import uuid
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from _harness import schedule, violateWake
from pyodide.code import relaxed_call
from pyodide.ffi import create_once_callable
from pyodide.webloop import WebLoop

__all__ = ["call", "counted_objects", "load", "modules", "set_up"]

# Drawn from at their import, which workerd allows these and takes into its snapshot.
_SEEDED = (random, secrets, tempfile, uuid)
_TIMEOUT_MAX_MS = 2**31 - 1

_owner: contextvars.ContextVar[int | None] = contextvars.ContextVar("_owner", default=None)


def _call_later(
    loop: WebLoop,
    delay: float,
    callback: Callable[..., Any],
    *arguments: Any,
    context: contextvars.Context | None = None,
) -> asyncio.Handle:
    """WebLoop.call_later, by the timers of the request that calls; notes who is woken by another request."""
    if delay < 0:
        raise ValueError("Can't schedule in the past")
    handle = asyncio.Handle(callback, arguments, loop, context=context)
    if delay == math.inf:
        return handle

    def run() -> None:
        loop._install_running_loop()
        loop._install_asyncgen_hooks()
        if not handle.cancelled():
            handle._run()

    owner = _owner.get() if context is None else context.get(_owner)
    if getattr(callback, "__self__", None) is loop:
        owner = None  # The loop's own count of what is open: it wakes nobody.
    own = schedule(create_once_callable(run, _may_syncify=True), min(delay * 1000, _TIMEOUT_MAX_MS), owner)
    if not own:
        violateWake(owner, repr(callback))
    return handle


def set_up(bundle: str) -> None:
    """Put the bundle on the path and its SDK's patches in place."""
    WebLoop.call_later = _call_later
    sys.dont_write_bytecode = True
    sys.path.insert(0, bundle)
    sys.path.insert(1, f"{bundle}/python_modules")
    site.addsitedir(f"{bundle}/python_modules")


def load(isolate_modules: tuple[str, ...]) -> Any:
    """Import the entry anew: what is in `isolate_modules`, and below, is another isolate's from here on.

    Returns its `Default`. Raises RuntimeError when the import drew random numbers.
    """
    for name in list(sys.modules):
        if name == "entry" or any(name == each or name.startswith(f"{each}.") for each in isolate_modules):
            del sys.modules[name]
    importlib.invalidate_caches()
    before = random.getstate()
    entry = importlib.import_module("entry")
    if random.getstate() != before:
        raise RuntimeError("random numbers were drawn at import")
    return entry.Default


async def call(owner: int, make: Any, context: Any, env: Any, method: str, argument: Any) -> Any:
    """Make the entrypoint for one request and call a method of it, as workerd does."""
    from workers import python_from_rpc, python_to_rpc

    _owner.set(owner)
    bound = getattr(make(context, env), method)
    if method == "fetch":
        result = relaxed_call(bound, python_from_rpc(argument), env, context)
    else:
        result = relaxed_call(bound, argument, env, context)
    if isawaitable(result):
        result = await result
    return python_to_rpc(result)


def counted_objects() -> int:
    """How many objects Python's collector knows, garbage left out."""
    gc.collect()
    return len(gc.get_objects())


def modules() -> list[str]:
    """The names of what is imported."""
    return sorted(sys.modules)
