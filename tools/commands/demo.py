"""Start everything and make a picture: the shortest way to see the whole system at work."""

import argparse
import asyncio
import secrets
import sys
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from infra.local import state
from infra.local.home import Home
from infra.local.problem import Problem
from libs.events.causality import depths
from libs.events.envelope import Envelope
from tools.api_client import ApiClient, ApiError, Json
from tools.commands.up import start_detached
from tools.places import add_home, home_of, port_number
from tools.trail import read_trail

PROMPT = "sunset over the sea, late summer"
MODEL = "local-sketch"
CLOCKS_APART = timedelta(seconds=5)


def configure(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--port", type=port_number, help="port of the gateway if it has to be started"
    )
    parser.add_argument("--prompt", default=PROMPT, help="what the picture shows")
    parser.add_argument(
        "--output", type=Path, help="where to save the picture (default: demo/ in the home)"
    )
    parser.add_argument("--open", action="store_true", help="show the picture in a browser")


def run(arguments: argparse.Namespace) -> int:
    home = home_of(arguments)
    if not asyncio.run(state.load(home))["ready"]:
        start_detached(home, arguments.port)
    now = asyncio.run(state.load(home))
    try:
        picture = asyncio.run(_show(now, home, arguments.prompt, arguments.output))
    except ApiError as error:
        raise Problem(f"The gateway answered {error.status}: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem(f"The gateway at {now['gateway_url']} does not answer: {error}.") from error
    down = home.command("down")
    print(f"The system goes on at {now['gateway_url']}; `{down}` stops it.")
    if arguments.open:
        webbrowser.open(picture.as_uri())
    return 0


async def _show(now: state.State, home: Home, prompt: str, output: Path | None) -> Path:
    began = datetime.now(UTC) - CLOCKS_APART
    async with ApiClient(now["gateway_url"]) as client:
        name = f"demo-{secrets.token_hex(4)}"
        user = await client.sign_up(f"{name}@example.com", secrets.token_urlsafe(12), "Demo")
        _say("user", f"{name}@example.com, {user['credits']} credits")
        made = await client.call(
            "POST", "/api/image/local", json={"prompt": prompt, "model": MODEL}
        )
        job = await client.call("GET", f"/api/jobs/{made['jobId']}")
        picture = await _save(client, job, home, output)
        _say("picture", f"{picture} ({picture.stat().st_size:,} bytes)")
        _say("job", f"{job['id']} {job['status']}, {job['resultUrl']}")
        await _show_books(client, job)
    trail = await read_trail(now["kafka"]["bootstrap"], UUID(job["id"]), since=began)
    _show_trail(trail)
    return picture


async def _save(client: ApiClient, job: Json, home: Home, output: Path | None) -> Path:
    content_type, content = await client.download(job["resultUrl"])
    ending = content_type.partition("/")[2].replace("jpeg", "jpg")
    path = output or home.root / "demo" / f"{job['id']}.{ending}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        text = f"The picture cannot be saved as {path} ({error.strerror}): choose another --output."
        raise Problem(text) from error
    return path.resolve()


async def _show_books(client: ApiClient, job: Json) -> None:
    query = f"?jobId={job['id']}"
    transactions = await client.call("GET", f"/api/credits/transactions{query}")
    for transaction in transactions["items"]:
        _say("charge", _transaction(transaction))
    balance = await client.call("GET", "/api/credits/balance")
    _say("balance", f"{balance['available']} credits left (version {balance['version']})")
    items = (await client.call("GET", "/api/r2files"))["items"]
    for item in items:
        _say("gallery", f"{item['id']} {item['mimeType']} {item['fileSize']:,} bytes")
    rows = (await client.call("GET", f"/api/usage/mine{query}"))["items"]
    for row in rows:
        what = f"{row['operation']} by {row['provider']}/{row['model']}"
        price = f"{row['credits']} credit{'' if row['credits'] == 1 else 's'}"
        _say("usage", f"{row['id']} {what}, {price}, {row['providerMs']} ms")


def _transaction(transaction: dict[str, Any]) -> str:
    entries = ", ".join(
        f"{entry['book']} {entry['credits']:+d}" for entry in transaction["entries"]
    )
    return f"{transaction['kind']}: {entries}"


def _show_trail(trail: list[Envelope]) -> None:
    print("\nWhat happened, causes before effects (read from Kafka by correlation id):")
    first = trail[0].time if trail else None
    for event, depth in zip(trail, depths(trail).values(), strict=True):
        after_ms = 0.0 if first is None else (event.time - first) / timedelta(milliseconds=1)
        writer = event.source.rpartition("/")[2]
        print(f"  {after_ms:7.1f} ms  {'  ' * depth}{event.type}  ({writer})")
    print()


def _say(label: str, text: str) -> None:
    print(f"{label:>9}  {text}", flush=True)
    sys.stdout.flush()
