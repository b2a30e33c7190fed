"""`make deploy` deploys what is complete, and refuses what is not, with what to do about it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy.stage import read_config

from deploy import bundle, deploy
from tests.support.deployment import HYPERDRIVE_ID, FakeWrangler, copy_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    bundle.wheels(bundle.PROJECT)
    return copy_project(tmp_path)


@pytest.fixture
def wrangler(project: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> FakeWrangler:
    """Everything is in order: an account with its secrets and Hyperdrive, and a migrated database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return FakeWrangler(project, monkeypatch)


def deployments(wrangler: FakeWrangler) -> list[list[str]]:
    return [call for call in wrangler.calls() if call[0] == "deploy"]


def test_what_is_in_order_is_deployed(
    project: Path, wrangler: FakeWrangler, capfd: pytest.CaptureFixture[str]
) -> None:
    """The bundle is laid out beside its configuration, and wrangler deploys that."""
    assert deploy.main([], project) == 0
    staged = project / "build" / "deploy"
    assert deployments(wrangler) == [["deploy", "--cwd", str(staged)]]
    assert (staged / "src" / "entry.py").is_file()
    assert (staged / "python_modules" / "starlette").is_dir()
    assert not (staged / "src" / "python_modules").exists()
    assert read_config(staged / "wrangler.jsonc") == read_config(project / "wrangler.jsonc")
    assert "make smoke" in capfd.readouterr().out


def test_a_dry_run_deploys_nothing(project: Path, wrangler: FakeWrangler) -> None:
    """It checks and builds everything, and has wrangler stop before the upload."""
    assert deploy.main(["--dry-run"], project) == 0
    assert all("--dry-run" in call for call in deployments(wrangler))


def test_what_wrangler_ends_with_is_the_exit_status(project: Path, wrangler: FakeWrangler) -> None:
    """A deployment that fails at Cloudflare fails here."""
    wrangler.tell("deploy", err="refused", status=7)
    assert deploy.main([], project) == 7


def _change(pattern: str, replacement: str) -> Callable[[Path, FakeWrangler], None]:
    def change(project: Path, _: FakeWrangler) -> None:
        path = project / "wrangler.jsonc"
        assert pattern in path.read_text()
        path.write_text(path.read_text().replace(pattern, replacement))

    return change


def _tell(start: str, out: str = "", err: str = "", status: int = 0) -> Callable[[Path, FakeWrangler], None]:
    return lambda _, wrangler: wrangler.tell(start, out, err=err, status=status)


def _uninstall(project: Path, _: FakeWrangler) -> None:
    (project / "deploy/node/node_modules/wrangler/bin/wrangler.js").unlink()


ONE_SECRET = json.dumps([{"name": "JWT_SECRET"}])
COLOURED = (
    "\x1b[31m✘ \x1b[41;31m[\x1b[41;97mERROR\x1b[41;31m]\x1b[0m \x1b[1mno such config\x1b[0m\nLogs were …"
)
NOT_THERE = "[ERROR] Worker stakehold not found."


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_tell("node --version", "v20.20.2"), "Node is v20.20.2: wrangler needs 22.12 or later"),
        (_tell("--version", "4.0.0"), "wrangler is 4.0.0, not"),
        (_uninstall, "npm ci --prefix deploy/node"),
        (_change(HYPERDRIVE_ID, "0" * 32), "no Hyperdrive id"),
        (_change('"binding": "HYPERDRIVE"', '"binding": "OTHER"'), "no Hyperdrive id"),
        (_change('"vars": {', '"vars": { "JWT_SECRET": "x",'), "JWT_SECRET is in vars"),
        (_change('"vars": {', '"vars": { "DATABASE_URL": "x",'), "DATABASE_URL is in vars"),
        (_change('"vars": {', '"vars": { "MY_API_TOKEN": "x",'), "MY_API_TOKEN is in vars"),
        (_tell("whoami", '{"loggedIn":false}', status=1), "wrangler login"),
        (_tell("secret list", ONE_SECRET), "UPSTASH_REDIS_REST_URL is not set: "),
        (_tell("secret list", ONE_SECRET), "wrangler secret put UPSTASH_REDIS_REST_TOKEN"),
        (
            _change('"vars": {', '"vars": { "STAKEHOLD_WEBHOOK_URL": "https://receiver.example",'),
            "wrangler secret put STAKEHOLD_WEBHOOK_SECRET",
        ),
        (_tell("secret list", err=NOT_THERE, status=1), "wrangler secret put JWT_SECRET"),
        (_tell("secret list", err="[ERROR] boom", status=1), "The secrets could not be listed: boom"),
        (_tell("hyperdrive get", '{"caching": {}}'), f"hyperdrive update {HYPERDRIVE_ID} --caching-disabled"),
        (_tell("hyperdrive get", "{broken"), "caches answers"),
        (_tell("hyperdrive get", err=COLOURED, status=1), "could not be looked up: no such config"),
    ],
)
def test_what_is_missing_is_refused_with_what_to_do(
    project: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    harm: Callable[[Path, FakeWrangler], None], said: str,
) -> None:  # fmt: skip
    """Each thing that a deployment rests on is looked at, and nothing is deployed without it."""
    monkeypatch.setattr(deploy, "migrations", lambda: iter(()))
    harm(project, wrangler)
    assert deploy.main([], project) == 1
    assert deployments(wrangler) == []
    told = capfd.readouterr().err
    assert told.startswith("Nothing was deployed:")
    assert said in told


