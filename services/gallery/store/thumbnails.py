"""Small copies of objects, and the work queue that makes them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from libs.runtime.db import Connection
from services.gallery.domain.thumbnails import TYPES, Thumbnail

# The columns stand in the order of the struct's fields.
ADD = """
    INSERT INTO thumbnail
        (asset_key, item_id, account_id, key, sha256, size_bytes, width, height, blur_hash, made_at)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[],
                         $7::integer[], $8::integer[], $9::text[], $10::timestamptz[])
    ON CONFLICT (asset_key) DO UPDATE
       SET item_id = excluded.item_id, account_id = excluded.account_id, key = excluded.key,
           sha256 = excluded.sha256, size_bytes = excluded.size_bytes, width = excluded.width,
           height = excluded.height, blur_hash = excluded.blur_hash, made_at = excluded.made_at
     WHERE thumbnail.made_at < excluded.made_at
"""
REMOVE_OF = "DELETE FROM thumbnail WHERE asset_key = ANY($1::text[]) RETURNING key"
REMOVE_OF_ACCOUNTS = "DELETE FROM thumbnail WHERE account_id = ANY($1::uuid[]) RETURNING key"
# One that was told again after its picture had been thrown away.
REMOVE_LATE = """
    DELETE FROM thumbnail USING item_fact
     WHERE item_fact.item_id = thumbnail.item_id AND is_deleted
       AND thumbnail.item_id = ANY($1::uuid[])
       AND NOT EXISTS (SELECT FROM asset WHERE asset.key = thumbnail.asset_key)
    RETURNING thumbnail.key
"""

WANT = """
    INSERT INTO thumbnail_work (asset_key, stored_at)
    SELECT key, stored_at FROM asset WHERE key = ANY($1::text[]) AND content_type = ANY($2::text[])
       AND NOT EXISTS (SELECT FROM thumbnail WHERE thumbnail.asset_key = asset.key)
    ON CONFLICT DO NOTHING
"""
# A picture without a thumbnail that nobody is about to make: a restored backup may hold some.
LIST_LACKING = """
    SELECT key, content_type = ANY($3::text[])
                AND NOT EXISTS (SELECT FROM thumbnail WHERE asset_key = asset.key)
                AND NOT EXISTS (SELECT FROM thumbnail_work WHERE asset_key = asset.key)
                AS is_lacking
      FROM asset WHERE key > $1 ORDER BY key LIMIT $2
