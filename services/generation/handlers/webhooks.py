"""Calls of providers about jobs of theirs: verified, noted once, and whoever follows it looks."""

from collections.abc import Mapping
from datetime import timedelta

import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from libs.runtime.errors import BadRequest, NotFound, Unauthorized
from services.generation.domain.webhooks import UnknownJobError, is_genuine, submission_in
from services.generation.store import webhooks

WEBHOOK_CHANNEL = "webhook"  # a provider has something to say about a job of its own
KEPT = timedelta(days=1)

logger = structlog.get_logger(__name__)


def webhook_key(provider: str, submission_id: str) -> str:
    """The key of a job's wake-ups."""
    return f"{provider}:{submission_id}"


class Webhooks:
    """What may be told here, and by whom: a secret for each provider that tells anything."""

    def __init__(self, database: Database, clock: Clock, secrets: Mapping[str, str]) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets

    async def receive(self, provider: str, body: bytes, signature: str) -> str:
        """Take a call; returns the provider's id of the job. A repeat changes nothing.

        Raises:
            NotFound: this provider does not call.
            Unauthorized: it is not signed with our secret, or there is none.
            BadRequest: it is about no job.
        """
        secret = self._secrets.get(provider)
        if secret is None:
            raise NotFound("This provider does not call here.")
        if not is_genuine(body, signature, secret):
            raise Unauthorized("The signature does not fit: sign the body with the secret.")
        try:
            submission_id = submission_in(body)
        except UnknownJobError:
            raise BadRequest("The call names no job: send its id.") from None
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            is_new = await webhooks.keep(
                transaction.connection,
                provider,
                submission_id,
                now=now,
                forgotten_before=now - KEPT,
            )
            if is_new:
                transaction.wake(WEBHOOK_CHANNEL, webhook_key(provider, submission_id))
        logger.info("webhook_received", provider=provider, submission=submission_id, is_new=is_new)
        return submission_id