def test_no_node_is_refused(
    project: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without Node nothing else can be asked."""
    monkeypatch.setenv("PATH", str(project / "nothing"))
    assert deploy.main([], project) == 1
    assert "Node is not there" in capfd.readouterr().err


def test_everything_that_is_wrong_is_said_at_once(
    project: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One run tells of the configuration, the account and the database."""
    _change(HYPERDRIVE_ID, "0" * 32)(project, wrangler)
    wrangler.tell("secret list", ONE_SECRET)
    monkeypatch.delenv("DATABASE_URL")
    assert deploy.main([], project) == 1
    told = capfd.readouterr().err
    assert all(each in told for each in ("Hyperdrive", "UPSTASH_REDIS_REST_TOKEN", "DATABASE_URL is not set"))


def test_a_database_that_lacks_migrations_is_refused(
    project: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, empty_database_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Nothing is deployed that would meet an older schema, and the check changes nothing."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    for _ in range(2):
        assert deploy.main([], project) == 1
        assert "not up to date: stakehold migrate" in capfd.readouterr().err


def test_a_database_that_is_away_is_refused(
    project: Path, wrangler: FakeWrangler, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What can not be checked is not deployed; the password is not repeated."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:1/x")
    assert deploy.main([], project) == 1
    told = capfd.readouterr().err
    assert "not up to date" in told
    assert "hunter2" not in told


def test_a_bundle_that_can_not_be_made_is_refused(
    project: Path, wrangler: FakeWrangler, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is over the budget is not deployed."""
    (project / "src/stakehold/web/film.html").write_bytes(b"x" * bundle.BUDGET_BYTES)
    assert deploy.main([], project) == 1
    assert "over the 5,000,000 allowed" in capfd.readouterr().err
    assert deployments(wrangler) == []


def test_a_tool_that_hangs_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait has an end."""
    monkeypatch.setattr(deploy, "TIMEOUT_S", 0.2)
    done = deploy.run([sys.executable, "-c", "input() if False else __import__('time').sleep(60)"])
    assert done.returncode == 1
    assert "took more than" in done.stderr


@pytest.mark.parametrize("migrated", [True, False])
def test_migrate_check_tells_and_changes_nothing(
    database_url: str, empty_database_url: str, migrated: bool
) -> None:
    """`stakehold migrate --check` ends with 0 when nothing is to be done, else with 1 and what is."""
    url = database_url if migrated else empty_database_url
    command = [sys.executable, "-m", "stakehold.cli", "migrate", "--check"]
    for _ in range(2):
        done = subprocess.run(
            command, env={"DATABASE_URL": url}, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == (0 if migrated else 1), done.stderr
        assert ("up to date" in done.stdout) == migrated
        assert ("not applied: 0001_users" in done.stdout) != migrated
