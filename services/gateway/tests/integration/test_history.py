"""What a gateway from a backup takes over from its own events: prices, bans, keys, limits."""

import hashlib
from datetime import timedelta
from uuid import uuid4

from libs.events.identity import ApiKeyRevoked, LimitChanged, UserBanned, UserUnbanned
from libs.events.operations import PriceBookAdded
from libs.events.payload import Payload
from libs.events.testing import NOW, event
from services.gateway.handlers.history import remember
from services.gateway.tests.integration.conftest import Person, RunningGateway

BODY = '{"operations":{"image":7}}'


async def told(gateway: RunningGateway, *data: Payload) -> None:
    async with gateway.streams.database.transaction() as transaction:
        await remember(
            transaction,
            [event(each, time=NOW + timedelta(minutes=at)) for at, each in enumerate(data)],
            clock=gateway.streams.clock,
        )


def ban(person: Person) -> UserBanned:
    return UserBanned(
        user_id=person.user_id, account_id=person.user_id, reason="spam", actor=uuid4()
    )


async def test_a_backup_learns_who_was_banned_since(gateway: RunningGateway) -> None:
    ada, bob = await gateway.sign_up("ada@example.com"), await gateway.sign_up("bob@example.com")
    unban = UserUnbanned(user_id=bob.user_id, account_id=bob.user_id, reason="sorry", actor=uuid4())
    await told(gateway, ban(ada), ban(bob), unban)
    banned = await gateway.value(
        "SELECT array_agg(user_id) FROM users WHERE banned_at IS NOT NULL AND ban_reason = 'spam'"
    )
    assert banned == [ada.user_id]


async def test_a_key_that_was_revoked_since_opens_nothing(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    made = await ada.client.post(
        "/api/keys", json={"name": "robot", "scopes": ["read"]}, headers=ada.headers
    )
    key = made.json()
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert (await gateway.client.get("/api/auth/me", headers=headers)).status_code == 200
    await told(
        gateway,
        ApiKeyRevoked(
            key_id=key["id"], user_id=ada.user_id, account_id=ada.user_id, actor=ada.user_id
        ),
    )
    assert (await gateway.client.get("/api/auth/me", headers=headers)).status_code == 401


async def test_prices_and_limits_of_since_then_hold(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    book = PriceBookAdded(
        version=2,
        sha256=hashlib.sha256(BODY.encode()).hexdigest(),
        effective_from=NOW,
        body=BODY,
        actor=uuid4(),
    )
    limits = [
        LimitChanged(
            kind="user",
            limited=str(ada.user_id),
            account_id=ada.user_id,
            per_minute=per_minute,
            credits_per_day=None,
            tokens_per_day=None,
            throttle_per_minute=None,
            throttled_until=None,
            reason="",
            actor=uuid4(),
        )
        for per_minute in (5, 3)
    ]
    await told(gateway, book, *limits)
    await told(gateway, book, *limits)  # once more: nothing changes
    assert await gateway.value("SELECT body FROM price_book WHERE version = 2") == BODY
    set_now = "SELECT per_minute FROM allowance WHERE kind = 'user' AND subject = $1"
    assert await gateway.value(set_now, str(ada.user_id)) == 3
