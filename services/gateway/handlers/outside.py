"""People whom an outside issuer logs in: their first request opens their account."""

import hashlib
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import structlog

from libs.events.identity import ApiKeyRevoked
from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.errors import Unauthorized
from services.gateway.domain.identity import Role, check_email
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.credentials import end_log_ins
from services.gateway.ports import Issuer, OutsidePerson
from services.gateway.store import outside as store

# Ids follow from who somebody is there: so an account that came back from the streams alone, which
# know nothing of issuers, is found again.
_NAMESPACE: Final = UUID("6f1b8d0e-6a35-5f0e-9f4e-0d1b7c1a52a4")

logger = structlog.get_logger(__name__)


class OutsideLogIns:
    """Turns good tokens of an issuer into callers."""

    def __init__(
        self, *, database: Database, issuer: Issuer, accounts: Accounts, clock: Clock
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._accounts = accounts
        self._clock = clock

    def has_issued(self, token: str) -> bool:
        """Whether a token says that it is the issuer's; nothing is verified."""
        return self._issuer.has_issued(token)

    async def verify(self, token: str) -> Principal:
        """The user behind a token; they have an account from their first token on.

        Raises:
            Unauthorized: the token is not good, was revoked, or is of somebody who has left since.
            Unavailable: nobody can say now.
        """
        person = await self._issuer.verify(token)
        identity = _identity_of(person)
        async with self._database.read() as connection:
            known = await store.find(connection, identity)
        if known is None or known.user_id is None:
            await self._open(person, identity)
            async with self._database.read() as connection:
                known = await store.find(connection, identity)
        if known is None or known.user_id is None or known.sessions_from is None:
            raise _over()  # gone again
        if person.issued_at < known.sessions_from:
            raise _over()
        return Principal(
            user_id=known.user_id,
            role="USER",  # routes that ask for more look at the user's row
            account_id=known.user_id,
            session_epoch=known.session_epoch,
            expires_at=person.expires_at,
            is_outside=True,
        )

    async def _open(self, person: OutsidePerson, identity: bytes) -> None:
        async with self._database.transaction() as transaction:
            known = await store.lock(transaction.connection, identity)
            if known.user_id is not None:
                return  # somebody else was first
            if known.closed_at is not None and person.issued_at <= known.closed_at:
                raise _over()
            accounts = known.accounts
            while await store.is_erased(transaction.connection, _user_id(identity, accounts)):
                accounts += 1
            user_id = await self._user_of(transaction, person, _user_id(identity, accounts))
            await store.attach(transaction.connection, identity, user_id, accounts + 1)
        logger.info("outside_account_opened", user_id=str(user_id))

    async def _user_of(self, transaction: Transaction, person: OutsidePerson, new_id: UUID) -> UUID:
        """Who somebody from outside is here: a new user, or the one who has their e-mail.

        An e-mail reaches us only if the issuer knows that it is theirs. Ours are not verified at
        sign-up: so whoever has it here loses password, keys and log-ins to them.
        """
        try:
            email = check_email(person.email) if person.email else None
        except InvalidRequestError:
            email = None
        owner = await store.lock_owner(transaction.connection, email) if email else None
        if owner is not None and owner.is_free:
            await self._take_over(transaction, owner.user_id, person.issued_at)
            return owner.user_id
        if owner is not None:  # an administrator's, or somebody's from outside: nobody's to take
            email = None
        await self._accounts.open(
            transaction, new_id, email=email, password_hash=None, name=None, role=Role.USER
        )
        return new_id

    async def _take_over(
        self, transaction: Transaction, user_id: UUID, issued_at: datetime
    ) -> None:
        """Who comes with a token of this instant, or later, stays in; nobody else does."""
        now = self._clock.now()
        revoked = await store.drop_credentials(transaction.connection, user_id, now)
        for key_id in revoked:
            transaction.publish(
                ApiKeyRevoked(key_id=key_id, user_id=user_id, account_id=user_id, actor=user_id)
            )
        await end_log_ins(transaction, user_id, actor=user_id, at=issued_at)


def _identity_of(person: OutsidePerson) -> bytes:
    return hashlib.sha256(f"{person.issuer}\0{person.subject}".encode()).digest()


def _user_id(identity: bytes, accounts: int) -> UUID:
    return uuid5(_NAMESPACE, f"{identity.hex()} {accounts}")


def _over() -> Unauthorized:
    return Unauthorized("Session expired: log in again.")
