"""API keys: made and revoked by their owners, recognised at every request."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.events.identity import ApiKeyCreated, ApiKeyRevoked, LimitChanged
from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.ids import Ids
from services.gateway.domain import api_keys as rules
from services.gateway.domain.limits import Kind, OwnPolicy, Subject
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import (
    ApiKeyNotFound,
    InvalidApiKey,
    InvalidRequest,
    TooManyApiKeys,
)
from services.gateway.store import api_keys as store
from services.gateway.store import limits
from services.gateway.store.api_keys import ApiKey, KeyFacts
from services.gateway.store.feed import FEED_CHANNEL

SECRET_BYTES: Final = 32
REMEMBERED_MAX: Final = 10_000
USE_SECONDS: Final = 60.0  # between two notes of who was used
LIMIT_REASON: Final = "set with the key"


class ApiKeys:
    """Makes, lists, revokes and recognises keys."""

    def __init__(self, *, database: Database, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._ids = ids
        self._clock = clock
        self._facts: OrderedDict[UUID, KeyFacts] = OrderedDict()

    async def create(
        self, owner: Principal, *, name: str | None, scopes: Sequence[str], limit: OwnPolicy
    ) -> tuple[ApiKey, str]:
        """A new key, and the only time that it is told whole.

        Raises:
            InvalidRequest: name or scopes do not fit.
            TooManyApiKeys: the owner has as many as anybody may.
        """
        try:
            checked_name, checked_scopes = rules.check_name(name), rules.check_scopes(scopes)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        secret = secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            key_id=self._ids.new(),
            user_id=owner.user_id,
            account_id=owner.account_id,
            name=checked_name,
            scopes=checked_scopes,
            created_at=self._clock.now(),
        )
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            if await store.lock_user(connection, owner.user_id) >= rules.LIVE_KEYS_MAX:
                raise TooManyApiKeys(rules.LIVE_KEYS_MAX)
            await store.add(connection, key, rules.hashed(secret))
            transaction.publish(
                ApiKeyCreated(
                    key_id=key.key_id,
                    user_id=key.user_id,
                    account_id=key.account_id,
                    scopes=tuple(scope.value for scope in key.scopes),
                )
            )
            if limit != OwnPolicy():
                subject = Subject(Kind.KEY, str(key.key_id))
                await limits.lock(connection, [subject])
                await limits.write_policy(connection, subject, limit)
                transaction.publish(_limit_of(key, limit))
        return key, rules.written(key.key_id, secret)

    async def all_of(self, user_id: UUID) -> Sequence[ApiKey]:
        """A user's keys, the oldest first."""
        async with self._database.read() as connection:
            return await store.find_own(connection, user_id)

    async def revoke(self, key_id: UUID, owner: Principal) -> None:
        """Make a key useless, at once and for ever. Once more changes nothing.

        Raises:
            ApiKeyNotFound: the owner has no such key.
        """
        async with self._database.transaction() as transaction:
            key = await store.lock_own(transaction.connection, key_id, owner.user_id)
            if key is None:
                raise ApiKeyNotFound
            if key.revoked_at is not None:
                return
            await store.revoke(transaction.connection, key_id, self._clock.now())
            transaction.publish(
                ApiKeyRevoked(
                    key_id=key_id,
                    user_id=key.user_id,
                    account_id=key.account_id,
                    actor=owner.user_id,
                )
            )
            transaction.wake(FEED_CHANNEL, str(key.user_id))  # streams look whether they may go on

    async def verify(self, token: str) -> Principal:
        """The user behind a key that is genuine. Whether it was revoked since is asked for later.

        What never changes of a key is kept, so that recognising one again asks nobody; routes and
        admission look at the row itself, as they look at the user's.

        Raises:
            InvalidApiKey: it is none of ours.
        """
        parsed = rules.parsed(token)
        if parsed is None:
            raise InvalidApiKey
        key_id, secret_sha256 = parsed
        facts = self._facts.get(key_id) or await self._learn(key_id)
        if not rules.is_same(facts.secret_sha256, secret_sha256):
            raise InvalidApiKey
        return Principal(
            user_id=facts.user_id,
            role="USER",  # a key is nobody's administrator
            account_id=facts.account_id,
            api_key_id=key_id,
            scopes=facts.scopes,
        )

    async def _learn(self, key_id: UUID) -> KeyFacts:
        async with self._database.read() as connection:
            facts = await store.find_facts(connection, key_id)
        if facts is None:
            raise InvalidApiKey
        self._facts[key_id] = facts
        if len(self._facts) > REMEMBERED_MAX:
            self._facts.popitem(last=False)
        return facts


class KeyUse:
    """Notes when keys were last used, to the minute, beside the requests."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._used: set[UUID] = set()
        self._work = asyncio.Event()

    def note(self, key_id: UUID) -> None:
        """A key was used now."""
        self._used.add(key_id)
        self._work.set()

    async def run(self) -> None:
        """Write notes: the first at once, then all of a minute together."""
        while True:
            await self._work.wait()
            self._work.clear()
            used, self._used = self._used, set()
            async with self._database.read() as connection:
                await store.note_use(connection, used)
            await self._clock.sleep(USE_SECONDS)


def _limit_of(key: ApiKey, limit: OwnPolicy) -> LimitChanged:
    return LimitChanged(
        kind=Kind.KEY.value,
        limited=str(key.key_id),
        account_id=key.account_id,
        per_minute=limit.per_minute,
        credits_per_day=limit.credits_per_day,
        tokens_per_day=limit.tokens_per_day,
        throttle_per_minute=None,
        throttled_until=None,
        reason=LIMIT_REASON,
        actor=key.user_id,
    )
