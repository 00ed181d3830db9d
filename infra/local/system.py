"""The whole embedded system: the parts and the services of one home under one supervisor."""

import asyncio
import shutil
import signal
import time
from dataclasses import dataclass

from infra.local import ports, services, simulators, state
from infra.local.cluster import PART_PORTS, ROLES, choose_ports, part_programs
from infra.local.home import Home, load_secrets, read_json
from infra.local.problem import Problem
from infra.local.supervisor import Phase, Report, Supervisor
from libs.events.names import Service

GATEWAY_PORT_DEFAULT = 8000
FREE_BYTES_MIN = 500 * 1024 * 1024
SILENCE_SECONDS_MAX = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Talk:
    """Reports to a person, and says what is waited for when nothing has been said for a while."""

    report: Report
    said_at: float = 0.0

    def say(self, line: str) -> None:
        self.said_at = time.monotonic()
        self.report(line)

    async def fill_silence(self, supervisor: Supervisor) -> None:
        while True:
            await asyncio.sleep(0.2)
            if time.monotonic() - self.said_at < SILENCE_SECONDS_MAX:
                continue
            starting = [n for n, u in supervisor.units.items() if u.phase is Phase.STARTING]
            others = [n for n, u in supervisor.units.items() if u.phase is Phase.WAITING]
            if names := starting or others:
                self.say(f"            waiting for {', '.join(names)} …")


def fixed_ports(home: Home, wanted: int | None) -> dict[str, int]:
    """The gateway's port, unless any will do (0)."""
    if wanted == 0:
        return {}
    port: int = wanted or read_json(home.ports_file).get(Service.GATEWAY) or GATEWAY_PORT_DEFAULT
    ports.require_free(port, "gateway")
    return {Service.GATEWAY.value: port}


def require_room(home: Home) -> None:
    free = shutil.disk_usage(home.root).free
    if free < FREE_BYTES_MIN:
        raise Problem(
            f"The disk of {home.root} is full: {free // 1024**2} MB are free and "
            f"{FREE_BYTES_MIN // 1024**2} MB are needed."
        )


async def run(home: Home, *, port: int | None, report: Report) -> None:
    """Run everything until a signal comes; returns when every process has ended."""
    with home.locked():
        require_room(home)
        with ports.Reserved() as reserved:
            await _run_locked(home, port, reserved, report)


async def _run_locked(
    home: Home, port: int | None, reserved: ports.Reserved, report: Report
) -> None:
    began = time.monotonic()
    talk = Talk(report, said_at=began)
    names = (*PART_PORTS, simulators.NAME, services.MAIL, *(s.value for s in Service))
    at = choose_ports(home, names, fixed_ports(home, port), reserved)
    secrets = load_secrets(home, ROLES)
    programs = [
        *part_programs(home, at, secrets, talk.say),
        simulators.program(home, at),
        *services.programs(home, at, secrets),
    ]

    def save_state() -> None:
        state.save(home, state.describe(home, at, secrets, supervisor.units))

    supervisor = Supervisor(programs, report=talk.say, on_change=save_state)
    save_state()
    stopping = _stop_on_signal()
    try:
        talk.say(f"Starting Postgres, Kafka, S3 and {len(Service)} services in {home.root}")
        if await _starts(supervisor, talk, stopping):
            talk.say(_welcome(home, at, time.monotonic() - began))
            await stopping.wait()
        talk.say("Stopping …")
    finally:
        ended = time.monotonic()
        await supervisor.stop()
        save_state()
    talk.say(f"Everything has ended after {time.monotonic() - ended:.1f} s.")


async def _starts(supervisor: Supervisor, talk: Talk, stopping: asyncio.Event) -> bool:
    """Whether all became ready before somebody asked to stop."""
    start = asyncio.create_task(supervisor.start())
    asked = asyncio.create_task(stopping.wait())
    filler = asyncio.create_task(talk.fill_silence(supervisor))
    try:
        await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            await start
            return True
        return False
    finally:
        for task in (start, asked, filler):
            task.cancel()
        await asyncio.gather(start, asked, filler, return_exceptions=True)


def _stop_on_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _welcome(home: Home, at: dict[str, int], seconds: float) -> str:
    return (
        f"DayGen is ready at {services.url(at, Service.GATEWAY)} after {seconds:.1f} s "
        f"(admin password: {home.admin_password_file}). Ctrl-C or `{home.command('down')}` ends it."
    )
