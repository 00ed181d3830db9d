"""The tables follow from the ledger's own events: folding those again gives the same rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from infra.local.cluster import LocalCluster
from libs.events.bus import KafkaBus
from libs.events.credits import CreditsCaptured, CreditsEvent, CreditsExpired
from libs.events.envelope import Event, encode
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.events.testing import NOW
from libs.events.testing import event as event_of
from libs.events.transport import OutgoingMessage
from libs.runtime.db import Connection
from libs.runtime.rebuild.engine import Outcome
from libs.runtime.rebuild.projection import RebuildError
from libs.runtime.testing import rebuilt
from services.ledger import projections
from services.ledger.app import MIGRATIONS
from services.ledger.domain.account import Account, evolve
from services.ledger.domain.commands import (
    ForfeitSubscription,
    KeyedCommand,
    ReverseTransaction,
    SetGrace,
)
from services.ledger.domain.fold import Input
from services.ledger.domain.ids import reversal_id
from services.ledger.handlers.booking import carry_out
from services.ledger.handlers.expiry import Expiry
from services.ledger.rebuild import PROJECTION
from services.ledger.store.history import find_account, find_account_as_of
from services.ledger.store.orders import find_posted
from services.ledger.tests.builders import (
    ADMIN,
    completed,
    facts,
    failed,
    paid,
    registered,
    renewed,
    requested,
)
from services.ledger.tests.integration.audit import audit
from services.ledger.tests.integration.conftest import Ledger, RunningLedger, SetClock
from services.ledger.tests.integration.test_booking import history
from services.ledger.tests.integration.test_service import eventually, person

HOUR = timedelta(hours=1)
FAR = datetime(2999, 1, 1, tzinfo=UTC)
TABLES = ("account", "lot", "reservation", "transaction", "remark", "entry")


async def dump(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table, as text. A row that is only there to be locked says nothing."""
    rows = {
        table: await connection.fetch(f"SELECT row::text AS line FROM {table} AS row ORDER BY 1")
        for table in TABLES
    }
    lock_rows = await connection.fetch(
        "SELECT row::text AS line FROM account AS row WHERE version = 0"
    )
    return {
        table: [each["line"] for each in found if each not in lock_rows]
        for table, found in rows.items()
    }


async def forget_books(connection: Connection) -> None:
    """Make the tables anew."""
    await connection.execute(f"DROP TABLE {', '.join(reversed(TABLES))}")
    await connection.execute("DROP FUNCTION check_entries, check_transactions, refuse_change")
    await connection.execute((MIGRATIONS / "0001_create_books.sql").read_text())


def lots_over_time(random: Random, accounts: list[UUID]) -> list[Payload]:
    """Lots that end by the hour, renewals, and jobs that are admitted and answered by the hour."""
    found: list[Payload] = []
    for number in range(60):
        account, hour = random.choice(accounts), NOW + HOUR * random.randrange(9)
        request = facts(account, UUID(int=10_000 + number), units=4, requested_at=hour)
        found += [
            paid(account, 5, f"ending_{number}", expires_at=hour),
            renewed(account, 6, until=hour, payment_id=f"in_{number}"),
            requested(request),
        ]
        answers = (completed(request, random.randrange(5)), failed(request))
        found.insert(random.randrange(len(found)), random.choice(answers))
    return found


async def order(ledger: Ledger, accounts: list[UUID]) -> None:
    """What a person would."""
    for number, account_id in enumerate(accounts):
        told = [each for each in await ledger.told() if each.account_id == account_id]
        captured = next(each for each in told if isinstance(each, CreditsCaptured))
        expired = next((each for each in told if isinstance(each, CreditsExpired)), None)
        wrong = [each.transaction_id for each in (captured, expired) if each is not None]
        commands: list[KeyedCommand] = [
            SetGrace(
                transaction_id=UUID(int=20_000 + number),
                account_id=account_id,
                grace=9,
                actor=ADMIN,
                reason="x",
            ),
            ForfeitSubscription(
                transaction_id=UUID(int=30_000 + number), account_id=account_id, at=NOW
            ),
            *(
                ReverseTransaction(
                    transaction_id=reversal_id(each),
                    account_id=account_id,
                    reverses=each,
                    at=NOW,
                    actor=ADMIN,
                    reason="x",
                )
                for each in wrong
            ),
        ]
        async with ledger.streams.database.transaction() as transaction:
            found = [await find_posted(transaction.connection, account_id, each) for each in wrong]
            posted = {each.transaction_id: each for each in found if each is not None}
            inputs = [Input(None, each) for each in commands]
            await carry_out(transaction, inputs, posted)


