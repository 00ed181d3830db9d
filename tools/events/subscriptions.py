"""Who reads what, asked of the services themselves: the constants of their `consumers.py`."""

import importlib
from collections.abc import Sequence

from msgspec import Struct

from libs.events.names import EventType, Service, Topic


class Subscription(Struct, frozen=True):
    """One consumer of a service: its group, the topics it reads, and the types it handles."""

    service: Service
    group: str
    topics: tuple[Topic, ...]
    event_types: tuple[EventType, ...]


def all_subscriptions() -> Sequence[Subscription]:
    """One of each service, in the order of their names' list."""
    return [_subscription(service) for service in Service]


def _subscription(service: Service) -> Subscription:
    consumers = importlib.import_module(f"services.{service.value}.consumers")
    return Subscription(
        service=service,
        group=service.consumer_group,
        topics=consumers.TOPICS,
        event_types=consumers.EVENT_TYPES,
    )
