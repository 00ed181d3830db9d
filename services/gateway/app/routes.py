"""The gateway's routes, joined to what they are made of."""

from fastapi import FastAPI

from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.auth import InternalTokens, UserTokens
from libs.runtime.service import Runtime
from services.gateway import consumers, projections
from services.gateway.adapters.owners import HttpOwners
from services.gateway.api import api_keys as api_keys_api
from services.gateway.api import balances as balances_api
from services.gateway.api import credit_orders as credit_orders_api
from services.gateway.api import dead_letters, forwarding, jobs
from services.gateway.api import generations as generations_api
from services.gateway.api import prices as prices_api
from services.gateway.api import proxying as proxying_api
from services.gateway.api import sanctions as sanctions_api
from services.gateway.api import webhooks as webhooks_api
from services.gateway.api.callers import Callers
from services.gateway.api.dialects import elsewhere, files, flux, openai
from services.gateway.api.rate_limits import install_rate_limit_handler
from services.gateway.api.views import JobViews
from services.gateway.app.live import add_streams
from services.gateway.app.people import People, add_people, create_door
from services.gateway.domain.catalogue import RETIRED
from services.gateway.domain.limits import Kind, Limit, Policy
from services.gateway.handlers import discards
from services.gateway.handlers.api_keys import ApiKeys
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.decisions import Decisions
from services.gateway.handlers.deductions import Deductions
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.forecasts import Forecasts
from services.gateway.handlers.generations import Generations
from services.gateway.handlers.inputs import Inputs
from services.gateway.handlers.prices import PriceBooks
from services.gateway.handlers.sanctions import Sanctions
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.handlers.webhooks import Endpoints
from services.gateway.settings import Settings


def add_routes(
    app: FastAPI,
    settings: Settings,
    runtime: Runtime,
    people: People,
    owners: HttpOwners,
    inputs: Inputs,
    endpoints: Endpoints,
) -> None:
    """Every route of the gateway, and what they are made of."""
    tokens = UserTokens(settings.jwt_secret, runtime.clock)
    keys = ApiKeys(database=runtime.database, ids=runtime.ids, clock=runtime.clock)
    tickets = StreamTickets(database=runtime.database, clock=runtime.clock)
    gate = FloodGate(runtime.clock, Limit(per_minute=settings.flood_limit_per_minute))
    callers = create_door(runtime, people, tokens, keys, tickets, gate)
    views = JobViews(settings.assets_at, AssetSigner.of(settings, runtime.clock))
    defaults = _default_limits(settings)
    generations = Generations(
        database=runtime.database,
        ids=runtime.ids,
        clock=runtime.clock,
        wakeups=runtime.wakeups,
        decisions=Decisions(
            database=runtime.database,
            defaults=defaults,
            deadline=settings.job_deadline,
            clock=runtime.clock,
        ),
    )
    desk = generations_api.Desk(
        generations=generations,
        inputs=inputs,
        owners=owners,
        views=views,
        patience=settings.patience,
        retired={**RETIRED, **settings.retired_models},
        endpoints=endpoints,
        outside_waits=settings.outside_waits,
    )
    internal = InternalTokens(settings.internal_secret, runtime.clock)
    app.include_router(generations_api.create_router(desk, callers))
    # What is asked for most stands first: routes are tried one after the other.
    app.router.routes.insert(0, app.router.routes.pop())
    _add_dialects(app, settings, runtime, desk, callers)
    app.include_router(proxying_api.create_router(inputs, callers))
    add_people(app, settings, runtime, people, tokens, callers)
    app.include_router(api_keys_api.create_router(keys, callers))
    app.include_router(webhooks_api.create_router(endpoints, callers))
    app.include_router(prices_api.create_router(PriceBooks(runtime.database), desk, callers))
    sanctions = Sanctions(database=runtime.database, clock=runtime.clock, defaults=defaults)
    app.include_router(sanctions_api.create_router(sanctions, callers))
    install_rate_limit_handler(app)
    forecasts = Forecasts(database=runtime.database, clock=runtime.clock)
    app.include_router(jobs.create_router(generations, forecasts, views, runtime.clock, callers))
    add_streams(app, settings, runtime, views, callers, tickets, gate)
    letters = runtime.dead_letters(consumers.EVENT_TYPES, projections.project, discards.settle)
    app.include_router(dead_letters.create_router(letters, owners, internal, callers))
    app.include_router(forwarding.create_router(owners, internal, callers))
    _add_credits(app, runtime, owners, internal, callers)


def _add_credits(
    app: FastAPI,
    runtime: Runtime,
    owners: HttpOwners,
    internal: InternalTokens,
    callers: Callers,
) -> None:
    copies = Copies(database=runtime.database, wakeups=runtime.wakeups, clock=runtime.clock)
    ledger = credit_orders_api.Ledger(owners=owners, tokens=internal, copies=copies)
    deductions = Deductions(
        database=runtime.database, copies=copies, clock=runtime.clock, ids=runtime.ids
    )
    app.include_router(credit_orders_api.create_router(ledger, deductions, callers))
    app.include_router(balances_api.create_router(runtime.database, callers))


def _add_dialects(
    app: FastAPI, settings: Settings, runtime: Runtime, desk: generations_api.Desk, callers: Callers
) -> None:
    addresses = flux.Addresses(jobs_at=settings.jobs_at, assets_at=settings.assets_at)
    app.include_router(flux.create_router(desk, addresses, runtime.clock, callers))
    app.include_router(files.create_router(desk, callers))
    app.include_router(openai.create_router(desk, callers))
    app.include_router(elsewhere.create_router(callers))


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
