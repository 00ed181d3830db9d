"""Where people want to be told of their jobs: registered, changed, removed, and by what signed."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database
from libs.runtime.ids import Ids
from libs.runtime.paging import Position
from services.gateway.domain.text import InvalidRequestError
from services.gateway.domain.webhooks import (
    ENDPOINTS_MAX,
    EVENTS,
    OVERLAP,
    OVERLAP_MAX,
    SECRET_BYTES,
    URL_CHARS_MAX,
    Scheme,
    Signer,
    check_events,
    check_scheme,
)
from services.gateway.handlers.errors import InvalidRequest, UnknownUser
from services.gateway.handlers.webhook_errors import (
    DeliveryNotFound,
    DeliveryUnderWay,
    OrdersAreSigned,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookUrlRefused,
)
from services.gateway.ports import ForbiddenWebhookError, Webhooks
from services.gateway.store import deliveries
from services.gateway.store import webhooks as store
from services.gateway.store.deliveries import WEBHOOK_CHANNEL, Delivery
from services.gateway.store.webhooks import Endpoint


class Endpoints:
    """Registers addresses, and looks at what they were told."""

    def __init__(self, *, database: Database, webhooks: Webhooks, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._webhooks = webhooks
        self._ids = ids
        self._clock = clock

    async def check(self, url: str, field: str) -> str:
        """An address that may be called, as far as can be told now.

        Raises:
            WebhookUrlRefused: it leads nowhere, or inside.
        """
        if len(url) > URL_CHARS_MAX:
            raise WebhookUrlRefused(field, f"it has more than {URL_CHARS_MAX} characters")
        try:
            await self._webhooks.check(url)
        except ForbiddenWebhookError as error:
            raise WebhookUrlRefused(field, str(error)) from None
        return url

    async def register(
        self, user_id: UUID, *, url: str | None, events: Sequence[str] | None, scheme: str | None
    ) -> Endpoint:
        """A new endpoint; without an address it signs for those that orders name.

        Raises:
            InvalidRequest, WebhookUrlRefused: something does not fit.
            TooManyWebhooks, OrdersAreSigned: there are as many as there may be.
        """
        try:
            kinds, signed_by = check_events(events), check_scheme(scheme)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        if url is not None:
            await self.check(url, "url")
        endpoint = self._new(user_id, url, Signer(scheme=signed_by, secret=_secret()))
        async with self._database.transaction() as transaction:
            count = await store.lock_user(transaction.connection, user_id)
            if count is None:
                raise UnknownUser
            if count >= ENDPOINTS_MAX:
                raise TooManyWebhooks(ENDPOINTS_MAX)
            endpoint = replace(endpoint, events=kinds)
            if not await store.add(transaction.connection, endpoint):
                raise OrdersAreSigned
        return endpoint

    async def ensure_orders_are_signed(self, user_id: UUID) -> None:
        """What signs for the addresses of a user's orders is there, from their first one on."""
        async with self._database.read() as connection:
            if await store.signs_orders(connection, user_id):
                return
        signer = Signer(scheme=Scheme.HMAC, secret=_secret())
        async with self._database.transaction() as transaction:
            if await store.lock_user(transaction.connection, user_id) is None:
                raise UnknownUser
            await store.add(transaction.connection, self._new(user_id, None, signer))

    async def all_of(self, user_id: UUID) -> Sequence[Endpoint]:
        """A user's endpoints, the oldest first."""
        async with self._database.read() as connection:
            return await store.find_all(connection, user_id)

    async def change(
        self,
        endpoint_id: UUID,
        user_id: UUID,
        *,
        url: str | None,
        events: Sequence[str] | None,
        is_enabled: bool | None,
    ) -> Endpoint:
        """Change what is given; enabled again, an endpoint begins anew.

        Raises:
            WebhookNotFound: the user has no such endpoint.
            InvalidRequest, WebhookUrlRefused: something does not fit.
        """
        try:
            kinds = None if events is None else check_events(events)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        if url is not None:
            await self.check(url, "url")
        async with self._database.transaction() as transaction:
            endpoint = await _locked(transaction.connection, endpoint_id, user_id)
            if url is not None and endpoint.url is None:
                text = "This one stands for the addresses that orders name: it has none of its own"
                raise InvalidRequest(InvalidRequestError(text, field="url"))
            changed = replace(endpoint, url=url or endpoint.url, events=kinds or endpoint.events)
            if is_enabled is True:
                changed = replace(changed, failing_since=None, disabled_at=None)
            elif is_enabled is False:
                disabled_at = endpoint.disabled_at or self._clock.now()
                changed = replace(changed, disabled_at=disabled_at)
            await store.write(transaction.connection, changed)
        return changed

    async def rotate(self, endpoint_id: UUID, user_id: UUID, overlap: timedelta | None) -> Endpoint:
        """Sign by another secret, and for a while by the one of until now as well.

        Raises:
            WebhookNotFound: the user has no such endpoint.
        """
        lasting = OVERLAP if overlap is None else min(overlap, OVERLAP_MAX)
        async with self._database.transaction() as transaction:
            endpoint = await _locked(transaction.connection, endpoint_id, user_id)
            signer = endpoint.signer.rotated(_secret(), at=self._clock.now(), overlap=lasting)
            rotated = replace(endpoint, signer=signer)
            await store.write(transaction.connection, rotated)
        return rotated

    async def remove(self, endpoint_id: UUID, user_id: UUID) -> None:
        """Tell an endpoint nothing more, and forget what it was told.

        Raises:
            WebhookNotFound: the user has no such endpoint.
        """
        async with self._database.transaction() as transaction:
            await _locked(transaction.connection, endpoint_id, user_id)
            await store.remove(transaction.connection, endpoint_id)

    async def deliveries(
        self, endpoint_id: UUID, user_id: UUID, *, after: Position, limit: int
    ) -> Sequence[Delivery]:
        """What an endpoint was told, the newest first.

        Raises:
            WebhookNotFound: the user has no such endpoint.
        """
        async with self._database.transaction() as transaction:
            await _locked(transaction.connection, endpoint_id, user_id)
            return await deliveries.list_of(
                transaction.connection, endpoint_id, after=after, limit=limit
            )

    async def replay(self, endpoint_id: UUID, delivery_id: UUID, user_id: UUID) -> None:
        """Send something again, under its own id.

        Raises:
            WebhookNotFound, DeliveryNotFound: there is none. DeliveryUnderWay: it is being sent.
        """
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            await _locked(connection, endpoint_id, user_id)
            if not await deliveries.exists(connection, delivery_id, endpoint_id):
                raise DeliveryNotFound
            if not await deliveries.replay(connection, delivery_id, endpoint_id, self._clock.now()):
                raise DeliveryUnderWay
            transaction.wake(WEBHOOK_CHANNEL)

    def _new(self, user_id: UUID, url: str | None, signer: Signer) -> Endpoint:
        return Endpoint(
            endpoint_id=self._ids.new(),
            user_id=user_id,
            url=url,
            events=EVENTS,
            signer=signer,
            created_at=self._clock.now(),
        )


async def _locked(connection: Connection, endpoint_id: UUID, user_id: UUID) -> Endpoint:
    endpoint = await store.lock_own(connection, endpoint_id, user_id)
    if endpoint is None:
        raise WebhookNotFound
    return endpoint


def _secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)
