"""Import of what is deployed draws no entropy, opens nothing and sets no timer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bundle
from tests.support.worker import WorkerHost, WorkerStartError, running_worker

ENTRY = Path("stakehold/runtime/worker.py")
DEEP = Path("stakehold/security/tokens.py")

PLANTED = {
    "entropy": ("SystemEntropy().random_bytes(1)", "entropy: at import: random bytes"),
    "entropy of JavaScript": ("import js; js.crypto.randomUUID()", "entropy: at import: .*randomUUID"),
    "a fetch": ("import js; js.fetch('http://127.0.0.1:9/')", "fetches: at import: fetch of /"),
    "a socket": (
        "import _pyodide_entrypoint_helper as h; h.cloudflareSocketsModule.connect('127.0.0.1:9')",
        "sockets: at import: connect to port 9",
    ),
    "a timer": ("asyncio.get_event_loop().call_later(1, print)", "timers: at import: a timer of 1000 ms"),
}


def test_the_first_import_draws_and_opens_nothing(worker_host: WorkerHost) -> None:
    """A cold one, of everything that is bundled: no randomness, fetch, socket or timer, and no error."""
    startup = worker_host.startup
    print(f"import: {startup.ms:.0f} ms, WebAssembly's memory after it: {startup.heap_bytes:,} bytes")
    assert (startup.error, startup.violations) == (None, ())
    assert (startup.fetches, startup.sockets, startup.timers, startup.entropy) == (0, 0, 0, 0)


async def test_the_import_needs_no_settings(worker_host: WorkerHost) -> None:
    """They come with the first request: without any, each request is answered 503, and the log says why."""
    async with running_worker(worker_host, None, None, {"JWT_SECRET": ""}, hyperdrive=False) as service:
        for path in ("/api/plans", "/healthz"):
            answer = await service.client.get(path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
        assert "JWT_SECRET" in "".join(await service.log())


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle to plant things in."""
    directory = tmp_path_factory.mktemp("planted") / "worker"
    bundle.make(directory)
    return directory


@pytest.fixture(scope="module")
def planting_host(copy: Path) -> Iterator[WorkerHost]:
    host = WorkerHost(copy)
    host.start()
    yield host
    host.stop()


@pytest.mark.parametrize("planted", PLANTED)
async def test_what_is_planted_in_the_entry_is_found(
    planting_host: WorkerHost, copy: Path, planted: str
) -> None:
    """The same entry with one line more does not start, and it is said what was done."""
    line, expected = PLANTED[planted]
    entry = copy / ENTRY
    sound = entry.read_text()
    try:
        entry.write_text(f"{sound}\n\n{line}\n")
        with pytest.raises(WorkerStartError, match=expected):
            async with running_worker(planting_host, None, None):
                pass
        entry.write_text(sound)
        async with running_worker(planting_host, None, None) as service:
            assert service.startup.error is None
    finally:
        entry.write_text(sound)


def test_what_is_planted_deep_below_the_entry_is_found(copy: Path) -> None:
    """In a module that the entry comes to by way of others, at the first import."""
    module = copy / DEEP
    sound = module.read_text()
    module.write_text(f"{sound}\n\nimport os\n_SEED = os.urandom(8)\n")
    host = WorkerHost(copy)
    try:
        host.start()
        assert host.startup.entropy == 1
        assert host.startup.error is not None
    finally:
        host.stop()
        module.write_text(sound)
