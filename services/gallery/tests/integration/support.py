"""What the stories of the whole service share."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from libs.events.envelope import Event, encode
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import GenerationCompleted
from libs.events.identity import AccountErased
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event
from libs.events.transport import OutgoingMessage
from libs.runtime.auth import Principal
from services.gallery.tests.integration.conftest import RunningGallery

DEADLINE_SECONDS = 60.0


def person(user_id: UUID) -> Principal:
    return Principal(user_id=user_id, role="USER", account_id=user_id)


async def confirmed(gallery: RunningGallery, count: int) -> list[GalleryItemsAdded]:
    """What the gallery has told of jobs, once that is so much."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(told := await _told(gallery)) < count:
            await asyncio.sleep(0.02)
    return told


async def _told(gallery: RunningGallery) -> list[GalleryItemsAdded]:
    published = await gallery.streams.published()
    # Rows without an event id are parked messages, on their way to the dead letters.
    told = [REGISTRY.decode(encoded).data for event_id, encoded in published if event_id]
    return [data for data in told if isinstance(data, GalleryItemsAdded)]


async def until_listed(gallery: RunningGallery, events: Sequence[Event[Payload]]) -> None:
    """Wait until every job of these events has been taken in."""
    wanted = {each.data.job_id for each in events if isinstance(each.data, GenerationCompleted)}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not wanted <= await _jobs(gallery):
            await asyncio.sleep(0.02)


async def _jobs(gallery: RunningGallery) -> set[UUID]:
    async with gallery.streams.database.read() as connection:
        rows = await connection.fetch("SELECT job_id FROM confirmation")
    return {row["job_id"] for row in rows}


async def erase(gallery: RunningGallery, user_id: UUID) -> None:
    """Tell that a person is gone."""
    data = AccountErased(user_id=user_id, account_id=user_id, actor=uuid4())
    message = encode(event(data, source=Service.GATEWAY))
    outcome = await gallery.bus.publish(
        [OutgoingMessage(Topic.IDENTITY, str(user_id).encode(), message)]
    )
    assert list(outcome) == [None]


async def until_read(gallery: RunningGallery, messages: int) -> None:
    """Wait until the consumer's positions are behind so many messages."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await _position(gallery) < messages:
            await asyncio.sleep(0.02)


async def _position(gallery: RunningGallery) -> int:
    async with gallery.streams.database.read() as connection:
        return int(await connection.fetchval("SELECT sum(next_offset) FROM position") or 0)
