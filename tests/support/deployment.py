"""What tests of deployment start from: a copy of the project, and tools that say what they are told."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from deploy import bundle

NEEDED = ("src/stakehold", "requirements", "tests/worker/wheels", "build/wheels")
HYPERDRIVE_ID = "0123456789abcdef0123456789abcdef"

_FAKE_NODE = """#!{python}
import json, sys
from pathlib import Path
here = Path(__file__).parent
arguments = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
answers = json.loads((here / "answers").read_text())
said = " ".join(arguments[1:] if arguments[0].endswith(".js") else ["node", *arguments])
for start, (status, out, err) in answers.items():
    if said.startswith(start):
        print(out)
        print(err, file=sys.stderr)
        sys.exit(status)
sys.exit(f"the fake node was not told about: {{said}}")
"""


def copy_project(target: Path) -> Path:
    """Copy to `target` what a deployment is made of, with the wheels that are kept already."""
    for name in NEEDED:
        shutil.copytree(bundle.PROJECT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = (bundle.PROJECT / "wrangler.jsonc").read_text().replace("0" * 32, HYPERDRIVE_ID)
    (target / "wrangler.jsonc").write_text(config)
    return target


class FakeWrangler:
    """A `node` on PATH that answers for wrangler as a signed-in account with everything set up would."""

    def __init__(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = project / "fake-bin"
        self.directory.mkdir()
        node = self.directory / "node"
        node.write_text(_FAKE_NODE.format(python=sys.executable))
        node.chmod(0o755)
        monkeypatch.setenv("PATH", f"{self.directory}{os.pathsep}{os.environ['PATH']}")
        installed = project / "deploy" / "node"
        (installed / "node_modules" / "wrangler" / "bin").mkdir(parents=True)
        (installed / "node_modules" / "wrangler" / "bin" / "wrangler.js").touch()
        shutil.copy(bundle.PROJECT / "deploy" / "node" / "package.json", installed)
        pinned = json.loads((installed / "package.json").read_text())["dependencies"]["wrangler"]
        secrets = [{"name": name, "type": "secret_text"} for name in
                   ("JWT_SECRET", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")]  # fmt: skip
        self.answers: dict[str, tuple[int, str, str]] = {}
        self.tell("node --version", "v22.12.0")
        self.tell("--version", pinned)
        self.tell("whoami", '{"loggedIn":true}')
        self.tell("secret list", json.dumps(secrets, indent=2))
        banner = "\n ⛅️ wrangler\n────────────\n"
        self.tell("hyperdrive get", banner + json.dumps({"caching": {"disabled": True}}, indent=2))
        self.tell("deploy", "deployed")

    def tell(self, start: str, out: str = "", *, err: str = "", status: int = 0) -> None:
        """Answer commands that start with `start` so from now on."""
        self.answers[start] = (status, out, err)
        (self.directory / "answers").write_text(json.dumps(self.answers))

    def calls(self) -> list[list[str]]:
        """The arguments of every call of wrangler until now, without its own path."""
        lines = (self.directory / "calls").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [call[1:] for call in calls if call[0].endswith(".js")]
