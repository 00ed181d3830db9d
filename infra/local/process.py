"""Starting, watching and ending one process so that none outlives its supervisor (Linux)."""

import asyncio
import ctypes
import json
import os
import pwd
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.problem import Problem

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
UNPRIVILEGED_USER = "nobody"

_libc = ctypes.CDLL(None, use_errno=True)


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the supervisor runs: a command line, and how to know that it works."""

    name: str
    argv: tuple[str, ...]
    # Its own working directory is also the mark by which leftovers are recognised.
    directory: Path
    log: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    # Files it makes outside its directory and does not always remove.
    litter: tuple[Path, ...] = ()
    needs: tuple[str, ...] = ()
    # Before the first start: files, formats, downloads.
    prepare: Callable[[], Awaitable[None]] = _nothing
    # After the program is ready for the first time: roles, topics, buckets.
    settle: Callable[[], Awaitable[None]] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 15.0
    # What the kernel sends when the supervisor itself is killed.
    death_signal: signal.Signals = signal.SIGKILL
    start_timeout_seconds: float = 60.0
    refuses_root: bool = False


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def unprivileged_ids() -> tuple[int, int] | None:
    """Whom a program that refuses root runs as; None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise Problem(
            f"Postgres refuses to run as root and there is no user {UNPRIVILEGED_USER!r} "
            "to run it as: start DayGen as an ordinary user."
        ) from None
    return entry.pw_uid, entry.pw_gid


def _become(uid: int, gid: int) -> None:
    """Stop being root, yet still reach files in directories that only root may enter.

    So no directory above the home has to be opened to others and no user has to be made.
    """
    _libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    mask = 1 << CAP_DAC_OVERRIDE
    data = (_CapabilityData * 2)(_CapabilityData(mask, mask, mask), _CapabilityData(0, 0, 0))
    _libc.capset(ctypes.byref(header), ctypes.byref(data))
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def _before_exec(
    death_signal: signal.Signals, ids: tuple[int, int] | None, supervisor: int
) -> Callable[[], None]:
    def prepare_child() -> None:
        if ids is not None:
            _become(*ids)
        # After the change of user, which clears it.
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != supervisor:  # it died between fork and prctl
            os._exit(1)

    return prepare_child


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """Start the program in a session of its own, so that Ctrl-C reaches the supervisor alone."""
    program.directory.mkdir(parents=True, exist_ok=True)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    ids = unprivileged_ids() if program.refuses_root else None
    with program.log.open("ab") as log:
        try:
            return await asyncio.create_subprocess_exec(
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.directory,
                env=dict(program.environment),
                start_new_session=True,
                preexec_fn=_before_exec(program.death_signal, ids, os.getpid()),
            )
        except OSError as error:
            raise Problem(f"{program.name} could not be started: {error}.") from error


async def run_once(
    argv: tuple[str, ...], *, environment: Mapping[str, str], as_unprivileged: bool = False
) -> None:
    """Run a set-up command to its end; its last line becomes the problem if it fails."""
    ids = unprivileged_ids() if as_unprivileged else None
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        preexec_fn=_before_exec(signal.SIGKILL, ids, os.getpid()),
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        reason = telling_line(output.decode(errors="replace"))
        raise Problem(f"{Path(argv[0]).name} failed ({describe(process.returncode)}): {reason}")


async def stop(process: asyncio.subprocess.Process, program: Program) -> None:
    """Ask, then after the program's time insist."""
    if process.returncode is None:
        _signal(process, program.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), program.stop_timeout_seconds)
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()
    await end_leftovers(program)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it may end by itself in this very moment
        process.send_signal(number)


def leftovers(program: Program) -> list[int]:
    """Processes of this program that nobody watches: same executable, same working directory."""
    executable = Path(program.argv[0]).resolve()
    directory = program.directory.resolve()
    return [
        pid
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        if pid != os.getpid() and _link(pid, "cwd") == directory and _link(pid, "exe") == executable
    ]


def _link(pid: int, name: str) -> Path | None:
    try:
        return Path(f"/proc/{pid}/{name}").readlink()
    except OSError:
        return None


async def end_leftovers(program: Program, *, patience_seconds: float = 3.0) -> int:
    """Wait for leftovers to go (Postgres' children follow their postmaster), then kill them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    found = leftovers(program)
    count = len(found)
    for pid in found:
        _kill(pid, program.death_signal)
    while found := leftovers(program):
        if loop.time() > deadline:
            for pid in found:
                _kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.02)
    for file in program.litter:
        file.unlink(missing_ok=True)
    return count


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


def describe(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "still running"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


TELLING = re.compile(r"No space left|in use|FATAL|PANIC|[Ee]rror|ERROR|denied|Exception")


def telling_line(output: str) -> str:
    """The last line that names a trouble, else the last one."""
    said = "\n".join(_said(line) for line in output.splitlines())
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no output"]
    return next((line for line in reversed(lines) if TELLING.search(line)), lines[-1])


def _said(line: str) -> str:
    """What a line of a service's log tells: a traceback stands in one line of JSON."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    event = record.get("event") if isinstance(record, dict) else None
    return event if isinstance(event, str) else line


def last_output(log: Path, bytes_max: int = 32768) -> str:
    try:
        return log.read_bytes()[-bytes_max:].decode(errors="replace")
    except OSError:
        return ""
