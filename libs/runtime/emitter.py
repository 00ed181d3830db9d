"""Makes events: gives a payload its id, time, and place in a chain of causes."""

from typing import TypeVar
from uuid import UUID

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.clock import Clock
from libs.runtime.ids import Ids

PayloadT = TypeVar("PayloadT", bound=Payload)


class Emitter:
    """Builds the events of one service."""

    def __init__(self, source: str, clock: Clock, ids: Ids) -> None:
        self._source = source
        self._clock = clock
        self._ids = ids

    def event(
        self,
        data: PayloadT,
        *,
        cause: Event[Payload] | None = None,
        correlation_id: UUID | None = None,
        causation_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> Event[PayloadT]:
        """An event that answers `cause`, or without one the root of a new chain.

        A root's correlation id is `correlation_id`, else its own id.
        """
        event_id = self._ids.new()
        if cause is not None:
            correlation_id, causation_id = cause.correlation_id, cause.id
            traceparent = traceparent or cause.traceparent
        return Event(
            id=event_id,
            source=self._source,
            time=self._clock.now(),
            correlation_id=correlation_id or event_id,
            causation_id=causation_id,
            traceparent=traceparent,
            data=data,
        )
