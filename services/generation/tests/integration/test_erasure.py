"""Whoever is erased gets no picture any more, and none of their words leaves."""

from uuid import UUID, uuid4

from libs.events.envelope import Event
from libs.events.generation import FailureCode, GenerationFailed
from libs.events.identity import AccountErased
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import event
from libs.runtime import erasure
from libs.runtime.testing import Streams
from services.generation.tests.integration.stage import Stage, requested

WORD = "unmistakable"


def erased(user_id: UUID) -> Event[Payload]:
    data = AccountErased(user_id=user_id, account_id=user_id, actor=uuid4())
    return event(data, source=Service.GATEWAY)


async def tell(stage: Stage, streams: Streams, *events: Event[Payload]) -> None:
    """As the consumer does: words of whoever is erased do not reach the handler."""
    async with streams.database.transaction() as transaction:
        gone = await erasure.erased(transaction, events)
        await stage.handler(transaction, erasure.forget(events, gone))


async def answers(streams: Streams) -> list[GenerationFailed]:
    told = [REGISTRY.decode(encoded).data for _, encoded in await streams.published()]
    return [each for each in told if isinstance(each, GenerationFailed)]


async def test_jobs_before_and_after_an_erasure_end_without_words(
    stage: Stage, streams: Streams
) -> None:
    early, other = stage.facts(prompt=WORD), stage.facts(prompt=WORD)
    late = stage.facts(user_id=early.user_id, account_id=early.account_id, prompt=WORD)
    await tell(stage, streams, requested(early), requested(other))
    await tell(stage, streams, erased(early.user_id))
    await tell(stage, streams, requested(late))
    told = await answers(streams)
    assert [each.job_id for each in told] == [early.job_id, late.job_id]
    assert {each.code for each in told} == {FailureCode.CANCELLED}
    assert all(each.request is not None and not each.request.prompt for each in told)
    async with streams.database.read() as connection:
        holding = await connection.fetch(
            "SELECT id FROM job WHERE encode(requested, 'escape') LIKE '%' || $1 || '%'", WORD
        )
        queued = await connection.fetch("SELECT id FROM job WHERE state = 'queued'")
    assert [row["id"] for row in holding] == [other.job_id]
    assert [row["id"] for row in queued] == [other.job_id]
