"""Forgets persons: their words go out of what is read, and out of what a service keeps.

An erased account has a row for ever. Whatever is read about it from then on, live, again, or in a
recovery, comes without text. What the service's own log holds is blanked by background work, once
it has been published.
"""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import structlog
from asyncpg import Record

from libs.events.envelope import Event, encode
from libs.events.erasure import without_person, without_text
from libs.events.identity import AccountErased
from libs.events.payload import Payload
from libs.events.registry import REGISTRY, UndecodableEventError
from libs.runtime.clock import Clock
from libs.runtime.db import Connection, Database, Transaction
from libs.runtime.wakeups import Wakeups

ERASURE_CHANNEL = "erasure"
SAFETY_SECONDS = 60.0
AGAIN_SECONDS = 2.0  # while rows that have yet to be published hold text
ROWS_MAX = 10_000

ERASED_AMONG = "SELECT erased_among($1::uuid[], $2::uuid[])"
TO_BLANK = (
    "SELECT account_id FROM erased_account WHERE NOT is_blanked ORDER BY account_id LIMIT 100"
)
LAST_ROW = "SELECT last_value FROM outbox_order"
ROWS_OF = """
    SELECT order_number, event_id, encoded,
           EXISTS (SELECT FROM outbox_pending
                    WHERE outbox_pending.order_number = outbox.order_number) AS is_pending
      FROM outbox WHERE order_number > $2 AND order_number <= $3 AND key = ANY($1::bytea[])
"""
BLANK = """
    UPDATE outbox SET encoded = blank.encoded
      FROM unnest($1::bigint[], $2::bytea[]) AS blank (order_number, encoded)
     WHERE outbox.order_number = blank.order_number
"""
PARKED_OF = "SELECT parked_id AS id, encoded FROM parked WHERE key = ANY($1::bytea[])"
BLANK_PARKED = """
    UPDATE parked SET encoded = blank.encoded
      FROM unnest($1::uuid[], $2::bytea[]) AS blank (id, encoded) WHERE parked_id = blank.id
"""
WAITING = "SELECT event_id AS id, encoded FROM waiting"
BLANK_WAITING = """
    UPDATE waiting SET encoded = blank.encoded
      FROM unnest($1::uuid[], $2::bytea[]) AS blank (id, encoded) WHERE event_id = blank.id
"""
BLANKED = "UPDATE erased_account SET is_blanked = true WHERE account_id = ANY($1::uuid[])"

logger = structlog.get_logger(__name__)


async def erased(transaction: Transaction, events: Sequence[Event[Payload]]) -> frozenset[UUID]:
    """Which accounts of these events are erased, by one of them or before.

    Until the commit no other account of them can be erased: see `erased_among`. So what this
    transaction has once asked it need not ask again.
    """
    gone = {each.data.account_id for each in events if isinstance(each.data, AccountErased)}
    accounts = {account for each in events if (account := each.data.account) is not None}
    if gone or not accounts <= transaction.erased.keys():
        found = await transaction.connection.fetchval(ERASED_AMONG, list(accounts), list(gone))
        transaction.erased |= dict.fromkeys(accounts, False) | dict.fromkeys(found or (), True)
    if gone:
        transaction.wake(ERASURE_CHANNEL)
    return frozenset(each for each in accounts if transaction.erased[each])


async def erased_accounts(
    transaction: Transaction, account_ids: Collection[UUID]
) -> frozenset[UUID]:
    """Which of some accounts are erased; until the commit no other can be. As `is_erased`."""
    found = await transaction.connection.fetchval(ERASED_AMONG, list(account_ids), [])
    return frozenset(found or ())


async def is_erased(transaction: Transaction, account_id: UUID) -> bool:
    """Whether an account is erased; until the commit it cannot be. Take no other lock before."""
    return account_id in await erased_accounts(transaction, [account_id])


async def erase(transaction: Transaction, account_id: UUID) -> None:
    """Erase an account here; take no other lock before this."""
    await transaction.connection.execute(ERASED_AMONG, [], [account_id])
    transaction.wake(ERASURE_CHANNEL)


Forget = Callable[[Event[Payload]], Event[Payload]]
"""What is left of an event of whoever is erased."""


def forget(
    events: Sequence[Event[Payload]],
    erased_accounts: Collection[UUID],
    left: Forget = without_person,
) -> list[Event[Payload]]:
    """The events as they may be read: with what is left of them where their account is erased."""
    return [left(each) if each.data.account in erased_accounts else each for each in events]


def forget_encoded(encoded: bytes | None, erased_accounts: Collection[UUID]) -> bytes | None:
    """An encoded event without text if its account is erased; nothing is left of what is none."""
    try:
        event = REGISTRY.decode(encoded or b"")
    except UndecodableEventError:
        return None
    if event.data.account not in erased_accounts:
        return encoded
    blank = without_text(event)
    # What holds no words stays as it was published, byte for byte: its hash may have been signed.
    return encoded if blank.data == event.data else encode(blank)


class Blanking:
    """Clears a service's own log, parked and waiting messages of the words of erased persons."""

    def __init__(self, *, database: Database, wakeups: Wakeups, clock: Clock) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        with self._wakeups.listen(ERASURE_CHANNEL) as wakeup:
            while True:
                if await self.work():
                    await wakeup.wait(SAFETY_SECONDS)
                else:
                    await self._clock.sleep(AGAIN_SECONDS)

    async def work(self) -> bool:
        """Blank what can be; False if something has yet to be published before.

        All persons that are due are looked for in one go: nothing finds an account's rows, and an
        index for what happens so seldom would make every event dearer.
        """
        async with self._database.read() as connection:
            due = [row["account_id"] for row in await connection.fetch(TO_BLANK)]
            last: int = await connection.fetchval(LAST_ROW)
        if not due:
            return True
        keys = [str(account_id).encode() for account_id in due]
        pending = 0
        for start in range(-1, last, ROWS_MAX):
            async with self._database.transaction() as transaction:
                connection = transaction.connection
                rows = await connection.fetch(ROWS_OF, keys, start, start + ROWS_MAX, timeout=None)
                pending += sum(row["is_pending"] for row in rows)
                await _blank_rows(connection, [row for row in rows if not row["is_pending"]], due)
        if pending:
            return False
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            for find, blank, arguments in (
                (PARKED_OF, BLANK_PARKED, (keys,)),
                (WAITING, BLANK_WAITING, ()),
            ):
                found = await connection.fetch(find, *arguments)
                changed = [(row["id"], forget_encoded(row["encoded"], due)) for row in found]
                if changed:
                    await connection.execute(blank, *map(list, zip(*changed, strict=True)))
            await connection.execute(BLANKED, due)
        logger.info("persons_forgotten", accounts=len(due))
        return True


async def _blank_rows(connection: Connection, rows: Sequence[Record], due: Sequence[UUID]) -> None:
    blank = [(row["order_number"], forget_encoded(row["encoded"], due)) for row in rows]
    if blank:
        await connection.execute(BLANK, *map(list, zip(*blank, strict=True)))
