"""Memory of a process, as the kernel counts it."""

from pathlib import Path


def resident_kb(pid: int) -> int:
    """The memory of a process that no file backs: what its heap holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = next(line for line in lines if line.startswith("RssAnon:"))
    return int(found.split()[1])
