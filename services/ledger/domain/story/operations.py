"""Sentences about what the system did itself: told to administrators alone."""

from libs.events.billing import ProviderBillImported
from libs.events.operations import (
    Circuit,
    LogSealed,
    MessageDiscarded,
    MessageParked,
    MessageRedriven,
    PriceBookAdded,
    ProviderCircuitChanged,
)
from services.ledger.domain.story.telling import Telling, because, moment, plural


def circuit_changed(event: ProviderCircuitChanged, telling: Telling) -> str:
    state = {
        Circuit.CLOSED: "Calls are made again",
        Circuit.OPEN: f"Calls were stopped after {plural(event.failures, 'failure')} in a row",
        Circuit.HALF_OPEN: "One call is made, to try",
    }[event.state]
    again = "" if event.retry_at is None else f"; the next try is at {moment(event.retry_at)}"
    return f"{state} at {event.provider}{again}." + telling.inside(event.reason or "no failure")


def parked(event: MessageParked, telling: Telling) -> str:
    place = f"{event.message_topic}[{event.message_partition}] at {event.message_offset}"
    return f"A message was set aside by {event.consumer}: {event.reason}." + telling.inside(
        f"{place}, row {event.parked_id}: {event.detail}"
    )


def redriven(event: MessageRedriven, telling: Telling) -> str:
    return (
        f"A message that {event.consumer} had set aside was handled again: {event.outcome}."
        + telling.inside(f"row {event.parked_id}, by {event.actor}{because(event.reason)}")
    )


def discarded(event: MessageDiscarded, telling: Telling) -> str:
    return f"A message that {event.consumer} had set aside was given up." + telling.inside(
        f"row {event.parked_id}, by {event.actor}{because(event.reason)}"
    )


def price_book_added(event: PriceBookAdded, telling: Telling) -> str:
    start = moment(event.effective_from)
    return f"Price book {event.version} was added, in force from {start}." + telling.inside(
        f"by {event.actor}, sha256 {event.sha256}"
    )


def log_sealed(event: LogSealed, telling: Telling) -> str:
    count = plural(len(event.leaves), "booking")
    return f"The log took in {count}, and has {event.size} now." + telling.inside(
        f"from position {event.position} on, root {event.root}"
    )


def bill_imported(event: ProviderBillImported, telling: Telling) -> str:
    flagged = sum(count for finding, count in event.findings.items() if finding.is_flagged)
    drift = event.billed_microusd - event.own_microusd
    return (
        f"A bill of {event.provider} with {plural(event.lines, 'line')} was compared with our"
        " attempts."
        + telling.inside(
            f"{flagged} to look at, {drift:+,} micro-USD against what we had recorded; bill"
            f" {event.bill_id}, part {event.part} of {event.parts}, by {event.actor}, sha256"
            f" {event.sha256}"
        )
    )
