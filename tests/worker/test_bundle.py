"""What is deployed to Workers is what the Worker's entry needs, runs in WebAssembly, and is small."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import bundle
from tests.support.deployment import copy_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of this project."""
    output = tmp_path_factory.mktemp("bundle") / "worker"
    bundle.make(output)
    return output


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of the project to plant things in. Its wheels are kept already, since one bundle was made."""
    return copy_project(tmp_path)


def files_of(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_the_bundle_is_within_its_budget(made: Path) -> None:
    """Our code and its dependencies have at most 5 MB together, uncompressed."""
    size = sum((made / name).stat().st_size for name in files_of(made))
    assert 2_000_000 < size <= 5_000_000


def test_the_bundle_has_what_the_entry_needs_and_nothing_native(made: Path) -> None:
    """Routes, SQL and the documentation page are in it; servers, RESP, commands and migrations are not."""
    ours = files_of(made)
    assert {"entry.py", "stakehold/http/routes/stakes.py", "stakehold/database/stakes.py"} <= ours
    assert {"stakehold/web/docs.html", "stakehold/web/docs.css", "stakehold/web/docs.js"} <= ours
    for native in ("cli.py", "redis/resp.py", "redis/aiohttp_sender.py", "runtime/server.py",
                   "runtime/embedded.py", "security/threaded_scrypt.py", "database/migrate.py"):  # fmt: skip
        assert (bundle.PROJECT / "src" / "stakehold" / native).is_file()
        assert f"stakehold/{native}" not in ours
    assert not [name for name in ours if name.endswith((".pyc", ".pyi")) or name.startswith("tests/")]


def test_the_bundle_has_the_dependencies_for_webassembly(made: Path) -> None:
    """Whatever is compiled in it is compiled for WebAssembly; the SDK and its start file are there."""
    compiled = {
        name for name in files_of(made) if ".cpython-" in name or name.endswith((".so", ".dll", ".pyd"))
    }
    assert compiled
    assert all("wasm32-emscripten" in name for name in compiled)
    assert all((made / name).read_bytes().startswith(b"\0asm") for name in compiled)
    there = {path.name for path in (made / "python_modules").iterdir()}
    assert {"asyncpg", "jwt", "msgspec", "starlette", "workers", "_workers_sdk_patch_loader.pth"} <= there


def test_what_was_there_before_is_gone(project: Path) -> None:
    """A bundle replaces the one before it, and a bundle that can not be made leaves that one alone."""
    output = project / "build" / "worker"
    bundle.make(output, project)
    (output / "left_over.py").write_text("")
    bundle.make(output, project)
    whole = files_of(output)
    assert "left_over.py" not in whole
    with pytest.raises(bundle.BundleError):
        bundle.make(output, project, budget_bytes=1)
    assert files_of(output) == whole
    assert [path.name for path in output.parent.iterdir() if path.name.startswith(".")] == []


def test_a_planted_oversize_file_is_refused_by_name(project: Path) -> None:
    """A file that takes the bundle over its budget makes no bundle, and the message names it."""
    (project / "src/stakehold/web/film.html").write_bytes(b"x" * bundle.BUDGET_BYTES)
    with pytest.raises(bundle.BundleError, match=r"over the 5,000,000 allowed.*stakehold/web/film\.html"):
        bundle.make(project / "out", project)
    assert not (project / "out").exists()


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("import hiredis", "stakehold.http.app imports hiredis, which a Worker has not"),
        ("import threading", "stakehold.http.app imports threading, which only works natively"),
        ("from concurrent import futures", "imports concurrent.futures, which only works natively"),
        ("def later() -> None:\n    import uvicorn", "imports uvicorn, which a Worker has not"),
        ("from stakehold.redis import resp", "stakehold.redis.resp imports hiredis"),
        (
            "from stakehold.security.threaded_scrypt import ThreadedScrypt",
            "threaded_scrypt imports threading",
        ),
        ("from stakehold import cli", "stakehold.runtime.server imports uvicorn"),
        ("from . import cors", "app.py has a relative import"),
    ],
)
def test_a_planted_native_import_is_refused_by_name(project: Path, planted: str, message: str) -> None:
    """An import of what only runs natively, at whatever depth, makes no bundle, and the message names it."""
    with (project / "src/stakehold/http/app.py").open("a") as file:
        file.write(f"\n{planted}\n")
    with pytest.raises(bundle.BundleError) as refused:
        bundle.make(project / "out", project)
    assert message in str(refused.value)


@pytest.mark.parametrize("guard", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_an_import_for_type_checkers_does_not_count(project: Path, guard: str) -> None:
    """What stands under `if TYPE_CHECKING:` is never imported, so it brings nothing along; its else does."""
    with (project / "src/stakehold/http/app.py").open("a") as file:
        file.write(f"\nif {guard}:\n    import hiredis\nelse:\n    import stakehold.runtime.dotenv\n")
    bundle.make(project / "out", project)
    assert (project / "out/stakehold/runtime/dotenv.py").is_file()


def alter_asyncpg(project: Path) -> None:
    next((project / "tests/worker/wheels").glob("*.whl")).open("ab").write(b"x")


def add_wheel(project: Path) -> None:
    (project / "tests/worker/wheels/other-1.0-py3-none-any.whl").write_bytes(b"")


def remove_asyncpg(project: Path) -> None:
    next((project / "tests/worker/wheels").glob("*.whl")).unlink()


def pin_another_hash(project: Path) -> None:
    lock = project / "requirements/worker.txt"
    pinned = bundle.digest(next((project / "build/wheels").glob("pyjwt-*.whl")))
    lock.write_text(lock.read_text().replace(pinned, "0" * 64))


@pytest.mark.parametrize("harm", [alter_asyncpg, add_wheel, remove_asyncpg, pin_another_hash])
def test_a_wheel_that_is_not_the_pinned_one_is_refused(project: Path, harm: Callable[[Path], None]) -> None:
    """Only wheels with the SHA-256 that is written down are unpacked."""
    harm(project)
    with pytest.raises(bundle.BundleError):
        bundle.make(project / "out", project)
    assert not (project / "out").exists()


def test_a_bundle_that_can_not_be_made_is_an_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command says why on standard error and ends with 1; with a bundle made it ends with 0."""
    assert bundle.main(["--output", str(tmp_path / "out")]) == 0
    assert "bytes of at most 5,000,000" in capsys.readouterr().out
    monkeypatch.setattr(bundle, "ENTRY_TEXT", "x" * bundle.BUDGET_BYTES)
    assert bundle.main(["--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("bundle: ")


def test_without_its_entry_there_is_no_bundle(project: Path) -> None:
    """A bundle that Workers could not start is not made."""
    (project / "src/stakehold/runtime/worker.py").unlink()
    with pytest.raises(bundle.BundleError, match=r"stakehold\.runtime\.worker is not below"):
        bundle.make(project / "out", project)
