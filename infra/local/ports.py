"""Choice of TCP ports on the loopback interface."""

import random
import socket
from collections.abc import Callable, Collection

from infra.local.problem import Problem

HOST = "127.0.0.1"
# Below the range from which the kernel takes the ports of outgoing connections: a part that is
# restarted finds its port still free.
LOWEST = 20_000
HIGHEST = 31_999
ATTEMPTS_MAX = 2_000


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
