"""The three parts (Postgres, Kafka, S3) of one home, for the supervisor and for tests."""

import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local import kafka, ports, postgres, s3
from infra.local.home import Home, Secrets, load_secrets, read_json, write_json
from infra.local.ports import HOST
from infra.local.process import Program
from infra.local.supervisor import Phase, Report, Supervisor
from libs.events.names import Service

PART_PORTS = (postgres.NAME, kafka.NAME, "kafka-controller", *s3.PORTS)
ROLES = (postgres.SUPERUSER, *Service)


def choose_ports(
    home: Home, names: tuple[str, ...], fixed: dict[str, int], reserved: ports.Reserved
) -> dict[str, int]:
    """Ports of this home: the given ones, then those of its last run, then free ones."""
    remembered = read_json(home.ports_file)
    others = [name for name in names if name not in fixed]
    chosen = fixed | ports.choose(
        others, remembered=remembered, taken=fixed.values(), free=reserved.take
    )
    write_json(home.ports_file, chosen)
    return chosen


def part_programs(
    home: Home, at: dict[str, int], secrets: Secrets, report: Report, *, is_durable: bool = True
) -> list[Program]:
    return [
        postgres.program(home, at[postgres.NAME], secrets.postgres, is_durable=is_durable),
        kafka.program(home, at[kafka.NAME], at["kafka-controller"], report),
        s3.program(home, at, secrets),
    ]


class LocalCluster:
    """`async with LocalCluster(path) as cluster`: real parts, gone when the block ends.

    What nobody will read after it need not be durable: that saves the waits for the disk.
    """

    def __init__(
        self, root: Path, *, is_durable: bool = True, report: Report = lambda _: None
    ) -> None:
        self.home = Home(root.resolve())
        self.home.make()
        self.secrets = load_secrets(self.home, ROLES)
        self._reserved = ports.Reserved()
        self.ports = choose_ports(self.home, PART_PORTS, {}, self._reserved)
        programs = part_programs(self.home, self.ports, self.secrets, report, is_durable=is_durable)
        self.supervisor = Supervisor(programs, report=report)

    async def __aenter__(self) -> Self:
        try:
            await self.supervisor.start()
        except BaseException:
            self._reserved.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.supervisor.stop()
        finally:
            self._reserved.close()

    @property
    def kafka_bootstrap(self) -> str:
        return f"{HOST}:{self.ports[kafka.NAME]}"

    @property
    def s3(self) -> s3.S3Access:
        return s3.access(self.ports["s3-s3"], self.secrets)

    def postgres_dsn(
        self, user: str = postgres.SUPERUSER, database: str = postgres.DATABASE
    ) -> str:
        """A service's name as user gives that service's role."""
        password = self.secrets.postgres[user]
        return postgres.dsn(self.ports[postgres.NAME], user, password, database)

    def pid(self, name: str) -> int | None:
        return self.supervisor.units[name].pid

    def kill(self, name: str) -> None:
        """Kill a part as a crash would; the supervisor starts it again."""
        if (pid := self.pid(name)) is not None:
            os.kill(pid, signal.SIGKILL)

    def is_ready(self, name: str) -> bool:
        return self.supervisor.units[name].phase is Phase.READY
