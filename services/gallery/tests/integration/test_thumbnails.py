"""One thumbnail of each picture, told once: whatever dies, comes twice, or goes meanwhile."""

import asyncio
import hashlib
import io
from typing import Any
from uuid import UUID, uuid4

from PIL import Image

from libs.events.gallery import GalleryThumbnailMade
from libs.events.registry import REGISTRY
from libs.events.testing import completed, event, request_facts
from libs.runtime.testing import rebuilt
from services.gallery.rebuild import PROJECTION
from services.gallery.tests.integration.conftest import PUBLIC_BASE_URL, RunningGallery
from services.gallery.tests.integration.support import erase, person, until_listed
from services.gallery.tests.integration.test_custody import Later, custody
from services.gallery.tests.integration.test_uploads import address, picture, put

SECONDS = 60.0


async def until(gallery: RunningGallery, query: str, wanted: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await gallery.count(query) != wanted:
            await asyncio.sleep(0.02)


async def told(gallery: RunningGallery) -> list[GalleryThumbnailMade]:
    published = await gallery.streams.published()
    data = [REGISTRY.decode(encoded).data for event_id, encoded in published if event_id]
    return [each for each in data if isinstance(each, GalleryThumbnailMade)]


async def stored(gallery: RunningGallery) -> set[str]:
    return {each.key async for each in gallery.bucket.list("thumbnails/")}


async def mine(gallery: RunningGallery, user_id: UUID) -> dict[str, Any]:
    answer = await gallery.get("/api/r2files", person(user_id))
    item: dict[str, Any]
    (item,) = answer.json()["items"]
    return item


async def test_a_picture_of_a_job_gets_one_and_lists_show_it(gallery: RunningGallery) -> None:
    before = await stored(gallery)
    request = request_facts()
    image = await gallery.store(picture("PNG", 600))
    answer = event(completed(request, images=(image,)))
    await gallery.tell(answer, answer)
    await until(gallery, "SELECT count(*) FROM thumbnail", 1)

    item = await mine(gallery, request.user_id)
    assert len(item["blurHash"]) == 28
    served = await gallery.client.get(item["thumbnailUrl"].removeprefix(PUBLIC_BASE_URL))
    assert served.headers["content-type"] == "image/webp"
    assert "immutable" in served.headers["cache-control"]
    with Image.open(io.BytesIO(served.content)) as small:
        assert (small.format, small.size) == ("WEBP", (512, 512))
    (made,) = await told(gallery)
    assert made.thumbnail is not None
    assert made.thumbnail.sha256 == hashlib.sha256(served.content).hexdigest()
    assert (made.asset_key, made.account_id) == (image.key, request.account_id)
    assert await stored(gallery) - before == {made.thumbnail.key}
    assert await gallery.count("SELECT count(*) FROM thumbnail_work") == 0


async def test_an_upload_gets_one_which_goes_with_it(gallery: RunningGallery) -> None:
    me, before = uuid4(), await stored(gallery)
    given = await address(gallery, me)
    assert (await put(gallery, given["uploadUrl"], picture())).status_code == 200
    await until(gallery, "SELECT count(*) FROM thumbnail", 1)
    item = await mine(gallery, me)
    (key,) = await stored(gallery) - before

    await gallery.call("PATCH", f"/api/r2files/{item['id']}", person(me), {"isPublic": True})
    shown = (await gallery.call("GET", f"/api/r2files/public/{item['id']}")).json()
    unsigned = item["thumbnailUrl"].partition("?")[0]  # what is public needs no signature
    assert (shown["thumbnailUrl"], shown["blurHash"]) == (unsigned, item["blurHash"])
    await gallery.call("DELETE", f"/api/r2files/{item['id']}", person(me))

    assert await gallery.count("SELECT count(*) FROM thumbnail") == 0
    path = item["thumbnailUrl"].removeprefix(PUBLIC_BASE_URL)
    assert (await gallery.client.get(path)).status_code == 404
    async with asyncio.timeout(SECONDS):
        while key in await stored(gallery):
            await asyncio.sleep(0.05)


async def test_it_goes_with_whoever_is_erased(gallery: RunningGallery) -> None:
    request, before = request_facts(), await stored(gallery)
    image = await gallery.store(picture())
    await gallery.tell(event(completed(request, images=(image,))))
    await until(gallery, "SELECT count(*) FROM thumbnail", 1)
    await erase(gallery, request.account_id)
    await until(gallery, "SELECT count(*) FROM thumbnail", 0)
    async with asyncio.timeout(SECONDS):
        while await stored(gallery) - before:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(SECONDS):  # nor do the colours stay in what was said
        while [each.blur_hash for each in await told(gallery)] != [""]:
            await asyncio.sleep(0.05)


async def test_a_picture_that_is_none_is_given_up_and_stays_listed(
    gallery: RunningGallery,
) -> None:
    request = request_facts()
    image = await gallery.store(b"neither nor")
    drawing = await gallery.store(b"<svg/>", content_type="image/svg+xml")
    answer = event(completed(request, images=(image, drawing)))
    await gallery.tell(answer)
    await until_listed(gallery, [answer])
    await until(gallery, "SELECT count(*) FROM thumbnail_work WHERE reason IS NOT NULL", 1)
    listed = (await gallery.get("/api/r2files", person(request.user_id))).json()["items"]
    assert [each["thumbnailUrl"] for each in listed] == [None, None]
    assert await gallery.count("SELECT count(*) FROM thumbnail_work") == 1
    assert await custody(gallery, Later()).complete() == 0  # it is not tried again every day


async def test_a_rebuild_makes_the_same_rows_and_no_object(gallery: RunningGallery) -> None:
    me = uuid4()
    kept, gone = request_facts(user_id=me), request_facts(user_id=me)
    for request in (kept, gone):
        image = await gallery.store(picture())
        await gallery.tell(event(completed(request, images=(image,))))
    given = await address(gallery, me)
    await put(gallery, given["uploadUrl"], picture())
    await until(gallery, "SELECT count(*) FROM thumbnail", 3)
    listed = (await gallery.get(f"/api/r2files?jobId={gone.job_id}", person(me))).json()["items"]
    await gallery.call("DELETE", f"/api/r2files/{listed[0]['id']}", person(me))
    before = await stored(gallery)

    outcome = await rebuilt(PROJECTION, gallery.streams.dsn, gallery.bus)

    assert outcome.is_equal, outcome.tables
    (thumbnails,) = [each for each in outcome.tables if each.table == "thumbnail"]
    assert thumbnails.live_rows == 2
    assert await stored(gallery) <= before
