"""Sign-up, who a token belongs to, and how a person leaves."""

from uuid import UUID

import structlog

from libs.events.identity import AccountErased, UserRegistered
from libs.runtime import erasure
from libs.runtime.auth import Principal
from libs.runtime.clock import Clock
from libs.runtime.db import Database, Transaction
from libs.runtime.ids import Ids
from services.gateway.domain.identity import (
    Role,
    check_display_name,
    check_email,
    check_password,
)
from services.gateway.domain.pricing import NewAccounts
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.account_errors import EmailTaken
from services.gateway.handlers.errors import InvalidRequest, UnknownUser, UserNotFound
from services.gateway.handlers.openings import open_account
from services.gateway.ports import Passwords
from services.gateway.store import accounts as store
from services.gateway.store import erasure as erasure_store
from services.gateway.store import prices
from services.gateway.store.accounts import NewUser, Rights, User
from services.gateway.store.feed import FEED_CHANNEL
from services.gateway.store.profiles import PROFILE_CHANNEL

logger = structlog.get_logger(__name__)


class Accounts:
    """Users, from the first to the last."""

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

    async def rights(self, principal: Principal) -> Rights:
        """What a user may do now, whatever their token says.

        Raises:
            UnknownUser: nobody has this id, or they come with a key or log-in that was revoked.
        """
        async with self._database.read() as connection:
            rights = await store.find_rights(
                connection, principal.user_id, principal.api_key_id, principal.session_epoch
            )
        if rights is None:
            raise UnknownUser
        return rights

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
            transaction.wake(PROFILE_CHANNEL)
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
            user_id = self._ids.new()
            if not await self.open(
                transaction, user_id, email=email, password_hash=password_hash, name=name, role=role
            ):
                raise EmailTaken
        return await self.user(user_id)

    async def open(
        self,
        transaction: Transaction,
        user_id: UUID,
        *,
        email: str | None,
        password_hash: str | None,
        name: str | None,
        role: Role,
    ) -> bool:
        """Open a user and their account in a transaction; False: the e-mail is taken.

        Whoever came back from the streams with this id is who they were.
        """
        if await store.find_user(transaction.connection, user_id) is not None:
            return True
        begins_with = await self._beginning(transaction)
        user = NewUser(
            user_id=user_id,
            email=email,
            password_hash=password_hash,
            display_name=name,
            role=role,
            created_at=self._clock.now(),
        )
        if not await store.add_user(transaction.connection, user):
            return False
        registered = UserRegistered(
            user_id=user.user_id,
            account_id=user.user_id,
            role=role.value,
            signup_credits=begins_with.signup_credits,
            grace=begins_with.grace,
        )
        await open_account(transaction, registered)
        return True

    async def _beginning(self, transaction: Transaction) -> NewAccounts:
        """What a new user begins with: what the price book in force says, else the settings."""
        book = await prices.book_in_force(transaction.connection)
        settings = NewAccounts(signup_credits=self._signup_credits, grace=self._grace)
        return settings if book is None else book.accounts or settings
