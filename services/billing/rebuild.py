"""Billing's tables as they follow from what generation has answered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import astuple

from libs.events.envelope import Event
from libs.events.generation import GenerationAttemptEnded
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.runtime.rebuild.projection import Pass, Projection, Reach, Row, Rows, Table
from services.billing import consumers, projections
from services.billing.domain.attempts import EndedAttempt, ended_attempts
from services.billing.domain.usage import CompletedUsage, Usage, usage_of
from services.billing.store import bills

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class UsageRows:
    """Rows of one partition's jobs: it holds all answers to each of them, and the first counts."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._ended: list[Event[Payload]] = []  # of attempts: few, and the last word counts

    def add(self, events: Sequence[Event[Payload]]) -> Rows:
        """A job's row is final at once."""
        rows: list[Row] = []
        for event in events:
            if isinstance(event.data, GenerationAttemptEnded):
                self._ended.append(event)
            usage = usage_of(event)
            if usage is None or usage.job_id.int in self._known:
                continue
            self._known.add(usage.job_id.int)
            rows.append(astuple(usage))
        return {"usage": rows}

    def rest(self) -> Rows:
        """Attempts, once nothing more can be told of them."""
        return {"attempt": [astuple(each) for each in ended_attempts(self._ended)]}


PROJECTION: Final = Projection(
    service=Service.BILLING,
    migrations=MIGRATIONS,
    tables=(
        Table(name="usage", key=("job_id",), loaded=Usage.__struct_fields__),
        Table(name="attempt", key=("id",), loaded=EndedAttempt.__struct_fields__),
        Table(name="bill", key=("id",)),
        Table(name="bill_entry", key=("bill_id", "place")),
    ),
    passes=(
        Pass(
            topics=consumers.TOPICS,
            types=frozenset(consumers.EVENT_TYPES),
            reach=Reach.POSITION,
            apply=projections.record_all,
            loader=UsageRows,
            views={EventType.GENERATION_COMPLETED: CompletedUsage},
        ),
        Pass(
            topics=(Topic.OPERATIONS,),
            types=frozenset({EventType.PROVIDER_BILL_IMPORTED}),
            reach=Reach.SAID,
            apply=bills.follow,
        ),
    ),
)
