"""Who is erased, as one transaction knows it."""

from contextlib import suppress
from uuid import UUID, uuid4

from libs.events.envelope import Event
from libs.events.identity import AccountErased, UserRegistered
from libs.events.payload import Payload
from libs.events.testing import event as event_of
from libs.runtime import erasure
from libs.runtime.db import Connection
from libs.runtime.errors import Conflict
from libs.runtime.testing import Streams


async def test_what_a_transaction_knows_of_the_erased_it_does_not_ask_again(
    streams: Streams,
) -> None:
    erased, kept = uuid4(), uuid4()
    async with streams.database.transaction() as transaction:
        await erasure.erase(transaction, erased)
    events = [registration(each) for each in (erased, kept)]
    async with streams.database.transaction() as transaction:
        connection = transaction.connection
        assert await erasure.erased(transaction, events) == {erased}
        before = await locks(connection)
        transaction.connection = None  # type: ignore[assignment]  # whoever asks again, fails
        assert await erasure.erased(transaction, events[:1]) == {erased}
        assert await erasure.erased(transaction, events[1:]) == frozenset()
        transaction.connection = connection
        assert (before, await locks(connection)) == (2, 2)


async def test_what_a_rolled_back_part_has_learnt_is_asked_for_again(streams: Streams) -> None:
    account_id = uuid4()
    gone = event_of(AccountErased(account_id=account_id, user_id=account_id, actor=account_id))
    async with streams.database.transaction() as transaction:
        with suppress(Conflict):
            async with transaction.savepoint():
                assert await erasure.erased(transaction, [gone]) == {account_id}
                raise Conflict("this part fails")
        assert await erasure.erased(transaction, [registration(account_id)]) == frozenset()
        assert await locks(transaction.connection) == 1


def registration(account_id: UUID) -> Event[Payload]:
    return event_of(
        UserRegistered(
            user_id=account_id, account_id=account_id, role="USER", signup_credits=1, grace=0
        )
    )


async def locks(connection: Connection) -> int:
    """How many accounts this session keeps from being erased."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
    )
