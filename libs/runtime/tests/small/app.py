"""Everything that a service has of the runtime, and nothing that would hide what it does wrong.

There is no natural key: positions, inbox and outbox alone make each effect happen once.
"""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from libs.events.billing import UsageOutcome, UsageRecorded
from libs.events.envelope import Event
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.runtime import deadletters_http
from libs.runtime.auth import InternalTokens, require_principal
from libs.runtime.db import Transaction
from libs.runtime.deadletters import Discarded
from libs.runtime.errors import Conflict
from libs.runtime.service import Parts, Runtime
from libs.runtime.settings import InternalSettings

MIGRATIONS = Path(__file__).parent / "migrations"
TYPES = (EventType.USER_REGISTERED,)
POISON = "POISON"


class Settings(InternalSettings):
    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True, extra="ignore")

    is_healed: bool = False


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    settings = settings or Settings.load()
    runtime = Runtime(Service.BILLING, settings, parts, migrations=MIGRATIONS)

    async def handle(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
        is_poisoned = any(getattr(event.data, "role", "") == POISON for event in events)
        if is_poisoned and not settings.is_healed:
            raise Conflict("this user cannot be applied")
        await transaction.connection.execute(
            "INSERT INTO applied (event_id, user_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])",
            [event.id for event in events],
            [UUID(event.subject) for event in events],
        )
        for event in events:
            transaction.publish(answer_to(UUID(event.subject)), cause=event)

    async def settle(transaction: Transaction, discarded: Discarded) -> None:
        row = discarded.row
        await transaction.connection.execute(
            "INSERT INTO given_up (event_id) VALUES ($1)", row.event_id
        )
        transaction.publish(answer_to(UUID(row.order_key)))

    runtime.consume([Topic.IDENTITY], TYPES, handle)
    letters = runtime.dead_letters(TYPES, handle, settle)
    app = runtime.http_app()
    tokens = InternalTokens(settings.internal_secret, runtime.clock)
    principal_of = require_principal(tokens.verifier(Service.BILLING))
    app.include_router(deadletters_http.create_router(letters, principal_of))
    return app


def answer_to(user_id: UUID) -> UsageRecorded:
    return UsageRecorded(
        job_id=user_id,
        account_id=user_id,
        usage_id=user_id,
        outcome=UsageOutcome.COMPLETED,
        credits=1,
    )
