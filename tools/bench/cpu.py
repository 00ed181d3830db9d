"""CPU time of processes and their children, from /proc."""

import os
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the name, which stands in brackets and may hold blanks.
PARENT, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """What each of the processes has spent so far, its children's time included."""
    stats = dict(_stats())
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[PARENT]), []).append(pid)
    return {name: _spent(pid, stats, children) for name, pid in pids.items()}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before if name in after}


def _stats() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            found.append((int(entry.name), line.rpartition(")")[2].split()))
    return found


def _spent(pid: int, stats: dict[int, list[str]], children: dict[int, list[int]]) -> float:
    fields = stats.get(pid)
    if fields is None:
        return 0.0
    ticks = sum(int(fields[at]) for at in (USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM))
    return ticks / TICKS + sum(_spent(child, stats, children) for child in children.get(pid, ()))
