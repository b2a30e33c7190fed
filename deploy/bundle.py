"""Make the directory that is deployed to Workers: `python -m deploy.bundle --output build/worker`.

It holds `entry.py`, the modules of `stakehold` that the Worker's entry imports, directly or not, and in
`python_modules/` what those need: the wheels of requirements/worker.txt for WebAssembly, pinned by hash
(Cloudflare's SDK is one of them, for the platform does not bring it), and asyncpg from tests/worker/wheels.
The tests run this very directory.

It needs Python and pip alone. Wheels are kept in build/wheels; once they are there it needs no network.
"""

import argparse
import ast
import fnmatch
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ENTRY = "stakehold.runtime.worker"
ENTRY_TEXT = f'''"""What Workers start."""

from {ENTRY} import Default

__all__ = ["Default"]
'''

BUDGET_BYTES = 5_000_000
"""Most that all files together may have, uncompressed. What is deployed is read at every cold start."""

PLATFORM = {"js", "pyodide"}
"""Modules that the platform brings. (`workers` comes with the SDK, which is in the bundle.)"""

NATIVE_STDLIB = {
    "concurrent.futures", "ctypes", "curses", "dbm", "fcntl", "grp", "multiprocessing", "pty", "pwd",
    "readline", "resource", "select", "selectors", "signal", "socket", "sqlite3", "subprocess", "syslog",
    "termios", "threading", "tty",
}  # fmt: skip
"""Modules of Python's own that need threads, processes, sockets or a terminal, which a Worker has not."""

DATA = {"stakehold.http.docs_page": "web/*.*", "stakehold.database.migrate": "database/migrations/*.sql"}
"""Files that a module reads: they are there when it is."""

LEFT_OUT = (
    "*.pyc", "*.pyi", "*/py.typed",
    "*.dist-info/RECORD", "*.dist-info/WHEEL", "*.dist-info/top_level.txt", "*.dist-info/entry_points.txt",
    "anyio/pytest_plugin.py", "anyio/_backends/_trio.py", "asyncpg/cluster.py", "starlette/testclient.py",
)  # fmt: skip
"""What no import needs of the wheels. METADATA stays, for the SDK asks for versions, and so do licences."""

WHEEL_TARGET = (
    "--platform=pyemscripten_2026_0_wasm32", "--python-version=3.14", "--implementation=cp",
    "--abi=cp314", "--abi=abi3", "--abi=none", "--only-binary=:all:",
)  # fmt: skip


class BundleError(Exception):
    """The bundle can not be made; the message says why, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when the bundle was made, 1 with a message when not."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle", description=__doc__)
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "worker", help="is replaced")
    output = parser.parse_args(arguments).output
    try:
        size = make(output)
    except BundleError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 1
    print(f"bundle: {output}: {size:,} bytes of at most {BUDGET_BYTES:,}")
    return 0


def make(output: Path, project: Path = PROJECT, budget_bytes: int = BUDGET_BYTES) -> int:
    """Write the bundle of `project` to `output`, in place of what is there, and return its size in bytes.

    Raises BundleError, and leaves `output` as it was, when something native is imported, a wheel is missing
    or not the pinned one, or the size is over `budget_bytes`.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=output.parent) as temporary:
        made = Path(temporary) / "made"
        vendored = made / "python_modules"
        for wheel in wheels(project):
            unpack(wheel, vendored)
        (vendored / "pyvenv.cfg").touch()  # the mark of a site directory: its .pth files are read
        source = project / "src"
        modules = reachable(source)
        check_imports(source, modules, {path.name.partition(".")[0] for path in vendored.iterdir()})
        copy_modules(source, modules, made)
        (made / "entry.py").write_text(ENTRY_TEXT, encoding="utf-8")
        sizes = {path: path.stat().st_size for path in made.rglob("*") if path.is_file()}
        size = sum(sizes.values())
        if size > budget_bytes:
            largest = sorted(sizes, key=lambda path: -sizes[path])[:5]
            names = ", ".join(f"{path.relative_to(made)} ({sizes[path]:,})" for path in largest)
            raise BundleError(f"{size:,} bytes are over the {budget_bytes:,} allowed; the largest: {names}")
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)
    return size


def reachable(source: Path) -> dict[str, Path]:
    """The modules below `source` that ENTRY leads to, by imports anywhere in them, with their files.

    Read from the source: what only type checkers import does not count.
    """
    found: dict[str, Path] = {}
    waiting = [ENTRY]
    while waiting:
        name = waiting.pop()
        path = module_file(source, name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *imported(path)]
    if ENTRY not in found:
        raise BundleError(f"{ENTRY} is not below {source}")
    return found


