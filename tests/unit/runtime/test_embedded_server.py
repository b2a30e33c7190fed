"""What embedded servers rest on: ports, logs, and the processes of before."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stakehold.runtime import embedded_server


def test_a_log_that_is_gone_says_nothing(tmp_path: Path) -> None:
    """What was to be told is still told, without it."""
    assert embedded_server.tail(tmp_path / "valkey.log") == ""


def test_ports_that_are_taken_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a free one is told so, after a bounded search."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(embedded_server, "_PORTS", range(port, port + 1))
        with pytest.raises(embedded_server.EmbeddedServerError, match="No TCP port is free"):
            embedded_server.free_port()
    assert embedded_server.free_port() == port


@pytest.mark.parametrize("kept", ["", "nonsense", "65536", "0"])
def test_a_kept_port_that_is_none_is_chosen_anew(tmp_path: Path, kept: str) -> None:
    """Whatever stands in the file, the start goes on."""
    path = tmp_path / "valkey-port"
    path.write_text(kept)
    port = embedded_server.kept_port(path)
    assert path.read_text() == str(port)
    assert embedded_server.kept_port(path) == port


def test_a_process_id_that_is_none_is_nobodys(tmp_path: Path) -> None:
    """A file that was cut off in its writing names no process to stop."""
    for said in ("", "nonsense\n"):
        (tmp_path / "pid").write_text(said)
        embedded_server.stop_left_over(tmp_path / "pid", tmp_path, signal.SIGTERM)


def test_where_there_is_no_proc_ps_names_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the command line of a process that runs, and nothing of one that does not."""
    if not Path("/bin/ps").exists():
        pytest.skip("there is no ps")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with monkeypatch.context() as patched:
            patched.setattr(
                embedded_server, "Path", lambda path: Path(str(path).replace("/proc", "/no-proc"))
            )
            assert "time.sleep(60)" in embedded_server._command_of(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()
    assert embedded_server._command_of(stranger.pid) == ""


def test_elsewhere_than_on_linux_children_are_started_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is arranged that the system does not have; the next start stops what was left over."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert embedded_server.die_with_parent(signal.SIGTERM) is None
