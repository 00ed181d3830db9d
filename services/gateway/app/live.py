"""What people are told without asking: streams, the socket, mails, and webhooks."""

from typing import Final

from fastapi import FastAPI

from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.service import Runtime
from libs.runtime.timer import Timer
from services.gateway.adapters.smtp import SmtpPost
from services.gateway.adapters.webhooks import HttpWebhooks
from services.gateway.api import sockets
from services.gateway.api import streams as streams_api
from services.gateway.api.callers import Callers
from services.gateway.api.pushes import Pushes
from services.gateway.api.views import JobViews
from services.gateway.handlers.deliveries import Deliveries
from services.gateway.handlers.flood import FloodGate
from services.gateway.handlers.mails import Mailing
from services.gateway.handlers.slots import Slots
from services.gateway.handlers.streams import Streams
from services.gateway.handlers.tickets import StreamTickets
from services.gateway.settings import Settings
from services.gateway.store.deliveries import WEBHOOK_CHANNEL
from services.gateway.store.mails import MAIL_CHANNEL

MAIL_HORIZON_SECONDS: Final = 15.0
WEBHOOK_HORIZON_SECONDS: Final = 15.0


def send_mails(settings: Settings, runtime: Runtime) -> None:
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


def send_webhooks(settings: Settings, runtime: Runtime, webhooks: HttpWebhooks) -> None:
    """Tell other programs what is queued for them."""
    views = JobViews(settings.assets_at, AssetSigner.of(settings, runtime.clock))
    deliveries = Deliveries(
        database=runtime.database,
        webhooks=webhooks,
        shown=lambda job, state: views.job(job, state).model_dump(mode="json", by_alias=True),
        clock=runtime.clock,
        random=runtime.random,
    )
    timer = Timer(
        channel=WEBHOOK_CHANNEL,
        work=deliveries,
        wakeups=runtime.wakeups,
        clock=runtime.clock,
        horizon_seconds=WEBHOOK_HORIZON_SECONDS,
    )

    async def run() -> None:
        try:
            await timer.run()
        finally:
            deliveries.stop()

    runtime.background("webhooks", run)


def add_streams(
    app: FastAPI,
    settings: Settings,
    runtime: Runtime,
    views: JobViews,
    callers: Callers,
    tickets: StreamTickets,
    gate: FloodGate,
) -> None:
    """The routes that tell as it happens."""
    streams = Streams(database=runtime.database, wakeups=runtime.wakeups, clock=runtime.clock)
    runtime.background("feed", streams.forget)
    desk = streams_api.Desk(
        streams=streams,
        slots=Slots(settings.streams_per_user),
        pushes=Pushes(views),
        gate=gate,
    )
    app.include_router(streams_api.create_router(desk, tickets, callers))
    app.include_router(sockets.create_router(desk, callers))
