"""Makes the virtual environment from the hashed locks; runs before anything is installed.

Standard library only: `./daygen` calls it with whatever Python it has found.
"""

import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = tuple(ROOT / "requirements" / f"{name}.txt" for name in ("runtime", "local", "dev"))
FREE_BYTES_MIN = 1_500 * 1024 * 1024
UNREACHABLE = (
    "name resolution",
    "NewConnectionError",
    "Network is unreachable",
    "ConnectTimeout",
    "ProxyError",
    "Connection refused",
    "Read timed out",
)
EXIT_PROBLEM = 2


class InstallProblem(Exception):
    """One sentence for a person."""


def main(venv: Path, pinned: str) -> int:
    try:
        with one_at_a_time():
            if not is_current(venv, pinned):
                install(venv, pinned)
    except InstallProblem as problem:
        print(f"daygen: {problem}", file=sys.stderr)
        return EXIT_PROBLEM
    except OSError as error:
        print(f"daygen: {venv} cannot be made: {error}.", file=sys.stderr)
        return EXIT_PROBLEM
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two first runs in one clone: the second waits and finds the work done."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_current(venv: Path, pinned: str) -> bool:
    try:
        return (venv / ".pinned").read_text() == pinned
    except OSError:
        return False


def install(venv: Path, pinned: str) -> None:
    began = time.monotonic()
    require_means(venv)
    packages = len({name for lock in LOCKS for name in pins(lock.read_text())})
    print(f"Installing {packages} pinned packages into {venv} (once; about a minute)", flush=True)
    (venv / ".pinned").unlink(missing_ok=True)
    make_venv(venv)
    pip_install(venv, packages)
    # The repository is the source of `services`, `libs`, `infra` and `tools`: no copy, no build.
    # The scheme is named, since a distribution's own default may put packages elsewhere.
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(venv)}))
    (site / "daygen.pth").write_text(f"{ROOT}\n")
    (venv / ".pinned").write_text(pinned)
    print(f"Installed after {time.monotonic() - began:.0f} s", flush=True)


def require_means(venv: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise InstallProblem(
            "This Python cannot make virtual environments: install its venv package "
            "(on Debian: python3-venv) and run this again."
        )
    free = shutil.disk_usage(venv.parent).free
    if free < FREE_BYTES_MIN:
        raise InstallProblem(full_disk(venv.parent))


def full_disk(place: Path) -> str:
    return f"The disk of {place} is full: free {FREE_BYTES_MIN // 1024**2} MB and run this again."


def pins(lock: str) -> list[str]:
    """Names of a lock's packages that this platform takes."""
    return [
        line.partition("==")[0]
        for line in lock.splitlines()
        if "==" in line and not line.startswith(" ") and "sys_platform == 'win32'" not in line
    ]


def make_venv(venv: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise InstallProblem(explain(result.stdout + result.stderr, venv))


def pip_install(venv: Path, packages: int) -> None:
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--require-hashes"]
    # The locks are complete: nothing is left to resolve, and nothing is built here.
    command += ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    for lock in LOCKS:
        command += ["--requirement", str(lock)]
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        progress = Progress(packages)
        for line in pip.stdout or ():
            lines.append(line)
            progress.see(line)
        progress.end()
    if pip.returncode != 0:
        raise InstallProblem(explain("".join(lines), venv))


class Progress:
    """One line that moves on a terminal; elsewhere a line every few seconds."""

    def __init__(self, packages: int) -> None:
        self._packages = packages
        self._fetched = 0
        self._moves = sys.stdout.isatty()
        self._shown_at = time.monotonic()

    def see(self, line: str) -> None:
        words = line.split()
        if line.startswith("Collecting "):
            self._fetched += 1
            self._show(f"  {self._fetched} of {self._packages}: {words[1].partition('=')[0]}")
        elif line.startswith("Installing collected packages"):
            self._show("  unpacking all of them", at_once=True)

    def _show(self, text: str, *, at_once: bool = False) -> None:
        if self._moves:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif at_once or time.monotonic() - self._shown_at > 3:
            self._shown_at = time.monotonic()
            print(text, flush=True)

    def end(self) -> None:
        if self._moves:
            print("\r\x1b[K", end="", flush=True)


def explain(output: str, venv: Path) -> str:
    """What went wrong, in one sentence, from pip's or venv's many lines."""
    if "No space left on device" in output:
        return full_disk(venv.parent)
    if any(sign in output for sign in UNREACHABLE):
        return "The package index cannot be reached: check the network and run this again."
    if "DO NOT MATCH THE HASHES" in output:
        return "A downloaded package is not the pinned one (its hash differs): nothing was used."
    for line in output.splitlines():
        if "No matching distribution found for" in line:
            name = line.split("found for")[1].split()[0]
            machine = f"{platform.system()} {platform.machine()}"
            version = platform.python_version()
            return f"There is no wheel of {name} for Python {version} on {machine}."
    last = (output.strip().splitlines() or ["no output"])[-1]
    return f"The packages could not be installed: {last}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
