"""How often Postgres plans our statements."""

from uuid import uuid4

from libs.runtime.db import PLANNED_BY_VALUE, Database
from libs.runtime.testing import Streams


async def test_a_statement_over_arrays_is_planned_once_and_not_for_every_few_rows(
    streams: Streams,
) -> None:
    assert await plans_of(streams.database) == 0
    apart = Database(
        streams.dsn,
        schema=streams.service.value,
        pool_size=2,
        emitter=streams.emitter,
        wakeups=streams.wakeups,
        plans=PLANNED_BY_VALUE,
    )
    await apart.open()
    try:
        assert await plans_of(apart) > 0
    finally:
        await apart.close()


async def plans_of(database: Database) -> int:
    """How often Postgres has planned a statement for its values, of ten times that it was run."""
    statement = "SELECT * FROM inbox JOIN unnest($1::uuid[]) AS wanted ON wanted = event_id"
    async with database.read() as connection:
        for _ in range(10):
            await connection.fetch(statement, [uuid4()])
        return int(
            await connection.fetchval(
                "SELECT custom_plans FROM pg_prepared_statements WHERE statement = $1", statement
            )
        )
