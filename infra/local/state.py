"""`state.json`: what runs in a home, for `status`, `down` and any outside client."""

import os
from typing import Any

from infra.local import kafka, postgres, s3, services, simulators
from infra.local.home import ADMIN_EMAIL, Home, Secrets, read_json, write_json
from infra.local.ports import HOST
from infra.local.process import is_alive
from infra.local.supervisor import Phase, Unit
from libs.events.names import Service

State = dict[str, Any]


def describe(home: Home, at: dict[str, int], secrets: Secrets, units: dict[str, Unit]) -> State:
    admin_dsn = postgres.dsn(
        at[postgres.NAME], postgres.SUPERUSER, secrets.postgres[postgres.SUPERUSER]
    )
    store = s3.access(at["s3-s3"], secrets)
    return {
        "ready": all(unit.phase is Phase.READY for unit in units.values()),
        "home": str(home.root),
        "supervisor": {"pid": os.getpid()},
        "gateway_url": services.url(at, Service.GATEWAY),
        "admin": {"email": ADMIN_EMAIL, "password_file": str(home.admin_password_file)},
        "services": {
            service: _unit(units[service]) | {"url": services.url(at, service)}
            for service in Service
        },
        "kafka": _unit(units[kafka.NAME]) | {"bootstrap": f"{HOST}:{at[kafka.NAME]}"},
        "postgres": _unit(units[postgres.NAME]) | {"dsn": admin_dsn},
        "s3": _unit(units[s3.NAME])
        | {
            "endpoint": store.endpoint,
            "region": store.region,
            "bucket": store.bucket,
            "access_key": store.access_key,
            "secret_key": store.secret_key,
        },
        "simulation": _unit(units[simulators.NAME]) | {"url": simulators.url(at)},
        "mail": {"url": f"{simulators.url(at)}/mails", "files": str(simulators.mails(home))},
        "simulators": {name: {"url": each} for name, each in simulators.urls(at).items()},
        "stripe": {"webhook_secret": None},
    }


def _unit(unit: Unit) -> State:
    return {
        "ready": unit.phase is Phase.READY,
        "phase": unit.phase,
        "pid": unit.pid,
        "restarts": unit.restarts,
    }


def save(home: Home, state: State) -> None:
    """Write the file; it holds passwords and is its owner's alone."""
    write_json(home.state_file, state)


async def load(home: Home) -> State:
    """The state as of now: what the file says is taken back where nothing answers any more."""
    state: State = read_json(home.state_file)
    if not state:
        return {"ready": False, "home": str(home.root), "services": {}}
    running = home.is_locked()
    for name, part in parts_of(state).items():
        alive = running and is_alive(part["pid"])
        part["pid"] = part["pid"] if alive else None
        part["ready"] = alive and part["ready"] and await _answers(name, part)
        part["phase"] = part["phase"] if running else Phase.STOPPED
    state["ready"] = all(part["ready"] for part in parts_of(state).values())
    return state


async def _answers(name: str, part: State) -> bool:
    if name in set(Service):
        return await services.is_ready(f"{part['url']}/health/ready")
    return True


def parts_of(state: State) -> dict[str, State]:
    """Every process of the state under one roof, parts first."""
    parts = {name: state[name] for name in (postgres.NAME, kafka.NAME, s3.NAME) if name in state}
    if "simulation" in state:  # one process for all of them
        parts[simulators.NAME] = state["simulation"]
    parts.update(state["services"])
    return parts
