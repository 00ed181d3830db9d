"""Every object is shown or swept, and what is shown is read and compared."""

from datetime import datetime, timedelta
from uuid import uuid4

from prometheus_client import CollectorRegistry

from libs.events.testing import completed, event, stored_image
from libs.runtime.clock import SystemClock
from services.gallery.handlers.custody import Custody
from services.gallery.tests.integration.conftest import RunningGallery
from services.gallery.tests.integration.support import until_listed


class Later(SystemClock):
    """The same clock in two days, and nobody to wait for."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=2)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0))


def custody(gallery: RunningGallery, clock: SystemClock) -> Custody:
    return Custody(
        database=gallery.streams.database,
        source=gallery.bucket,
        sink=gallery.bucket,
        clock=clock,
        registry=CollectorRegistry(),
    )


async def test_old_uploads_that_nothing_shows_are_given_up(gallery: RunningGallery) -> None:
    shown, loose = (f"uploads/{uuid4()}.png" for _ in range(2))
    for key in (shown, loose):
        await gallery.bucket.put(key, b"some", content_type="image/png")
    told = event(completed(images=(stored_image(b"some", key=shown),)))
    await gallery.tell(told)
    await until_listed(gallery, [told])

    assert await custody(gallery, SystemClock()).sweep() == 0  # it may be listed yet
    await custody(gallery, Later()).sweep()

    async with gallery.streams.database.read() as connection:
        rows = await connection.fetch("SELECT key FROM doomed_object")
    keys = {row["key"] for row in rows}
    assert loose in keys
    assert shown not in keys


async def test_what_is_missing_or_changed_is_counted(gallery: RunningGallery) -> None:
    whole, changed, lost = [await gallery.store(content) for content in (b"1", b"2", b"3")]
    told = event(completed(images=(whole, changed, lost)))
    await gallery.tell(told)
    await until_listed(gallery, [told])
    at_work = custody(gallery, Later())
    assert await at_work.verify() == 0
    await gallery.bucket.put(changed.key, b"another", content_type="image/png")
    await gallery.bucket.delete([lost.key])
    assert await at_work.verify() == 2
    assert at_work.broken._value.get() == 2
