"""The supervisor with real processes: order, crashes, stops, leftovers."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.problem import Problem
from infra.local.process import is_alive, leftovers
from infra.local.supervisor import Phase, Supervisor
from infra.local.tests.integration.conftest import ProgramFactory

DEADLINE_SECONDS = 90.0
ROOT = Path(__file__).parents[4]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


async def test_a_program_starts_only_when_what_it_needs_is_ready(server: ProgramFactory) -> None:
    said: list[str] = []
    programs = [server("service", needs=("store",)), server("store")]
    supervisor = Supervisor(programs, report=said.append)
    await supervisor.start()
    try:
        assert [line.split()[0] for line in said] == ["store", "service"]
    finally:
        await supervisor.stop()


async def test_a_killed_program_is_reported_and_started_again(server: ProgramFactory) -> None:
    said: list[str] = []
    supervisor = Supervisor([server("ledger")], report=said.append)
    await supervisor.start()
    try:
        unit = supervisor.units["ledger"]
        first = unit.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: unit.restarts == 1 and unit.phase is Phase.READY)
        assert unit.pid not in {None, first}
        crash, back = said[1:]
        assert crash == "ledger ended (killed by SIGKILL): starting it again in 0.1 s"
        assert back.startswith("ledger is back after")
    finally:
        await supervisor.stop()


async def test_a_watcher_outlives_a_question_that_fails_and_a_state_that_cannot_be_saved(
    server: ProgramFactory,
) -> None:
    """A full disk, or an answer that nobody has thought of, must not end the watching."""
    full: list[Exception] = []
    strange: list[Exception] = []

    def save() -> None:
        if full:
            raise full.pop()

    program = server("ledger")

    async def ready() -> bool:
        if strange:
            raise strange.pop()
        return await program.ready()

    said: list[str] = []
    supervisor = Supervisor([replace(program, ready=ready)], report=said.append, on_change=save)
    await supervisor.start()
    try:
        unit = supervisor.units["ledger"]
        strange.append(ValueError("no answer of ours"))
        full.append(OSError(28, "No space left on device"))
        assert unit.pid is not None
        os.kill(unit.pid, signal.SIGKILL)
        await until(lambda: unit.restarts == 1 and unit.phase is Phase.READY)
        assert not full
        assert not strange
        assert any("No space left on device" in line for line in said)
    finally:
        await supervisor.stop()


async def test_a_stop_leaves_no_process(server: ProgramFactory) -> None:
    programs = [server("store"), server("service", needs=("store",))]
    supervisor = Supervisor(programs, report=lambda _: None)
    await supervisor.start()
    pids = [unit.pid for unit in supervisor.units.values()]
    await supervisor.stop()
    assert not any(is_alive(pid) for pid in pids)
    assert {unit.phase for unit in supervisor.units.values()} == {Phase.STOPPED}


async def test_a_program_that_does_not_listen_to_a_stop_is_killed(server: ProgramFactory) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    source = server("deaf").argv[2]
    supervisor = Supervisor([server("deaf", script=deaf + source)], report=lambda _: None)
    await supervisor.start()
    pid = supervisor.units["deaf"].pid
    await supervisor.stop()
    assert not is_alive(pid)


async def test_a_program_that_ends_at_its_start_is_a_problem_and_stops_the_rest(
    server: ProgramFactory,
) -> None:
    broken = server("broken", script="raise SystemExit('ERROR: no such setting')")
    supervisor = Supervisor([server("store"), broken], report=lambda _: None)
    with pytest.raises(Problem, match=r"broken ended at its start \(exit code 1\).*no such"):
        await supervisor.start()
    assert not any(leftovers(unit.program) for unit in supervisor.units.values())


async def test_leftovers_of_a_killed_supervisor_are_ended_by_the_next_one(
    server: ProgramFactory,
) -> None:
    program = server("ledger")
    program.directory.mkdir()
    orphan = await asyncio.create_subprocess_exec(*program.argv, cwd=program.directory)
    await until(lambda: leftovers(program) == [orphan.pid])
    supervisor = Supervisor([program], report=lambda _: None)
    await supervisor.start()
    try:
        assert await orphan.wait() == -signal.SIGKILL
    finally:
        await supervisor.stop()


SUPERVISE = """
import asyncio, sys
from pathlib import Path
from infra.local.process import Program
from infra.local.supervisor import Supervisor

async def ready():
    return True

async def main():
    program = Program(
        name="sleeper", argv=(sys.executable, "-c", "import time; time.sleep(600)"),
        directory=Path(sys.argv[1]), log=Path(sys.argv[1]) / "log", ready=ready,
    )
    supervisor = Supervisor([program], report=lambda _: None)
    await supervisor.start()
    print(supervisor.units["sleeper"].pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_killing_the_supervisor_ends_its_processes(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISE, str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert supervisor.stdout is not None
        child = int(await supervisor.stdout.readline())
        assert is_alive(child)
    finally:
        supervisor.kill()
        await supervisor.communicate()
    await until(lambda: not is_alive(child))
