"""Pictures that everybody may see; who is logged in also sees which of them they like."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from libs.runtime.auth import FindPrincipal, Principal
from libs.runtime.db import Database
from libs.runtime.http.bodies import Cursor
from libs.runtime.paging import Position, decode_cursor, page
from services.gallery import store
from services.gallery.api.bodies import Addresses, Creators, PublicFile, PublicFiles
from services.gallery.handlers.items import ItemNotFound

PAGE_MAX = 100
CREATORS_MAX = 50


def create_router(
    database: Database, find_principal: FindPrincipal, addresses: Addresses
) -> APIRouter:
    """The routes of `/api/r2files/public`."""
    router = APIRouter(prefix="/api/r2files/public", tags=["gallery"])
    Viewer = Annotated[Principal | None, Depends(find_principal)]  # noqa: N806  # made at start

    async def feed(
        viewer: Principal | None, limit: int, cursor: str | None, user_id: UUID | None = None
    ) -> PublicFiles:
        after = decode_cursor(cursor)
        viewer_id = viewer.user_id if viewer else None
        async with database.read() as connection:
            rows = await store.list_public(connection, viewer_id, after, limit + 1, user_id)
            total = await store.count_public(connection, user_id)
        listed = page(rows, limit, lambda item: Position(item.created_at, item.id))
        return PublicFiles(
            items=[addresses.public_file(item) for item in listed.rows],
            next_cursor=listed.next_cursor,
            total_count=total,
        )

    @router.get("")
    async def list_public(
        viewer: Viewer,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 20,
        cursor: Cursor = None,
    ) -> PublicFiles:
        """Everybody's public pictures, newest first."""
        return await feed(viewer, limit, cursor)

    @router.get("/top-creators")
    async def top_creators(
        limit: Annotated[int, Query(ge=1, le=CREATORS_MAX)] = 5,
    ) -> Creators:
        """Whose public pictures are liked most."""
        async with database.read() as connection:
            found = await store.top_creators(connection, limit)
        return Creators(creators=[addresses.creator(each) for each in found])

    @router.get("/user/{user_id}")
    async def list_of_user(
        viewer: Viewer,
        user_id: UUID,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 30,
        cursor: Cursor = None,
    ) -> PublicFiles:
        """One person's public pictures, newest first."""
        return await feed(viewer, limit, cursor, user_id)

    @router.get("/{item_id}")
    async def find_public(viewer: Viewer, item_id: UUID) -> PublicFile:
        """One public picture."""
        async with database.read() as connection:
            item = await store.find_item(connection, item_id, viewer.user_id if viewer else None)
        if item is None or not item.is_public:
            raise ItemNotFound
        return addresses.public_file(item)

    return router
