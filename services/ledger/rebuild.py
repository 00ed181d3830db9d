"""The ledger's tables as they follow from its own events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from libs.events.credits import CreditsEvent, JobCreditsEvent
from libs.events.envelope import Event
from libs.events.names import LOG_GROUP, TRAIL_GROUP, EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.recorded import ENVELOPES, recorded_without_person
from libs.events.registry import EVENTS
from libs.runtime.rebuild.projection import Pass, Projection, Reach, Rows, Table
from services.ledger import projections, store
from services.ledger.domain.account import ReservationState
from services.ledger.domain.postings import transaction_of
from services.ledger.domain.replay import Replay
from services.ledger.handlers import trail

MIGRATIONS: Final = Path(__file__).parent / "migrations"
EVENT_TYPES: Final[frozenset[EventType]] = frozenset(
    model.event_type for model in EVENTS if issubclass(model, CreditsEvent)
)


class BookRows:
    """Rows of one partition's accounts: postings at once, states with its end.

    Of jobs only the open ones are kept in memory: a closed one never changes again.
    """

    def __init__(self) -> None:
        self._replay = Replay()

    def add(self, events: Sequence[Event[Payload]]) -> Rows:
        """What was booked, and the jobs that are closed by it."""
        news = self._replay.take(projections.credits_events(events))
        jobs = dict.fromkeys(
            each.data.job_id for each in news if isinstance(each.data, JobCreditsEvent)
        )
        known = self._replay.reservations
        closed = [
            known.pop(each) for each in jobs if known[each].state is not ReservationState.RESERVED
        ]
        return store.rows_of([transaction_of(each) for each in news], reservations=closed)

    def rest(self) -> Rows:
        """Accounts with their lots, and the jobs that are open."""
        accounts = self._replay.accounts.values()
        return store.rows_of(
            accounts=accounts,
            lots=((each.account_id, lot) for each in accounts for lot in each.lots),
            reservations=self._replay.reservations.values(),
        )


def _table(name: str, *key: str, where: str = "true") -> Table:
    return Table(name=name, key=key, loaded=store.COLUMNS[name], where=where)


LOG: Final = Projection(
    service=Service.LEDGER,
    migrations=MIGRATIONS,
    tables=(
        Table(name="seal", key=("position",)),
        Table(name="leaf", key=("position",)),
        Table(name="tile", key=("level", "number")),
    ),
    passes=(
        Pass(
            topics=(Topic.OPERATIONS,),
            types=frozenset({EventType.LOG_SEALED}),
            reach=Reach.SAID,
            apply=projections.follow_seals,
        ),
    ),
    group=LOG_GROUP,
)
TRAIL: Final = Projection(
    service=Service.LEDGER,
    migrations=MIGRATIONS,
    tables=(Table(name="trail", key=("occurred_at", "event_id")),),
    # Without a loader: its rows go into partitions that are made as their days come.
    passes=(
        Pass(topics=trail.TOPICS, types=frozenset(), reach=Reach.POSITION, apply=trail.follow),
    ),
    group=TRAIL_GROUP,
    registry=ENVELOPES,
    forget=recorded_without_person,
    passes_over=True,
)
PROJECTION: Final = Projection(
    service=Service.LEDGER,
    migrations=MIGRATIONS,
    tables=(
        # A row at version 0 is there to be locked, and says nothing.
        _table("account", "id", where="version > 0"),
        _table("lot", "id"),
        _table("reservation", "job_id"),
        _table("transaction", "account_id", "account_version"),
        _table("remark", "transaction_id"),
        _table("entry", "account_id", "account_version", "line"),
    ),
    passes=(
        Pass(
            topics=(Topic.CREDITS,),
            types=EVENT_TYPES,
            reach=Reach.SAID,
            apply=projections.follow,
            loader=BookRows,
        ),
    ),
)
