"""docs/api.md names every call, problem and limit that there is, with the numbers in force."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from stakehold.database.ledger import OVERDRAWN
from stakehold.domain.plan_terms import AmountRefusal
from stakehold.http import reading
from stakehold.http.operations import Operation
from stakehold.http.problems import PROBLEMS
from stakehold.http.routes import OPERATIONS
from stakehold.limits.policies import DEFAULTS, Policy

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"
]

# Kinds that only stand for a whole class of errors; what clients meet is more exact.
GENERAL = {"authentication_error", "forbidden", "external_service_unavailable"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_call_is_there(operation: Operation) -> None:
    """Each call is in the table of calls with its limit, or among those never limited."""
    call = f"`{operation.method} {operation.path}`"
    if operation.policy is None:
        assert call in PAGE or f"`{operation.path}`" in PAGE
        return
    row = next(row for row in ROWS if row[0] == call)
    assert row[3] == f"`{operation.policy}`"
    assert (row[2] == "yes") == operation.signed_in


@pytest.mark.parametrize("code", sorted(set(PROBLEMS) - GENERAL))
def test_every_problem_is_there(code: str) -> None:
    """Each code is in the table of problems beside its status."""
    assert any(row[0] == str(PROBLEMS[code].status) and f"`{code}`" in row[1] for row in ROWS)


def _codes_of_fields() -> set[str]:
    """The second argument of every FieldError in the source; what is no literal is looked up by hand."""
    codes = {code for code, _ in reading._ABOUT_NAMED.values()}
    codes |= {"invalid", OVERDRAWN, *get_args(AmountRefusal)}
    others = set()
    for module in (Path(__file__).parents[3] / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "FieldError":
                code = node.args[1]
                found = codes if isinstance(code, ast.Constant) else others
                found.add(str(code.value) if isinstance(code, ast.Constant) else ast.unparse(code))
    assert others == {"code", "refusal", "OVERDRAWN"}
    return codes


@pytest.mark.parametrize("code", sorted(_codes_of_fields()))
def test_every_code_of_a_field_is_there(code: str) -> None:
    """Each is in the table of what is wrong with a field."""
    first = next(number for number, row in enumerate(ROWS) if row[0] == "code of a field")
    assert any(f"`{code}`" in row[0] for row in ROWS[first:])


@pytest.mark.parametrize("policy", DEFAULTS, ids=lambda policy: policy.name)
def test_every_limit_is_there(policy: Policy) -> None:
    """Each limit is in the table of limits with its quota and window."""
    window = f"{policy.window_s // 60} min" if policy.window_s > 60 else f"{policy.window_s} s"
    assert any(row[:3] == [f"`{policy.name}`", str(policy.quota), window] for row in ROWS)
