"""What a finished job counts as."""

from uuid import UUID, uuid4

import pytest

from libs.events.billing import UsageOutcome
from libs.events.envelope import encode
from libs.events.generation import CostSource, FailureCode, GenerationRequested
from libs.events.names import EventType
from libs.events.quick import QuickReader
from libs.events.registry import REGISTRY
from libs.events.testing import completed, event, failed, request_facts
from services.billing.domain.usage import CompletedUsage, credits_charged, usage_id, usage_of
from services.billing.rebuild import PROJECTION


def test_a_usage_row_keeps_its_id_for_ever() -> None:
    job_id = UUID("0192f3a4-0000-7000-8000-000000000001")
    assert usage_id(job_id) == UUID("628868c3-ca69-574a-aaa8-63f2aaffd181")


@pytest.mark.parametrize(
    ("unit_credits", "units", "delivered", "charged"),
    [(3, 4, 4, 12), (3, 4, 1, 3), (3, 1, 4, 3), (0, 4, 4, 0), (3, 4, 0, 0)],
)
def test_what_was_delivered_is_charged_and_never_more_than_was_asked_for(
    unit_credits: int, units: int, delivered: int, charged: int
) -> None:
    request = request_facts(unit_credits=unit_credits, units=units)
    assert credits_charged(request, delivered) == charged


def test_a_completed_job_counts_what_its_answer_tells() -> None:
    request = request_facts(
        units=2, unit_credits=5, account_id=uuid4(), workspace_id=uuid4(), price_book_version=7
    )
    told = event(
        completed(
            request,
            input_tokens=11,
            output_tokens=22,
            queued_ms=33,
            provider_ms=44,
            provider_cost_microusd=55,
            provider_cost_source=CostSource.LISTED,
        )
    )

    usage = usage_of(told)

    assert usage is not None
    assert (usage.id, usage.job_id) == (usage_id(request.job_id), request.job_id)
    assert (usage.account_id, usage.requested_at) == (request.account_id, request.requested_at)
    assert (usage.user_id, usage.workspace_id) == (request.user_id, request.workspace_id)
    assert (usage.operation, usage.provider, usage.model) == ("image", "local", "local-sketch")
    assert (usage.units_requested, usage.units_delivered, usage.credits) == (2, 2, 10)
    assert (usage.outcome, usage.error_code) == (UsageOutcome.COMPLETED, None)
    assert (usage.input_tokens, usage.output_tokens) == (11, 22)
    assert (usage.queued_ms, usage.provider_ms, usage.provider_cost_microusd) == (33, 44, 55)
    assert (usage.event_id, usage.correlation_id) == (told.id, told.correlation_id)
    assert usage.provider_cost_source is CostSource.LISTED
    assert (usage.price_book_version, usage.occurred_at) == (7, told.time)


def test_a_rebuild_reads_of_a_completed_job_all_that_its_usage_takes() -> None:
    request = request_facts(units=2, workspace_id=uuid4())
    told = event(completed(request, input_tokens=11, output_tokens=22, provider_cost_microusd=55))
    reader = QuickReader(REGISTRY, list(EventType), PROJECTION.passes[0].views)

    read = reader.read(encode(told))

    assert read is not None
    assert isinstance(read.data, CompletedUsage)
    assert usage_of(read.event()) == usage_of(told)


def test_a_failed_job_is_free_and_keeps_what_it_cost_us() -> None:
    request = request_facts(units=2, unit_credits=5)
    usage = usage_of(event(failed(request, code=FailureCode.MODERATION, provider_cost_microusd=99)))
    assert usage is not None
    assert (usage.outcome, usage.error_code) == (UsageOutcome.FAILED, "moderation")
    assert (usage.units_requested, usage.units_delivered, usage.credits) == (2, 0, 0)
    assert usage.provider_cost_microusd == 99


def test_a_request_that_could_not_be_read_still_counts_for_its_account() -> None:
    told = event(failed(request_facts(), request=None, code=FailureCode.UNPROCESSABLE))
    usage = usage_of(told)
    assert usage is not None
    assert usage.account_id == told.data.account
    assert usage.error_code == "unprocessable"
    assert (usage.user_id, usage.provider, usage.units_requested) == (None, None, None)
    assert usage.credits == 0


def test_an_event_that_ends_no_job_counts_nothing() -> None:
    request = request_facts()
    requested = GenerationRequested(
        job_id=request.job_id, account_id=request.account_id, request=request
    )
    assert usage_of(event(requested)) is None
