"""What had waited and is refused when its turn comes: parked itself, its releaser booked."""

from uuid import uuid4

from libs.events.operations import MessageParked
from services.ledger.tests.builders import completed, facts, registered, requested
from services.ledger.tests.integration.conftest import Ledger


async def test_a_refused_waiter_is_parked_and_its_account_opens(ledger: Ledger) -> None:
    payer, stranger, job_id = uuid4(), uuid4(), uuid4()
    await ledger.book(registered(payer), requested(facts(payer, job_id)))
    await ledger.book(completed(facts(stranger, job_id)))
    assert await ledger.count("waiting") == 1
    await ledger.book(registered(stranger))
    assert [each.account_id for each in await ledger.told()][-1] == stranger
    assert (await ledger.count("waiting"), await ledger.count("parked")) == (0, 1)
    async with ledger.streams.database.read() as connection:
        row = await connection.fetchrow("SELECT consumer, order_key, reason FROM parked")
    assert tuple(row or ()) == ("daygen.ledger", str(job_id), "ledger_foreign_job")
    outbox = [encoded for _, encoded in await ledger.streams.published()]
    assert any(MessageParked.event_type.value.encode() in encoded for encoded in outbox)