"""
# The object of the attempt before is deleted: whoever made it, or is about to, may not finish.
CLAIM = """
    WITH next AS (
        SELECT asset_key, attempts + 1 AS attempts, object_key AS abandoned_key FROM thumbnail_work
         WHERE next_at <= $2
         ORDER BY next_at, stored_at, asset_key LIMIT 1 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE thumbnail_work SET attempts = next.attempts, object_key = $1, next_at = $3
          FROM next WHERE thumbnail_work.asset_key = next.asset_key
    ), doomed AS (
        INSERT INTO doomed_object (key)
        SELECT abandoned_key FROM next WHERE abandoned_key IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT asset_key, attempts, $1 AS object_key, abandoned_key FROM next
"""
POSTPONE = """
    UPDATE thumbnail_work SET next_at = $3, attempts = $4 WHERE asset_key = $1 AND object_key = $2
"""
GIVE_UP = """
    UPDATE thumbnail_work SET next_at = NULL, reason = $3 WHERE asset_key = $1 AND object_key = $2
"""
FINISH = """
    DELETE FROM thumbnail_work
     WHERE (asset_key, object_key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    RETURNING asset_key
"""
FORGET = "DELETE FROM thumbnail_work WHERE asset_key = $1"
FORGET_UNSHOWN = """
    DELETE FROM thumbnail_work
     WHERE next_at IS NULL AND asset_key > $1 AND asset_key <= $2
       AND NOT EXISTS (SELECT FROM asset WHERE asset.key = asset_key)
"""
FIND_SHOWERS = """
    SELECT DISTINCT ON (asset_key) asset_key, id AS item_id, account_id FROM item
     WHERE asset_key = ANY($1::text[]) ORDER BY asset_key, created_at, id
"""
MEASURE = """
    SELECT (SELECT count(*) FROM (SELECT FROM thumbnail_work WHERE next_at IS NOT NULL LIMIT $2)
                AS row_) AS waiting,
           (SELECT stored_at FROM thumbnail_work WHERE next_at <= $1
             ORDER BY next_at, stored_at, asset_key LIMIT 1) AS next_since
"""

THUMBNAILS_CHANNEL = "thumbnails"
"""Wake-ups: there are thumbnails to be made."""


class Shower(Struct, frozen=True, kw_only=True, gc=False):
    """The first picture that shows an object, and whose it is."""

    item_id: UUID
    account_id: UUID


class ThumbnailWork(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be done, and how old the next picture is that is due."""

    waiting: int
    next_since: datetime | None


class Claim(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt: who holds its object's key may finish it."""

    asset_key: str
    attempts: int
    object_key: str
    abandoned_key: str | None  # of an attempt whose process has died, or stands still


async def add_thumbnails(connection: Connection, thumbnails: Sequence[Thumbnail]) -> None:
    """Note thumbnails that were told; the newest of an object holds."""
    if thumbnails:
        await connection.execute(ADD, *zip(*map(astuple, thumbnails), strict=True))


async def remove_thumbnails_of(connection: Connection, asset_keys: Sequence[str]) -> list[str]:
    """Forget the thumbnails of objects that are gone; answers their own keys."""
    return [row["key"] for row in await connection.fetch(REMOVE_OF, asset_keys)]


async def remove_thumbnails_of_accounts(
    connection: Connection, account_ids: Sequence[UUID]
) -> list[str]:
    """Forget the thumbnails that were made for some accounts; answers their own keys."""
    return [row["key"] for row in await connection.fetch(REMOVE_OF_ACCOUNTS, account_ids)]


async def remove_late_thumbnails(connection: Connection, item_ids: Sequence[UUID]) -> list[str]:
    """Forget thumbnails that came after their picture was thrown away; answers their own keys."""
    return [row["key"] for row in await connection.fetch(REMOVE_LATE, item_ids)]


async def want_thumbnails(connection: Connection, asset_keys: Sequence[str]) -> None:
    """Queue objects of which a thumbnail can be made."""
    await connection.execute(WANT, asset_keys, list(TYPES))


async def want_lacking_thumbnails(
    connection: Connection, after: str, limit: int
) -> tuple[str | None, int]:
    """Queue objects that nobody has queued; answers the last that was looked at, and how many."""
    rows = await connection.fetch(LIST_LACKING, after, limit, list(TYPES))
    lacking = [row["key"] for row in rows if row["is_lacking"]]
    if lacking:
        await want_thumbnails(connection, lacking)
    last = rows[-1]["key"] if rows else None
    await connection.execute(FORGET_UNSHOWN, after, last or "\U0010ffff")
    return last, len(lacking)


async def measure_thumbnail_work(
    connection: Connection, now: datetime, limit: int
) -> ThumbnailWork:
    """How much is to be done, counted up to a limit."""
    row = await connection.fetchrow(MEASURE, now, limit)
    assert row is not None  # noqa: S101  # there is always one
    return ThumbnailWork(**row)


async def claim_thumbnail(
    connection: Connection, object_key: str, now: datetime, until: datetime
) -> Claim | None:
    """Take the next object that is due, until then."""
    row = await connection.fetchrow(CLAIM, object_key, now, until)
    return None if row is None else Claim(**row)


async def postpone_thumbnail(
    connection: Connection, claim: Claim, until: datetime, *, attempts: int
) -> None:
    """Try it again later; `attempts` is how many count from now on."""
    await connection.execute(POSTPONE, claim.asset_key, claim.object_key, until, attempts)


async def give_up_thumbnail(connection: Connection, claim: Claim, reason: str) -> None:
    """There will be none."""
    await connection.execute(GIVE_UP, claim.asset_key, claim.object_key, reason)


async def finish_thumbnails(connection: Connection, claims: Sequence[Claim]) -> set[str]:
    """Take work out of the queue; answers of which objects: others have been taken over."""
    keys = [(claim.asset_key, claim.object_key) for claim in claims]
    rows = await connection.fetch(FINISH, *map(list, zip(*keys, strict=True))) if keys else []
    return {row["asset_key"] for row in rows}


async def forget_thumbnail_work(connection: Connection, asset_key: str) -> None:
    """There is nothing to be done for this object any more."""
    await connection.execute(FORGET, asset_key)


async def find_showers(connection: Connection, asset_keys: Sequence[str]) -> dict[str, Shower]:
    """The first picture that shows each of some objects, if any does."""
    rows = await connection.fetch(FIND_SHOWERS, asset_keys)
    return {
        row["asset_key"]: Shower(item_id=row["item_id"], account_id=row["account_id"])
        for row in rows
    }
