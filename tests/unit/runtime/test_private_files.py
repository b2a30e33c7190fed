"""What is kept for its owner alone."""

import stat
from pathlib import Path

from stakehold.runtime.private_files import kept_secret


def test_a_kept_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The second call gives the first one's."""
    path = tmp_path / "secret"
    secret = kept_secret(path)
    assert len(secret) >= 32
    assert kept_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_whose_writing_was_cut_off_is_made_again(tmp_path: Path) -> None:
    """An empty file, as kill -9 or a full disk could leave, is no empty password."""
    path = tmp_path / "secret"
    path.touch()
    assert len(kept_secret(path)) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [kept.name for kept in tmp_path.iterdir()] == ["secret"]
