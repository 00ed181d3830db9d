"""Requests into the queue, and cancellations out of it."""

from libs.events.generation import FailureCode, GenerationFailed
from services.generation.tests.integration.stage import Stage, cancelled, requested


async def test_a_repeated_request_is_queued_once(stage: Stage) -> None:
    facts = stage.facts()
    await stage.ask(facts, facts)
    await stage.ask(facts)
    await stage.ask(facts)

    (row,) = await stage.rows("SELECT count(*) AS jobs, max(start_tag) AS tag FROM job")
    assert (row["jobs"], row["tag"]) == (1, 0)


async def test_a_repeated_request_does_not_run_a_decided_job_again(stage: Stage) -> None:
    facts = stage.facts()
    await stage.ask(facts)
    stage.worker()
    await stage.answers(1)
    await stage.ask(facts)

    assert await stage.state(facts.job_id) == "completed"
    assert len(await stage.answers()) == 1


async def test_a_request_that_nobody_can_do_is_answered_once(stage: Stage) -> None:
    refused = {
        FailureCode.UNPROCESSABLE: stage.facts(provider="nobody"),
        FailureCode.NOT_FOUND: stage.facts(model="retired"),
        FailureCode.BAD_REQUEST: stage.facts(units=9),
    }
    await stage.ask(*refused.values(), *refused.values())
    await stage.ask(*refused.values())
    told = await stage.answers()

    assert {answer.job_id: answer for answer in told}.keys() == {
        facts.job_id for facts in refused.values()
    }
    assert len(told) == 3
    for code, facts in refused.items():
        (answer,) = [each for each in told if each.job_id == facts.job_id]
        assert isinstance(answer, GenerationFailed)
        assert (answer.code, answer.request) == (code, facts)


async def test_a_cancelled_job_fails_once_and_never_runs(stage: Stage) -> None:
    facts = stage.facts()
    await stage.tell(requested(facts), cancelled(facts))
    await stage.tell(cancelled(facts))
    stage.worker()
    other = stage.facts()
    await stage.ask(other)
    told = await stage.answers(2)

    assert [type(each).__name__ for each in told] == ["GenerationFailed", "GenerationCompleted"]
    assert isinstance(told[0], GenerationFailed)
    assert told[0].code is FailureCode.CANCELLED
    assert [call.job_id for call in stage.provider.calls] == [other.job_id]


async def test_a_cancel_after_the_end_or_of_an_unknown_job_changes_nothing(stage: Stage) -> None:
    facts = stage.facts()
    await stage.ask(facts)
    stage.worker()
    await stage.answers(1)
    await stage.tell(cancelled(facts), cancelled(stage.facts()))

    assert len(await stage.answers()) == 1
    assert await stage.state(facts.job_id) == "completed"
