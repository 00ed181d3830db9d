"""The steady load of a drill: people who ask for pictures as a careful client does."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from random import Random
from uuid import UUID, uuid4

import aiohttp
from msgspec import Struct

from tools.api_client import ApiClient, ApiError, Json

PEOPLE = 6
BETWEEN_SECONDS = 1.5  # of one person, so that all together ask about four times a second
REPEATED = 0.15
AGAIN_SECONDS = 0.25
ASK_SECONDS_MAX = 180.0
PICTURES_AT_ONCE = 4
BODY: Json = {"provider": "local", "model": "local-sketch"}

AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class Asked(Struct, frozen=True, kw_only=True):
    """A request that was accepted: when it was made first, and the job it became."""

    at: float  # on the monotonic clock
    job_id: UUID
    user_id: UUID


class Load:
    """Asks until it is told to stop; every request goes on until it is accepted."""

    def __init__(self, gateway_url: str, random: Random) -> None:
        self._url = gateway_url
        self._random = random
        self._stop = asyncio.Event()
        self._stack = AsyncExitStack()
        self._clients: dict[UUID, ApiClient] = {}
        self.asked: list[Asked] = []
        self.unanswered = 0
        self.repeats_with_another_job = 0

    async def run(self) -> None:
        """Ask, all people at once, until `stop`."""
        async with asyncio.TaskGroup() as people:
            for number in range(PEOPLE):
                people.create_task(self._person(number * BETWEEN_SECONDS / PEOPLE))

    def stop(self) -> None:
        """Let everybody finish the request they are at."""
        self._stop.set()

    async def close(self) -> None:
        """Hang up."""
        await self._stack.aclose()

    @property
    def users(self) -> list[UUID]:
        """Everybody who has signed up for this drill."""
        return list(self._clients)

    async def pictures_missing(self, job_ids: set[UUID]) -> int:
        """How many of these completed jobs do not give their owner the picture."""
        room = asyncio.Semaphore(PICTURES_AT_ONCE)

        async def is_missing(asked: Asked) -> bool:
            client = self._clients[asked.user_id]
            async with room:
                try:
                    job = await client.call("GET", f"/api/jobs/{asked.job_id}")
                    _, content = await client.download(job["resultUrl"])
                except (ApiError, *AWAY):
                    return True
                return not content

        wanted = [asked for asked in self.asked if asked.job_id in job_ids]
        return sum(await asyncio.gather(*(is_missing(asked) for asked in wanted)))

    async def _person(self, delay_seconds: float) -> None:
        await self._rest(delay_seconds)
        while not self._stop.is_set():
            client = await self._stack.enter_async_context(ApiClient(self._url))
            user = await self._sign_up(client)
            user_id = UUID(user["id"])
            self._clients[user_id] = client
            for _ in range(user["credits"]):
                if self._stop.is_set():
                    return
                await self._ask(client, user_id)
                await self._rest(BETWEEN_SECONDS * self._random.uniform(0.5, 1.5))

    async def _sign_up(self, client: ApiClient) -> Json:
        email, password = f"drill-{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(12)
        while True:
            try:
                return await client.sign_up(email, password, "Drill")
            except ApiError as error:
                if error.status == 409:  # it was made, and the answer was lost
                    return await self._log_in(client, email, password)
                if error.status < 500 and error.status != 429:
                    raise
            except AWAY:
                pass
            await asyncio.sleep(AGAIN_SECONDS)

    @staticmethod
    async def _log_in(client: ApiClient, email: str, password: str) -> Json:
        while True:
            try:
                return await client.log_in(email, password)
            except ApiError as error:
                if error.status < 500 and error.status != 429:
                    raise
            except AWAY:
                pass
            await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self, client: ApiClient, user_id: UUID) -> None:
        """One request: the same key until there is an answer, and sometimes once more."""
        at, key = time.monotonic(), str(uuid4())
        job_id = await self._answer(client, key)
        if job_id is None:
            self.unanswered += 1
            return
        self.asked.append(Asked(at=at, job_id=job_id, user_id=user_id))
        if self._random.random() < REPEATED:
            again = await self._answer(client, key)
            self.repeats_with_another_job += again not in {None, job_id}

    async def _answer(self, client: ApiClient, key: str) -> UUID | None:
        body = BODY | {"prompt": f"drill {key}"}
        deadline = time.monotonic() + ASK_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                status, answer = await client.answer(
                    "POST", "/api/jobs", json=body, headers={"Idempotency-Key": key}
                )
            except AWAY:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if status == 202:
                return UUID(answer["jobId"])
            if status < 500 and status not in {409, 429}:
                raise ApiError(status, answer)
            await asyncio.sleep(AGAIN_SECONDS)
        return None

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
