"""People: how they come in, what they show of themselves, and who is calling."""

from typing import Final

from fastapi import FastAPI
from msgspec import Struct

from libs.runtime.auth import UserTokens
from libs.runtime.clock import Clock
from libs.runtime.service import Runtime
from libs.runtime.timer import Timer
from services.gateway.adapters.outside_issuer import OutsideIssuer
from services.gateway.api import accounts as accounts_api
from services.gateway.api import outside as outside_api
from services.gateway.api import profiles as profiles_api
from services.gateway.api import users
from services.gateway.api.callers import Bearers, Callers, create_callers
from services.gateway.api.views import UserViews
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.api_keys import ApiKeys, KeyUse
from services.gateway.handlers.credentials import LogIns
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.guesses import Guesses
from services.gateway.handlers.outside import OutsideLogIns
from services.gateway.handlers.profiles import Profiles
from services.gateway.handlers.resets import Resets
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.ports import Passwords
from services.gateway.settings import Settings
from services.gateway.store.profiles import PROFILE_CHANNEL

PROFILE_HORIZON_SECONDS: Final = 60.0


class People(Struct, frozen=True, kw_only=True):
    """Whoever uses the system, and how they come in."""

    accounts: Accounts
    log_ins: LogIns
    resets: Resets
    outside: OutsideLogIns | None
    profiles: Profiles


def create_people(
    settings: Settings, runtime: Runtime, passwords: Passwords, issuer: OutsideIssuer | None
) -> People:
    """All of that, with the work beside the requests that it needs."""
    accounts = Accounts(
        database=runtime.database,
        passwords=passwords,
        ids=runtime.ids,
        clock=runtime.clock,
        signup_credits=settings.signup_credits,
        grace=settings.grace,
    )
    guesses = Guesses(
        database=runtime.database,
        secret=settings.jwt_secret,
        attempts=settings.log_in_attempts,
    )
    outside = None
    if issuer is not None:
        outside = OutsideLogIns(
            database=runtime.database, issuer=issuer, accounts=accounts, clock=runtime.clock
        )
    log_ins = LogIns(
        database=runtime.database,
        passwords=passwords,
        guesses=guesses,
        ids=runtime.ids,
        clock=runtime.clock,
    )
    resets = Resets(
        database=runtime.database,
        passwords=passwords,
        guesses=guesses,
        ids=runtime.ids,
        clock=runtime.clock,
    )
    profiles = Profiles(database=runtime.database, clock=runtime.clock)
    sweeping = Timer(
        channel=PROFILE_CHANNEL,
        work=profiles,
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        horizon_seconds=PROFILE_HORIZON_SECONDS,
    )
    runtime.background("profile pictures", sweeping.run)
    return People(
        accounts=accounts, log_ins=log_ins, resets=resets, outside=outside, profiles=profiles
    )


def issuer_of(settings: Settings, clock: Clock) -> OutsideIssuer | None:
    """Who else logs people in, if anybody does."""
    if settings.outside_issuer is None:
        return None
    return OutsideIssuer(
        issuer=settings.outside_issuer,
        audience=settings.outside_audience,
        secret=settings.outside_secret,
        keys_url=settings.outside_keys_url,
        trusts_emails=settings.outside_emails_verified,
        clock=clock,
    )


def create_door(
    runtime: Runtime,
    people: People,
    tokens: UserTokens,
    keys: ApiKeys,
    tickets: StreamTickets,
    gate: FloodGate,
) -> Callers:
    """Who is let in by what they show."""
    use = KeyUse(database=runtime.database, clock=runtime.clock)
    runtime.background("key use", use.run)
    bearers = Bearers(tokens, keys, gate, use.note, people.outside, tickets=tickets)
    return create_callers(bearers, people.accounts)


def add_people(
    app: FastAPI,
    settings: Settings,
    runtime: Runtime,
    people: People,
    tokens: UserTokens,
    callers: Callers,
) -> None:
    """The routes of accounts."""
    user_views = UserViews(settings.profile_pictures_at)
    sessions = accounts_api.Sessions(people.accounts, tokens, runtime.ids, user_views)
    app.include_router(
        accounts_api.create_router(
            people.accounts, people.log_ins, people.resets, sessions, callers
        )
    )
    app.include_router(outside_api.create_router(people.outside, people.accounts, user_views))
    app.include_router(
        profiles_api.create_router(people.accounts, people.profiles, user_views, callers)
    )
    app.include_router(profiles_api.pictures_router(people.profiles))
    app.include_router(users.create_router(people.accounts, people.log_ins, callers))


async def ensure_admin(settings: Settings, accounts: Accounts) -> None:
    """The first admin, if one is configured; several replicas may try at once."""
    if settings.admin_email and settings.admin_password_file:
        password = settings.admin_password_file.read_text(encoding="utf-8").strip()
        await accounts.ensure_admin(settings.admin_email, password)
