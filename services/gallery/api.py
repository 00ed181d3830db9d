"""The gallery's HTTP routes: a user's pictures, and the assets themselves."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.db import Database
from libs.runtime.errors import NotFound
from libs.runtime.http import problem_response
from libs.runtime.objects import ByteRange, StorageUnavailable
from libs.runtime.paging import Position, decode_cursor, page
from services.gallery import store
from services.gallery.domain import delivery
from services.gallery.domain.delivery import Conditions, Delivery, Span
from services.gallery.domain.pictures import Asset, ListedItem, is_key
from services.gallery.ports import AssetSource

# The first web clients know no pages: without a limit they get the newest of this many.
LIMIT_MAX = 1000


class AssetNotFoundError(NotFound):
    code = "asset_not_found"


class Body(BaseModel):
    """Snake case here, camel case on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class R2File(Body):
    """A picture in the gallery; the web client gave it its name."""

    id: UUID
    job_id: UUID
    file_name: str
    file_url: str
    file_size: int
    mime_type: str
    prompt: str
    model: str
    is_public: bool
    created_at: datetime
    updated_at: datetime


class R2Files(Body):
    items: list[R2File]
    next_cursor: str | None


class AssetResponse(StreamingResponse):
    """Opens the object before the first byte of the answer, and closes it whatever happens."""

    def __init__(self, source: AssetSource, key: str, span: Span, answer: Delivery) -> None:
        super().__init__((), status_code=answer.status, headers=answer.headers)
        self._source = source
        self._key = key
        self._span = span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Opened here and not in the route: a client that leaves before the first byte would
        # otherwise leave the connection to the store open.
        is_whole = self.status_code == delivery.OK
        part = None if is_whole else ByteRange(self._span.first, self._span.last)
        async with self._source.open(self._key, part) as body:
            if body.length_bytes != self._span.size_bytes:
                raise StorageUnavailable("the object is not as long as its row says")
            self.body_iterator = body.chunks()
            await super().__call__(scope, receive, send)


def files_router(
    database: Database, principal_of: RequirePrincipal, public_base_url: str
) -> APIRouter:
    """The routes of `/api/r2files`."""
    router = APIRouter(prefix="/api/r2files", tags=["gallery"])

    def file(item: ListedItem) -> R2File:
        return R2File(
            id=item.id,
            job_id=item.job_id,
            file_name=item.file_name,
            file_url=f"{public_base_url.rstrip('/')}/assets/{quote(item.asset_key)}",
            file_size=item.size_bytes,
            mime_type=item.content_type,
            prompt=item.prompt,
            model=item.model,
            is_public=item.is_public,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )

    @router.get("")
    async def list_files(
        caller: Annotated[Principal, Depends(principal_of)],
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
        cursor: Annotated[str | None, Query(description="`nextCursor` of the page before.")] = None,
    ) -> R2Files:
        """The caller's pictures, newest first."""
        after = decode_cursor(cursor)
        async with database.read() as connection:
            rows = await store.list_items(connection, caller.user_id, after, limit + 1)
        listed = page(rows, limit, lambda item: Position(item.created_at, item.id))
        return R2Files(items=[file(item) for item in listed.rows], next_cursor=listed.next_cursor)

    return router


def assets_router(database: Database, source: AssetSource) -> APIRouter:
    """`/assets/{key}`: no log-in, as browsers load pictures without one; keys cannot be guessed."""
    router = APIRouter(prefix="/assets", tags=["assets"])

    async def find(key: str) -> Asset:
        asset = None
        if is_key(key):
            async with database.read() as connection:
                asset = await store.find_shown_asset(connection, key)
        if asset is None:
            raise AssetNotFoundError("There is no such asset: take its address from the gallery.")
        return asset

    @router.get("/{key:path}", response_class=Response)
    async def get_asset(
        request: Request,
        key: str,
        if_none_match: Annotated[str | None, Header()] = None,
        if_range: Annotated[str | None, Header()] = None,
        range_: Annotated[str | None, Header(alias="Range")] = None,
    ) -> Response:
        """An asset, or the part of it that the client asks for and does not hold."""
        asset = await find(key)
        conditions = Conditions(if_none_match=if_none_match, if_range=if_range, range=range_)
        answer = delivery.decide_delivery(asset, conditions)
        if answer.status == delivery.RANGE_NOT_SATISFIABLE:
            return _range_refused(request, asset, answer)
        if answer.sent is None:
            return Response(status_code=answer.status, headers=answer.headers)
        return AssetResponse(source, key, answer.sent, answer)

    @router.head("/{key:path}", response_class=Response)
    async def head_asset(
        key: str, if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        """What `GET` would answer, without the content. A range has no meaning here."""
        answer = delivery.decide_delivery(await find(key), Conditions(if_none_match=if_none_match))
        return Response(status_code=answer.status, headers=answer.headers)

    return router


def _range_refused(request: Request, asset: Asset, answer: Delivery) -> Response:
    sentence = f"The asset has {asset.size_bytes} bytes; ask for a range within them."
    return problem_response(
        request.scope,
        answer.status,
        "range_not_satisfiable",
        sentence,
        details={"sizeBytes": asset.size_bytes},
        headers=answer.headers,
    )
