"""Pictures as completed jobs bring them: confirmations, objects, items."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from libs.runtime.bulk import COPY_ROWS_MIN, copy_new
from libs.runtime.db import Connection
from services.gallery.domain.pictures import Asset, Confirmation, Item, ShownAsset

# The columns of each insert stand in the order of the struct's fields.

CONFIRM_JOBS = """
    INSERT INTO confirmation
        (job_id, account_id, user_id, items, event_id, correlation_id, confirmed_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::uuid[], $6::uuid[],
                         $7::timestamptz[])
    ON CONFLICT (job_id) DO NOTHING
    RETURNING job_id
"""

# Two items may show one object; its key stands for its content, so any description is right. The
# earliest time is the object's, whichever account is read first: a rebuild reads in other orders.
ADD_ASSETS = """
    INSERT INTO asset (key, sha256, content_type, size_bytes, width, height, stored_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[],
                         $6::integer[], $7::timestamptz[])
    ON CONFLICT (key) DO UPDATE SET stored_at = excluded.stored_at
     WHERE excluded.stored_at < asset.stored_at
"""

ADD_ITEMS = """
    INSERT INTO item
        (id, user_id, account_id, workspace_id, job_id, picture_index, asset_key, file_name,
         operation, provider, model, prompt, created_at, updated_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::integer[],
                         $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                         $13::timestamptz[], $14::timestamptz[])
    ON CONFLICT (id) DO NOTHING
"""

# A picture of oneself is there to be shown; of all others their owners say whether they are.
FIND_SHOWN_ASSET = """
    WITH object AS (
        SELECT key, sha256, content_type, size_bytes, width, height, stored_at, key AS asset_key
          FROM asset WHERE key = $1
        UNION ALL
        SELECT key, sha256, 'image/webp', size_bytes, width, height, made_at, asset_key
          FROM thumbnail WHERE key = $1
    )
    SELECT key, sha256, content_type, size_bytes, width, height, stored_at, is_public, is_own
      FROM object, LATERAL (
          SELECT bool_or(is_public OR operation = 'profile') AS is_public,
                 coalesce(bool_or(user_id = $2), false) AS is_own
            FROM item WHERE item.asset_key = object.asset_key) AS shower
     WHERE is_public IS NOT NULL
"""


async def confirm_jobs(
    connection: Connection, confirmations: Sequence[Confirmation]
) -> frozenset[UUID]:
    """Write one confirmation per job; returns the jobs that had one already."""
    if not confirmations or await _copied(connection, "confirmation", confirmations):
        return frozenset()
    rows = await connection.fetch(CONFIRM_JOBS, *_columns(confirmations))
    return frozenset(each.job_id for each in confirmations) - {row["job_id"] for row in rows}


async def add_assets(connection: Connection, assets: Sequence[Asset]) -> None:
    if assets and not await _copied(connection, "asset", assets):
        await connection.execute(ADD_ASSETS, *_columns(assets))


async def add_items(connection: Connection, items: Sequence[Item]) -> None:
    if items and not await _copied(connection, "item", items):
        await connection.execute(ADD_ITEMS, *_columns(items))


async def _copied(connection: Connection, table: str, rows: Sequence[Struct]) -> bool:
    if len(rows) < COPY_ROWS_MIN:
        return False
    return await copy_new(connection, table, rows[0].__struct_fields__, map(astuple, rows))


def _columns(rows: Sequence[Struct]) -> Iterator[tuple[object, ...]]:
    return zip(*map(astuple, rows), strict=True)


async def find_shown_asset(
    connection: Connection, key: str, viewer_id: UUID | None = None
) -> ShownAsset | None:
    """The object of this key, if a picture shows it or is shown small by it."""
    row = await connection.fetchrow(FIND_SHOWN_ASSET, key, viewer_id)
    if row is None:
        return None
    *described, is_public, is_own = row.values()
    asset = Asset(**dict(zip(Asset.__struct_fields__, described, strict=True)))
    return ShownAsset(asset=asset, is_public=is_public, is_own=is_own)
