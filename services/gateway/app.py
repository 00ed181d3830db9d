"""Puts the gateway together: `uvicorn --factory services.gateway.app:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from fastapi import FastAPI
from msgspec import Struct

from libs.events.names import Service
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.auth import InternalTokens, UserTokens
from libs.runtime.clock import Clock
from libs.runtime.http import HttpOptions
from libs.runtime.objects import ObjectStore
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.service import Parts, Runtime
from libs.runtime.timer import Timer
from services.gateway import consumers, projections
from services.gateway.adapters.outside_issuer import OutsideIssuer
from services.gateway.adapters.owners import HttpOwners
from services.gateway.adapters.passwords import Argon2Passwords
from services.gateway.adapters.references import HttpReferences
from services.gateway.adapters.smtp import SmtpPost
from services.gateway.api import accounts as accounts_api
from services.gateway.api import api_keys as api_keys_api
from services.gateway.api import balances as balances_api
from services.gateway.api import credit_orders as credit_orders_api
from services.gateway.api import dead_letters, documentation, forwarding, jobs, sockets, users
from services.gateway.api import generations as generations_api
from services.gateway.api import outside as outside_api
from services.gateway.api import prices as prices_api
from services.gateway.api import profiles as profiles_api
from services.gateway.api import proxying as proxying_api
from services.gateway.api import sanctions as sanctions_api
from services.gateway.api import streams as streams_api
from services.gateway.api.callers import Bearers, Callers, create_callers
from services.gateway.api.dialects import elsewhere, files, flux, openai
from services.gateway.api.pushes import Pushes
from services.gateway.api.rate_limits import install_rate_limit_handler
from services.gateway.api.reading import BODY_BYTES_MAX
from services.gateway.api.views import JobViews, UserViews
from services.gateway.domain.catalogue import RETIRED
from services.gateway.domain.limits import Kind, Limit, Policy
from services.gateway.handlers import discards
from services.gateway.handlers.accounts import Accounts
from services.gateway.handlers.admissions import Admissions
from services.gateway.handlers.api_keys import ApiKeys, KeyUse
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.credentials import LogIns
from services.gateway.handlers.deductions import Deductions
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.generations import Generations
from services.gateway.handlers.guesses import Guesses
from services.gateway.handlers.holds import HoldWatch
from services.gateway.handlers.inputs import Inputs, InputSweeping
from services.gateway.handlers.mails import Mailing
from services.gateway.handlers.outside import OutsideLogIns
from services.gateway.handlers.prices import PriceBooks
from services.gateway.handlers.profiles import Profiles
from services.gateway.handlers.resets import Resets
from services.gateway.handlers.sanctions import Sanctions
from services.gateway.handlers.slots import Slots
from services.gateway.handlers.streams import Streams
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.ports import Passwords
from services.gateway.rebuild import PROJECTION
from services.gateway.settings import Settings
from services.gateway.store.mails import MAIL_CHANNEL
from services.gateway.store.profiles import PROFILE_CHANNEL

# A picture of 50 MB as base64, in JSON or in a form.
UPLOAD_BODY_BYTES_MAX: Final = 80_000_000
# Billing takes half of it, and says in which line it is too much.
BILL_BYTES_MAX: Final = 64 * 1024 * 1024
# Under these, requests may carry pictures.
LARGE_BODIES: Final = (
    "/api/jobs",
    "/api/unified-generate",
    "/api/image/",
    "/api/ideogram/",
    "/api/qwen/",
    "/api/flux/generate",
    "/api/video/",
    "/v1/images/",
)

# Five million bytes of a picture as base64 text, and the JSON around it.
PROFILE_BYTES_MAX: Final = 7_000_000
PROFILE_HORIZON_SECONDS: Final = 60.0

MIGRATIONS = PROJECTION.migrations
MAIL_HORIZON_SECONDS = 15.0


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    """The gateway, joined to its settings and parts; nothing runs before its lifespan does."""
    settings = settings or Settings.load()
    runtime = Runtime(Service.GATEWAY, settings, parts, migrations=MIGRATIONS)
    runtime.verify(PROJECTION)
    passwords = Argon2Passwords(threads=settings.password_threads)
    issuer = _issuer(settings, runtime.clock)
    owners = _owners(settings)
    people = _people(settings, runtime, passwords, issuer)
    runtime.remember(consumers.create_history(runtime.clock))
    runtime.consume(
        consumers.TOPICS,
        consumers.EVENT_TYPES,
        projections.project,
        pace_seconds=consumers.PACE_SECONDS,
    )
    watch = HoldWatch(database=runtime.database, clock=runtime.clock, registry=runtime.registry)
    runtime.background("holds", watch.run)
    _send_mails(settings, runtime)

    references = HttpReferences(allows_loopback=settings.loopback_references)
    inputs = Inputs(
        references=references, owners=owners, clock=runtime.clock, assets_at=settings.assets_at
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        storage = S3ObjectStore.connect(S3Options.of(settings))
        async with (
            storage as objects,
            references.opened(),
            owners.opened(),
            issuer.opened() if issuer else nullcontext(),
        ):
            inputs.keep_in(objects)
            people.profiles.keep_in(objects)
            runtime.background("input sweeping", _sweeping(runtime, objects).run)
            async with runtime.lifespan(app):
                await _ensure_admin(settings, people.accounts)
                yield
        passwords.close()

    app = runtime.http_app(
        lifespan=lifespan,
        options=HttpOptions(
            cors_origins=settings.cors_origins,
            open_to_all=("/assets/", "/profile-pictures/"),
            body_bytes_max_under={
                **dict.fromkeys(LARGE_BODIES, BODY_BYTES_MAX),
                "/api/upload/": UPLOAD_BODY_BYTES_MAX,
                "/api/admin/reconciliation/": BILL_BYTES_MAX,
                "/api/users/me": PROFILE_BYTES_MAX,
            },
            document=documentation.merged_document(owners),
        ),
    )
    _add_routes(app, settings, runtime, people, owners, inputs)
    return app


def _owners(settings: Settings) -> HttpOwners:
    return HttpOwners(
        {
            Service.GENERATION: settings.generation_url,
            Service.GALLERY: settings.gallery_url,
            Service.LEDGER: settings.ledger_url,
            Service.BILLING: settings.billing_url,
        }
    )


def _sweeping(runtime: Runtime, objects: ObjectStore) -> InputSweeping:
    return InputSweeping(database=runtime.database, objects=objects, clock=runtime.clock)


class People(Struct, frozen=True, kw_only=True):
    """Whoever uses the system, and how they come in."""

    accounts: Accounts
    log_ins: LogIns
    resets: Resets
    outside: OutsideLogIns | None
    profiles: Profiles


def _people(
    settings: Settings, runtime: Runtime, passwords: Passwords, issuer: OutsideIssuer | None
) -> People:
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


def _send_mails(settings: Settings, runtime: Runtime) -> None:
    """Send what is queued; without a server it waits."""
    if settings.smtp_url is None:
        return
    mailing = Mailing(
        database=runtime.database,
        post=SmtpPost(settings.smtp_url, settings.mail_from),
        clock=runtime.clock,
        client_url=settings.client_base_url,
    )
    timer = Timer(
        channel=MAIL_CHANNEL,
        work=mailing,
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        horizon_seconds=MAIL_HORIZON_SECONDS,
    )
    runtime.background("mails", timer.run)


def _issuer(settings: Settings, clock: Clock) -> OutsideIssuer | None:
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


def _add_routes(
    app: FastAPI,
    settings: Settings,
    runtime: Runtime,
    people: People,
    owners: HttpOwners,
    inputs: Inputs,
) -> None:
    tokens = UserTokens(settings.jwt_secret, runtime.clock)
    keys = ApiKeys(database=runtime.database, ids=runtime.ids, clock=runtime.clock)
    callers = _callers(settings, runtime, tokens, keys, people)
    views = JobViews(settings.assets_at, AssetSigner.of(settings, runtime.clock))
    defaults = _default_limits(settings)
    generations = Generations(
        database=runtime.database,
        ids=runtime.ids,
        clock=runtime.clock,
        wakeups=runtime.wakeups,
        admissions=Admissions(
            database=runtime.database, defaults=defaults, deadline=settings.job_deadline
        ),
    )
    desk = generations_api.Desk(
        generations=generations,
        inputs=inputs,
        owners=owners,
        views=views,
        patience=settings.patience,
        retired={**RETIRED, **settings.retired_models},
        outside_waits=settings.outside_waits,
    )
    internal = InternalTokens(settings.internal_secret, runtime.clock)
    app.include_router(generations_api.create_router(desk, callers))
    # What is asked for most stands first: routes are tried one after the other.
    app.router.routes.insert(0, app.router.routes.pop())
    _add_dialects(app, settings, runtime, desk, callers)
    app.include_router(proxying_api.create_router(inputs, callers))
    _add_people(app, settings, runtime, people, tokens, callers)
    app.include_router(api_keys_api.create_router(keys, callers))
    app.include_router(prices_api.create_router(PriceBooks(runtime.database), desk, callers))
    sanctions = Sanctions(database=runtime.database, clock=runtime.clock, defaults=defaults)
    app.include_router(sanctions_api.create_router(sanctions, callers))
    install_rate_limit_handler(app)
    app.include_router(jobs.create_router(generations, views, runtime.clock, callers))
    _add_streams(app, settings, runtime, views, callers)
    letters = runtime.dead_letters(consumers.EVENT_TYPES, projections.project, discards.settle)
    app.include_router(dead_letters.create_router(letters, owners, internal, callers))
    app.include_router(forwarding.create_router(owners, internal, callers))
    copies = Copies(database=runtime.database, wakeups=runtime.wakeups, clock=runtime.clock)
    ledger = credit_orders_api.Ledger(owners=owners, tokens=internal, copies=copies)
    deductions = Deductions(
        database=runtime.database, copies=copies, clock=runtime.clock, ids=runtime.ids
    )
    app.include_router(credit_orders_api.create_router(ledger, deductions, callers))
    app.include_router(balances_api.create_router(runtime.database, callers))


def _add_streams(
    app: FastAPI, settings: Settings, runtime: Runtime, views: JobViews, callers: Callers
) -> None:
    tickets = StreamTickets(database=runtime.database, clock=runtime.clock)
    streams = Streams(database=runtime.database, wakeups=runtime.wakeups, clock=runtime.clock)
    runtime.background("feed", streams.forget)
    pushes = streams_api.Desk(
        streams=streams, slots=Slots(settings.streams_per_user), pushes=Pushes(views)
    )
    app.include_router(streams_api.create_router(pushes, tickets, callers))
    app.include_router(sockets.create_router(pushes, callers))


def _add_people(
    app: FastAPI,
    settings: Settings,
    runtime: Runtime,
    people: People,
    tokens: UserTokens,
    callers: Callers,
) -> None:
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


def _add_dialects(
    app: FastAPI, settings: Settings, runtime: Runtime, desk: generations_api.Desk, callers: Callers
) -> None:
    addresses = flux.Addresses(jobs_at=settings.jobs_at, assets_at=settings.assets_at)
    app.include_router(flux.create_router(desk, addresses, runtime.clock, callers))
    app.include_router(files.create_router(desk, callers))
    app.include_router(openai.create_router(desk, callers))
    app.include_router(elsewhere.create_router(callers))


def _callers(
    settings: Settings, runtime: Runtime, tokens: UserTokens, keys: ApiKeys, people: People
) -> Callers:
    tickets = StreamTickets(database=runtime.database, clock=runtime.clock)
    gate = FloodGate(runtime.clock, Limit(per_minute=settings.flood_limit_per_minute))
    use = KeyUse(database=runtime.database, clock=runtime.clock)
    runtime.background("key use", use.run)
    bearers = Bearers(tokens, keys, gate, use.note, people.outside, tickets=tickets)
    return create_callers(bearers, people.accounts)


def _default_limits(settings: Settings) -> dict[Kind, Policy]:
    """What holds where nothing else is set. Providers have no caps: nobody acts or pays there."""
    usual = Policy(
        per_minute=settings.rate_limit_per_minute,
        credits_per_day=settings.credits_per_day,
        tokens_per_day=settings.tokens_per_day,
    )
    of_key = Policy(per_minute=settings.rate_limit_per_minute)
    of_provider = Policy(per_minute=settings.provider_rate_limit_per_minute)
    return {
        Kind.USER: usual,
        Kind.WORKSPACE: usual,
        Kind.KEY: of_key,
        Kind.PROVIDER: of_provider,
    }


async def _ensure_admin(settings: Settings, accounts: Accounts) -> None:
    """The first admin, if one is configured; several replicas may try at once."""
    if settings.admin_email and settings.admin_password_file:
        password = settings.admin_password_file.read_text(encoding="utf-8").strip()
        await accounts.ensure_admin(settings.admin_email, password)
