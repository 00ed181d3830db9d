"""Sentences about jobs: what was asked, what became of it."""

from typing import Final

from libs.events.billing import UsageRecorded
from libs.events.gallery import GalleryItemsAdded
from libs.events.generation import (
    AttemptOutcome,
    CostSource,
    FailureCode,
    GenerationAttemptEnded,
    GenerationCancelRequested,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    GenerationStarted,
)
from services.ledger.domain.story.telling import (
    Telling,
    credits_,
    moment,
    plural,
    quoted,
    seconds,
)

WHY_FAILED: Final = {
    FailureCode.BAD_REQUEST: "the provider could not work with the request",
    FailureCode.AUTH: "the provider did not accept our access",
    FailureCode.FORBIDDEN: "the provider refuses this to us",
    FailureCode.NOT_FOUND: "the provider does not have this model any more",
    FailureCode.MODERATION: "the provider's rules do not allow the request",
    FailureCode.CREDIT: "our account at the provider was exhausted",
    FailureCode.RATE_LIMIT: "the provider had too much to do",
    FailureCode.TOO_LARGE: "the request was too large for the provider",
    FailureCode.TIMEOUT: "the provider did not answer in time",
    FailureCode.SERVER: "the provider had a fault",
    FailureCode.BAD_OUTPUT: "what the provider sent was no whole picture",
    FailureCode.DEADLINE: "it was not done before its deadline",
    FailureCode.CANCELLED: "it was cancelled",
    FailureCode.UNPROCESSABLE: "the request could not be read",
}

WHY_GIVEN_UP: Final = {
    AttemptOutcome.FAILED: "the provider failed",
    AttemptOutcome.UNKNOWN: "whoever worked on it was lost",
    AttemptOutcome.HANDED_BACK: "whoever worked on it was told to stop",
    AttemptOutcome.STOPPED: "the job ended while it was worked on",
    AttemptOutcome.LATE: "its result came after it had been given up",
}


def requested(event: GenerationRequested, telling: Telling) -> str:
    asked = event.request
    pays = "" if event.account_id == asked.user_id else ", paid by the workspace"
    return (
        f"{telling.who(asked.user_id)} asked {asked.provider} ({asked.model}, {asked.operation})"
        f" for {plural(asked.units, 'unit')}{pays}{quoted(asked.prompt)}. It was admitted at"
        f" {credits_(asked.unit_credits)} each by price book {asked.price_book_version}:"
        f" {credits_(asked.credits_held)} at most, until {moment(asked.deadline_at)}."
        + telling.inside(f"account {event.account_id}, workspace {asked.workspace_id or 'none'}")
    )


def cancel_requested(event: GenerationCancelRequested, telling: Telling) -> str:
    return f"{telling.who(event.user_id)} asked to cancel it."


def started(event: GenerationStarted, telling: Telling) -> str:
    return "Work on it began." + telling.inside(f"attempt {event.attempt}")


def attempt_ended(event: GenerationAttemptEnded, telling: Telling) -> str:
    why = WHY_FAILED[event.code] if event.code else WHY_GIVEN_UP[event.outcome]
    return f"A try brought nothing: {why}." + telling.inside(
        f"attempt {event.attempt_id}, {event.outcome}, {_cost(event)}, took"
        f" {seconds(event.provider_ms)}"
    )


def completed(event: GenerationCompleted, telling: Telling) -> str:
    asked = event.request
    what = [
        plural(len(each), name)
        for each, name in ((event.images, "picture"), (event.texts, "text"))
        if each
    ]
    return (
        f"Delivered by {asked.provider}: {event.delivered_units} of {plural(asked.units, 'unit')}"
        f"{' (' + ', '.join(what) + ')' if what else ''}, {seconds(event.queued_ms)} after it was"
        f" queued, in {seconds(event.provider_ms)}."
        + telling.inside(
            f"attempt {event.attempt_id}, {_cost(event)}, {event.input_tokens} tokens in,"
            f" {event.output_tokens} out"
        )
    )


def failed(event: GenerationFailed, telling: Telling) -> str:
    return f"It ended without a result: {WHY_FAILED[event.code]}." + telling.inside(
        f"{event.code}{quoted(event.message)}; attempt {event.attempt_id or 'none'},"
        f" {_cost(event)}, waited {seconds(event.queued_ms)}, took {seconds(event.provider_ms)}"
    )


def _cost(event: GenerationAttemptEnded | GenerationCompleted | GenerationFailed) -> str:
    """What it costs us, and what the provider calls it."""
    named = "".join(f", {each}" for each in event.provider_references)
    if event.provider_cost_source is CostSource.UNKNOWN:
        return f"cost unknown{named}"
    return f"cost {event.provider_cost_microusd:,} micro-USD, {event.provider_cost_source}{named}"


def items_added(event: GalleryItemsAdded, telling: Telling) -> str:
    whose = f"User {event.user_id}'s" if telling.is_admin else "Your"
    return f"{whose} gallery lists {plural(len(event.item_ids), 'picture')} of it."


def usage_recorded(event: UsageRecorded, telling: Telling) -> str:
    usage = telling.inside(f"usage row {event.usage_id}")
    return f"Billing wrote it down as {event.outcome}, at {credits_(event.credits)}.{usage}"
