"""`./daygen dlq` on a running system: what it lists, what it does, and how it ends."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from libs.events.envelope import encode
from libs.events.generation import GenerationCompleted, RequestFacts
from libs.events.names import Service, Topic
from libs.events.payload import Payload
from libs.events.testing import completed, event, request_facts
from libs.runtime.relay import RENEW_SECONDS
from tests.e2e.system import System, until
from tests.e2e.test_bad_input import foreign_producer
from tools.api_client import Json

BILLING = "billing"
OPEN = "SELECT count(*) FROM billing.parked WHERE resolved_at IS NULL AND order_key = $1"
USAGE = "SELECT count(*) FROM billing.usage WHERE job_id = $1"


def dlq(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    return system.command("dlq", *arguments, check=False)


def as_json(system: System, *arguments: str) -> Any:
    return json.loads(dlq(system, *arguments, "--json").stdout)


def a_job() -> RequestFacts:
    """One that nobody has asked for: only who is told of it knows it."""
    user_id = uuid4()
    return request_facts(account_id=user_id, user_id=user_id, job_id=uuid4())


async def tell(system: System, data: Payload, *, key: bytes | None, **changed: str) -> None:
    whole = json.loads(encode(event(data, time=datetime.now(UTC))))
    value = json.dumps({**whole, **changed}).encode()
    async with foreign_producer(system.status()["kafka"]["bootstrap"]) as producer:
        await producer.send_and_wait(Topic.GENERATION, value, key=key)


async def parked_at_billing(system: System, job_id: UUID, count: int = 1) -> list[Json]:
    """The rows of a job, once there are so many."""

    async def are_there() -> bool:
        return bool(await system.scalar(OPEN, str(job_id)) == count)

    await until(are_there, seconds=90)
    rows = as_json(system, "list", "--service", BILLING)
    return [row for row in rows if row["orderKey"] == str(job_id)]


async def stray(system: System) -> tuple[GenerationCompleted, list[Json]]:
    """An answer under no key, and a second one behind it."""
    answer = completed(a_job())
    await tell(system, answer, key=None)
    await parked_at_billing(system, answer.job_id)
    await tell(system, answer, key=str(answer.account_id).encode())
    return answer, await parked_at_billing(system, answer.job_id, 2)


async def test_rows_are_listed_by_their_filters_and_shown_with_their_message(
    spoiled: System,
) -> None:
    began = datetime.now(UTC).isoformat()
    answer, (head, behind) = await stray(spoiled)
    assert (head["reason"], behind["reason"]) == ("wrong_key", "behind")
    assert behind["headId"] == head["parkedId"]

    def ids(*filters: str) -> set[str]:
        rows = as_json(spoiled, "list", "--service", BILLING, *filters)
        return {row["parkedId"] for row in rows}

    both = {head["parkedId"], behind["parkedId"]}
    assert both <= ids("--type", "daygen.generation.completed")
    assert not ids("--type", "daygen.user.registered")
    assert head["parkedId"] in ids("--reason", "wrong_key")
    assert behind["parkedId"] not in ids("--reason", "wrong_key")
    assert both == ids("--since", began)
    assert not both & ids("--until", began)
    assert both <= ids("--since", "1h")

    table = dlq(spoiled, "list", "--service", BILLING)
    (line,) = [line for line in table.stdout.splitlines() if head["parkedId"] in line]
    assert all(word in line for word in (BILLING, "daygen.generation.completed", "wrong_key"))
    assert table.returncode == 0

    shown = dlq(spoiled, "show", head["parkedId"])
    row = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert row["text"]["data"]["job_id"] == str(answer.job_id)
    assert (row["service"], row["detail"]) == (
        BILLING,
        f"it has no key, not {answer.account_id}",
    )
    raw = as_json(spoiled, "show", head["parkedId"])
    assert json.loads(raw["text"]) == row["text"]


async def test_a_redrive_is_a_dry_run_unless_it_is_meant(spoiled: System) -> None:
    answer, (head, behind) = await stray(spoiled)
    tried = dlq(spoiled, "redrive", head["parkedId"])
    assert tried.returncode == 0
    assert tried.stdout.count(": applied") == 2
    assert "dry run, nothing has changed" in tried.stdout
    assert await spoiled.scalar(USAGE, answer.job_id) == 0

    refused = dlq(spoiled, "redrive", behind["parkedId"], "--yes")  # it takes the head for it
    assert refused.returncode == 0, refused.stdout
    assert await spoiled.scalar(USAGE, answer.job_id) == 1
    assert await spoiled.scalar(OPEN, str(answer.job_id)) == 0
    again = dlq(spoiled, "redrive", head["parkedId"], "--yes")
    assert again.returncode == 1
    assert "refused: Message" in again.stdout
    assert "was redriven at" in again.stdout
    told = "SELECT count(*) FROM billing.outbox WHERE topic = 'daygen.operations' AND key = $1"
    told += " AND encoded LIKE '%daygen.message.redriven%'::bytea"
    for row in (head, behind):
        assert await spoiled.scalar(told, row["parkedId"].encode()) == 1


async def test_what_is_refused_again_ends_with_exit_code_1(spoiled: System) -> None:
    answer = completed(a_job())
    await tell(spoiled, answer, key=b"foreign", time="2999-01-01T00:00:00Z")
    (row,) = await parked_at_billing(spoiled, answer.job_id)
    for arguments in ((), ("--yes",)):
        done = dlq(spoiled, "redrive", row["parkedId"], *arguments)
        assert done.returncode == 1
        assert "still_parked (future_time: it says that it is of 2999-01-01" in done.stdout
    (result,) = as_json(spoiled, "redrive", row["parkedId"])
    assert (result["dryRun"], result["steps"][0]["reason"]) == (True, "future_time")


async def test_a_discard_needs_a_reason_and_may_be_refused(spoiled: System) -> None:
    answer, (head, _) = await stray(spoiled)
    assert dlq(spoiled, "discard", head["parkedId"], "--yes").returncode == 2
    refused = dlq(spoiled, "discard", head["parkedId"], "--why", "not ours", "--yes")
    assert refused.returncode == 1
    assert "refused: Every job has a usage row" in refused.stdout
    assert await spoiled.scalar(OPEN, str(answer.job_id)) == 2

    strange = uuid4()
    await tell(spoiled, completed(a_job()), key=b"k", type="daygen.x.y", subject=str(strange))
    (row,) = await parked_at_billing(spoiled, strange)
    tried = dlq(spoiled, "discard", row["parkedId"], "--why", "not ours")
    assert (tried.returncode, "dry run" in tried.stdout) == (0, True)
    assert await spoiled.scalar(OPEN, str(strange)) == 1
    (done,) = as_json(spoiled, "discard", row["parkedId"], "--why", "not ours", "--yes")
    assert [step["outcome"] for step in done["steps"]] == ["discarded"]
    resolved = as_json(spoiled, "show", row["parkedId"])
    admin = await spoiled.scalar("SELECT user_id FROM gateway.users WHERE role = 'ADMIN'")
    assert (resolved["resolution"], resolved["note"]) == ("discarded", "not ours")
    assert resolved["resolvedBy"] == str(admin)


def test_what_cannot_be_done_says_what_to_do(spoiled: System) -> None:
    unknown = dlq(spoiled, "show", str(uuid4()))
    assert unknown.returncode == 2
    assert "list them first" in unknown.stderr
    for arguments in (("list", "--service", "x"), ("list", "--since", "soon"), ("show", "x"), ()):
        assert dlq(spoiled, *arguments).returncode == 2


async def test_what_was_too_new_is_redriven_by_the_next_release(spoiled: System) -> None:
    """The row is changed as if this release knew the type that it says it does not know."""
    answer = completed(a_job())
    key = str(answer.account_id).encode()
    await tell(spoiled, answer, key=key, type="daygen.generation.finished")
    (row,) = await parked_at_billing(spoiled, answer.job_id)
    assert row["reason"] == "unknown_type"
    async with spoiled.database() as connection:
        await connection.execute(
            "UPDATE billing.parked SET encoded = $2, event_type = $3 WHERE parked_id = $1",
            row["parkedId"],
            encode(event(answer, time=datetime.now(UTC))),
            answer.event_type,
        )
    spoiled.kill(BILLING)

    async def is_applied() -> bool:
        return bool(await spoiled.scalar(USAGE, answer.job_id) == 1)

    await until(is_applied, seconds=90)
    resolved = await spoiled.scalar(
        "SELECT resolved_by FROM billing.parked WHERE parked_id = $1", row["parkedId"]
    )
    assert resolved == Service.BILLING.actor_id


HOLD_UP = """
    UPDATE gateway.relay_share SET owner = 'test',
           lease_until = clock_timestamp() + make_interval(secs => $1)
