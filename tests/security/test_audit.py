"""`.ci/audit` passes the project as it is, and fails for each thing that it is there to notice."""

import json
import os
import re
import shutil
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = "src/all.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """The script as a module, whose name Python alone would not look for."""
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def imports(audit: ModuleType) -> str:
    """One statement for all that src/ imports."""
    return f"import {', '.join(sorted(audit.imported(ROOT / 'src')))}\n"


@pytest.fixture
def project(imports: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to doctor, with one module that imports what the real ones do; no pip-audit is there."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / SRC).write_text(imports)
    for lock in (*ROOT.glob("tests/*/*/package-lock.json"), *ROOT.glob("bench/*/package-lock.json")):
        copy = tmp_path / lock.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(lock, copy)
    return tmp_path


def test_the_project_passes(audit: ModuleType, project: Path) -> None:
    """As it was installed from its lock; so does the copy before it is doctored."""
    assert audit.problems(ROOT) == []
    assert audit.problems(project) == []


def _change(name: str, pattern: str, replacement: str) -> Callable[[Path], None]:
    """Replace the first match in a file, which must be there."""

    def change(project: Path) -> None:
        path = project / name
        text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)

    return change


RUN, DEV, PROJECT = "requirements/run.txt", "requirements/dev.txt", "pyproject.toml"
NPM = "tests/upstash/node/package-lock.json"
_HASHES = r"((?: \\\n    --hash=sha256:[0-9a-f]{64})+)"


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        (_change(RUN, rf"^(h11==\S+){_HASHES}", r"\1"), r"run.txt: no name with a version and SHA-256: 'h11"),
        (_change(RUN, "--hash=sha256:.", "--hash=md5:"), "run.txt: no name with a version and SHA-256"),
        (_change(RUN, "^h11==", "h11>="), "run.txt: no name with a version and SHA-256: 'h11"),
        (_change(RUN, r"^h11==\S+", "h11 @ https://example.org/h11.whl"), "run.txt: no name with a version"),
        (_change(DEV, "^", "--index-url https://example.org/simple\n"), "dev.txt: no name with a version"),
        (_change(RUN, r"^(h11==\S+ \\\n    --hash=sha256:)....", r"\g<1>0000"), "run.txt and dev.txt differ"),
        (_change(RUN, r"^h11==", "h11==1!"), "run.txt and dev.txt differ about h11"),
        (_change(DEV, r"^pytest==", "pytest==1!"), "pytest is 1!.* in the lock, and installed as"),
        (_change(DEV, rf"^pytest==\S+{_HASHES}\n", ""), "the lock does not have pytest"),
        (_change(PROJECT, "asyncpg==[0-9.]+", "asyncpg==0.1"), "the lock does not have asyncpg==0.1"),
        (_change(SRC, "^import", "import anyio,"), "anyio is used, but not named"),
        (_change(PROJECT, '"starlette>', '"h11",\n  "starlette>'), "h11 is unused, but named"),
        (_change(PROJECT, '"starlette>', '"aiohttp", "starlette>'), "the core leads to aiohttp"),
        (_change(PROJECT, "PyJWT>", "PyJWT[crypto]>"), r"the core asks for an extra: PyJWT\[crypto\]"),
        (_change(NPM, '"integrity"', '"integral"'), "@upstash/redis has no integrity, or an address"),
        (_change(NPM, '"integrity"', '"resolved": "", "integrity"'), "@upstash/redis has no integrity"),
    ],
)  # fmt: skip
def test_what_was_doctored_is_noticed(
    audit: ModuleType, project: Path, doctor: Callable[[Path], None], said: str
) -> None:
    """Each by a line that names it."""
    doctor(project)
    assert any(re.search(said, problem) for problem in audit.problems(project)), audit.problems(project)


@pytest.mark.parametrize(
    ("licence", "passes"),
    [
        ("License-Expression: MIT AND Apache-2.0", True),
        ("License: BSD-3-Clause", True),
        ("Classifier: License :: OSI Approved :: MIT License", True),
        ("License-Expression: MIT AND GPL-3.0-only", False),
        ("License: AGPL", False),
        ("Classifier: License :: OSI Approved :: GNU Affero General Public License v3", False),
        ("Summary: without a licence", False),
    ],
)
def test_licences_are_those_of_the_list(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, licence: str, passes: bool
) -> None:
    """Whichever way a package says its own; one that says nothing does not pass."""
    information = tmp_path / "licensed-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.4\nName: licensed\nVersion: 1.0\n{licence}\n")
    monkeypatch.syspath_prepend(tmp_path)
    lock = tmp_path / "run.txt"
    lock.write_text(f"licensed==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert (list(audit.licences(audit.Lock(lock))) == []) is passes


@pytest.mark.parametrize(
    ("answer", "problems", "said"),
    [
        ({"name": "h11", "vulns": [{"id": "PYSEC-1"}]}, ["h11: PYSEC-1"], "for 1 of 1"),
        ({"name": "h11", "vulns": []}, [], "for 1 of 1"),
        ({"name": "h11", "skip_reason": "not found"}, [], "for 0 of 1"),
        (None, [], "not asked for known vulnerabilities"),
    ],
)
def test_vulnerabilities_are_asked_for_where_they_can_be(
    audit: ModuleType,
    project: Path,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, object] | None,
    problems: list[str],
    said: str,
) -> None:
    """A package with one is a problem; a source that says nothing is none, and is told."""
    program = project / "bin" / "pip-audit"
    program.parent.mkdir()
    output = json.dumps({"dependencies": [answer]}) if answer else ""
    program.write_text(f"#!/bin/sh\necho '{output}'\nexit 1\n")
    os.chmod(program, 0o755)
    assert list(audit.vulnerabilities(project / RUN)) == problems
    assert said in capsys.readouterr().out
