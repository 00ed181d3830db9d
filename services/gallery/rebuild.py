"""The gallery's tables as they follow from generation's answers and from what people have done."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec.structs import astuple

from libs.events.envelope import Event
from libs.events.generation import GenerationCompleted
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.runtime.rebuild.projection import Pass, Projection, Reach, Rows, Table
from services.gallery import consumers, projections, store
from services.gallery.domain import pictures
from services.gallery.domain.pictures import Asset, Confirmation, Item

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Pictures:
    """Rows of one partition's jobs: it holds all answers to each of them, and the first counts."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, events: Sequence[Event[Payload]]) -> Rows:
        """A job's rows are final at once."""
        jobs = [
            (event, event.data)
            for event in events
            if isinstance(event.data, GenerationCompleted) and self._is_new(event.data.job_id)
        ]
        return {
            "confirmation": [astuple(pictures.confirmation(*job)) for job in jobs],
            "asset": [astuple(asset) for asset in pictures.distinct_assets(jobs)],
            "item": [astuple(item) for job in jobs for item in pictures.items(*job)],
        }

    def rest(self) -> Rows:
        """Nothing was kept back."""
        return {}

    def _is_new(self, job_id: UUID) -> bool:
        number = job_id.int
        if number in self._known:
            return False
        self._known.add(number)
        return True


PROJECTION: Final = Projection(
    service=Service.GALLERY,
    migrations=MIGRATIONS,
    tables=(
        Table(name="confirmation", key=("job_id",), loaded=Confirmation.__struct_fields__),
        # Jobs may share an object: the first that was stored describes it.
        Table(name="asset", key=("key",), loaded=Asset.__struct_fields__, first="stored_at"),
        Table(name="item", key=("id",), loaded=Item.__struct_fields__),
        Table(name="item_fact", key=("item_id",)),
        Table(name="item_like", key=("item_id", "user_id")),
        Table(name="item_origin", key=("id",)),
        Table(name="item_version", key=("item_id", "version")),
        Table(name="item_like_version", key=("item_id", "user_id", "version")),
        Table(name="thumbnail", key=("asset_key",)),
    ),
    passes=(
        Pass(
            topics=consumers.TOPICS,
            types=frozenset(consumers.EVENT_TYPES),
            reach=Reach.POSITION,
            apply=projections.add_completed_jobs,
            loader=Pictures,
        ),
        Pass(
            topics=(Topic.GALLERY,),
            types=consumers.ACTIONS,
            reach=Reach.SAID,
            apply=store.follow,
        ),
    ),
)
