"""What a service says of its projection, so that it can be made anew, compared and swapped."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.erasure import without_person
from libs.events.names import EventType, Service, Topic
from libs.events.payload import Payload
from libs.events.quick import Views
from libs.events.registry import REGISTRY, Registry
from libs.runtime.db import Connection
from libs.runtime.erasure import Forget

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = Mapping[str, Sequence[Row]]
"""By table, in the order of its loaded columns."""

Apply: TypeAlias = Callable[[Connection, Sequence[Event[Payload]]], Awaitable[object]]
"""The live projection without its side effects: unqualified SQL, so the connection's search path
says whose tables it writes to. What it has applied before changes nothing."""

Adopt: TypeAlias = Callable[[Connection, str], Awaitable[int]]
"""Takes what differs over from a schema, row by row; answers how many rows. The connection is on
the live tables, in a transaction, while their consumer waits."""


class Loader(Protocol):
    """Events of one partition, in order from its beginning, as rows of tables that were empty.

    One is made for each partition. It drops repeats itself: no index is there yet to refuse them.
    """

    def add(self, events: Sequence[Event[Payload]]) -> Rows:
        """Rows that are final with these events."""

    def rest(self) -> Rows:
        """Rows that are final only with the partition's end."""


class Reach(Enum):
    """How far a log has gone into the live tables."""

    POSITION = "position"  # of the service's consumer
    SAID = "said"  # everything: the service writes the log itself, through its outbox
    END = "end"  # facts that others need: as much as there is


class Pass(Struct, frozen=True, kw_only=True):
    """One reading of some topics. A later pass finds what an earlier one has written.

    `views` are what its loader needs of events that hold much more: it gets them in their place
    where they are of the newest version.
    """

    topics: tuple[Topic, ...]
    types: frozenset[EventType]
    reach: Reach
    apply: Apply
    loader: Callable[[], Loader] | None = None
    views: Views = {}


class Table(Struct, frozen=True, kw_only=True):
    """A table of the projection.

    `loaded` are the columns that a loader fills. `compared` (all, if empty) and `where` say what
    follows from events; the rest is the service's own. Rows with one key are the same thing: where
    partitions share one, the first in the order of `first` is kept.
    """

    name: str
    key: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    where: str = "true"
    first: str | None = None


class Projection(Struct, frozen=True, kw_only=True):
    """The part of a service's schema that follows from events.

    Without `adopt` whole tables are swapped. `tables` stand in an order in which they can be
    written: what is referred to first.

    One that its service makes by a consumer beside the first says which `group` that is, what it
    sees of the topics (`registry`) and of whoever is erased (`forget`), and whether it
    `passes_over` what cannot be read, as it sets nothing aside.
    """

    service: Service
    migrations: Path
    tables: tuple[Table, ...]
    passes: tuple[Pass, ...]
    adopt: Adopt | None = None
    group: str | None = None
    registry: Registry = REGISTRY
    forget: Forget = without_person
    passes_over: bool = False

    @property
    def consumer(self) -> str:
        """Whose positions say how far the live tables are."""
        return self.group or self.service.consumer_group

    @property
    def shadow(self) -> str:
        """The schema in which it is made anew."""
        return shadow_of(self.service)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that any pass reads."""
        return tuple(sorted({topic.value for each in self.passes for topic in each.topics}))

    @property
    def own_topics(self) -> tuple[str, ...]:
        """Topics that the service writes what it folds to."""
        return tuple(
            sorted(
                {
                    topic.value
                    for each in self.passes
                    for topic in each.topics
                    if each.reach is Reach.SAID
                }
            )
        )


def shadow_of(service: Service) -> str:
    """The name of a service's shadow schema."""
    return f"{service.value}_shadow"


class RebuildError(Exception):
    """It cannot be done; the text is one sentence that says what to do."""
