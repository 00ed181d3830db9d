"""Look at the messages that consumers have parked; redrive or discard them."""

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from infra.local.problem import Problem
from libs.events.names import Service
from tools.admin_session import run_as_admin
from tools.api_client import ApiClient, ApiError, Json
from tools.places import add_home
from tools.times import moment_argument

ADDRESS = "/api/admin/dead-letters"
EXIT_STILL_PARKED = 1

Rows = list[tuple[str, Json]]  # (service, row)


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, summary in (
        ("list", "Open rows, the oldest of each service first."),
        ("show", "One row with its message."),
        ("redrive", "Run the consumer's handler again; a dry run without --yes."),
        ("discard", "Give messages up, for a reason; a dry run without --yes."),
    ):
        child = commands.add_parser(name, help=summary, description=summary)
        add_home(child)
        child.add_argument("--json", action="store_true", help="for programs")
        child.add_argument(
            "id", nargs=None if name == "show" else "*", type=UUID, help="rows, by their ids"
        )
        if name != "show":
            _add_filters(child)
        if name in {"redrive", "discard"}:
            child.add_argument("--yes", action="store_true", help="do it")
        if name == "discard":
            child.add_argument("--why", required=True, help="the reason, kept with the row")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--service",
        "--consumer",
        type=_service,
        help="only what this service's consumer has parked: ledger, or daygen.ledger",
    )
    parser.add_argument("--type", help="only events of this type")
    parser.add_argument("--reason", help="only what was parked for this reason")
    parser.add_argument(
        "--since", type=moment_argument, help="an age (90s, 15m, 2h, 3d) or ISO 8601"
    )
    parser.add_argument("--until", type=moment_argument, help="the same")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if something is parked still although it was to be redriven or discarded."""
    work: Mapping[str, Callable[[ApiClient, argparse.Namespace], Awaitable[int]]] = {
        "list": _list,
        "show": _show,
        "redrive": _act,
        "discard": _act,
    }
    return run_as_admin(arguments, work[arguments.subcommand])


async def _list(client: ApiClient, arguments: argparse.Namespace) -> int:
    rows = await _find(client, arguments)
    if arguments.json:
        print(json.dumps([{"service": service, **row} for service, row in rows], indent=2))
    else:
        print(_table(rows))
    return 0


async def _show(client: ApiClient, arguments: argparse.Namespace) -> int:
    service, row = await _find_one(client, arguments.id)
    row = {"service": service, **row}
    if not arguments.json and row["text"] is not None:
        row["text"] = _readable(row["text"])
    print(json.dumps(row, indent=2, ensure_ascii=False))
    return 0


async def _act(client: ApiClient, arguments: argparse.Namespace) -> int:
    """Each head once: what waits behind it follows by itself."""
    rows = await _find(client, arguments)
    heads = {row["headId"]: service for service, row in rows}
    results = [await _act_on(client, arguments, heads[head], head) for head in heads]
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        print(_report(results, arguments))
    is_done = all(
        "error" not in result and all(step["outcome"] != "still_parked" for step in result["steps"])
        for result in results
    )
    return 0 if is_done else EXIT_STILL_PARKED


async def _act_on(
    client: ApiClient, arguments: argparse.Namespace, service: str, parked_id: str
) -> Json:
    body: Json = {"dryRun": not arguments.yes}
    if arguments.subcommand == "discard":
        body["reason"] = arguments.why
    path = f"{ADDRESS}/{service}/{parked_id}/{arguments.subcommand}"
    result: Json = {"service": service, "parkedId": parked_id}
    try:
        return result | await client.call("POST", path, json=body)
    except ApiError as error:
        if error.status >= 500:
            raise
        return result | {"dryRun": body["dryRun"], "steps": [], "error": str(error)}


async def _find(client: ApiClient, arguments: argparse.Namespace) -> Rows:
    """The rows with the given ids, or all that the filters let through."""
    if arguments.id:
        return [await _find_one(client, parked_id) for parked_id in arguments.id]
    wanted = {
        "type": arguments.type,
        "reason": arguments.reason,
        "since": arguments.since,
        "until": arguments.until,
    }
    query = {name: value for name, value in wanted.items() if value is not None}
    services = [arguments.service] if arguments.service else list(Service)
    return [
        (service.value, row)
        for service in services
        for row in await _pages(client, f"{ADDRESS}/{service.value}", query)
    ]


async def _pages(client: ApiClient, path: str, query: Mapping[str, str]) -> list[Json]:
    rows: list[Json] = []
    cursor = "0"
    while cursor:
        answer = await client.call("GET", f"{path}?{urlencode({**query, 'cursor': cursor})}")
        rows += answer["items"]
        cursor = answer["nextCursor"]
    return rows


async def _find_one(client: ApiClient, parked_id: UUID) -> tuple[str, Json]:
    for service in Service:
        status, row = await client.answer("GET", f"{ADDRESS}/{service.value}/{parked_id}")
        if status == 200:
            return service.value, row
        if status != 404:
            raise ApiError(status, row)
    raise Problem(f"No service has parked a message {parked_id}: list them first.")


def _table(rows: Rows) -> str:
    if not rows:
        return "Nothing is parked."
    lines = [f"{'id':<36}  {'parked at':<19}  {'service':<10}  {'type':<33}  reason"]
    for service, row in rows:
        at = row["parkedAt"][:19]
        what = row["eventType"] or "-"
        why = f"{row['reason']}: {row['detail']}"
        lines.append(f"{row['parkedId']}  {at:<19}  {service:<10}  {what:<33}  {why}")
    return "\n".join(lines)


def _report(results: Sequence[Json], arguments: argparse.Namespace) -> str:
    if not results:
        return "Nothing is parked that fits."
    lines = []
    for result in results:
        if "error" in result:
            lines.append(
                f"{result['parkedId']}  {result['service']:<10}  refused: {result['error']}"
            )
        for step in result["steps"]:
            why = f" ({step['reason']}: {step['detail']})" if step["reason"] else ""
            what = step["eventType"] or "-"
            lines.append(
                f"{step['parkedId']}  {result['service']:<10}  {what}: {step['outcome']}{why}"
            )
    if not arguments.yes:
        lines.append("This was a dry run, nothing has changed: add --yes to do it.")
    return "\n".join(lines)


def _readable(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _service(text: str) -> Service:
    try:
        return Service(text.removeprefix("daygen."))
    except ValueError:
        known = ", ".join(Service)
        raise argparse.ArgumentTypeError(f"the services are {known}") from None
