"""Whoever is erased has no pictures here, whichever comes first: the erasure or the picture."""

import asyncio

from libs.events.testing import completed, event, request_facts
from libs.runtime.objects import ObjectNotFound
from libs.runtime.objects_s3 import S3ObjectStore
from services.gallery.tests.integration.conftest import RunningGallery
from services.gallery.tests.integration.support import erase

DEADLINE_SECONDS = 60.0


async def count(gallery: RunningGallery, query: str) -> int:
    async with gallery.streams.database.read() as connection:
        return int(await connection.fetchval(query))


async def until(gallery: RunningGallery, query: str, wanted: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await count(gallery, query) != wanted:
            await asyncio.sleep(0.02)


async def is_stored(bucket: S3ObjectStore, key: str) -> bool:
    try:
        await bucket.head(key)
    except ObjectNotFound:
        return False
    return True


async def test_pictures_before_and_after_an_erasure_are_gone_and_so_are_their_objects(
    gallery: RunningGallery,
) -> None:
    request, other = request_facts(), request_facts()
    pictures = [await gallery.store(content) for content in (b"early", b"late", b"other")]
    early, late, kept = pictures
    await gallery.tell(
        event(completed(request, images=(early,))), event(completed(other, images=(kept,)))
    )
    await until(gallery, "SELECT count(*) FROM item", 2)
    await erase(gallery, request.account_id)
    await until(gallery, "SELECT count(*) FROM item", 1)
    later = request_facts(user_id=request.user_id)
    await gallery.tell(event(completed(later, images=(late,))))
    # It is confirmed all the same, without pictures: its job ends.
    await until(gallery, "SELECT count(*) FROM confirmation", 3)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await is_stored(gallery.bucket, late.key) or await is_stored(
            gallery.bucket, early.key
        ):
            await asyncio.sleep(0.05)
    assert await is_stored(gallery.bucket, kept.key)
    assert await count(gallery, "SELECT count(*) FROM item") == 1
    assert await count(gallery, "SELECT count(*) FROM asset") == 1
    assert await count(gallery, "SELECT sum(items) FROM confirmation") == 1
    await until(gallery, "SELECT count(*) FROM doomed_object", 0)
