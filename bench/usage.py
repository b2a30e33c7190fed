"""The processor time that processes have used, from /proc: Linux alone."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_s(root: int) -> float:
    """Seconds of processor time of a process and all its descendants, those it has waited for included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(entry.parent.name)
        parents[process] = int(fields[1])
        ticks[process] = sum(int(field) for field in fields[11:15])
    return sum(used for process, used in ticks.items() if _descends(process, root, parents)) / _TICKS_A_SECOND


def _descends(process: int, root: int, parents: Mapping[int, int]) -> bool:
    while process and process != root:
        process = parents.get(process, 0)
    return process == root


class Usage:
    """What named processes use from now on."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._before_s = {name: cpu_s(root) for name, root in roots.items()}

    def us_a_request(self, requests: int) -> dict[str, float]:
        """µs of processor time a request, by name."""
        return {
            name: (cpu_s(root) - self._before_s[name]) / max(1, requests) * 1e6
            for name, root in self._roots.items()
        }
