"""`/api/webhooks`: where people want to be told of their jobs, and what was told there."""

from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic import Field

from libs.runtime.auth import Principal
from libs.runtime.http.bodies import Body, StrictBody
from libs.runtime.paging import Position, decode_cursor, page
from services.gateway.api.callers import Callers
from services.gateway.domain.webhooks import OVERLAP_MAX
from services.gateway.handlers.webhook_errors import WebhookNotFound
from services.gateway.handlers.webhooks import Endpoints
from services.gateway.store.deliveries import Delivery
from services.gateway.store.webhooks import Endpoint

PAGE_MAX: Final = 100


class NewWebhook(StrictBody):
    """Without `url` it signs for the addresses that orders name as `webhookUrl`."""

    url: str | None = None
    events: list[str] | None = None
    scheme: str | None = Field(default=None, description="`hmac`, or `ed25519`.")


class WebhookChange(StrictBody):
    """Only what is sent is changed."""

    url: str | None = None
    events: list[str] | None = None
    enabled: bool | None = None


class Rotation(StrictBody):
    """For how long the last secret signs as well; a day, if nothing is said."""

    overlap_seconds: int | None = Field(default=None, ge=0, le=int(OVERLAP_MAX.total_seconds()))


class WebhookBody(Body):
    """`failingSince`: nothing has arrived since; after five days it is disabled."""

    id: UUID
    url: str | None
    events: list[str]
    scheme: str
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None


class SignedWebhookBody(WebhookBody):
    """With what receivers verify by: a secret, to be kept, or a public key."""

    secret: str


class WebhookBodies(Body):
    items: list[WebhookBody]


class AttemptBody(Body):
    number: int
    at: datetime
    status: int | None
    error: str | None
    latency_ms: int


class DeliveryBody(Body):
    """`id` is the `webhook-id`, the same whenever it is sent. `dueAt`: when it is tried next."""

    id: UUID
    url: str
    event: str
    job_id: UUID
    told_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    attempts: list[AttemptBody]


class DeliveryBodies(Body):
    items: list[DeliveryBody]


def create_router(endpoints: Endpoints, callers: Callers) -> APIRouter:
    """The routes of webhooks."""
    router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])
    _add_registration(router, endpoints, callers)
    _add_changes(router, endpoints, callers)
    _add_log(router, endpoints, callers)
    return router


def _add_registration(router: APIRouter, endpoints: Endpoints, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    Reader = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # as above

    @router.post("", status_code=status.HTTP_201_CREATED)
    async def register_webhook(
        body: NewWebhook, caller: Caller, response: Response
    ) -> SignedWebhookBody:
        """Be told of one's jobs at an address. What it is signed by is shown this once."""
        endpoint = await endpoints.register(
            caller.user_id, url=body.url, events=body.events, scheme=body.scheme
        )
        return _signed(endpoint, response)

    @router.get("")
    async def list_webhooks(caller: Reader) -> WebhookBodies:
        """The caller's webhooks, the oldest first."""
        return WebhookBodies(items=[_body(each) for each in await endpoints.all_of(caller.user_id)])


def _add_changes(router: APIRouter, endpoints: Endpoints, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    EvenBanned = Annotated[Principal, Depends(callers.even_banned)]  # noqa: N806  # as above

    @router.patch("/{webhook_id}")
    async def change_webhook(webhook_id: str, body: WebhookChange, caller: Caller) -> WebhookBody:
        """Change the address or the events, disable it, or enable it again."""
        changed = await endpoints.change(
            _id(webhook_id),
            caller.user_id,
            url=body.url,
            events=body.events,
            is_enabled=body.enabled,
        )
        return _body(changed)

    @router.post("/{webhook_id}/rotate")
    async def rotate_secret(
        webhook_id: str, caller: Caller, response: Response, body: Rotation | None = None
    ) -> SignedWebhookBody:
        """Sign by another secret, and for a while by the last one as well."""
        seconds = body.overlap_seconds if body else None
        overlap = None if seconds is None else timedelta(seconds=seconds)
        return _signed(await endpoints.rotate(_id(webhook_id), caller.user_id, overlap), response)

    @router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT)
    async def remove_webhook(webhook_id: str, caller: EvenBanned) -> None:
        """Be told nothing more, and forget what was told."""
        await endpoints.remove(_id(webhook_id), caller.user_id)


def _add_log(router: APIRouter, endpoints: Endpoints, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.person)]  # noqa: N806  # a type, made at start
    Reader = Annotated[Principal, Depends(callers.known)]  # noqa: N806  # as above

    @router.get("/{webhook_id}/deliveries")
    async def list_deliveries(
        webhook_id: str,
        caller: Reader,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query(description="From the header `Link`.")] = None,
    ) -> DeliveryBodies:
        """What was told within a month, and how that went, the newest first."""
        rows = await endpoints.deliveries(
            _id(webhook_id), caller.user_id, after=decode_cursor(cursor), limit=limit + 1
        )
        listed = page(rows, limit, lambda each: Position(each.told_at, each.delivery_id))
        if listed.next_cursor is not None:
            query = urlencode({"limit": limit, "cursor": listed.next_cursor})
            address = f"/api/webhooks/{webhook_id}/deliveries?{query}"
            response.headers["Link"] = f'<{address}>; rel="next"'
        return DeliveryBodies(items=[_delivery(each) for each in listed.rows])

    @router.post(
        "/{webhook_id}/deliveries/{delivery_id}/replay", status_code=status.HTTP_202_ACCEPTED
    )
    async def replay_delivery(webhook_id: str, delivery_id: UUID, caller: Caller) -> None:
        """Send something again, under the same id."""
        await endpoints.replay(_id(webhook_id), delivery_id, caller.user_id)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise WebhookNotFound from None


def _body(endpoint: Endpoint) -> WebhookBody:
    return WebhookBody(
        id=endpoint.endpoint_id,
        url=endpoint.url,
        events=[each.value for each in endpoint.events],
        scheme=endpoint.signer.scheme.value,
        created_at=endpoint.created_at,
        failing_since=endpoint.failing_since,
        disabled_at=endpoint.disabled_at,
    )


def _signed(endpoint: Endpoint, response: Response) -> SignedWebhookBody:
    response.headers["Cache-Control"] = "no-store"
    return SignedWebhookBody(**_body(endpoint).model_dump(), secret=endpoint.signer.shown)


def _delivery(delivery: Delivery) -> DeliveryBody:
    return DeliveryBody(
        id=delivery.delivery_id,
        url=delivery.url,
        event=delivery.event,
        job_id=delivery.job_id,
        told_at=delivery.told_at,
        due_at=delivery.due_at,
        delivered_at=delivery.delivered_at,
        attempts=[
            AttemptBody(
                number=each.number,
                at=each.at,
                status=each.status,
                error=each.error,
                latency_ms=each.latency_ms,
            )
            for each in delivery.attempts
        ],
    )
