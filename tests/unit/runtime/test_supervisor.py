"""What no whole program shows in time: a server that does not stop, an address that is refused."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from stakehold.runtime import supervisor
from stakehold.runtime.embedded_server import EmbeddedServerError
from stakehold.runtime.supervisor import PortBusyError, ServerChild, Supervisor, listen

STUBBORN = """#!{python}
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(sys.argv[sys.argv.index("--ready") + 1]), b"1")
time.sleep(60)
"""


def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server does with SIGTERM, a stop ends."""
    program = tmp_path / "stubborn"
    program.write_text(STUBBORN.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(supervisor, "KILL_AFTER_S", 0.0)
    with listen("127.0.0.1", 0) as listener:
        child = ServerChild(1, listener, dict(os.environ), production=False, stop_s=0.1)
        child.start()
        assert child.wait_until_ready()
        child.stop()
    assert child.exit_status == -signal.SIGKILL


def test_a_server_that_was_never_started_stops() -> None:
    """A start that was cut off leaves such children behind."""
    with listen("127.0.0.1", 0) as listener:
        child = ServerChild(1, listener, {}, production=False, stop_s=0.1)
        child.stop()
        assert not child.is_alive()
        assert child.exit_status is None


def test_a_port_that_somebody_has_is_told_apart_from_an_address_that_is_not_ours() -> None:
    """The first is put right by PORT, the second is not."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortBusyError):
            listen("127.0.0.1", other.getsockname()[1])
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", 0)


class Store:
    """A child that has ended and starts again at the third attempt, after which we are told to stop."""

    name = "store"

    def __init__(self) -> None:
        self.outcomes: list[Exception | None] = [EmbeddedServerError("its log"), OSError("no memory"), None]
        self.runs = False

    def start(self) -> None:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.runs = True
        os.kill(os.getpid(), signal.SIGTERM)

    def is_alive(self) -> bool:
        return self.runs

    def stop(self) -> None:
        self.runs = False


def test_what_does_not_start_again_is_tried_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure is announced with its reason, and ends neither the watch nor the other children."""
    monkeypatch.setattr(supervisor, "POLL_S", 0.001)
    monkeypatch.setattr(supervisor, "BACKOFF_BASE_S", 0.001)
    store = Store()
    said: list[str] = []
    with listen("127.0.0.1", 0) as listener:
        watcher = Supervisor((store,), (), listener, said.append, drain_s=0.0)
        with watcher.signals():
            assert watcher.watch() == 0
            assert store.runs
            watcher.stop()
    assert not store.runs
    again = "store ended; starting it again"
    assert said == [again, "store did not start: its log", again, "store did not start: no memory", again]
