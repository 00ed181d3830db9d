"""What administrators do about users and limits: ban, unban, limit, throttle. Each is an event."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from libs.events.identity import LimitChanged, UserBanned, UserUnbanned
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database
from services.gateway.domain.catalogue import PROVIDERS
from services.gateway.domain.limits import Allowance, Kind, OwnPolicy, Policy, Subject, Throttle
from services.gateway.handlers.credentials import end_log_ins
from services.gateway.handlers.errors import BanOfOneself, SubjectNotFound
from services.gateway.store import accounts, limits
from services.gateway.store.limits import Row


class Limited(Struct, frozen=True, kw_only=True):
    """What is set for a subject, and what that leaves at one instant."""

    own: OwnPolicy
    allowance: Allowance
    at: datetime


class Sanctions:
    """Commands of administrators, and what is set for whom."""

    def __init__(
        self, *, database: Database, clock: Clock, defaults: Mapping[Kind, Policy]
    ) -> None:
        self._database = database
        self._clock = clock
        self._defaults = defaults

    async def ban(self, user_id: UUID, *, reason: str, actor: UUID) -> datetime:
        """Refuse the user's generations from now on, end log-ins and streams; since when.

        They may log in again: what is theirs, and leaving, stays open to them.

        Raises:
            SubjectNotFound: there is no such user.
            BanOfOneself: an administrator means themselves.
        """
        if user_id == actor:
            raise BanOfOneself
        async with self._database.transaction() as transaction:
            ban = await accounts.lock_ban(transaction.connection, user_id)
            if ban is None:
                raise SubjectNotFound(Kind.USER.value, str(user_id))
            if ban.banned_at is not None:
                return ban.banned_at
            banned_at = self._clock.now()
            await accounts.write_ban(transaction.connection, user_id, banned_at, reason)
            transaction.publish(
                UserBanned(user_id=user_id, account_id=user_id, reason=reason, actor=actor)
            )
            await end_log_ins(transaction, user_id, actor=actor, at=banned_at)
        return banned_at

    async def unban(self, user_id: UUID, *, reason: str, actor: UUID) -> None:
        """Let the user generate again.

        Raises:
            SubjectNotFound: there is no such user.
        """
        async with self._database.transaction() as transaction:
            ban = await accounts.lock_ban(transaction.connection, user_id)
            if ban is None:
                raise SubjectNotFound(Kind.USER.value, str(user_id))
            if ban.banned_at is None:
                return
            await accounts.write_ban(transaction.connection, user_id, None, None)
            transaction.publish(
                UserUnbanned(user_id=user_id, account_id=user_id, reason=reason, actor=actor)
            )

    async def limited(self, subject: Subject) -> Limited:
        """What is set for a subject.

        Raises:
            SubjectNotFound: there is no such subject.
        """
        async with self._database.read() as connection:
            await self._owner(connection, subject)
            (row,) = await limits.find(connection, [subject])
            now = await limits.database_now(connection)
        return self._shown(row, now)

    async def limit(
        self, subject: Subject, policy: OwnPolicy, *, reason: str, actor: UUID
    ) -> Limited:
        """Set rate and caps; where nothing is given, the default holds. A throttle stays.

        Raises:
            SubjectNotFound: there is no such subject.
        """
        return await self._change(subject, policy, None, reason=reason, actor=actor)

    async def throttle(
        self,
        subject: Subject,
        per_minute: int | None,
        duration: timedelta,
        *,
        reason: str,
        actor: UUID,
    ) -> Limited:
        """Lower the rate for a while from the database's now on; none ends that before its time.

        Raises:
            SubjectNotFound: there is no such subject.
        """
        wanted = (per_minute, duration)
        return await self._change(subject, None, wanted, reason=reason, actor=actor)

    async def _change(
        self,
        subject: Subject,
        policy: OwnPolicy | None,
        throttle: tuple[int | None, timedelta] | None,
        *,
        reason: str,
        actor: UUID,
    ) -> Limited:
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            account_id = await self._owner(connection, subject)
            (row,) = await limits.lock(connection, [subject])
            now = await limits.database_now(connection)
            own = row.own if policy is None else replace(policy, throttle=row.own.throttle)
            if throttle is not None:
                per_minute, duration = throttle
                lower = per_minute and Throttle(per_minute=per_minute, until=now + duration)
                own = replace(own, throttle=lower or None)
            if own != row.own:
                await limits.write_policy(connection, subject, own)
                transaction.publish(_changed(subject, account_id, own, reason, actor))
        return self._shown(replace(row, own=own), now)

    def _shown(self, row: Row, now: datetime) -> Limited:
        return Limited(own=row.own, allowance=row.allowance(self._defaults, now), at=now)

    @staticmethod
    async def _owner(connection: Connection, subject: Subject) -> UUID | None:
        """The account that a subject belongs to; a provider belongs to none."""
        if subject.kind is Kind.PROVIDER:
            if subject.id not in PROVIDERS:
                raise SubjectNotFound(subject.kind.value, subject.id)
            return None
        try:
            owner = await limits.find_owner(connection, subject.kind, UUID(subject.id))
        except ValueError:
            owner = None
        if owner is None:
            raise SubjectNotFound(subject.kind.value, subject.id)
        return owner


def _changed(
    subject: Subject, account_id: UUID | None, own: OwnPolicy, reason: str, actor: UUID
) -> LimitChanged:
    return LimitChanged(
        kind=subject.kind.value,
        limited=subject.id,
        account_id=account_id,
        per_minute=own.per_minute,
        credits_per_day=own.credits_per_day,
        tokens_per_day=own.tokens_per_day,
        throttle_per_minute=own.throttle.per_minute if own.throttle else None,
        throttled_until=own.throttle.until if own.throttle else None,
        reason=reason,
        actor=actor,
    )
