"""The whole suite in two processes side by side, or what the arguments choose in one: `make test`.

    python -m tests.side_by_side                        # everything, in about half the time
    python -m tests.side_by_side --durations=10         # with options of pytest
    python -m tests.side_by_side tests/unit/domain -q   # just pytest

Much of the suite waits for servers that it starts, and each process starts its own: they share nothing.
The second one's output follows the first one's.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final

PYTEST: Final = (sys.executable, "-m", "pytest")
FIRST: Final = ("api", "contract", "deploy", "e2e", "faults", "ring", "security", "stateful")
"""Folders of tests; the other process has all others. Each takes about half of the time."""

NOTHING_CHOSEN: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Run pytest; the exit status is that of the process that failed."""
    if any(os.path.exists(argument.partition("::")[0]) for argument in arguments):
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    with tempfile.TemporaryFile() as output:
        others = [f"--ignore=tests/{folder}" for folder in FIRST]
        second = subprocess.Popen([*PYTEST, *arguments, *others], stdout=output, stderr=subprocess.STDOUT)
        try:
            chosen = [f"tests/{folder}" for folder in FIRST]
            first = subprocess.run([*PYTEST, *arguments, *chosen], check=False).returncode
            statuses = {first, second.wait()}
        finally:
            second.kill()
            second.wait()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    if statuses == {NOTHING_CHOSEN}:
        return NOTHING_CHOSEN
    return max(statuses - {NOTHING_CHOSEN})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
