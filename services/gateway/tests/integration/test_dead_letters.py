"""The way to the dead letters: administrators alone, to the gateway's own and to others'."""

from uuid import uuid4

from libs.events.envelope import encode
from libs.events.testing import completed, event
from services.gateway.tests.integration.conftest import RunningGateway

PATH = "/api/admin/dead-letters"


async def test_only_an_administrator_comes_through(gateway: RunningGateway) -> None:
    person = await gateway.sign_up()
    for service in ("gateway", "ledger"):
        assert (await gateway.client.get(f"{PATH}/{service}")).status_code == 401
        assert (await person.get(f"{PATH}/{service}")).status_code == 403
        refused = await person.post(f"{PATH}/{service}/{uuid4()}/redrive", {"dryRun": False})
        assert refused.status_code == 403
    await gateway.run("UPDATE users SET role = 'ADMIN' WHERE user_id = $1", person.user_id)
    assert (await person.get(f"{PATH}/gateway")).json() == {"items": [], "nextCursor": None}
    assert (await person.get(f"{PATH}/ledger")).status_code == 503  # nobody listens there
    assert (await person.get(f"{PATH}/elsewhere")).status_code == 404


async def test_what_a_job_waits_for_is_not_discarded_and_what_nobody_knows_is(
    gateway: RunningGateway,
) -> None:
    admin = await gateway.sign_up()
    await gateway.run("UPDATE users SET role = 'ADMIN' WHERE user_id = $1", admin.user_id)
    job_id = await admin.start_job()
    insert = """
        INSERT INTO parked (parked_id, consumer, topic, event_id, event_type, order_key, encoded,
                            reason, detail, parked_at)
        VALUES ($1, 'daygen.gateway', 'daygen.generation', $2, $3, $4, $5, 'x', 'x', now())
    """

    for facts, status in ((await gateway.facts(job_id), 409), (None, 200)):
        told = event(completed(facts))
        parked_id = uuid4()
        await gateway.run(
            insert, parked_id, told.id, told.data.event_type.value, told.subject, encode(told)
        )
        answer = await admin.post(
            f"{PATH}/gateway/{parked_id}/discard", {"reason": "unknown here", "dryRun": False}
        )
        assert answer.status_code == status, answer.text
