"""What a delivered picture becomes: an object that may be served, and an item that shows it."""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict, replace

from libs.events.derived_ids import derived_id
from libs.events.envelope import Event
from libs.events.gallery import GalleryItemUploaded
from libs.events.generation import GenerationCompleted
from libs.events.media import extension_of
from libs.events.payload import Payload

_KEY = re.compile(r"[^/:\x00-\x1f][^:\x00-\x1f]{0,1023}")


class Asset(Struct, frozen=True, kw_only=True, gc=False):
    """An object in storage."""

    key: str
    sha256: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    stored_at: datetime


class ShownAsset(Struct, frozen=True, kw_only=True, gc=False):
    """An object that a picture shows, and to whom."""

    asset: Asset
    is_public: bool
    is_own: bool  # one of the pictures is the viewer's


class Item(Struct, frozen=True, gc=False):
    """A picture in a user's gallery. Of delivered ones made by position, which is cheaper."""

    id: UUID
    user_id: UUID
    account_id: UUID
    workspace_id: UUID | None
    job_id: UUID | None  # none of a picture that somebody has uploaded
    picture_index: int
    asset_key: str
    file_name: str
    operation: str
    provider: str
    model: str
    prompt: str
    created_at: datetime
    updated_at: datetime


class Confirmation(Struct, frozen=True, kw_only=True, gc=False):
    """The gallery's answer for one completed job."""

    job_id: UUID
    account_id: UUID
    user_id: UUID
    items: int
    event_id: UUID
    correlation_id: UUID
    confirmed_at: datetime


def is_key(text: str) -> bool:
    """Whether a text can be an object's key at all: the table has the same rule."""
    return _KEY.fullmatch(text) is not None


def item_id(job_id: UUID, picture_index: int) -> UUID:
    """The same picture has the same id in every rebuild."""
    return derived_id(job_id, f"picture/{picture_index}")


def item_ids(completed: GenerationCompleted) -> tuple[UUID, ...]:
    return tuple(item_id(completed.job_id, index) for index in range(len(completed.images)))


def file_name(job_id: UUID, picture_index: int, content_type: str) -> str:
    """Under which name a picture is saved: unlike keys, fit for a download folder."""
    return f"daygen-{job_id}-{picture_index + 1}.{extension_of(content_type)}"


def confirmation(event: Event[Payload], completed: GenerationCompleted) -> Confirmation:
    return Confirmation(
        job_id=completed.job_id,
        account_id=completed.account_id,
        user_id=completed.request.user_id,
        items=len(completed.images),
        event_id=event.id,
        correlation_id=event.correlation_id,
        confirmed_at=event.time,
    )


def assets(event: Event[Payload], completed: GenerationCompleted) -> list[Asset]:
    return [
        Asset(
            key=image.key,
            sha256=image.sha256,
            content_type=image.content_type,
            size_bytes=image.size_bytes,
            width=image.width,
            height=image.height,
            stored_at=event.time,
        )
        for image in completed.images
    ]


def distinct_assets(
    jobs: Iterable[tuple[Event[Payload], GenerationCompleted]],
) -> list[Asset]:
    """The objects of some jobs by their keys; one that several jobs show is as old as the first."""
    found: dict[str, Asset] = {}
    for job in jobs:
        for asset in assets(*job):
            known = found.setdefault(asset.key, asset)
            if asset.stored_at < known.stored_at:
                found[asset.key] = asset
    return [found[key] for key in sorted(found)]


def items(event: Event[Payload], completed: GenerationCompleted) -> list[Item]:
    request = completed.request
    return [
        Item(
            item_id(completed.job_id, index),
            request.user_id,
            completed.account_id,
            request.workspace_id,
            completed.job_id,
            index,
            image.key,
            file_name(completed.job_id, index, image.content_type),
            request.operation,
            request.provider,
            request.model,
            request.prompt,
            event.time,  # created
            event.time,  # and not changed since
        )
        for index, image in enumerate(completed.images)
    ]


def uploads(events: Iterable[Event[Payload]]) -> list[tuple[Asset, Item]]:
    """Pictures that people have brought; of whoever is erased there is nothing left."""
    found: dict[UUID, tuple[Asset, Item]] = {}
    for event in events:
        data = event.data
        if not isinstance(data, GalleryItemUploaded) or data.image is None:
            continue
        image = data.image
        asset = Asset(**asdict(image), stored_at=event.time)
        item = Item(
            id=data.item_id,
            user_id=data.user_id,
            account_id=data.account_id,
            workspace_id=data.workspace_id,
            job_id=None,
            picture_index=0,
            asset_key=image.key,
            file_name=data.file_name or file_name(data.item_id, 0, image.content_type),
            operation=data.purpose,
            provider="",
            model=data.model,
            prompt=data.prompt,
            created_at=event.time,
            updated_at=event.time,
        )
        found.setdefault(data.item_id, (asset, item))
    return [found[item_id] for item_id in sorted(found)]


def shown(event: Event[Payload], erased: Collection[UUID]) -> Event[Payload]:
    """The event as the gallery lists it: nothing of whoever is erased."""
    if isinstance(event.data, GenerationCompleted) and event.data.account_id in erased:
        return replace(event, data=replace(event.data, images=()))
    return event


def keys_of(events: Sequence[Event[Payload]], erased: Collection[UUID]) -> list[str]:
    """The objects that came for whoever is erased."""
    return sorted(
        {
            image.key
            for event in events
            if isinstance(event.data, GenerationCompleted) and event.data.account_id in erased
            for image in event.data.images
        }
    )
