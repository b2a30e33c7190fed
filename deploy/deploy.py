"""Check what a deployment rests on, then deploy: `make deploy`. `make deploy ARGS=--dry-run` stops before.

Everything that is wrong is said at once, with what to do about it, and then nothing is deployed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.bundle import PROJECT, BundleError
from deploy.stage import read_config, stage

NODE_AT_LEAST = (22, 12)
TIMEOUT_S = 120
UPLOAD_TIMEOUT_S = 600
PLACEHOLDER_ID = "0" * 32
WRANGLER = "deploy/node/node_modules/.bin/wrangler"
"""As a person types it in the project's directory."""

SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|_URL$")
"""What settings are called that must not be read by whoever reads wrangler.jsonc."""


def main(arguments: Sequence[str] | None = None, project: Path = PROJECT) -> int:
    """Exit status: 0 when deployed (with --dry-run, when it could be), 1 when refused, else wrangler's."""
    parser = argparse.ArgumentParser(prog="python -m deploy.deploy", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="check and build everything, deploy nothing")
    dry_run = parser.parse_args(arguments).dry_run
    refusals = list(tools(project))
    if not refusals:
        config = read_config(project / "wrangler.jsonc")
        refusals = [*configuration(config), *account(project, config), *migrations()]
    if refusals:
        print("Nothing was deployed:", *(f"  - {refusal}" for refusal in refusals), sep="\n", file=sys.stderr)
        return 1
    try:
        staged = stage(project)
    except BundleError as error:
        print(f"Nothing was deployed: {error}", file=sys.stderr)
        return 1
    status = upload(project, staged, dry_run)
    if status == 0 and not dry_run:
        print("Deployed. See that it serves: make smoke URL=https://… (docs/deploy.md)")
    return status


def tools(project: Path) -> Iterator[str]:
    """What is wrong with Node and wrangler."""
    if shutil.which("node") is None:
        yield f"Node is not there: install {'.'.join(map(str, NODE_AT_LEAST))} or later."
        return
    said = run(["node", "--version"]).stdout.strip()
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < NODE_AT_LEAST:
        yield f"Node is {said}: wrangler needs {'.'.join(map(str, NODE_AT_LEAST))} or later."
        return
    pinned = json.loads((project / "deploy/node/package.json").read_text())["dependencies"]["wrangler"]
    if not wrangler_path(project).exists():
        yield f"wrangler {pinned} is not there: npm ci --prefix deploy/node"
        return
    found = wrangler(project, "--version").stdout
    if pinned not in found.split():
        yield f"wrangler is {found.strip() or 'silent'}, not {pinned}: npm ci --prefix deploy/node"


def configuration(config: dict[str, Any]) -> Iterator[str]:
    """What is wrong with wrangler.jsonc."""
    if hyperdrive_id(config) in ("", PLACEHOLDER_ID):
        yield (
            "wrangler.jsonc has no Hyperdrive id: put in the one that "
            "`wrangler hyperdrive create … --caching-disabled` printed."
        )
    for name in config.get("vars", {}):
        if SECRET_NAME.search(name) or name in required_secrets(config):
            yield f"{name} is in vars of wrangler.jsonc, for all to read: take it out, and {put(name)}"


def account(project: Path, config: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the account: not signed in, secrets that are not set, a Hyperdrive that caches."""
    identity = wrangler(project, "whoami", "--json")
    if identity.returncode:
        yield (
            f"Nobody is signed in at Cloudflare: {WRANGLER} login, or set CLOUDFLARE_API_TOKEN. "
            f"{reason(identity)}"
        )
        return
    listed = wrangler(project, "secret", "list")
    there = {secret["name"] for secret in json_of(listed, [])}
    if listed.returncode and "not found" not in listed.stdout + listed.stderr:
        yield f"The secrets could not be listed: {reason(listed)}"
    else:
        needed = required_secrets(config)
        if "STAKEHOLD_WEBHOOK_URL" in {*config.get("vars", {}), *there}:
            needed.append("STAKEHOLD_WEBHOOK_SECRET")
        yield from (f"{name} is not set: {put(name)}" for name in needed if name not in there)
    if hyperdrive_id(config) not in ("", PLACEHOLDER_ID):
        yield from hyperdrive(project, hyperdrive_id(config))


def hyperdrive(project: Path, identifier: str) -> Iterator[str]:
    """What is wrong with the Hyperdrive."""
    asked = wrangler(project, "hyperdrive", "get", identifier)
    if asked.returncode:
        yield f"Hyperdrive {identifier} could not be looked up: {reason(asked)}"
    elif not json_of(asked, {}).get("caching", {}).get("disabled"):
        yield (
            f"Hyperdrive {identifier} caches answers, so that reads would be stale: "
            f"{WRANGLER} hyperdrive update {identifier} --caching-disabled true"
        )


def migrations() -> Iterator[str]:
    """What is wrong with the database: migrations that it lacks, or that nobody can tell."""
    if not os.environ.get("DATABASE_URL"):
        yield "DATABASE_URL is not set: name the database, with the user that migrates it, for this check."
        return
    checked = run([sys.executable, "-m", "stakehold.cli", "migrate", "--check"])
    if checked.returncode:
        yield f"The database is not up to date: stakehold migrate. {reason(checked)}"


def upload(project: Path, staged: Path, dry_run: bool) -> int:
    """Deploy what is laid out in `staged`; wrangler speaks for itself. Returns its exit status."""
    command = ["node", str(wrangler_path(project)), "deploy", "--cwd", str(staged)]
    if dry_run:
        command += ["--dry-run", "--outdir", str(project / "build" / "dry-run")]
    return subprocess.run(command, timeout=UPLOAD_TIMEOUT_S, check=False).returncode


def required_secrets(config: dict[str, Any]) -> list[str]:
    """The names of the secrets that the Worker can not do without."""
    return list(config.get("secrets", {}).get("required", []))


def hyperdrive_id(config: dict[str, Any]) -> str:
    """The id of the binding HYPERDRIVE, or nothing."""
    bindings = config.get("hyperdrive", [])
    return next((str(each["id"]) for each in bindings if each["binding"] == "HYPERDRIVE"), "")


def put(name: str) -> str:
    """The command that sets a secret."""
    return f"{WRANGLER} secret put {name}"


def wrangler_path(project: Path) -> Path:
    return project / "deploy" / "node" / "node_modules" / "wrangler" / "bin" / "wrangler.js"


def wrangler(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask wrangler something about what wrangler.jsonc of `project` names."""
    return run(["node", str(wrangler_path(project)), *arguments, "--cwd", str(project)])


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that asks nothing back; one that takes too long counts as failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} took more than {TIMEOUT_S} s")


def json_of(done: subprocess.CompletedProcess[str], otherwise: Any) -> Any:
    """The JSON at the end of what a command printed, after its banner; `otherwise` when there is none."""
    start = re.search(r"^[\[{]", done.stdout, re.MULTILINE)
    try:
        return json.loads(done.stdout[start.start() :]) if start and not done.returncode else otherwise
    except ValueError:
        return otherwise


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed, in one line of its own: the one that says ERROR, or else the last."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{done.stdout}\n{done.stderr}")
    said = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.partition("[ERROR]")[2].strip() for line in said if "[ERROR]" in line]
    return (errors or said[-1:] or [f"(exit status {done.returncode})"])[0]


if __name__ == "__main__":
    sys.exit(main())
