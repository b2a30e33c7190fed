"""Counters have documented names, and the names that are documented are counted."""

import ast
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import stakehold
from stakehold.telemetry.logs import JsonLog
from stakehold.telemetry.metrics import NAMES, Metrics
from tests.support.fakes import ManualClock

ROOT = Path(stakehold.__file__).parent


def counted_names(path: Path) -> Iterator[str]:
    """Every name that a module passes to `….counters.count`, found in its source."""
    module = "stakehold." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("counters.count")):
            continue
        parts = list(ast.walk(node.args[0]))
        tables = [part.id for part in parts if isinstance(part, ast.Name) and part.id.strip("_").isupper()]
        if tables:
            names = [
                name for table in tables for name in getattr(importlib.import_module(module), table).values()
            ]
        else:
            names = [part.value for part in parts if isinstance(part, ast.Constant)]
        assert names, f"{path}:{node.lineno}: the counter's name must be found in the source"
        yield from names


COUNTED = {name for path in ROOT.rglob("*.py") for name in counted_names(path)}


def test_counters_start_at_zero_and_add_up() -> None:
    """A snapshot holds every documented counter, and is not changed by later counts."""
    metrics = Metrics()
    name = next(iter(NAMES))
    metrics.count(name)
    before = metrics.snapshot()
    metrics.count(name, 2)
    assert before == dict.fromkeys(NAMES, 0) | {name: 1}
    assert metrics.snapshot()[name] == 3


def test_an_undocumented_name_is_refused() -> None:
    """A counter nobody could look up is a mistake in the code."""
    with pytest.raises(KeyError):
        Metrics().count("no_such_counter")


def test_every_counter_of_the_code_is_documented() -> None:
    """Counting never fails for want of a line in NAMES, and NAMES has no line that nothing counts."""
    assert set(NAMES) == COUNTED


def test_the_log_keeps_every_counter(clock: ManualClock) -> None:
    """The log's bounds on sizes and secrets leave a line of all counters as it is."""
    file = io.BytesIO()
    counts = Metrics().snapshot()
    JsonLog(file, clock).write("counters", counts=counts)
    assert json.loads(file.getvalue())["counts"] == counts


def test_operators_find_every_counter_in_their_page() -> None:
    """docs/operations.md has the table of NAMES, word for word."""
    page = (ROOT.parents[1] / "docs" / "operations.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.split("`")[1] in NAMES]
    assert rows == [f"| `{name}` | {NAMES[name]} |" for name in sorted(NAMES)]
