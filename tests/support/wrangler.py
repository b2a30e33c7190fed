"""The pinned wrangler, for the tests that ask it."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.worker_node import node_program

HOME = Path(__file__).resolve().parents[2] / "deploy" / "node"
PROGRAM = HOME / "node_modules" / "wrangler" / "bin" / "wrangler.js"
SCHEMA = HOME / "node_modules" / "wrangler" / "config-schema.json"

_INSTALL_TIMEOUT_S = 300


def wrangler_command() -> list[str]:
    """How wrangler is started; installs it. Skips, but fails where CI=true, when it can not."""
    node = node_program()
    with (HOME / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not PROGRAM.exists():
            _install()
    return [node, str(PROGRAM)]


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _unavailable("needs wrangler: `npm ci --prefix deploy/node`")
    try:
        done = subprocess.run(
            [npm, "ci", "--prefix", str(HOME), "--ignore-scripts", "--no-audit", "--no-fund"],
            capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        _unavailable(f"`npm ci --prefix deploy/node` took over {_INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        _unavailable(f"`npm ci --prefix deploy/node` failed: {done.stderr[-500:]}")


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
