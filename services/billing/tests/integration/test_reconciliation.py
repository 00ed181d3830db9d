"""Bills of providers before the running service: imported once, told, made anew, refused whole."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx2
import pytest

from libs.events.billing import BillFinding, ProviderBillImported
from libs.events.envelope import Event
from libs.events.generation import (
    AttemptOutcome,
    CostSource,
    GenerationAttemptEnded,
    GenerationCompleted,
)
from libs.events.names import Service
from libs.events.payload import Payload
from libs.events.registry import REGISTRY
from libs.events.testing import completed, event, failed, request_facts
from libs.runtime.auth import Principal
from libs.runtime.testing import rebuilt
from services.billing.handlers import bills as handler
from services.billing.handlers import drift as measuring
from services.billing.rebuild import PROJECTION
from services.billing.store.attempts import find_attempts
from services.billing.tests.integration.conftest import RunningBilling
from services.billing.tests.integration.test_service import DEADLINE_SECONDS, admin, person

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEADER = "reference,time,model,amount_usd,status"
URL = "/api/admin/reconciliation"


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def won(minute: float, *references: str, **changes: Any) -> Event[Payload]:
    request = request_facts(provider="openai", model="gpt-image-1.5")
    given = {
        "provider_references": references,
        "provider_cost_microusd": 34_000,
        "provider_cost_source": CostSource.LISTED,
    }
    return event(completed(request, **{**given, **changes}), time=at(minute))


def ended(minute: float, *references: str, **changes: Any) -> Event[Payload]:
    """An attempt whose worker was lost."""
    account_id = changes.pop("account_id", uuid4())
    given: dict[str, Any] = {
        "job_id": uuid4(),
        "account_id": account_id,
        "attempt_id": uuid4(),
        "provider": "openai",
        "model": "gpt-image-1.5",
        "outcome": AttemptOutcome.UNKNOWN,
        "started_at": at(minute),
        "provider_references": references,
    }
    return event(GenerationAttemptEnded(**{**given, **changes}), time=at(minute + 0.5))


def attempt_of(told: Event[Payload]) -> UUID:
    assert isinstance(told.data, GenerationAttemptEnded | GenerationCompleted)
    return told.data.attempt_id


def bill(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, "")).encode()


def line(minute: float, reference: str, amount: str = "0.034") -> str:
    return f"{reference},{at(minute).isoformat()},gpt-image-1.5,{amount},succeeded"


async def send(
    billing: RunningBilling, content: bytes, who: Principal | None = None, **asked: str
) -> httpx2.Response:
    token = billing.tokens.issue(who or admin(), Service.BILLING)
    query = urlencode({"provider": "openai", "fileName": "november.csv", **asked})
    return await billing.client.post(
        f"{URL}/bills?{query}",
        content=content,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "text/csv"},
    )


async def told(billing: RunningBilling) -> list[ProviderBillImported]:
    published = await billing.streams.published()
    data = [REGISTRY.decode(encoded).data for event_id, encoded in published if event_id]
    return [each for each in data if isinstance(each, ProviderBillImported)]


async def known(billing: RunningBilling, *events: Event[Payload]) -> None:
    """Tell of attempts and wait until they are known."""
    await billing.tell(*events)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            async with billing.streams.database.read() as connection:
                found = await find_attempts(connection, "openai", at(-999), at(999), 1000)
            if len(found) >= len(events):
                return
            await asyncio.sleep(0.02)


async def counts(billing: RunningBilling) -> tuple[int, int, int]:
    async with billing.streams.database.read() as connection:
        return (
            await connection.fetchval("SELECT count(*) FROM bill"),
            await connection.fetchval("SELECT count(*) FROM bill_entry"),
            len(await told(billing)),
        )


async def test_a_bill_is_compared_told_and_looked_at(billing: RunningBilling) -> None:
    missing, lost = won(3, "c"), ended(4)
    await known(billing, won(0, "a"), won(1, "b"), won(2, "d"), missing, lost, won(6, "e"))
    content = bill(
        line(0, "a"),
        line(1, "b", "0"),
        line(2, "d"),
        line(2, "d"),
        line(4.2, "x"),
        line(5, "nobody's", "0.05"),
        line(6, "e"),
    )
    dry = await send(billing, content, dryRun="true")
    assert (dry.status_code, dry.json()["isDryRun"]) == (200, True)
    assert await counts(billing) == (0, 0, 0)

    actor = admin()
    answer = await send(billing, content, actor)
    assert answer.status_code == 201
    body = answer.json()
    assert body["findings"] == {
        "doubled": 1,
        "matched": 3,
        "missing": 1,
        "resolved": 1,
        "unknown_attempt": 1,
        "zero_cost": 1,
    }
    assert body["flagged"] == 4
    assert body["billedMicrousd"] == 34_000 * 5 + 50_000
    assert body["ownMicrousd"] == 34_000 * 5
    assert body["driftMicrousd"] == 50_000
    assert [each["line"] for each in body["flaggedEntries"]] == [3, 5, 7, None]
    assert body["flaggedEntries"][-1]["attemptId"] == str(attempt_of(missing))
    (said,) = await told(billing)
    assert (said.actor, said.file_name, said.provider) == (actor.user_id, "november.csv", "openai")
    resolved = next(each for each in said.entries if each.finding is BillFinding.RESOLVED)
    assert resolved.attempt_id == attempt_of(lost)

    listed = (await billing.get(f"{URL}/bills?provider=openai", admin())).json()["items"]
    assert [each["id"] for each in listed] == [body["id"]]
    path = f"{URL}/bills/{body['id']}/entries"
    page = (await billing.get(f"{path}?limit=5", admin())).json()
    rest = (await billing.get(f"{path}?afterPlace={page['nextPlace']}", admin())).json()
    assert [each["line"] for each in page["items"] + rest["items"]] == [2, 3, 4, 5, 6, 7, 8, None]
    flagged = (await billing.get(f"{path}?finding=missing&finding=doubled", admin())).json()
    assert [each["finding"] for each in flagged["items"]] == ["doubled", "missing"]
    assert (await billing.get(f"{URL}/bills/{uuid4()}/entries", admin())).status_code == 404


async def test_the_same_file_changes_nothing_and_two_at_once_are_one(
    billing: RunningBilling,
) -> None:
    await known(billing, won(0, "a"), won(1, "b"))
    content = bill(line(0, "a"), line(1, "b"))
    answers = await asyncio.gather(*(send(billing, content) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
    assert len({each.json()["id"] for each in answers}) == 1
    assert await counts(billing) == (1, 2, 1)
    again = await send(billing, content, fileName="renamed.csv")
    assert (again.json()["isNew"], again.json()["fileName"]) == (False, "november.csv")
    assert await counts(billing) == (1, 2, 1)

    later = await asyncio.gather(
        send(billing, content + line(1.5, "c").encode()),
        send(billing, content + line(1.7, "c", "1").encode()),
    )
    unknown = [each.json()["findings"].get("unknown_attempt", 0) for each in later]
    doubled = [each.json()["findings"].get("doubled", 0) for each in later]
    assert (sum(unknown), sum(doubled)) == (1, 1)  # the second of them knew the first


@pytest.fixture
def often_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TICK_SECONDS", 0.1)


async def test_drift_is_in_the_api_and_in_the_metrics(
    often_measured: None, billing: RunningBilling
) -> None:
    await known(billing, won(0, "a"), ended(1), ended(2, "o"), won(3, "b"))
    drift = (await billing.get(f"{URL}/drift", admin())).json()["items"]
    assert drift == [{**drift[0], "provider": "openai", "bills": 0, "unknownAttempts": 2}]
    await send(billing, bill(line(0, "a", "0.1"), line(2, "o")))
    (drift,) = (await billing.get(f"{URL}/drift", admin())).json()["items"]
    assert (drift["driftMicrousd"], drift["flagged"]) == (100_000, 1)
    assert drift["findings"] == {"cost_differs": 1, "not_charged": 1, "resolved": 1}
    assert drift["unknownAttempts"] == 0

    expected = 'daygen_provider_cost_drift_microusd{provider="openai"} 100000.0'
    async with asyncio.timeout(DEADLINE_SECONDS):
        while expected not in (text := (await billing.client.get("/metrics")).text):
            await asyncio.sleep(0.05)
    assert 'daygen_provider_bill_findings{finding="cost_differs",provider="openai"} 1.0' in text


BAD_BILLS: Final[list[tuple[bytes, int]]] = [
    (bill(line(0, "a"), line(1, "b", "much")), 3),
    (bill(line(0, "a"), "short"), 3),
    (b"one,two\n1,2\n", 1),
    (bill(line(0, "a\0")), 2),
    (bill(line(0, "a")) + b"\xff", 3),
    (b"", 1),
    (bill(*[line(0, "a")] * 400_000), 100_002),
]


async def test_a_bad_bill_is_refused_by_its_line_and_changes_nothing(
    billing: RunningBilling, subtests: pytest.Subtests
) -> None:
    await known(billing, won(0, "a"))
    for content, number in BAD_BILLS:
        with subtests.test(str(content[:60])):
            answer = await send(billing, content)
            body = answer.json()
            assert (answer.status_code, body["code"], body["line"]) == (400, "bad_bill", number)
            assert body["message"].startswith(f"Line {number}: ")
            assert await counts(billing) == (0, 0, 0)


async def test_who_may_not_what_is_unknown_and_what_does_not_fit(
    billing: RunningBilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(billing, won(0, "a"), won(1, "b"))
    content = bill(line(0, "a"))
    for path in ("bills", "drift", f"bills/{uuid4()}/entries"):
        assert (await billing.get(f"{URL}/{path}", person(uuid4()))).status_code == 403
    assert (await send(billing, content, person(uuid4()))).status_code == 403
    other = await send(billing, content, provider="opnai")
    assert (other.status_code, other.json()["code"]) == (404, "provider_unknown")
    outside = await send(billing, content, since=at(1).isoformat())
    assert (outside.json()["code"], outside.json()["line"]) == ("bad_bill", 2)
    for name, value in (("provider", "a\0b"), ("fileName", "a\nb"), ("since", "yesterday")):
        bad = await send(billing, content, None, **{name: value})
        assert bad.status_code == 400, (name, bad.text)
    monkeypatch.setattr(handler, "ATTEMPTS_MAX", 1)
    assert (await send(billing, content)).json()["code"] == "bill_too_long"
    assert await counts(billing) == (0, 0, 0)


async def test_a_bill_of_many_parts_is_made_anew_as_it_was(
    billing: RunningBilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "ENTRIES_OF_PART", 3)
    same = {"account_id": uuid4(), "attempt_id": uuid4(), "job_id": uuid4()}
    lost = ended(1, "o", **same)
    late = ended(
        1,
        "o",
        **same,
        outcome=AttemptOutcome.LATE,
        provider_cost_microusd=5,
        provider_cost_source=CostSource.LISTED,
    )
    refused = event(failed(request_facts(provider="openai"), attempt_id=uuid4()), time=at(2))
    await known(billing, won(0, "a"), lost, refused, won(5, "z"))
    await billing.tell(late, lost)
    lines = [line(minute / 10, f"r{minute}") for minute in range(20)]
    answer = await send(billing, bill(*lines), until=at(9).isoformat())
    assert answer.status_code == 201
    parts = await told(billing)
    assert [each.part for each in parts] == list(range(1, len(parts) + 1))
    assert sum(len(each.entries) for each in parts) == sum(parts[0].findings.values())
    await send(billing, bill(line(5, "z")))

    outcome = await rebuilt(PROJECTION, billing.streams.dsn, billing.bus)
    assert outcome.is_equal, [each for each in outcome.tables if not each.is_equal]
    rows = {each.table: each.live_rows for each in outcome.tables}
    assert (rows["attempt"], rows["bill"]) == (1, 2)
    assert rows["bill_entry"] == sum(len(each.entries) for each in await told(billing))
    async with billing.streams.database.read() as connection:
        row = await connection.fetchrow("SELECT outcome, provider_cost_microusd FROM attempt")
    assert row is not None
    assert tuple(row) == ("late", 5)
