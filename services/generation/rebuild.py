"""What of generation's tables follows from events: decided jobs, and the attempts that won them.

What is queued, delayed or running is live state of its own, and stays as it is.
"""

from pathlib import Path
from typing import Final

from libs.events.names import EventType, Service, Topic
from libs.runtime.rebuild.projection import Pass, Projection, Reach, Table
from services.generation import projections
from services.generation.store import history

MIGRATIONS: Final = Path(__file__).parent / "migrations"

PROJECTION: Final = Projection(
    service=Service.GENERATION,
    migrations=MIGRATIONS,
    tables=(
        Table(
            name="job",
            key=("id",),
            compared=("id", "account_id", "provider", "state", "failure_code", "attempt_id"),
            where="decided_at IS NOT NULL",
        ),
        Table(
            name="attempt",
            key=("id",),
            compared=("id", "job_id", "provider_ms", "provider_cost_microusd"),
            where="state = 'won'",
        ),
    ),
    passes=(
        Pass(
            topics=(Topic.GENERATION,),
            types=frozenset({EventType.GENERATION_REQUESTED}),
            reach=Reach.END,
            apply=projections.remember_requests,
        ),
        Pass(
            topics=(Topic.GENERATION,),
            types=frozenset({EventType.GENERATION_COMPLETED, EventType.GENERATION_FAILED}),
            reach=Reach.SAID,
            apply=projections.decide_jobs,
        ),
    ),
    adopt=history.adopt,
)
