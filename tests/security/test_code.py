"""What the code never does, whatever it is sent: build a statement from text, or run text.

A statement is complete when its module has been imported, before there is anything of a client; what a client
sent goes beside it, as a parameter. Whoever builds one in a function fails here and has to be named.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import stakehold

ROOT = Path(stakehold.__file__).parent
STATEMENT = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER|CREATE|DROP|GRANT) |redis\.p?call")

BUILT_IN_FUNCTIONS = {
    # The name of the database, as the database tells it, in quotes.
    ("database/migrate.py", "ALTER DATABASE "),
}
RUNS_TEXT = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "asyncio.create_subprocess_shell",
}
NOT_FOR_OUTSIDE_DATA = {"pickle", "marshal", "shelve", "yaml", "xml", "dill"}
BROKEN_OR_GUESSABLE = {"md5", "md4", "sha1", "des", "rc4", "blowfish"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def _built(tree: ast.Module) -> Iterator[str]:
    """The fixed text of what functions put together, by f-string, `+`, `%`, `format` or `replace`."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            parts: list[ast.expr] = []
            if isinstance(node, ast.JoinedStr) and any(
                isinstance(v, ast.FormattedValue) for v in node.values
            ):
                parts = node.values
            elif isinstance(node, ast.BinOp):
                parts = [node.left, node.right]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                parts = [node.func.value] if node.func.attr in ("format", "replace", "join") else []
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def _statements(tree: ast.Module) -> set[str]:
    return {text for text in _built(tree) if STATEMENT.search(text)}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _dangerous(tree: ast.Module) -> set[str]:
    """Calls that run text, shells, and modules that are not for data from outside."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            if name in RUNS_TEXT or any(
                keyword.arg == "shell"
                and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
                for keyword in node.keywords
            ):
                found.add(name)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & NOT_FOR_OUTSIDE_DATA
        elif (
            isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in NOT_FOR_OUTSIDE_DATA
        ):
            found.add(str(node.module))
    return found


def _weak(tree: ast.Module) -> set[str]:
    """Primitives that are broken, but where the call says that no safety rests on it."""
    found = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and _dotted(node.func).rpartition(".")[2].lower() in BROKEN_OR_GUESSABLE
        ):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            said = keywords.get("usedforsecurity")
            if not (isinstance(said, ast.Constant) and said.value is False):
                found.add(_dotted(node.func))
    return found


def test_statements_are_written_and_not_built() -> None:
    """Neither SQL nor Lua is put together once there are requests; all but one are constants."""
    built = {(name, text) for name, tree in _modules() for text in _statements(tree)}
    assert built == BUILT_IN_FUNCTIONS


def test_text_is_never_run() -> None:
    """No shell, no `eval`, nothing that makes objects of a class that the data names."""
    assert {(name, call) for name, tree in _modules() for call in _dangerous(tree)} == set()


def test_no_broken_primitive_is_used() -> None:
    """SHA-1 names a script, as Redis wants it, and no safety rests on it; MD5 and its like are nowhere."""
    assert {(name, call) for name, tree in _modules() for call in _weak(tree)} == set()


def test_guessable_randomness_keeps_no_secret() -> None:
    """`random` is imported by nobody who makes tokens, ids, salts or keys."""
    users = {
        name
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "random" in {getattr(node, "module", None), *(alias.name for alias in node.names)}
    }
    assert users == {"runtime/supervisor.py"}, "which waits a jittered time before it starts a process again"


@pytest.mark.parametrize(
    "code",
    [
        'def f(name): return f"SELECT id FROM users WHERE name = {name}"',
        'def f(name): return "DELETE FROM users WHERE name = " + name',
        'def f(name): return "UPDATE users SET name = %s" % name',
        'def f(name): return "DROP TABLE {}".format(name)',
        "f = lambda key: f\"redis.call('GET', '{key}')\"",
        "def f(text): return eval(text)",
        "def f(text): return subprocess.run(text, shell=True)",
        "from xml.etree import ElementTree",
        "import pickle",
        "hashlib.md5(b'x')",
    ],
)
def test_what_must_not_be_is_seen(code: str) -> None:
    """Each of these checks finds what it is for."""
    tree = ast.parse(code)
    assert _statements(tree) | _dangerous(tree) | _weak(tree)