async def test_a_balance_as_of_any_version_or_time_is_the_fold_until_then(ledger: Ledger) -> None:
    random = Random(5)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(2)]
    messages = [*history(random, accounts), *lots_over_time(random, accounts)]
    for start in range(0, len(messages), 9):
        await ledger.book(*messages[start : start + 9])
    events = projections.credits_events(await ledger.published())
    async with ledger.streams.database.read() as connection:
        for account_id in accounts:
            account = await fold_beside_the_past(connection, events, account_id)
            now = await find_account(connection, account_id)
            last = await find_account_as_of(connection, account_id, at=FAR, version=None)
            assert shown(now) == shown(last) == shown(account)
            none = await find_account_as_of(connection, account_id, at=NOW, version=None)
            assert none is None
            told = [each for each in events if each.data.account_id == account_id]
            for each in told[::7]:
                until = [one.data.account_version for one in told if one.time <= each.time]
                at = await find_account_as_of(connection, account_id, at=each.time, version=None)
                assert at is not None
                assert at.version == max(until)


async def fold_beside_the_past(
    connection: Connection, events: Sequence[Event[CreditsEvent]], account_id: UUID
) -> Account:
    """The account that its events lead to; as of every version, the tables say the same."""
    account = Account(account_id=account_id)
    for each in events:
        if each.data.account_id == account_id:
            account = evolve(account, each.data)
            stood = await find_account_as_of(
                connection, account_id, at=None, version=account.version
            )
            assert shown(stood) == shown(account)
    return account


def shown(account: Account | None) -> object:
    """What of an account its postings tell."""
    assert account is not None
    lots = {lot.lot_id: (lot.wallet, lot.remaining) for lot in account.lots if lot.remaining}
    return account.version, account.settled, account.reserved, account.overdraft, lots


async def test_following_the_ledgers_own_events_gives_the_same_rows(ledger: Ledger) -> None:
    random = Random(3)
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(4)]
    messages = history(random, accounts)
    messages += lots_over_time(random, accounts)
    for start in range(0, len(messages), 23):
        await ledger.book(*messages[start : start + 23])
        if start % 2:
            await Expiry(ledger.streams.database, SetClock(NOW + HOUR * random.randrange(9))).work()
    await order(ledger, accounts)
    told = await ledger.published()
    async with ledger.streams.database.read() as connection:
        live = await dump(connection)
        await forget_books(connection)
        for start in range(0, len(told), 19):
            # Overlapping, as after a crash: what is booked stays as it is.
            await projections.follow(connection, told[max(0, start - 7) : start + 19])
        await audit(connection)
        assert await dump(connection) == live
    assert len(live["transaction"]) == len(projections.credits_events(told))


async def test_what_a_lot_gives_after_its_end_can_be_followed_event_by_event(
    ledger: Ledger,
) -> None:
    """A batch may end between the event that takes credits back and the one that uses them."""
    account_id, end = uuid4(), NOW + HOUR
    await ledger.book(
        registered(account_id, signup_credits=0),
        paid(account_id, 5, expires_at=end),
        paid(account_id, 4, "pi_2", expires_at=end),
    )
    await Expiry(ledger.streams.database, SetClock(end)).work()
    request = facts(account_id, uuid4(), units=7, requested_at=NOW)
    await ledger.book(requested(request), failed(request))
    told = await ledger.published()
    assert EventType.CREDITS_RECLAIMED in {each.data.event_type for each in told}
    async with ledger.streams.database.read() as connection:
        live = await dump(connection)
        await forget_books(connection)
        for each in told:
            await projections.follow(connection, [each])
        await audit(connection)
        assert await dump(connection) == live


