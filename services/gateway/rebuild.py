"""What of the gateway's tables follows from events: copies of accounts, holds closed, job states.

Users, jobs and holds are facts of its own. They are made anew only to fold upon, and compared with;
what is taken over into the live tables is copies alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from libs.events.envelope import Event
from libs.events.generation import GenerationRequested
from libs.events.identity import DeductionRequested, UserRegistered, WorkspaceCreated
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.runtime.db import Connection
from libs.runtime.rebuild.projection import Pass, Projection, Reach, Table
from services.gateway import consumers, projections
from services.gateway.store import deductions, openings
from services.gateway.store import rebuild as store
from services.gateway.store.jobs import STATE_COLUMNS

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def open_accounts(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """The first of what copies stand on."""
    await openings.open_accounts(
        connection,
        [each.data for each in events if isinstance(each.data, UserRegistered | WorkspaceCreated)],
    )


async def admit_deductions(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """What of holds is no job's."""
    await deductions.add(
        connection, [each.data for each in events if isinstance(each.data, DeductionRequested)]
    )


async def accept_jobs(connection: Connection, events: Sequence[Event[Payload]]) -> None:
    """The second."""
    await store.accept_jobs(
        connection,
        [each.data.request for each in events if isinstance(each.data, GenerationRequested)],
    )


PROJECTION: Final = Projection(
    service=Service.GATEWAY,
    migrations=MIGRATIONS,
    tables=(
        Table(
            name="credit_account",
            key=("account_id",),
            compared=("account_id", "version", "settled", "grace"),
            where="version > 0",
        ),
        # A job of which nothing is heard yet may be queued or, by a passing signal, generating. By
        # which key it came and what was metered for it, no event says.
        Table(
            name="job",
            key=("job_id",),
            compared=(
                *("job_id", "account_id", "user_id", "workspace_id", "operation", "provider"),
                *("model", "prompt", "options", "units", "unit_credits", "price_book_version"),
                *("created_at", "deadline_at", *STATE_COLUMNS.split(", ")),
            ),
            where="num_nonnulls(answer, charge, listing, recorded_at) > 0",
        ),
        Table(name="hold", key=("subject_id",), where="closed_at IS NOT NULL"),
    ),
    passes=(
        Pass(
            topics=(Topic.IDENTITY,),
            types=frozenset({EventType.USER_REGISTERED, EventType.WORKSPACE_CREATED}),
            reach=Reach.END,
            apply=open_accounts,
        ),
        Pass(
            topics=(Topic.IDENTITY,),
            types=frozenset({EventType.DEDUCTION_REQUESTED}),
            reach=Reach.END,
            apply=admit_deductions,
        ),
        Pass(
            topics=(Topic.GENERATION,),
            types=frozenset({EventType.GENERATION_REQUESTED}),
            reach=Reach.END,
            apply=accept_jobs,
        ),
        Pass(
            topics=tuple(topic for topic in consumers.TOPICS if topic.is_kept),
            types=frozenset(consumers.EVENT_TYPES) - frozenset(consumers.NEWS_TYPES),
            reach=Reach.POSITION,
            apply=projections.fold,
        ),
    ),
    adopt=store.adopt,
)
