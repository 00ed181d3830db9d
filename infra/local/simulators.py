"""The simulators of picture providers as one program: they stand in where no key is set."""

import os
import sys
from pathlib import Path

from infra.local.home import Home
from infra.local.ports import HOST
from infra.local.process import Program
from infra.local.services import MAIL, SIMULATORS, is_ready
from infra.simulators.app import NAMES as PROVIDERS

NAME = SIMULATORS
ROOT = Path(__file__).parents[2]


def url(at: dict[str, int]) -> str:
    return f"http://{HOST}:{at[NAME]}"


def urls(at: dict[str, int]) -> dict[str, str]:
    """The base address of each provider's simulator."""
    return {name: f"{url(at)}/{name}" for name in PROVIDERS}


def mails(home: Home) -> Path:
    """Where the mails of a home are kept."""
    return home.root / "mails"


def program(home: Home, at: dict[str, int]) -> Program:
    async def ready() -> bool:
        return await is_ready(f"{url(at)}/health/ready")

    return Program(
        name=NAME,
        argv=(
            *(sys.executable, "-m", "infra.simulators", "--port", str(at[NAME])),
            *("--mail-port", str(at[MAIL]), "--mails", str(mails(home))),
        ),
        directory=home.root / "run" / NAME,
        log=home.log(NAME),
        environment=dict(os.environ) | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        ready=ready,
    )
