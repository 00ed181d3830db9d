"""Commands that speak to the gateway of a home as its first administrator."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from infra.local import state
from infra.local.problem import Problem
from libs.events.names import Service
from tools.api_client import ApiClient, ApiError
from tools.places import home_of

Work = Callable[[ApiClient, argparse.Namespace], Awaitable[int]]


def run_as_admin(arguments: argparse.Namespace, work: Work) -> int:
    """Log in at the running system of the home, do the work, and answer its exit code.

    Raises:
        Problem: the system does not run, or refuses.
    """
    home = home_of(arguments)
    now = asyncio.run(state.load(home))
    gateway = now["services"].get(Service.GATEWAY.value, {})
    if not gateway.get("ready"):
        up = home.command("up")
        raise Problem(f"The gateway of {home.root} does not answer: start it with `{up}`.")
    try:
        return asyncio.run(_work(now, work, arguments))
    except ApiError as error:
        raise Problem(str(error)) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem(f"The gateway at {now['gateway_url']} does not answer: {error}.") from error


async def _work(now: state.State, work: Work, arguments: argparse.Namespace) -> int:
    admin = now["admin"]
    password = _password(Path(admin["password_file"]))
    async with ApiClient(now["gateway_url"]) as client:
        await client.log_in(admin["email"], password)
        return await work(client, arguments)


def _password(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        text = f"The administrator's password cannot be read from {file}: restore it."
        raise Problem(text) from error