def module_file(source: Path, name: str) -> Path | None:
    """The file of module or package `name` below `source`, if it is there."""
    place = source.joinpath(*name.split(".")) if name else source
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def imported(path: Path) -> set[str]:
    """The names that `path` imports; of `from a import b` both `a` and `a.b`, which may be a module."""
    names: set[str] = set()
    for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise BundleError(f"{path} has a relative import: write it in full, it is read here by name")
            names |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and what is below it, without what stands under `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            child = ast.Module(body=child.orelse, type_ignores=[])
        yield from at_run_time(child)


def check_imports(source: Path, modules: dict[str, Path], vendored: set[str]) -> None:
    """Raise BundleError when one of `modules` imports what is in neither the bundle nor Workers' Python."""
    there = sys.stdlib_module_names | vendored | PLATFORM | {path.name for path in source.iterdir()}
    wrong = []
    for module, path in sorted(modules.items()):
        for name in sorted(imported(path)):
            if any(name == native or name.startswith(f"{native}.") for native in NATIVE_STDLIB):
                wrong.append(f"{module} imports {name}, which only works natively")
            elif name.partition(".")[0] not in there:
                wrong.append(f"{module} imports {name}, which a Worker has not")
    if wrong:
        raise BundleError("; ".join(wrong))


def copy_modules(source: Path, modules: dict[str, Path], made: Path) -> None:
    """Copy `modules`, and the files that they read, below `made`."""
    package = source / ENTRY.partition(".")[0]
    data = (path for name in modules if name in DATA for path in package.glob(DATA[name]))
    for path in (*modules.values(), *data):
        target = made / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def wheels(project: Path) -> list[Path]:
    """The wheels of requirements/worker.txt, fetched if need be, and of tests/worker/wheels, all verified."""
    lock = project / "requirements" / "worker.txt"
    lines = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pinned = [set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)) for line in lines]
    cache = project / "build" / "wheels"
    kept = find_pinned(cache, pinned)
    if len(kept) < len(pinned):
        download(lock, cache)
        kept = find_pinned(cache, pinned)
    if len(kept) < len(pinned):
        raise BundleError(f"{cache} has {len(kept)} of the {len(pinned)} wheels that {lock.name} pins")
    return [*kept, *own_wheels(project / "tests" / "worker" / "wheels")]


def find_pinned(cache: Path, pinned: list[set[str]]) -> list[Path]:
    """For each set of hashes in `pinned` a wheel in `cache` that has one of them, if there is one."""
    by_hash = {digest(path): path for path in sorted(cache.glob("*.whl"))}
    return [by_hash[found.pop()] for hashes in pinned if (found := hashes & by_hash.keys())]


def download(lock: Path, cache: Path) -> None:
    """Have pip fetch the wheels for WebAssembly that `lock` pins into `cache`."""
    quietly = ("--quiet", "--disable-pip-version-check")
    what = ("--no-deps", "--require-hashes", "--requirement", str(lock), *WHEEL_TARGET)
    command = (sys.executable, "-m", "pip", "download", *quietly, *what, "--dest", str(cache))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise BundleError(f"pip could not fetch the wheels of {lock.name}: {done.stderr.strip()}")


def own_wheels(directory: Path) -> list[Path]:
    """The wheels that `directory` keeps, each with the SHA-256 that its README.md says."""
    readme = (directory / "README.md").read_text(encoding="utf-8")
    expected = dict(re.findall(r"^ +([0-9a-f]{64})  (\S+\.whl)$", readme, re.MULTILINE))
    for name in {path.name for path in directory.glob("*.whl")} ^ set(expected.values()):
        raise BundleError(f"{directory}: {name} is not both there and in README.md with its SHA-256")
    for sha256, name in expected.items():
        if digest(directory / name) != sha256:
            raise BundleError(f"{directory / name} has not the SHA-256 that README.md says")
    return [directory / name for name in sorted(expected.values())]


def digest(path: Path) -> str:
    """The SHA-256 of a file, as lower-case hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpack(wheel: Path, target: Path) -> None:
    """Unpack `wheel` into `target`, without what LEFT_OUT names."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and not any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT):
                archive.extract(name, target)


if __name__ == "__main__":
    sys.exit(main())
