"""Addresses that answer slowly, or never, cost those who name them, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Response

from libs.runtime.testing_http import serving
from services.gateway.handlers.inputs import FETCHES_OF_ONE_MAX
from services.gateway.handlers.turns import Turns
from services.gateway.tests.integration.conftest import Person, Start
from services.gateway.tests.integration.test_inputs import KONTEXT, data_url, picture

WAIT_SECONDS = 60.0


class Slow:
    """A server that is asked, and lets everybody wait until the end of the test."""

    def __init__(self) -> None:
        self.asked = 0
        self._ends = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = FastAPI()

        @app.get("/slow.png")
        async def slow() -> Response:
            self.asked += 1
            await self._ends.wait()
            return Response(status_code=404)

        @app.get("/quick.png")
        async def quick() -> Response:
            return Response(picture("blue"), media_type="image/png")

        async with serving(app) as url:
            try:
                yield url
            finally:
                self._ends.set()


async def order(person: Person, reference: str) -> Any:
    return await person.post("/api/jobs", {**KONTEXT, "references": [reference]})


async def test_slow_addresses_of_one_user_stop_nobody_else(start_gateway: Start) -> None:
    gateway = await start_gateway(loopback_references=True)
    eve, ada = await gateway.sign_up(), await gateway.sign_up()
    slow = Slow()
    async with asyncio.TaskGroup() as waiting, slow.serving() as url:
        stuck = [waiting.create_task(order(eve, f"{url}/slow.png")) for _ in range(12)]
        async with asyncio.timeout(WAIT_SECONDS):
            while slow.asked < FETCHES_OF_ONE_MAX:
                await asyncio.sleep(0.02)
            assert (await order(ada, data_url(picture()))).status_code == 202
            assert (await order(ada, f"{url}/quick.png")).status_code == 202
            assert (await order(eve, data_url(picture()))).status_code == 202
        assert slow.asked == FETCHES_OF_ONE_MAX
    assert {each.result().status_code for each in stuck} == {400}


async def test_turns_are_bounded_in_all_and_forgotten() -> None:
    turns, going, most = Turns(most=3, most_of_one=2), 0, 0

    async def take(user_id: Any) -> None:
        nonlocal going, most
        async with turns.of(user_id):
            going += 1
            most = max(most, going)
            await asyncio.sleep(0.01)
            going -= 1

    users = [uuid4() for _ in range(4)]
    await asyncio.gather(*(take(user_id) for user_id in users * 3))
    assert (going, most) == (0, 3)
    assert len(turns._own) == 0  # nothing is kept of those who have gone
