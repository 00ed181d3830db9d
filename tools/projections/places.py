"""Where the services' databases and streams are, and what each service says of its projection."""

import importlib
import logging
import os
import sys
from typing import Final
from urllib.parse import urlsplit

import structlog

from infra.local.home import Home, read_json
from infra.local.problem import Problem
from infra.local.state import State
from libs.events.names import Service
from libs.runtime.rebuild.projection import Projection

PROJECTIONS: Final = {service.value: (service, "PROJECTION") for service in Service} | {
    "log": (Service.LEDGER, "LOG"),
    "trail": (Service.LEDGER, "TRAIL"),
}
"""Each by its name: whose it is, and what that service's rebuild.py calls it."""


def projection_of(name: str) -> Projection:
    """What a service's rebuild.py declares."""
    service, constant = PROJECTIONS[name]
    module = importlib.import_module(f"services.{service.value}.rebuild")
    found: Projection = getattr(module, constant)
    return found


def log_to_stderr() -> None:
    """Standard output is the report's; the libraries' own remarks are for whoever debugs them."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def dsn_of(home: Home, now: State, service: Service) -> str:
    """The service's own role; what the environment says wins, as for the service itself.

    Raises:
        Problem: the home has no such role.
    """
    given = os.environ.get(f"{service.upper()}_DATABASE_DSN")
    if given:
        return given
    password = read_json(home.secrets_file).get("postgres", {}).get(service.value)
    if password is None:
        raise Problem(f"{home.secrets_file} has no password of {service}: restore it.")
    server = urlsplit(now["postgres"]["dsn"])
    role = f"{service.value}:{password}@{server.hostname}:{server.port}"
    return str(server._replace(netloc=role).geturl())


def check_running(home: Home, now: State) -> None:
    """Services may be down; what their tables and streams are in may not.

    Raises:
        Problem: it is.
    """
    for part in ("postgres", "kafka"):
        if not now.get(part, {}).get("ready"):
            up = home.command("up")
            raise Problem(f"{part} of {home.root} does not run: start it with `{up}`.")
