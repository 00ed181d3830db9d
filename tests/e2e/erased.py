"""Looks for somebody's words in every column of every service."""

from tests.e2e.system import System

COLUMNS = """
    SELECT nspname AS schema, relname AS name, attname AS column,
           format_type(atttypid, NULL) AS type
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname IN ('gateway', 'generation', 'ledger', 'gallery', 'billing')
       AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
       AND format_type(atttypid, NULL) IN ('text', 'jsonb', 'bytea')
"""


async def words_left(system: System, word: str) -> list[str]:
    """The columns that hold a word still."""
    found = []
    async with system.database() as connection:
        for each in await connection.fetch(COLUMNS):
            column = f'"{each["column"]}"'
            text = f"encode({column}, 'escape')" if each["type"] == "bytea" else f"{column}::text"
            place = f"{each['schema']}.{each['name']}"
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT FROM {place} WHERE {text} LIKE '%' || $1 || '%')", word
            ):
                found.append(f"{place}.{each['column']}")
    return found