async def test_what_was_decided_and_not_yet_published_is_waited_for(
    ledger: Ledger, cluster: LocalCluster, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = KafkaBus(cluster.kafka_bootstrap, client_id="ledger", prefix=topic_prefix)
    relay = ledger.streams.relay(bus)
    await ledger.book(registered(uuid4(), signup_credits=10))
    with monkeypatch.context() as patch:
        patch.setattr("libs.runtime.rebuild.instant.DRAIN_SECONDS", 0.1)
        patch.setattr("libs.runtime.rebuild.instant.LOCK_TRIES", 2)
        with pytest.raises(RebuildError, match="1 events of ledger wait to be published"):
            await rebuilt(PROJECTION, ledger.streams.dsn, bus)
    rebuilding = asyncio.create_task(rebuilt(PROJECTION, ledger.streams.dsn, bus))
    done, _ = await asyncio.wait({rebuilding}, timeout=1.5)
    assert not done
    await relay.hold_shares()
    assert await relay.publish_pending() == 1
    outcome = await rebuilding
    await bus.close()
    assert outcome.is_equal, outcome.tables
    assert [each.live_rows for each in outcome.tables] == [1, 1, 0, 1, 1, 2]


async def rebuild(ledger: RunningLedger, **options: Any) -> Outcome:
    return await rebuilt(PROJECTION, ledger.books.streams.dsn, ledger.bus, **options)


async def tell(ledger: RunningLedger, messages: list[Payload]) -> None:
    """Each on its topic, by account, as the gateway and generation do."""
    await ledger.bus.publish(
        [
            OutgoingMessage(
                each.topic,
                str(each.account).encode(),
                encode(event_of(each)),
            )
            for each in messages
        ]
    )


async def booked(ledger: RunningLedger, accounts: list[UUID]) -> None:
    """Wait until the accounts are open and nothing waits or is left to be published."""

    async def is_quiet() -> bool:
        async with ledger.books.streams.database.read() as connection:
            opened = await connection.fetchval(
                "SELECT count(*) FROM account WHERE version > 0 AND id = ANY($1::uuid[])", accounts
            )
            left = await connection.fetchval(
                "SELECT (SELECT count(*) FROM outbox_pending) + (SELECT count(*) FROM waiting)"
            )
        return bool(opened == len(accounts) and left == 0)

    await eventually(is_quiet)


def story(random: Random, count: int = 5) -> tuple[list[UUID], list[Payload]]:
    accounts = [UUID(int=random.getrandbits(128)) for _ in range(count)]
    return accounts, history(random, accounts)


@asynccontextmanager
async def under_load(ledger: RunningLedger, random: Random) -> AsyncIterator[list[UUID]]:
    """Accounts that open and are used all the time."""
    opened: list[UUID] = []
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            accounts, messages = story(random, 2)
            await tell(ledger, messages)
            opened.extend(accounts)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    try:
        yield opened
    finally:
        stop.set()
        await task


@asynccontextmanager
async def balance_read_all_the_time(
    ledger: RunningLedger, account_id: UUID
) -> AsyncIterator[list[int]]:
    statuses: list[int] = []
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            for path in ("/api/credits/balance", "/api/credits/transactions"):
                answer = await ledger.get(path, person(account_id))
                statuses.append(answer.status_code)

    task = asyncio.create_task(read())
    try:
        yield statuses
    finally:
        stop.set()
        await task


async def test_books_are_rebuilt_and_swapped_under_load(running: RunningLedger) -> None:
    random = Random(5)
    accounts, messages = story(random)
    await tell(running, messages)
    await booked(running, accounts)
    async with (
        under_load(running, random) as opened,
        balance_read_all_the_time(running, accounts[0]) as statuses,
    ):
        first = await rebuild(running)
        second = await rebuild(running, swap=True)
    assert first.is_equal, first.tables
    assert second.is_swapped, second.tables
    assert set(statuses) == {200}
    await booked(running, [*accounts, *opened])
    last = await rebuild(running)
    assert last.is_equal, last.tables
    assert {each.table for each in last.tables} == set(TABLES)
    assert all(each.live_rows > 0 for each in last.tables)
    async with running.books.streams.database.read() as connection:
        await audit(connection)
        assert await connection.fetchval("SELECT count(*) FROM parked") == 0


async def test_the_databases_own_checks_are_at_work_after_a_swap(running: RunningLedger) -> None:
    accounts, messages = story(Random(6))
    await tell(running, messages)
    await booked(running, accounts)
    assert (await rebuild(running, swap=True)).is_swapped
    async with running.books.streams.database.read() as connection:
        functions = await connection.fetch(
            "SELECT DISTINCT tgfoid::regproc::text AS name, tgrelid::regclass::text AS owner"
            " FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE NOT tgisinternal AND relnamespace = 'ledger'::regnamespace"
        )
        assert {row["name"] for row in functions} == {
            "check_entries",
            "check_transactions",
            "refuse_change",
        }
        assert (
            await connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'ledger_shadow'::regnamespace"
            )
            == []
        )
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                "INSERT INTO entry (account_id, account_version, line, book, credits)"
                " VALUES ($1, 1, 0, 'revenue', 5), ($1, 1, 1, 'world', -4)",
                uuid4(),
            )
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("UPDATE entry SET credits = credits + 1")


async def test_copies_of_its_own_events_in_the_log_change_nothing(running: RunningLedger) -> None:
    random = Random(8)
    accounts, messages = story(random)
    await tell(running, [*messages, *lots_over_time(random, accounts)])
    await booked(running, accounts)
    await order(running.books, accounts)
    await booked(running, accounts)
    told = await running.books.published()
    again = [*told[::3], *(event_of(each.data, event_id=uuid4()) for each in told[::2])]
    await running.bus.publish(
        [OutgoingMessage(Topic.CREDITS, each.key.encode(), encode(each)) for each in again]
    )
    outcome = await rebuild(running)
    assert outcome.is_equal, outcome.tables
    assert outcome.messages == len(told) + len(again)


async def test_a_lot_put_right_by_hand_is_found_and_healed(running: RunningLedger) -> None:
    account_id = uuid4()
    await tell(running, [registered(account_id, signup_credits=10)])
    await booked(running, [account_id])
    async with running.books.streams.database.read() as connection:
        await connection.execute("UPDATE lot SET remaining = 3 WHERE account_id = $1", account_id)
    refused = await rebuild(running, swap=True)
    assert not refused.is_swapped
    assert [(each.table, each.changed) for each in refused.tables if not each.is_equal] == [
        ("lot", 1)
    ]
    assert (await rebuild(running, swap=True, accept_differences=True)).is_swapped
    assert (await rebuild(running)).is_equal
    answer = await running.get("/api/credits/balance", person(account_id))
    assert answer.json()["settled"] == 10
