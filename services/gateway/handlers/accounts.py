"""Sign-up, log-in, and who a token belongs to."""

from typing import Final
from uuid import UUID

import structlog

from libs.events.identity import AccountErased, UserRegistered
from libs.runtime import erasure
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.ids import Ids
from services.gateway.domain.identity import (
    PASSWORD_BYTES_MAX,
    Role,
    check_display_name,
    check_email,
    check_password,
    normalise_email,
)
from services.gateway.domain.pricing import NewAccounts
from services.gateway.domain.text import InvalidRequestError, is_storable
from services.gateway.handlers.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidRequest,
    UnknownUser,
    UserNotFound,
)
from services.gateway.handlers.openings import open_account
from services.gateway.ports import Passwords
from services.gateway.store import accounts as store
from services.gateway.store import erasure as erasure_store
from services.gateway.store import prices
from services.gateway.store.accounts import NewUser, User
from services.gateway.store.feed import FEED_CHANNEL

# Too short to be anybody's password, so it fits nothing.
_FITS_NOBODY: Final = "-"

logger = structlog.get_logger(__name__)


class Accounts:
    """Users and their way in."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        ids: Ids,
        clock: Clock,
        signup_credits: int,
        grace: int,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._ids = ids
        self._clock = clock
        self._signup_credits = signup_credits
        self._grace = grace

    async def sign_up(
        self, email: str | None, password: str | None, display_name: str | None
    ) -> User:
        """Register a user.

        Raises:
            InvalidRequest: something does not fit.
            EmailTaken: the address is registered; of parallel sign-ups all but one end here.
        """
        try:
            address = check_email(email)
            secret = check_password(password)
            name = check_display_name(display_name)
        except InvalidRequestError as error:
            raise InvalidRequest(error) from None
        return await self._register(address, secret, name, Role.USER)

    async def log_in(self, email: str | None, password: str | None) -> User:
        """The user whose address and password these are.

        Raises:
            InvalidCredentials: there is none; finding out takes as long for an unknown address.
        """
        address = normalise_email(email or "")
        known = None
        if is_storable(address):
            async with self._database.read() as connection:
                known = await store.find_credentials(connection, address)
        given = password or _FITS_NOBODY
        if not is_storable(given) or len(given.encode()) > PASSWORD_BYTES_MAX:
            given = _FITS_NOBODY
        fits = await self._passwords.verify(given, known.password_hash if known else None)
        if known is None or not fits:
            raise InvalidCredentials
        return await self.user(known.user_id)

    async def user(self, user_id: UUID) -> User:
        """A user as they are now.

        Raises:
            UnknownUser: nobody has this id.
        """
        async with self._database.read() as connection:
            user = await store.find_user(connection, user_id)
        if user is None:
            raise UnknownUser
        return user

    async def role(self, user_id: UUID, api_key_id: UUID | None = None) -> Role:
        """What a user may do now, whatever their token says.

        Raises:
            UnknownUser: nobody has this id, or they come with a key that was revoked.
        """
        async with self._database.read() as connection:
            role = await store.find_role(connection, user_id, api_key_id)
        if role is None:
            raise UnknownUser
        return role

    async def erase(self, user_id: UUID, *, actor: UUID) -> None:
        """Forget a person: nobody logs in as them again, and every service removes what is theirs.

        Jobs under way are ended by generation. The account's books stay, without any words.

        Raises:
            UserNotFound: there is no such user, or no more.
        """
        async with self._database.transaction() as transaction:
            await erasure.erase(transaction, user_id)
            if not await erasure_store.forget_users(transaction.connection, [user_id]):
                raise UserNotFound
            transaction.publish(AccountErased(user_id=user_id, account_id=user_id, actor=actor))
            transaction.wake(FEED_CHANNEL, str(user_id))  # open streams look, and end

    async def ensure_admin(self, email: str, password: str) -> None:
        """Register the first admin, unless the address is taken: then nothing is changed.

        Raises:
            InvalidRequestError: address or password do not fit.
        """
        try:
            await self._register(check_email(email), check_password(password), None, Role.ADMIN)
        except EmailTaken:
            logger.info("admin_exists")

    async def _register(self, email: str, password: str, name: str | None, role: Role) -> User:
        async with self._database.read() as connection:
            if await store.is_registered(connection, email):  # saves the hashing, decides nothing
                raise EmailTaken
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as transaction:
            begins_with = await self._beginning(transaction)
            user = NewUser(
                user_id=self._ids.new(),
                email=email,
                password_hash=password_hash,
                display_name=name,
                role=role,
                created_at=self._clock.now(),
            )
            if not await store.add_user(transaction.connection, user):
                raise EmailTaken
            registered = UserRegistered(
                user_id=user.user_id,
                account_id=user.user_id,
                role=role.value,
                signup_credits=begins_with.signup_credits,
                grace=begins_with.grace,
            )
            await open_account(transaction, registered)
        return await self.user(user.user_id)

    async def _beginning(self, transaction: Transaction) -> NewAccounts:
        """What a new user begins with: what the price book in force says, else the settings."""
        book = await prices.book_in_force(transaction.connection)
        settings = NewAccounts(signup_credits=self._signup_credits, grace=self._grace)
        return settings if book is None else book.accounts or settings
