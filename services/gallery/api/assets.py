"""The assets themselves: objects out of storage, whole or in parts."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.runtime.asset_addresses import AssetSigner, Signature
from libs.runtime.db import Database
from libs.runtime.errors import Forbidden, NotFound
from libs.runtime.http import problem_response
from libs.runtime.objects import ByteRange, StorageUnavailable
from services.gallery import store
from services.gallery.domain import delivery
from services.gallery.domain.delivery import Conditions, Delivery, Span
from services.gallery.domain.pictures import Asset, ShownAsset, is_key
from services.gallery.ports import AssetSource

Signed = Annotated[str | None, Query(max_length=100)]


class AssetNotFoundError(NotFound):
    """Absent, deleted, or not for whoever asks: which of them is nobody's business."""

    code = "asset_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such asset: take its address from the gallery.")


class AssetAddressExpired(Forbidden):
    """It was good once: whoever has it may know so much."""

    code = "asset_address_expired"

    def __init__(self) -> None:
        super().__init__("This address is good no longer: take a new one from the gallery.")


class Shown:
    """Which objects may be shown to whom."""

    def __init__(self, database: Database, signer: AssetSigner) -> None:
        self._database = database
        self._signer = signer

    async def find(
        self,
        key: str,
        expires: str | None,
        signature: str | None,
        viewer_id: UUID | None = None,
    ) -> ShownAsset:
        """The object that a picture shows: to everybody, to its owner, or by a signed address.

        Raises:
            AssetNotFoundError: no picture shows it to whoever asks.
            AssetAddressExpired: it did so until then.
        """
        found = None
        if is_key(key):
            async with self._database.read() as connection:
                found = await store.find_shown_asset(connection, key, viewer_id)
        if found is None:
            raise AssetNotFoundError
        if found.is_public or found.is_own:
            return found
        judged = self._signer.judge(key, expires, signature)
        if judged is Signature.EXPIRED:
            raise AssetAddressExpired
        if judged is Signature.NONE:
            raise AssetNotFoundError
        return found


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


def create_router(shown: Shown, source: AssetSource) -> APIRouter:
    """`/assets/{key}`: no log-in, as browsers load pictures without one.

    Of a picture that is not public the address itself is signed, and good for a while.
    """
    router = APIRouter(prefix="/assets", tags=["assets"])

    @router.get("/{key:path}", response_class=Response)
    async def get_asset(
        request: Request,
        key: str,
        expires: Signed = None,
        signature: Signed = None,
        if_none_match: Annotated[str | None, Header()] = None,
        if_modified_since: Annotated[str | None, Header()] = None,
        if_range: Annotated[str | None, Header()] = None,
        range_: Annotated[str | None, Header(alias="Range")] = None,
    ) -> Response:
        """An asset, or the part of it that the client asks for and does not hold."""
        found = await shown.find(key, expires, signature)
        conditions = Conditions(
            if_none_match=if_none_match,
            if_modified_since=if_modified_since,
            if_range=if_range,
            range=range_,
        )
        answer = delivery.decide_delivery(found.asset, conditions, is_public=found.is_public)
        return response_of(request, source, found.asset, answer)

    @router.head("/{key:path}", response_class=Response)
    async def head_asset(
        key: str,
        expires: Signed = None,
        signature: Signed = None,
        if_none_match: Annotated[str | None, Header()] = None,
        if_modified_since: Annotated[str | None, Header()] = None,
    ) -> Response:
        """What `GET` would answer, without the content. A range has no meaning here."""
        conditions = Conditions(if_none_match=if_none_match, if_modified_since=if_modified_since)
        found = await shown.find(key, expires, signature)
        answer = delivery.decide_delivery(found.asset, conditions, is_public=found.is_public)
        return Response(status_code=answer.status, headers=answer.headers)

    return router


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
