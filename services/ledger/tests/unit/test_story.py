"""Every event has a sentence; persons hear nothing of the inside, administrators everything."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from libs.events.credits import CreditsCaptured, CreditsReleased, CreditsReserved, LotAmount
from libs.events.envelope import Envelope, decode_envelope, encode
from libs.events.generation import FailureCode
from libs.events.operations import Circuit, ProviderCircuitChanged
from libs.events.payload import Payload
from libs.events.registry import EVENTS, REGISTRY
from libs.events.testing import NOW, completed, failed, request_facts, samples
from libs.events.testing import event as event_of
from services.ledger.domain.masks import INSIDE, for_owner
from services.ledger.domain.story.jobs import WHY_FAILED
from services.ledger.domain.story.sentences import SENTENCES, sentence
from services.ledger.domain.story.story import NO_WORDS, Story, lots_in, tell
from services.ledger.domain.story.telling import LotFacts, Telling
from services.ledger.tests.builders import requested

USER, ADMIN = Telling(is_admin=False), Telling(is_admin=True)
LOT = UUID(int=77)
SAMPLES = [REGISTRY.decode(each).data for each in samples()]


def names(data: Payload) -> str:
    return f"{data.event_type}.{data.event_version}"


def values_of(value: Any, wanted: frozenset[str]) -> list[str]:
    """What stands under these names, wherever."""
    found: list[str] = []
    for name, each in value.items() if isinstance(value, dict) else ():
        if name in wanted and isinstance(each, str) and len(each) > 3:
            found.append(each)
        found += values_of(each, wanted)
    for each in value if isinstance(value, list | tuple) else ():
        found += values_of(each, wanted)
    return found


def test_every_type_of_event_has_a_sentence() -> None:
    assert set(SENTENCES) == set(EVENTS)
    assert set(WHY_FAILED) == set(FailureCode)


@pytest.mark.parametrize("data", SAMPLES, ids=names)
def test_a_sample_reads_as_a_sentence(data: Payload) -> None:
    for telling in (USER, ADMIN):
        text = sentence(data, telling)
        assert text[0].isupper(), text
        assert text.endswith((".", "]")), text
        assert "None" not in text, text
        assert text.count("(") == text.count(")"), text


@pytest.mark.parametrize("data", SAMPLES, ids=names)
def test_a_person_hears_of_no_attempt_no_cost_and_nobody_else(data: Payload) -> None:
    text = sentence(data, USER)
    told = msgspec.to_builtins(data)
    hidden = frozenset({"actor", "attempt_id", "message", "parked_id", "created_by", "key_id"})
    for value in values_of(told, hidden):
        assert value not in text, text
    assert "micro-USD" not in text
    assert "[" not in text


def test_an_administrator_hears_it_all() -> None:
    failure = failed(message="HTTP 500: upstream says no", attempt_id=uuid4())
    text = sentence(failure, ADMIN)
    assert "upstream says no" in text
    assert str(failure.attempt_id) in text
    assert "upstream" not in sentence(failure, USER)


@pytest.mark.parametrize("message", samples(), ids=lambda each: decode_envelope(each).type)
def test_an_owner_reads_an_event_without_the_inside(message: bytes) -> None:
    shown = for_owner(decode_envelope(message))
    assert shown is not None
    assert not names_in(shown) & INSIDE


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def test_of_a_strange_event_an_owner_reads_nothing() -> None:
    known = msgspec.json.decode(encode(event_of(completed())))
    strange = msgspec.json.encode(known | {"type": "daygen.dream.had"})
    assert for_owner(decode_envelope(strange)) is None


def chain(*data: Payload) -> list[Envelope]:
    """Events of one job, each caused by the one before, in any order."""
    job_id, cause, found = uuid4(), None, []
    for number, each in enumerate(data):
        event = event_of(each, correlation_id=job_id, time=NOW + timedelta(seconds=number))
        event = msgspec.structs.replace(event, causation_id=cause)
        cause = event.id
        found.append(decode_envelope(encode(event)))
    return found[::-1]


def reserved(account_id: UUID, job_id: UUID) -> CreditsReserved:
    return CreditsReserved(
        account_id=account_id,
        account_version=2,
        settled_after=20,
        grace_after=0,
        transaction_id=uuid4(),
        job_id=job_id,
        credits=6,
        lots=(LotAmount(lot_id=LOT, credits=5), LotAmount(lot_id=None, credits=1)),
    )


def story_of(*data: Payload, is_admin: bool = False) -> Story:
    lots = {LOT: LotFacts(wallet="topup", source="pay_1", credits=50, opened_at=NOW)}
    return tell(chain(*data), Telling(is_admin=is_admin, lots=lots))


def test_a_job_is_told_from_the_request_to_the_charge() -> None:
    request = request_facts(units=2)
    held = reserved(request.account_id, request.job_id)
    captured = CreditsCaptured(
        account_id=request.account_id,
        account_version=3,
        settled_after=17,
        grace_after=0,
        transaction_id=uuid4(),
        job_id=request.job_id,
        credits=3,
        lots=held.lots[:1],
        released_credits=3,
        released_lots=held.lots[1:],
    )
    told = story_of(requested(request), held, completed(request, delivered_units=1), captured)
    assert told.summary == "Completed: 1 of 2 units delivered, 3 credits charged."
    assert [step.depth for step in told.steps] == [0, 1, 2, 3]
    first, second, _, last = (step.text for step in told.steps)
    assert first.startswith("You asked local (local-sketch, image) for 2 units: ")
    assert "3 credits each by price book 1: 6 credits at most" in first
    assert second == (
        "Set aside for it: 6 credits (5 from the topup lot of 2026-01-02 (pay_1), 1 beyond all"
        " lots)."
    )
    assert last.startswith("Charged: 3 credits (5 from the topup lot")
    assert last.endswith("Your balance is 17.")
    assert lots_in(chain(held)) == {LOT}


def test_a_job_that_failed_says_why_and_that_it_cost_nothing() -> None:
    request = request_facts()
    released = CreditsReleased(
        account_id=request.account_id,
        account_version=3,
        settled_after=20,
        grace_after=0,
        transaction_id=uuid4(),
        job_id=request.job_id,
        released_credits=3,
        released_lots=(),
    )
    failure = failed(request, code=FailureCode.TIMEOUT)
    waiting = story_of(requested(request), failure)
    assert waiting.summary.endswith("; the charge is not booked yet.")
    told = story_of(requested(request), failure, released)
    assert told.summary == "Failed: the provider did not answer in time; nothing charged."
    cancelled = story_of(requested(request), failed(request, code=FailureCode.CANCELLED), released)
    assert cancelled.summary.startswith("Cancelled: ")
    assert story_of(requested(request)).summary == "Not ended yet: 3 credits are held."


def test_what_the_system_did_by_itself_is_for_administrators() -> None:
    request = request_facts()
    circuit = ProviderCircuitChanged(provider="local", state=Circuit.OPEN, failures=5)
    assert len(story_of(requested(request), circuit).steps) == 1
    assert len(story_of(requested(request), circuit, is_admin=True).steps) == 2
    assert len(story_of(requested(request), requested(request_facts())).steps) == 1


def test_what_this_release_cannot_read_is_told_as_that() -> None:
    (envelope,) = chain(requested(request_facts()))
    newer = msgspec.structs.replace(envelope, eventversion=99)
    (step,) = tell([newer], ADMIN).steps
    assert (step.text, step.type) == (NO_WORDS, "daygen.generation.requested")
