"""`make worker-dev` gives the Worker its settings, and says what it misses."""

import stat
from pathlib import Path

import pytest

from deploy import bundle, dev
from tests.support.deployment import FakeWrangler, copy_project

SETTINGS = {
    "DATABASE_URL": "postgresql://ada@127.0.0.1:5432/stakes",
    "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:8079",
    "UPSTASH_REDIS_REST_TOKEN": "of-the-front",
}


@pytest.fixture
def wrangler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWrangler:
    bundle.wheels(bundle.PROJECT)
    copy_project(tmp_path)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    for name in ("JWT_SECRET", *SETTINGS):
        monkeypatch.delenv(name, raising=False)
    fake = FakeWrangler(tmp_path, monkeypatch)
    fake.tell("dev", "serving")
    return fake


def test_the_worker_gets_its_secrets_in_a_file_of_its_owner(
    tmp_path: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wrangler serves what is laid out; nothing secret is on its command line."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert dev.main(["--port", "8788"], tmp_path) == 0
    staged = tmp_path / "build" / "deploy"
    assert wrangler.calls()[-1] == ["dev", "--cwd", str(staged), "--port", "8788"]
    written = staged / ".dev.vars"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    lines = dict(line.split("=", 1) for line in written.read_text().splitlines())
    assert lines.pop("JWT_SECRET")
    assert lines == {name: value for name, value in SETTINGS.items() if name != "DATABASE_URL"}


def test_what_it_misses_is_said_at_once(
    tmp_path: Path, wrangler: FakeWrangler, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each missing setting is named, and nothing is started."""
    assert dev.main([], tmp_path) == 1
    said = capfd.readouterr().err
    assert all(f"{name} is not set." in said for name in SETTINGS)
    assert "dev" not in [call[0] for call in wrangler.calls()]


def test_a_bundle_that_can_not_be_made_starts_nothing(
    tmp_path: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason is said."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "src/stakehold/web/film.html").write_bytes(b"x" * bundle.BUDGET_BYTES)
    assert dev.main([], tmp_path) == 1
    assert "over the 5,000,000 allowed" in capfd.readouterr().err
