"""Mails out of the queue: each is sent once, or, if the process dies just then, twice.

A mail is taken for a lease, sent, and removed. A process that dies before it is removed leaves it
to whoever looks after the lease has run out: so a mail that was accepted in that very moment comes
again, with the same message id. Whom it is for is looked up at sending, and a token is made then:
what a thief of the table finds opens nothing.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

import structlog

from libs.runtime.clock import Clock
from libs.runtime.db import Database
from services.gateway.domain.mails import PAGES, RESET_LIFETIME, Template, delay_after, text_of
from services.gateway.ports import Letter, MailDelayedError, MailRefusedError, Post
from services.gateway.store import mails as store
from services.gateway.store.mails import Due, Recipient

BATCH: Final = 4
LEASE: Final = timedelta(minutes=2)  # longer than all of a batch take, each to its time limit
FAILED_KEPT: Final = timedelta(days=7)
_ERROR_CHARS_MAX: Final = 500

logger = structlog.get_logger(__name__)


def token_hash(token: str) -> bytes:
    """Under what a token is kept."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


class Mailing:
    """Sends what is due. Every replica may do so at any time: rows say whose turn it is."""

    def __init__(self, *, database: Database, post: Post, clock: Clock, client_url: str) -> None:
        """`client_url`: where the web client is, for links."""
        self._database = database
        self._post = post
        self._clock = clock
        self._client_url = client_url.rstrip("/")

    async def next_at(self) -> datetime | None:
        """When the next mail is due."""
        async with self._database.read() as connection:
            return await store.next_at(connection)

    async def work(self) -> None:
        """Send some of what is due."""
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            await store.remove_failed(transaction.connection, now - FAILED_KEPT)
            taken = await store.take(transaction.connection, now, LEASE, BATCH)
        for due in taken:
            await self._send(due)

    async def _send(self, due: Due) -> None:
        async with self._database.read() as connection:
            recipient = await store.recipient(connection, due)
        try:
            if recipient is not None:
                await self._post.send(await self._letter(due, recipient))
        except MailRefusedError as error:
            await self._put_off(due, None, error)
        except MailDelayedError as error:
            await self._put_off(due, delay_after(due.attempts), error)
        else:
            async with self._database.transaction() as transaction:
                await store.remove(transaction.connection, due)
            logger.info("mail_sent", template=due.template.value, mail_id=str(due.mail_id))

    async def _letter(self, due: Due, recipient: Recipient) -> Letter:
        parameters = {**due.parameters, "link": f"{self._client_url}{PAGES[due.template]}"}
        if due.template is Template.PASSWORD_RESET:
            token = await self._new_token(recipient)
            parameters["link"] += f"?token={quote(token)}"
        text = text_of(due.template, parameters)
        return Letter(id=str(due.mail_id), to=recipient.email, subject=text.subject, body=text.body)

    async def _new_token(self, recipient: Recipient) -> str:
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            await store.add_token(
                transaction.connection,
                token_hash(token),
                recipient.user_id,
                now + RESET_LIFETIME,
                now,
            )
        return token

    async def _put_off(self, due: Due, delay: timedelta | None, error: Exception) -> None:
        now, text = self._clock.now(), str(error)[:_ERROR_CHARS_MAX].replace("\0", "")
        async with self._database.transaction() as transaction:
            if delay is None:
                await store.give_up(transaction.connection, due, now, text)
            else:
                await store.delay(transaction.connection, due, now + delay, text)
        event = "mail_given_up" if delay is None else "mail_put_off"
        logger.warning(event, mail_id=str(due.mail_id), attempts=due.attempts, error=text)
