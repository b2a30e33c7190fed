"""What `make bench` sends by itself is what the statement takes: nothing else runs it from day to day."""

import re
from pathlib import Path

from stakehold.database.stake_creation import CREATE_KEYLESS

PEER = Path(__file__).parents[2] / "bench" / "peer" / "server.js"


def test_the_node_peer_sends_as_many_values_as_the_creation_takes() -> None:
    """It writes them down itself, in JavaScript."""
    [values] = re.findall(r"const values = \[(.*)\]", PEER.read_text())
    taken = {int(number) for number in re.findall(r"\$(\d+)", CREATE_KEYLESS["external"])}
    assert taken == set(range(1, len(values.split(", ")) + 1))
