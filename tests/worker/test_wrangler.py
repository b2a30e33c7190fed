"""wrangler.jsonc is what wrangler takes, says what the service means, and takes along all of the bundle."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy import bundle, stage
from stakehold.http.routes import OPERATIONS
from stakehold.limits.fallback import platform_period_s
from stakehold.limits.policies import DEFAULTS
from stakehold.runtime.settings import SETTINGS
from tests.support.deployment import copy_project
from tests.support.native import running_service
from tests.support.wrangler import SCHEMA, wrangler_command

CONFIG = bundle.PROJECT / "wrangler.jsonc"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make deploy` lays out."""
    bundle.wheels(bundle.PROJECT)
    return stage.stage(copy_project(tmp_path_factory.mktemp("deployment")))


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return stage.read_config(CONFIG)


def dry_run(staged: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """What wrangler says to `staged`; it asks nobody, and is signed in nowhere."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(output.parent), "CI": "true"}
    command = [*wrangler_command(), "deploy", "--cwd", str(staged), "--dry-run", "--outdir", str(output)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_wrangler_takes_it_and_would_deploy_the_bundle_alone(staged: Path, tmp_path: Path) -> None:
    """Without a warning; what is uploaded is the bundle, every file once, and nothing beside it."""
    output = tmp_path / "output"
    done = dry_run(staged, output)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said
    uploaded = files_of(output)
    del uploaded["README.md"]  # wrangler's own, about the directory
    assert uploaded == files_of(staged.parent / "worker")
    total = re.search(r"Total \((\d+) modules\)", said)
    assert total is not None
    assert int(total[1]) == len(uploaded) - 1  # the entry is counted by itself
    assert "Read 3 files from the assets directory" in said
    for binding in ("HYPERDRIVE", *(f"LIMIT_{policy.name.upper().replace('-', '_')}" for policy in DEFAULTS)):
        assert f"env.{binding} (" in said


def test_wrangler_refuses_what_it_does_not_know(staged: Path, tmp_path: Path) -> None:
    """So that the test above means something: a planted mistake is an error there."""
    broken = copy_staged(staged, tmp_path)
    text = (broken / "wrangler.jsonc").read_text()
    (broken / "wrangler.jsonc").write_text(text.replace('"period": 60', '"period": 61'))
    assert dry_run(broken, tmp_path / "output").returncode != 0


def copy_staged(staged: Path, target: Path) -> Path:
    copy = target / "staged"
    (copy / "src").mkdir(parents=True)
    (copy / "src" / "entry.py").write_bytes((staged / "src" / "entry.py").read_bytes())
    (copy / "assets").mkdir()
    (copy / "wrangler.jsonc").write_bytes((staged / "wrangler.jsonc").read_bytes())
    return copy


def test_it_fits_the_schema_of_the_pinned_wrangler(config: dict[str, Any]) -> None:
    """No key that wrangler would ignore."""
    wrangler_command()
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft7Validator(schema).validate(config)


def test_the_limits_of_the_platform_are_those_of_the_service(config: dict[str, Any]) -> None:
    """Each policy has a binding of its name and quota, over the period that the service means; no others."""
    bound = {each["name"]: each["simple"] for each in config["ratelimits"]}
    assert bound == {
        f"LIMIT_{policy.name.upper().replace('-', '_')}": {
            "limit": policy.quota,
            "period": platform_period_s(policy),
        }
        for policy in DEFAULTS
    }
    counters = [each["namespace_id"] for each in config["ratelimits"]]
    assert len(set(counters)) == len(counters)


def test_nothing_secret_is_in_it_and_every_variable_is_a_setting(config: dict[str, Any]) -> None:
    """What is secret is demanded as a secret; a setting with a wrong name would do nothing."""
    settings = {setting.name for setting in SETTINGS}
    assert config["vars"].keys() <= settings
    assert set(config["secrets"]["required"]) <= settings
    assert not config["vars"].keys() & set(config["secrets"]["required"])
    assert not re.search(r"postgres(ql)?://|rediss?://|upstash\.io", CONFIG.read_text())


def test_the_hyperdrive_is_one_that_deploy_refuses(config: dict[str, Any]) -> None:
    """Nobody's own id is in the project."""
    assert config["hyperdrive"] == [{"binding": "HYPERDRIVE", "id": "0" * 32}]


def test_the_python_is_the_one_that_the_wheels_are_for(config: dict[str, Any]) -> None:
    """From this date on Workers have Python 3.14, as the bundle has; the local workerd knows it too."""
    assert config["compatibility_date"] >= "2026-09-08"
    assert {"python_workers", "nodejs_compat"} <= set(config["compatibility_flags"])
    assert "--python-version=3.14" in bundle.WHEEL_TARGET
    lock = json.loads((bundle.PROJECT / "deploy" / "node" / "package-lock.json").read_text())
    workerd = lock["packages"]["node_modules/workerd"]["version"].split(".")[1]
    assert config["compatibility_date"].replace("-", "") <= workerd


async def test_files_that_cloudflare_serves_are_what_the_service_answers(
    staged: Path, config: dict[str, Any], database_url: str, redis_url: str
) -> None:
    """The same bodies, and the same headers but for the request's id and the length."""
    first = config["assets"]["run_worker_first"]
    served = {pattern.removeprefix("!") for pattern in first if pattern.startswith("!")}
    files = files_of(staged / "assets")
    assert served == {f"/{name}" for name in files if name != "_headers"}
    assert first[0] == "/*"
    assert served <= {operation.path for operation in OPERATIONS}
    blocks = re.findall(r"^(/\S+)\n((?:  .+\n)+)", files["_headers"].decode(), re.MULTILINE)
    headers = {
        path: dict(line.strip().split(": ", 1) for line in lines.splitlines()) for path, lines in blocks
    }
    async with running_service(database_url, redis_url, {"STAKEHOLD_HSTS": "on"}) as service:
        for path in served:
            answer = await service.client.get(path)
            assert answer.content == files[path.removeprefix("/")]
            own = {
                name: value
                for name, value in answer.headers.items()
                if name not in ("x-request-id", "content-length")
            }
            assert headers[path] == own


def test_comments_are_no_part_of_it(tmp_path: Path) -> None:
    """Comments go, and what looks like one in a string stays."""
    path = tmp_path / "some.jsonc"
    path.write_text('// a\n{"a": "b // c /* d */ \\" // e", /* f\n */ "g": 1 // h\n}')
    assert stage.read_config(path) == {"a": 'b // c /* d */ " // e', "g": 1}