"""
SPOIL = """
    UPDATE gateway.outbox SET encoded = convert_to(
        replace(convert_from(encoded, 'UTF8'), '"units":1', '"units":"one"'), 'UTF8')
     WHERE encoded LIKE ('%' || $1 || '%')::bytea
"""


async def test_a_request_that_nobody_can_read_is_given_up_and_its_credits_come_back(
    spoiled: System,
) -> None:
    """Generation answers it, and the ledger closes it by that answer."""
    async with spoiled.person() as person, spoiled.database() as connection:
        before = (await person.call("GET", "/api/auth/me"))["credits"]
        body = {"prompt": "a tall ship", "provider": "local", "model": "local-sketch"}
        await connection.execute(HOLD_UP, 600)
        await asyncio.sleep(RENEW_SECONDS + 1)  # until then the relay believes that all is its own
        job_id = (await person.call("POST", "/api/jobs", json=body))["jobId"]
        assert await connection.execute(SPOIL, job_id) == "UPDATE 1"
        await connection.execute(HOLD_UP, 0)

        def of_job(service: str) -> list[str]:
            rows = as_json(spoiled, "list", "--service", service)
            return [row["parkedId"] for row in rows if row["orderKey"] == job_id]

        async def is_parked_at_both() -> bool:
            return bool(of_job("generation") and of_job("ledger"))

        await until(is_parked_at_both, seconds=90)
        (request,) = of_job("ledger")
        why = ("--why", "a script has changed it", "--yes")
        early = dlq(spoiled, "discard", request, *why)
        assert early.returncode == 1
        assert "discard the request at generation first" in early.stdout
        assert dlq(spoiled, "discard", *of_job("generation"), *why).returncode == 0

        async def is_answered() -> bool:
            return len(of_job("ledger")) == 2

        await until(is_answered, seconds=90)
        assert (await person.call("GET", f"/api/jobs/{job_id}"))["status"] != "FAILED"
        assert (await person.call("GET", "/api/auth/me"))["credits"] == before - 1
        done = dlq(spoiled, "discard", request, *why)
        assert done.returncode == 0, done.stdout

        async def has_ended() -> bool:
            job = await person.call("GET", f"/api/jobs/{job_id}")
            return bool(job["status"] == "FAILED")

        await until(has_ended, seconds=90)
        assert (await person.call("GET", "/api/auth/me"))["credits"] == before
        kinds = await connection.fetch(
            "SELECT kind, settled_after FROM ledger.transaction WHERE job_id = $1"
            " ORDER BY account_version",
            UUID(job_id),
        )
        assert [row["kind"] for row in kinds] == ["reserve", "release"]
