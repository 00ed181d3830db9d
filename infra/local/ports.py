"""Choice of TCP ports on the loopback interface."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.problem import Problem

HOST = "127.0.0.1"
# Below the range from which the kernel takes the ports of outgoing connections: a part that is
# restarted finds its port still free.
LOWEST = 20_000
HIGHEST = 31_999
ATTEMPTS_MAX = 2_000


class Reserved:
    """Ports that no other home is given until this is closed, whether or not somebody listens.

    A port is bound only when its program has started, and is free again for a moment when that
    one crashes: two homes that start at once, or one that starts just then, would choose the same.
    Each port has a file that all homes of a user lock; the kernel frees it however a process ends.
    """

    def __init__(self, directory: Path | None = None) -> None:
        shared = Path(tempfile.gettempdir()) / f"daygen-ports-{os.geteuid()}"
        self._directory = directory or shared
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._held.close()

    def take(self, port: int) -> bool:
        """Whether the port is this one's from now on."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._directory / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = is_free(port)
        except BlockingIOError:
            is_ours = False
        if is_ours:
            self._held.callback(os.close, descriptor)
        else:
            os.close(descriptor)
        return is_ours


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def require_free(port: int, wanted_by: str) -> None:
    if not is_free(port):
        raise Problem(
            f"Port {port} for the {wanted_by} is in use: stop what listens there, "
            "or choose another one with --port."
        )


def choose(
    names: Collection[str],
    *,
    remembered: dict[str, int] | None = None,
    taken: Collection[int] = (),
    free: Callable[[int], bool] = is_free,
) -> dict[str, int]:
    """Give each name a free port, the remembered one where it is still free."""
    chosen: dict[str, int] = {}
    used = set(taken)
    for name in names:
        port = (remembered or {}).get(name)
        if port is None or port in used or not free(port):
            port = _random_free(used, free)
        chosen[name] = port
        used.add(port)
    return chosen


def _random_free(used: set[int], free: Callable[[int], bool]) -> int:
    for _ in range(ATTEMPTS_MAX):
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - a port number is no secret
        if port not in used and free(port):
            return port
    raise Problem(f"No free port was found between {LOWEST} and {HIGHEST} on {HOST}.")
