"""What happens, as it is pushed: of one job and of everything, resumed, by tickets, on replicas."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest

from libs.events.gallery import GalleryItemDeleted
from libs.events.generation import FailureCode
from libs.runtime.clock import SystemClock
from services.gateway.handlers.streams import Streams
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.listening import WAIT_SECONDS, Told, follow, listen
from services.gateway.tests.integration.test_jobs import failure, job_in, success


async def test_a_stream_tells_a_job_to_its_end(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    facts = await gateway.facts(job_id)
    is_open = asyncio.Event()
    following = asyncio.create_task(follow(ada, job_id, is_open))
    await is_open.wait()
    for said in success(facts):
        await gateway.tell(said)
        await asyncio.sleep(0.1)
    told = await following
    assert told[0].kind == "snapshot"
    assert told[0].data["status"] == "PENDING"
    assert told[-1].kind == "job.completed"
    assert told[-1].data == (await ada.get(f"/api/jobs/{job_id}")).json()
    assert "asset.ready" in {each.kind for each in told}
    positions = [each.position for each in told]
    assert positions == sorted(set(positions))
    progress = [each.data["progress"] for each in told]
    assert progress == sorted(progress)


async def test_a_stream_resumes_behind_any_event_on_any_replica(start_gateway: Start) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    ada = await one.sign_up()
    other_job, job_id = await ada.start_job(), await ada.start_job()
    is_open = asyncio.Event()
    following = asyncio.create_task(follow(ada, job_id, is_open))
    await is_open.wait()
    for said in zip(
        success(await one.facts(job_id)),
        success(await one.facts(other_job), version=3, settled=18),
        strict=True,
    ):
        await one.tell(*said)
        await asyncio.sleep(0.1)
    told = await following
    for place, last in enumerate(told[:-1]):
        there = Person(ada.user_id, ada.token, two.client)
        rest = await follow(there, job_id, **{"Last-Event-ID": str(last.position)})
        assert rest == told[place + 1 :]
    by_query = f"/api/jobs/{job_id}/events?last_event_id={told[-1].position}"
    assert (await ada.get(by_query)).status_code == 204


async def test_positions_that_are_unknown_or_pruned_get_a_resync(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    await gateway.tell(*success(await gateway.facts(job_id)))
    await job_in(ada, job_id, "COMPLETED")
    for position in ("99", "nonsense", "9" * 40):
        (told,) = await follow(ada, job_id, **{"Last-Event-ID": position})
        assert (told.kind, told.data["status"]) == ("resync", "COMPLETED")
    await gateway.run("DELETE FROM feed")
    (told,) = await follow(ada, job_id, **{"Last-Event-ID": "0"})
    assert told.kind == "resync"
    resumed = await ada.get(f"/api/jobs/{job_id}/events?last_event_id={told.position}")
    assert resumed.status_code == 204


@pytest.mark.usefixtures("no_slow_look")
async def test_a_stream_is_woken_by_another_replicas_commit(start_gateway: Start) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    ada = await one.sign_up()
    job_id = await ada.start_job()
    facts = await one.facts(job_id)
    are_open = [asyncio.Event(), asyncio.Event()]
    both = [
        asyncio.create_task(follow(Person(ada.user_id, ada.token, each.client), job_id, is_open))
        for each, is_open in zip((one, two), are_open, strict=True)
    ]
    for is_open in are_open:
        await is_open.wait()
    await one.tell(*success(facts))
    ends = [told[-1].kind for told in await asyncio.gather(*both)]
    assert ends == ["job.completed", "job.completed"]


async def heard(
    person: Person, path: str, last: str, is_open: asyncio.Event | None = None, /, **headers: str
) -> list[Told]:
    """What a stream tells up to an event of a kind."""
    told = []
    async with aclosing(listen(person, path, is_open, **headers)) as events:
        async for each in events:
            told.append(each)
            if each.kind == last:
                break
    return told


async def test_a_user_hears_of_all_their_jobs_pictures_and_credits(
    gateway: RunningGateway,
) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    before = await ada.start_job()
    is_open = asyncio.Event()
    hearing = asyncio.create_task(heard(ada, "/api/events", "gallery.removed", is_open))
    await is_open.wait()
    await bob.start_job()
    job_id = await ada.start_job()
    for said in success(await gateway.facts(job_id)):
        await gateway.tell(said)
        await asyncio.sleep(0.1)
    await job_in(ada, job_id, "COMPLETED")
    await gateway.tell(*failure(await gateway.facts(before), FailureCode.SERVER, version=3))
    await job_in(ada, before, "FAILED")
    item = uuid4()
    await gateway.tell(
        GalleryItemDeleted(item_id=item, account_id=ada.user_id, user_id=ada.user_id, version=1)
    )
    told = await hearing

    assert told[0].kind == "snapshot"
    assert [job["jobId"] for job in told[0].data["jobs"]] == [str(before)]
    assert told[0].data["balance"]["credits"] == 19
    first = told[0].position
    assert [each.position for each in told[1:]] == list(range(first + 1, first + len(told)))
    of_jobs = [(each.kind, each.data["jobId"]) for each in told if each.kind.startswith("job.")]
    assert of_jobs[0] == ("job.updated", str(job_id))
    assert of_jobs[-2:] == [("job.completed", str(job_id)), ("job.failed", str(before))]
    added = next(each for each in told if each.kind == "gallery.added")
    assert (added.data["jobId"], len(added.data["itemIds"])) == (str(job_id), 1)
    assert told[-1].data == {"itemIds": [str(item)], "jobId": None}
    shown = [each.data["credits"] for each in told if each.kind == "balance.changed"]
    assert shown[-1] == await ada.credits()


async def test_everything_is_resumed_behind_any_event_on_any_replica(start_gateway: Start) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())
    ada = await one.sign_up()
    is_open = asyncio.Event()
    hearing = asyncio.create_task(heard(ada, "/api/events", "job.completed", is_open))
    await is_open.wait()
    job_id = await ada.start_job()
    for said in success(await one.facts(job_id)):
        await one.tell(said)
        await asyncio.sleep(0.05)
    told = await hearing
    there = Person(ada.user_id, ada.token, two.client)
    for place, last in enumerate(told[:-1]):
        header = {"Last-Event-ID": str(last.position)}
        assert await heard(there, "/api/events", "job.completed", **header) == told[place + 1 :]
    (resync,) = await heard(there, "/api/events?last_event_id=999999", "resync")
    assert resync.data["jobs"] == []


async def ticket_for(person: Person, path: str) -> str:
    answer = await person.post("/api/stream-tickets", {"stream": path})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


async def test_a_ticket_opens_its_stream_again_and_no_other(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    path = f"/api/jobs/{job_id}/events"
    ticket = await ticket_for(ada, path)
    for _ in range(2):
        async with aclosing(listen(ada, f"{path}?ticket={ticket}")) as events:
            assert (await anext(events)).kind == "snapshot"
    other = f"/api/jobs/{await ada.start_job()}/events"
    for wrong in (f"/api/events?ticket={ticket}", f"{other}?ticket={ticket}"):
        answer = await gateway.client.get(wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_ticket")
    # A ticket is for streams alone, and its text stands nowhere.
    answer = await gateway.client.get(f"/api/auth/me?ticket={ticket}")
    assert answer.status_code == 401
    assert not await gateway.value(
        "SELECT count(*) FROM stream_ticket WHERE encode(ticket_sha256, 'escape') LIKE $1", ticket
    )


async def test_a_ticket_must_be_used_soon_and_ends(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    unused, used = [await ticket_for(ada, "/api/events") for _ in range(2)]
    async with aclosing(listen(ada, f"/api/events?ticket={used}")) as events:
        await anext(events)
    await gateway.run("UPDATE stream_ticket SET use_until = now() - interval '1 second'")
    answer = await gateway.client.get(f"/api/events?ticket={unused}")
    assert answer.json()["code"] == "bad_ticket"
    async with aclosing(listen(ada, f"/api/events?ticket={used}")) as events:
        await anext(events)  # it was used in time
    await gateway.run("UPDATE stream_ticket SET ends_at = now() - interval '1 second'")
    answer = await gateway.client.get(f"/api/events?ticket={used}")
    assert answer.json()["code"] == "bad_ticket"
    await ticket_for(ada, "/api/events")
    assert await gateway.value("SELECT count(*) FROM stream_ticket") == 1


async def test_bad_requests_for_tickets_are_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for stream in (None, "", "/api/jobs", "/api/jobs/1/events", "/api/events?x", "/api/events\n"):
        answer = await ada.post("/api/stream-tickets", {"stream": stream})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), stream
    for ticket in ("", "nonsense", "x" * 10_000, "%00"):
        answer = await gateway.client.get(f"/api/events?ticket={ticket}")
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_ticket"), ticket


@pytest.mark.usefixtures("no_slow_look")
async def test_a_revoked_log_in_ends_its_streams_and_tickets(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    ticket = await ticket_for(ada, "/api/events")
    by_ticket = f"/api/events?ticket={ticket}"
    are_open = [asyncio.Event(), asyncio.Event()]
    hearing = [
        asyncio.create_task(heard(ada, path, "never", is_open))
        for path, is_open in zip(("/api/events", by_ticket), are_open, strict=True)
    ]
    for is_open in are_open:
        await is_open.wait()
    assert (await ada.post("/api/auth/signout-everywhere", {})).status_code < 300
    assert [len(told) for told in await asyncio.gather(*hearing)] == [1, 1]
    assert (await gateway.client.get(by_ticket)).status_code == 401


async def test_nobody_has_more_streams_open_than_the_limit(start_gateway: Start) -> None:
    gateway = await start_gateway(streams_per_user=2)
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    async with aclosing(listen(ada, "/api/events")) as first:
        await anext(first)
        async with aclosing(listen(ada, "/api/events")) as second:
            await anext(second)
            answer = await ada.get("/api/events")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
            assert int(answer.headers["retry-after"]) > 0
            async with aclosing(listen(bob, "/api/events")) as others:
                await anext(others)
    async with asyncio.timeout(WAIT_SECONDS):
        while await opens(ada) != 200:  # the server learns of it in its own time
            await asyncio.sleep(0.05)
    # A refused opening takes no place.
    for _ in range(3):
        assert (await ada.get(f"/api/jobs/{uuid4()}/events")).status_code == 404
    assert await opens(ada) == 200


async def opens(person: Person) -> int:
    async with person.client.stream("GET", "/api/events", headers=person.headers) as answer:
        return answer.status_code


async def test_a_long_absence_is_told_in_full(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    early, job_id = await ada.start_job(), await ada.start_job()
    await gateway.tell(*success(await gateway.facts(early)))
    await job_in(ada, early, "COMPLETED")
    last: int = await gateway.value("SELECT position FROM feed_head")
    await gateway.run(
        """
        WITH told AS (UPDATE feed_head SET position = position + 1000 RETURNING *)
        INSERT INTO feed (user_id, position, kind, body)
        SELECT user_id, position - 1000 + n, 'gallery.changed',
               jsonb_build_object('item_ids', jsonb_build_array(gen_random_uuid()))
          FROM told, generate_series(1, 1000) AS n
        """
    )
    await gateway.tell(*success(await gateway.facts(job_id)))
    told = await heard(ada, "/api/events", "job.completed", **{"Last-Event-ID": str(last)})
    assert [each.position for each in told] == list(range(last + 1, last + 1 + len(told)))
    assert len(told) > 1_000


async def test_what_was_told_a_week_ago_is_forgotten(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    job_id = await ada.start_job()
    await gateway.tell(*success(await gateway.facts(job_id)))
    await job_in(ada, job_id, "COMPLETED")
    await gateway.run("UPDATE feed SET told_at = told_at - interval '8 days' WHERE position <= 2")
    streams = Streams(
        database=gateway.streams.database, wakeups=gateway.streams.wakeups, clock=SystemClock()
    )
    forgetting = asyncio.create_task(streams.forget())
    async with asyncio.timeout(WAIT_SECONDS):
        while await gateway.value("SELECT min(position) FROM feed") != 3:
            await asyncio.sleep(0.02)
    forgetting.cancel()
    header = {"Last-Event-ID": "2"}
    assert (await heard(ada, "/api/events", "job.completed", **header))[0].position == 3
    (told,) = await heard(ada, "/api/events", "resync", **{"Last-Event-ID": "1"})
    assert told.position == await gateway.value("SELECT position FROM feed_head")
