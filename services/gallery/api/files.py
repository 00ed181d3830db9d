"""A person's own pictures: the list, and what its owner does with them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database
from libs.runtime.http.as_of import past_by
from libs.runtime.http.bodies import Cursor, Text
from libs.runtime.paging import Position, decode_cursor, no_later, page
from services.gallery import store
from services.gallery.api.bodies import (
    Addresses,
    Deleted,
    FileByUrl,
    FileChanges,
    FileChangesByUrl,
    LikeBody,
    R2File,
    R2Files,
)
from services.gallery.domain.facts import MODEL_CHARACTERS_MAX
from services.gallery.domain.listing import Filters, ListedItem
from services.gallery.handlers.items import Items
from services.gallery.store import past

# The first web clients know no pages: without a limit they get the newest of this many.
LIMIT_MAX = 1000


async def _filters(
    kind: Annotated[Literal["image", "video"] | None, Query(alias="type")] = None,
    model: Annotated[Text | None, Query(max_length=MODEL_CHARACTERS_MAX)] = None,
    is_public: Annotated[bool | None, Query(alias="isPublic")] = None,
    is_liked: Annotated[bool | None, Query(alias="isLiked")] = None,
    job_id: Annotated[UUID | None, Query(alias="jobId")] = None,
) -> Filters:
    return Filters(kind=kind, model=model, is_public=is_public, is_liked=is_liked, job_id=job_id)


def create_router(
    database: Database,
    clock: Clock,
    principal_of: RequirePrincipal,
    items: Items,
    addresses: Addresses,
) -> APIRouter:
    """The routes of `/api/r2files` that are about one's own pictures."""
    router = APIRouter(prefix="/api/r2files", tags=["gallery"])
    Caller = Annotated[Principal, Depends(principal_of)]  # noqa: N806  # a type, made at start
    AsOf = Annotated[datetime | None, Depends(past_by(clock))]  # noqa: N806  # a type, as above

    @router.get("")
    async def list_files(
        caller: Caller,
        filters: Annotated[Filters, Depends(_filters)],
        as_of: AsOf,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
        cursor: Cursor = None,
    ) -> R2Files:
        """The caller's pictures, newest first; as of a time also those that were deleted since."""
        after = no_later(decode_cursor(cursor), as_of)
        async with database.read() as connection:
            rows = await _rows(connection, caller.user_id, as_of, after, limit + 1, filters)
        listed = page(rows, limit, lambda item: Position(item.created_at, item.id))
        return R2Files(
            items=[addresses.file(item) for item in listed.rows], next_cursor=listed.next_cursor
        )

    @router.patch("/by-url")
    async def change_by_url(caller: Caller, body: FileChangesByUrl) -> R2File:
        """Change the caller's picture behind an address."""
        item_id = await items.find(caller, addresses.key(body.file_url))
        changed = await items.change(caller, item_id, body.changes(), is_liked=body.is_liked)
        return addresses.file(changed)

    @router.delete("/by-url")
    async def delete_by_url(caller: Caller, body: FileByUrl) -> Deleted:
        """Throw away the caller's picture behind an address."""
        await items.delete(caller, await items.find(caller, addresses.key(body.file_url)))
        return Deleted()

    @router.patch("/{item_id}")
    async def change(caller: Caller, item_id: UUID, body: FileChanges) -> R2File:
        """Change who sees an own picture, what it is called, and whether one likes it."""
        changed = await items.change(caller, item_id, body.changes(), is_liked=body.is_liked)
        return addresses.file(changed)

    @router.delete("/{item_id}")
    async def delete(caller: Caller, item_id: UUID) -> Deleted:
        """Throw an own picture away; its object goes if no other picture shows it."""
        await items.delete(caller, item_id)
        return Deleted()

    @router.post("/{item_id}/toggle-like")
    async def toggle_like(caller: Caller, item_id: UUID) -> LikeBody:
        """Like a picture, or no longer."""
        liked = await items.toggle_like(caller, item_id)
        return LikeBody(like_count=liked.like_count, is_liked=liked.is_liked)

    return router


async def _rows(
    connection: Connection,
    user_id: UUID,
    as_of: datetime | None,
    after: Position,
    limit: int,
    filters: Filters,
) -> list[ListedItem]:
    """Somebody's pictures as they are, or as they were."""
    if as_of is None:
        return await store.list_items(connection, user_id, after, limit, filters)
    return await past.list_items(connection, user_id, as_of, after, limit, filters)
