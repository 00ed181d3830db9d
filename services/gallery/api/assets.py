"""The assets themselves: objects out of storage, whole or in parts."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.runtime.db import Database
from libs.runtime.errors import NotFound
from libs.runtime.http import problem_response
from libs.runtime.objects import ByteRange, StorageUnavailable
from services.gallery import store
from services.gallery.domain import delivery
from services.gallery.domain.delivery import Conditions, Delivery, Span
from services.gallery.domain.pictures import Asset, is_key
from services.gallery.ports import AssetSource


class AssetNotFoundError(NotFound):
    code = "asset_not_found"


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


def create_router(database: Database, source: AssetSource) -> APIRouter:
    """`/assets/{key}`: no log-in, as browsers load pictures without one; keys cannot be guessed."""
    router = APIRouter(prefix="/assets", tags=["assets"])

    @router.get("/{key:path}", response_class=Response)
    async def get_asset(
        request: Request,
        key: str,
        if_none_match: Annotated[str | None, Header()] = None,
        if_modified_since: Annotated[str | None, Header()] = None,
        if_range: Annotated[str | None, Header()] = None,
        range_: Annotated[str | None, Header(alias="Range")] = None,
    ) -> Response:
        """An asset, or the part of it that the client asks for and does not hold."""
        asset = await find_asset(database, key)
        conditions = Conditions(
            if_none_match=if_none_match,
            if_modified_since=if_modified_since,
            if_range=if_range,
            range=range_,
        )
        answer = delivery.decide_delivery(asset, conditions)
        return response_of(request, source, asset, answer)

    @router.head("/{key:path}", response_class=Response)
    async def head_asset(
        key: str,
        if_none_match: Annotated[str | None, Header()] = None,
        if_modified_since: Annotated[str | None, Header()] = None,
    ) -> Response:
        """What `GET` would answer, without the content. A range has no meaning here."""
        conditions = Conditions(if_none_match=if_none_match, if_modified_since=if_modified_since)
        answer = delivery.decide_delivery(await find_asset(database, key), conditions)
        return Response(status_code=answer.status, headers=answer.headers)

    return router


async def find_asset(database: Database, key: str) -> Asset:
    """The object that a picture shows.

    Raises:
        AssetNotFoundError: none shows it.
    """
    asset = None
    if is_key(key):
        async with database.read() as connection:
            asset = await store.find_shown_asset(connection, key)
    if asset is None:
        raise AssetNotFoundError("There is no such asset: take its address from the gallery.")
    return asset


def response_of(request: Request, source: AssetSource, asset: Asset, answer: Delivery) -> Response:
    """An object as it was decided to be sent."""
    if answer.status == delivery.RANGE_NOT_SATISFIABLE:
        return _range_refused(request, asset, answer)
    if answer.sent is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return AssetResponse(source, asset.key, answer.sent, answer)


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
