"""A gateway that has lost its database: accounts, jobs and deductions come back from Kafka."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.events.bus import KafkaBus
from libs.events.credits import CreditsDeducted
from libs.events.identity import DeductionRequested, UserRegistered, WorkspaceCreated
from libs.events.names import Service
from libs.events.testing import NOW, event
from libs.runtime import recovery as recovery_module
from libs.runtime.testing import Streams, rebuilt
from libs.runtime.testing_recovery import (
    Habits,
    live,
    recover_dying,
    recovery,
    tables,
    tell,
)
from services.gateway import consumers, projections
from services.gateway.handlers.copies import Copies
from services.gateway.handlers.deductions import Asked, Deductions
from services.gateway.handlers.errors import IdempotencyKeyReused
from services.gateway.handlers.openings import open_account
from services.gateway.rebuild import PROJECTION
from services.gateway.tests.stories import granted

ADMIN = uuid4()
# Users cannot come back whole: e-mails and passwords never were on a stream.
COMPARED = ("credit_account", "deduction", "hold", "waiting", "parked", "outbox")


def habits(streams: Streams) -> Habits:
    return Habits(
        history=consumers.create_history(streams.clock),
        topics=[each for each in consumers.TOPICS if each.is_kept],
        types=consumers.EVENT_TYPES,
        handler=projections.project,
    )


def desk(streams: Streams) -> Deductions:
    copies = Copies(database=streams.database, wakeups=streams.wakeups, clock=streams.clock)
    return Deductions(
        database=streams.database, copies=copies, clock=streams.clock, ids=streams.ids
    )


def registered(account_id: UUID) -> UserRegistered:
    return UserRegistered(
        user_id=account_id, account_id=account_id, role="USER", signup_credits=20, grace=0
    )


def created(account_id: UUID) -> WorkspaceCreated:
    return WorkspaceCreated(
        workspace_id=account_id,
        account_id=account_id,
        created_by=ADMIN,
        signup_credits=30,
        grace=5,
    )


def asked(account_id: UUID, credits_: int, key: str | None) -> Asked:
    return Asked(account_id=account_id, credits=credits_, reason="x", actor=ADMIN, key=key)


def requested(deduction_id: UUID, account_id: UUID, credits_: int) -> DeductionRequested:
    return DeductionRequested(
        deduction_id=deduction_id,
        account_id=account_id,
        credits=credits_,
        actor=ADMIN,
        reason="x",
        requested_at=NOW,
    )


def booked(deduction_id: UUID, account_id: UUID, credits_: int, settled: int) -> CreditsDeducted:
    return CreditsDeducted(
        account_id=account_id,
        account_version=2,
        settled_after=settled,
        grace_after=0,
        transaction_id=uuid4(),
        deduction_id=deduction_id,
        credits=credits_,
        lots=(),
        actor=ADMIN,
        reason="x",
    )


async def known(streams: Streams) -> dict[str, list[str]]:
    found = await tables(streams)
    return {name: found[name] for name in COMPARED}


async def test_accounts_and_deductions_come_back_with_their_holds(
    streams: Streams, emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through deaths before and after every commit; a repeat of an order is still a repeat."""
    user, workspace = uuid4(), uuid4()
    async with streams.database.transaction() as transaction:
        await open_account(transaction, registered(user))
        await open_account(transaction, created(workspace))
    of_user = await desk(streams).submit(asked(user, 6, "of the user"))
    of_workspace = await desk(streams).submit(asked(workspace, 35, "of the workspace"))
    unheard = await desk(streams).submit(asked(user, 4, None))
    await live(streams, bus, habits(streams))
    told = [
        granted(user, version=1, settled=20),
        granted(workspace, version=1, settled=30, grace=5),
        booked(of_user, user, 6, settled=14),
        booked(of_workspace, workspace, 35, settled=-5),
    ]
    await tell(bus, [event(each, source=Service.LEDGER) for each in told])
    await live(streams, bus, habits(streams))
    rebuild = await rebuilt(PROJECTION, streams.dsn, bus)
    assert rebuild.is_equal, rebuild.tables
    assert {each.table: each.live_rows for each in rebuild.tables}["hold"] == 2
    monkeypatch.setattr(recovery_module, "RECORDS_MAX", 1)
    assert await recover_dying(emptied, bus, habits(emptied).history) > 5
    await live(emptied, bus, habits(emptied))
    assert await known(emptied) == await known(streams)
    async with emptied.database.read() as connection:
        held = await connection.fetch("SELECT account_id, held FROM credit_account WHERE held > 0")
        still = await connection.fetch("SELECT subject_id FROM hold WHERE closed_at IS NULL")
    assert [tuple(row) for row in held] == [(user, 4)]
    assert [row["subject_id"] for row in still] == [unheard]
    said = await emptied.published()
    again = desk(emptied)
    assert await again.submit(asked(user, 6, "of the user")) == of_user
    assert await again.submit(asked(workspace, 35, "of the workspace")) == of_workspace
    for other in (asked(user, 5, "of the user"), asked(workspace, 6, "of the user")):
        with pytest.raises(IdempotencyKeyReused):
            await again.submit(other)
    assert await emptied.published() == said


async def test_a_deduction_that_stands_before_its_account_waits_for_it(
    emptied: Streams, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a topic that was made anew, new rows may stand before the kept ones."""
    user, workspace = uuid4(), uuid4()
    history = [
        requested(uuid4(), user, 3),
        requested(uuid4(), workspace, 4),
        requested(uuid4(), user, 5),
        registered(user),
        created(workspace),
    ]
    await tell(bus, [event(each, source=Service.GATEWAY) for each in history])
    monkeypatch.setattr(recovery_module, "RECORDS_MAX", 1)
    async with asyncio.timeout(60):
        await recovery(emptied, bus, habits(emptied).history).run()
    async with emptied.database.read() as connection:
        held = await connection.fetch("SELECT account_id, held FROM credit_account")
        assert await connection.fetchval("SELECT count(*) FROM waiting") == 0
    assert {row["account_id"]: row["held"] for row in held} == {user: 8, workspace: 4}


async def test_what_belongs_to_no_account_at_all_is_told(emptied: Streams, bus: KafkaBus) -> None:
    """Kafka has lost the beginning: nothing is guessed, the gateway waits for it."""
    lost = requested(uuid4(), uuid4(), 3)
    await tell(bus, [event(lost, source=Service.GATEWAY)])
    at_work = recovery(emptied, bus, habits(emptied).history)
    running = asyncio.create_task(at_work.run())
    async with asyncio.timeout(60):
        while not at_work.trouble:
            await asyncio.sleep(0.05)
    assert f"history:account:{lost.account_id} is missing on Kafka" in at_work.trouble
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
