"""Administer a running system: price books, limits and throttles, bans, erasures."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID

from infra.local.problem import Problem
from tools.admin_session import Work, run_as_admin
from tools.api_client import ApiClient, Json
from tools.places import add_home
from tools.times import moment_argument, seconds_argument

BOOKS: Final = "/api/admin/price-books"
KINDS: Final = ("user", "workspace", "key", "provider")


def configure(parser: argparse.ArgumentParser) -> None:
    groups = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    _configure_books(groups.add_parser("price-book", help="what generations cost"))
    erase = _leaf(groups, "erase", "Forget a person, in all services and for ever.", _erase)
    erase.add_argument("user", type=UUID, help="the user's id")
    _configure_limits(groups.add_parser("limits", help="how much whom may use"))
    for name, summary, work in (
        ("ban", "Refuse a user's generations from now on; their streams end.", _ban),
        ("unban", "Let a user generate again.", _ban),
    ):
        child = _leaf(groups, name, summary, work)
        child.add_argument("user", type=UUID, help="the user's id")
        _add_why(child)


def _configure_books(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = _leaf(actions, "add", "Add prices, in force from an instant to come, or at once.", _add)
    add.add_argument("file", type=Path, help="as infra/prices/head.json")
    add.add_argument("--from", dest="start", type=moment_argument, help="default: now")
    _leaf(actions, "list", "Every version, the oldest first.", _list)
    show = _leaf(actions, "show", "One version with its figures.", _show)
    show.add_argument("version", type=int)


def _configure_limits(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = _leaf(actions, "show", "What is set, what holds, what was used today.", _show_limit)
    put = _leaf(actions, "set", "Set rate and caps; what is left out is the default.", _set_limit)
    throttle = _leaf(actions, "throttle", "Lower the rate for a while, or end that.", _throttle)
    for child in (show, put, throttle):
        child.add_argument("kind", choices=KINDS)
        child.add_argument("of", help="the id, or the provider's name")
    for option in ("per-minute", "credits-per-day", "tokens-per-day"):
        put.add_argument(f"--{option}", type=int)
    throttle.add_argument("--per-minute", type=int, help="default: end an earlier throttle")
    throttle.add_argument(
        "--for", dest="seconds", type=seconds_argument, default=3_600, help="90s, 2h"
    )
    for child in (put, throttle):
        _add_why(child)


def _leaf(
    parsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    work: Work,
) -> argparse.ArgumentParser:
    child: argparse.ArgumentParser = parsers.add_parser(name, help=summary, description=summary)
    add_home(child)
    child.add_argument("--json", action="store_true", help="for programs")
    child.set_defaults(work=work)
    return child


def _add_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--why", required=True, help="the reason, kept in the event")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 2 if the gateway refuses."""
    return run_as_admin(arguments, arguments.work)


async def _add(client: ApiClient, arguments: argparse.Namespace) -> int:
    try:
        file = arguments.file.read_bytes()
    except OSError as error:
        raise Problem(f"{arguments.file} cannot be read: {error.strerror}.") from error
    query = f"?effectiveFrom={quote(arguments.start)}" if arguments.start else ""
    return _say(arguments, await client.call("POST", BOOKS + query, data=file), _book_line)


async def _list(client: ApiClient, arguments: argparse.Namespace) -> int:
    answer = await client.call("GET", BOOKS)
    if arguments.json:
        print(json.dumps(answer["items"], indent=2))
    else:
        print("\n".join(_book_line(each) for each in answer["items"]))
    return 0


async def _show(client: ApiClient, arguments: argparse.Namespace) -> int:
    answer = await client.call("GET", f"{BOOKS}/{arguments.version}")

    def text(book: Json) -> str:
        return f"{_book_line(book)}\n{json.dumps(book['book'], indent=2)}"

    return _say(arguments, answer, text)


async def _ban(client: ApiClient, arguments: argparse.Namespace) -> int:
    path = f"/api/admin/users/{arguments.user}/{arguments.subcommand}"
    answer = await client.call("POST", path, json={"reason": arguments.why})

    def text(ban: Json) -> str:
        since = ban["bannedAt"]
        return f"{ban['userId']} is banned since {since}" if since else f"{ban['userId']} is free"

    return _say(arguments, answer, text)


async def _erase(client: ApiClient, arguments: argparse.Namespace) -> int:
    await client.call("DELETE", f"/api/admin/users/{arguments.user}")
    erased: Json = {"userId": str(arguments.user), "isErased": True}
    return _say(arguments, erased, lambda each: f"{each['userId']} is erased")


async def _show_limit(client: ApiClient, arguments: argparse.Namespace) -> int:
    return _say(arguments, await client.call("GET", _limit_path(arguments)), _limit_text)


async def _set_limit(client: ApiClient, arguments: argparse.Namespace) -> int:
    body: Json = {
        "perMinute": arguments.per_minute,
        "creditsPerDay": arguments.credits_per_day,
        "tokensPerDay": arguments.tokens_per_day,
        "reason": arguments.why,
    }
    answer = await client.call("PUT", _limit_path(arguments), json=body)
    return _say(arguments, answer, _limit_text)


async def _throttle(client: ApiClient, arguments: argparse.Namespace) -> int:
    body: Json = {
        "perMinute": arguments.per_minute,
        "seconds": arguments.seconds,
        "reason": arguments.why,
    }
    answer = await client.call("PUT", f"{_limit_path(arguments)}/throttle", json=body)
    return _say(arguments, answer, _limit_text)


def _limit_path(arguments: argparse.Namespace) -> str:
    return f"/api/admin/limits/{arguments.kind}/{quote(arguments.of, safe='')}"


def _say(arguments: argparse.Namespace, answer: Json, text: Callable[[Json], str]) -> int:
    print(json.dumps(answer, indent=2) if arguments.json else text(answer))
    return 0


def _book_line(book: Json) -> str:
    mark = "  in force" if book["isInForce"] else ""
    name = f"  {book['name']}" if book["name"] else ""
    return f"{book['version']:>4}  from {book['effectiveFrom']}  {book['sha256'][:12]}{name}{mark}"


def _limit_text(limit: Json) -> str:
    holds, used = limit["inForce"], limit["used"]
    lines = [
        f"{limit['kind']} {limit['subject']}",
        f"  a minute: {holds['perMinute']}",
        f"  credits a day: {_capped(used['creditsToday'], holds['creditsPerDay'])}",
        f"  tokens a day: {_capped(used['tokensToday'], holds['tokensPerDay'])}",
    ]
    if limit["throttledUntil"]:
        lines.append(f"  throttled to {limit['throttlePerMinute']} until {limit['throttledUntil']}")
    return "\n".join(lines)


def _capped(used: int, cap: int | None) -> str:
    return f"{used} used, no cap" if cap is None else f"{used} of {cap} used"
