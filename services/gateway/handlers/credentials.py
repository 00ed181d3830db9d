"""Passwords and log-ins: who comes in, by what, and what ends it."""

from datetime import datetime
from typing import Final
from uuid import UUID

from libs.events.identity import SessionsRevoked
from libs.events.text import is_storable
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.ids import Ids
from services.gateway.domain.identity import (
    PASSWORD_BYTES_MAX,
    check_password,
    normalise_email,
)
from services.gateway.domain.mails import Template
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.account_errors import InvalidCredentials, WrongPassword
from services.gateway.handlers.errors import InvalidRequest, UnknownUser
from services.gateway.handlers.guesses import Guesses
from services.gateway.ports import Passwords
from services.gateway.store import credentials as store
from services.gateway.store import mails
from services.gateway.store.credentials import Credentials
from services.gateway.store.feed import FEED_CHANNEL

# Too short to be anybody's password, so it fits nothing.
_FITS_NOBODY: Final = "-"


class LogIns:
    """Verifies passwords, changes them, and ends log-ins."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        guesses: Guesses,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._guesses = guesses
        self._ids = ids
        self._clock = clock

    async def log_in(self, email: str | None, password: str | None, address: str | None) -> UUID:
        """The user whose e-mail and password these are; `address` is where the attempt is from.

        Raises:
            InvalidCredentials: there is none; finding out takes as long for an unknown e-mail.
            GuessesExceeded: too many attempts, whether or not the e-mail is known.
        """
        whom = normalise_email(email or "")
        async with self._guesses.counted("log in", whom, address):
            known = None
            if is_storable(whom):
                async with self._database.read() as connection:
                    known = await store.find_by_email(connection, whom)
            if not await self._fits(password, known) or known is None:
                raise InvalidCredentials
            await self._renew_hash(known, password or "")
        return known.user_id

    async def confirm(self, user_id: UUID, password: str | None, address: str | None) -> None:
        """Make sure that it is the user themselves who asks. Who has no password has logged in.

        Raises:
            WrongPassword: it is not theirs.
            GuessesExceeded: too many attempts.
            UnknownUser: there is no such user any more.
        """
        async with self._database.read() as connection:
            known = await store.find(connection, user_id)
        if known is None or known.password_hash is not None:
            await self._confirmed(user_id, password, address)

    async def change_password(
        self, user_id: UUID, password: str | None, wanted: str | None, address: str | None
    ) -> None:
        """Set another password; all log-ins end, and open streams with them.

        Raises:
            WrongPassword, GuessesExceeded, UnknownUser: as `confirm`.
            InvalidRequest: the new password does not fit.
        """
        secret = self._checked(wanted)
        known = await self._confirmed(user_id, password, address)
        password_hash = await self._passwords.hash(secret)
        async with self._database.transaction() as transaction:
            now = self._clock.now()
            connection = transaction.connection
            old = known.password_hash
            if not await store.set_password(connection, user_id, old, password_hash, now):
                raise WrongPassword  # another change was first
            await end_log_ins(transaction, user_id, actor=user_id, at=now)
            template = Template.PASSWORD_CHANGED
            await mails.queue_to_user(connection, self._ids.new(), template, user_id, now)
            transaction.wake(mails.MAIL_CHANNEL)

    async def revoke(self, user_id: UUID) -> None:
        """Sign a user out everywhere.

        Raises:
            UnknownUser: there is no such user any more.
        """
        async with self._database.transaction() as transaction:
            await end_log_ins(transaction, user_id, actor=user_id, at=self._clock.now())

    async def _confirmed(
        self, user_id: UUID, password: str | None, address: str | None
    ) -> Credentials:
        async with self._guesses.counted("confirm", str(user_id), address):
            async with self._database.read() as connection:
                known = await store.find(connection, user_id)
            if known is None:
                raise UnknownUser
            if not await self._fits(password, known):
                raise WrongPassword
        return known

    async def _fits(self, password: str | None, known: Credentials | None) -> bool:
        given = password or _FITS_NOBODY
        if not is_storable(given) or len(given.encode()) > PASSWORD_BYTES_MAX:
            given = _FITS_NOBODY
        return await self._passwords.verify(given, known.password_hash if known else None)

    async def _renew_hash(self, known: Credentials, password: str) -> None:
        """Keep the password in today's form, now that it is at hand."""
        old = known.password_hash
        if old is None or not self._passwords.is_dated(old):
            return
        new = await self._passwords.hash(password)
        async with self._database.transaction() as transaction:
            await store.replace_hash(transaction.connection, known.user_id, old, new)

    @staticmethod
    def _checked(wanted: str | None) -> str:
        try:
            return check_password(wanted)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None


async def end_log_ins(
    transaction: Transaction, user_id: UUID, *, actor: UUID, at: datetime
) -> None:
    """End all log-ins of a user: tokens of the epochs before open nothing from the commit on.

    Raises:
        UnknownUser: there is no such user.
    """
    epoch = await store.begin_epoch(transaction.connection, user_id, at)
    if epoch is None:
        raise UnknownUser
    transaction.publish(
        SessionsRevoked(user_id=user_id, account_id=user_id, session_epoch=epoch, actor=actor)
    )
    transaction.wake(FEED_CHANNEL, str(user_id))
