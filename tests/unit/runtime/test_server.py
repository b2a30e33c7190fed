"""What a server process asks of the system before it serves."""

import resource

import pytest

from stakehold.runtime.http_protocol import CONNECTIONS_MAX
from stakehold.runtime.server import _raise_file_limit

NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "least"),
    [
        (1024, NO_LIMIT, CONNECTIONS_MAX + 1),
        (1024, 1_000_000, CONNECTIONS_MAX + 1),
        (1024, 2048, 2048),
        (2048, 2048, 2048),
        (100_000, 1_000_000, 100_000),
        (NO_LIMIT, NO_LIMIT, NO_LIMIT),
    ],
)
def test_every_connection_has_its_open_file_if_the_system_permits(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, least: int
) -> None:
    """The soft limit is raised as far as is needed and allowed, never lowered; the hard one is left alone."""
    limits = (soft, hard)

    def set_limits(which: int, wanted: tuple[int, int]) -> None:
        nonlocal limits
        assert which == resource.RLIMIT_NOFILE
        assert wanted[1] == hard
        assert hard == NO_LIMIT or wanted[0] <= hard
        limits = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", set_limits)
    _raise_file_limit()
    if least == soft:
        assert limits == (soft, hard)
    else:
        assert limits[0] >= least
