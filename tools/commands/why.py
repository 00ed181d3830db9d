"""Tell in words why something was charged, failed or happened: of a job, a person or a time."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from infra.local.problem import Problem
from tools.admin_session import run_as_admin
from tools.api_client import ApiClient, Json
from tools.places import add_home
from tools.times import moment, span

EXIT_NOTHING = 1
AROUND = timedelta(minutes=5)
LIMIT = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--job", type=UUID, metavar="ID", help="everything that this job led to")
    parser.add_argument("--user", type=UUID, metavar="ID", help="what this person did or was told")
    parser.add_argument("--workspace", type=UUID, metavar="ID", help="the same of a workspace")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help='what happened then: "yesterday 14:32", "14:32", "15m ago" or ISO 8601; '
        "without a zone, in this machine's",
    )
    parser.add_argument("--around", metavar="SPAN", help="how far from --at: 90s, 2h (default: 5m)")
    parser.add_argument("--failed", action="store_true", help="jobs that failed, and nothing else")
    parser.add_argument(
        "--limit", type=int, default=LIMIT, help=f"how many, the newest first (default: {LIMIT})"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_home(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if nothing is found, 2 if the gateway refuses."""
    asked = query_of(arguments, datetime.now().astimezone())

    async def work(client: ApiClient, arguments: argparse.Namespace) -> int:
        if arguments.job is not None:
            stories = [await client.call("GET", f"/api/jobs/{arguments.job}/why")]
        else:
            answer = await client.call("GET", f"/api/admin/why?{urlencode(asked)}")
            stories = answer["items"]
        print(json.dumps(stories, indent=2) if arguments.json else _text(stories))
        return 0 if stories else EXIT_NOTHING

    return run_as_admin(arguments, work)


def query_of(arguments: argparse.Namespace, now: datetime) -> dict[str, Any]:
    """What the gateway is asked for.

    Raises:
        Problem: the arguments do not go together, or a time is none.
    """
    others = (arguments.user, arguments.workspace, arguments.at)
    if arguments.job is not None and (any(others) or arguments.failed):
        raise Problem("--job says it all: give it alone.")
    if arguments.around and not arguments.at:
        raise Problem("--around says how far from --at: give both.")
    asked: dict[str, Any] = {"limit": arguments.limit}
    if arguments.user is not None:
        asked["userId"] = str(arguments.user)
    if arguments.workspace is not None:
        asked["workspaceId"] = str(arguments.workspace)
    if arguments.failed:
        asked["failed"] = "true"
    if arguments.at:
        at = moment(arguments.at, now)
        around = span(arguments.around) if arguments.around else AROUND
        asked |= {"since": (at - around).isoformat(), "until": (at + around).isoformat()}
    return asked


def _text(stories: list[Json]) -> str:
    if not stories:
        return "Nothing like that happened: ask for another time or person."
    return "\n\n".join(map(_story, stories))


def _story(story: Json) -> str:
    began = datetime.fromisoformat(story["beganAt"]).astimezone(UTC)
    lines = [
        f"{story['correlationId']}  {began:%Y-%m-%d} (UTC)  account {story['accountId'] or 'none'}",
        f"  {story['summary']}",
    ]
    for step in story["steps"]:
        at = datetime.fromisoformat(step["at"]).astimezone(UTC)
        indent = "  " * step["depth"]
        lines.append(f"  {at:%H:%M:%S}.{at.microsecond // 1000:03}  {indent}{step['text']}")
    return "\n".join(lines)
