"""Run the Worker on this machine, in Cloudflare's own runtime: `make worker-dev`.

It takes UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN and DATABASE_URL from the environment; the last may
be left out while `stakehold dev` runs here. At its first start wrangler fetches the runtime's Python from
Cloudflare, so this does not work offline.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.bundle import PROJECT, BundleError
from deploy.deploy import required_secrets, tools, wrangler_path
from deploy.stage import read_config, stage
from stakehold.runtime.dev import with_running_dev


def main(arguments: Sequence[str] | None = None, project: Path = PROJECT) -> int:
    """Lay everything out and have wrangler serve it, with these arguments; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    environ = dict(with_running_dev(os.environ))
    environ.setdefault("JWT_SECRET", secrets.token_urlsafe(32))
    needed = ["DATABASE_URL", *required_secrets(read_config(project / "wrangler.jsonc"))]
    refusals = [*tools(project), *(f"{name} is not set." for name in needed if not environ.get(name))]
    if refusals:
        print("The Worker was not started:", *(f"  - {each}" for each in refusals), sep="\n", file=sys.stderr)
        return 1
    try:
        staged = stage(project)
    except BundleError as error:
        print(f"The Worker was not started: {error}", file=sys.stderr)
        return 1
    write_secrets(staged / ".dev.vars", {name: environ[name] for name in needed[1:]})
    environ["CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE"] = environ.pop("DATABASE_URL")
    command = ["node", str(wrangler_path(project)), "dev", "--cwd", str(staged), *given]
    return subprocess.run(command, env=environ, check=False).returncode


def write_secrets(path: Path, values: Mapping[str, str]) -> None:
    """Write what `wrangler dev` gives the Worker as secrets; only its owner can read it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())


if __name__ == "__main__":
    sys.exit(main())
