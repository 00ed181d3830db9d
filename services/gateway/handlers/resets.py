"""A forgotten password: a mail is asked for, and its token sets another one, once."""

from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.ids import Ids
from services.gateway.domain.identity import check_email, check_password
from services.gateway.domain.mails import Template
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.account_errors import BadResetToken
from services.gateway.handlers.credentials import end_log_ins
from services.gateway.handlers.errors import InvalidRequest
from services.gateway.handlers.guesses import Guesses
from services.gateway.handlers.mails import token_hash
from services.gateway.ports import Passwords
from services.gateway.store import mails as store


class Resets:
    """Does the same for every e-mail, known or not: whose it is, the sender of mails finds out."""

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

    async def ask(self, email: str | None, address: str | None) -> None:
        """Queue a mail to whoever has this e-mail, if anybody has.

        Raises:
            InvalidRequest: it is no e-mail.
            GuessesExceeded: it was asked for too often.
        """
        try:
            whom = check_email(email)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        await self._guesses.count("reset", whom, address)
        async with self._database.transaction() as transaction:
            await store.queue_to_email(
                transaction.connection,
                self._ids.new(),
                Template.PASSWORD_RESET,
                whom,
                self._clock.now(),
            )
            transaction.wake(store.MAIL_CHANNEL)

    async def reset(self, token: str | None, wanted: str | None) -> None:
        """Set another password by the token of a mail; every log-in ends.

        Raises:
            InvalidRequest: the new password does not fit; the token is still good.
            BadResetToken: never given out, used, or expired.
        """
        try:
            secret = check_password(wanted)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        hashed = token_hash(token or "")
        async with self._database.read() as connection:  # saves the hashing, decides nothing
            if await store.find_token(connection, hashed, self._clock.now()) is None:
                raise BadResetToken
        password_hash = await self._passwords.hash(secret)
        async with self._database.transaction() as transaction:
            await self._set(transaction, hashed, password_hash)

    async def _set(self, transaction: Transaction, hashed: bytes, password_hash: str) -> None:
        connection, now = transaction.connection, self._clock.now()
        user_id = await store.use_token(connection, hashed, now)
        if user_id is None:
            raise BadResetToken
        await store.reset_hash(connection, user_id, password_hash, now)
        await end_log_ins(transaction, user_id, actor=user_id, at=now)
        await store.queue_to_user(
            connection, self._ids.new(), Template.PASSWORD_CHANGED, user_id, now
        )
        transaction.wake(store.MAIL_CHANNEL)
