"""Statements about how pictures stood in the past."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.gallery.domain.facts import ItemFact, Like
from services.gallery.domain.listing import Filters, ListedItem
from services.gallery.store.listing import wanted_by

NOTE_VERSIONS = """
    INSERT INTO item_version
        (item_id, version, account_id, is_public, title, model, is_deleted, changed_at)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::boolean[], $5::text[],
                         $6::text[], $7::boolean[], $8::timestamptz[])
    ON CONFLICT (item_id, version) DO NOTHING
"""
NOTE_LIKES = """
    INSERT INTO item_like_version (item_id, user_id, version, is_liked, liked_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::boolean[], $5::timestamptz[])
    ON CONFLICT (item_id, user_id, version) DO NOTHING
"""
# Before the first fact is applied a picture is what it was when it came, known first or last.
KEEP_ORIGINS = """
    INSERT INTO item_origin
        (id, user_id, account_id, job_id, asset_key, file_name, operation, model, prompt, title,
         is_public, created_at, updated_at, content_type, size_bytes, width, height)
    SELECT item.id, item.user_id, item.account_id, item.job_id, asset_key, file_name, operation,
           item.model, prompt, item.title, item.is_public, created_at, updated_at, content_type,
           size_bytes, width, height
      FROM item JOIN asset ON asset.key = asset_key JOIN item_fact ON item_fact.item_id = item.id
     WHERE item.id = ANY($1::uuid[])
    ON CONFLICT (id) DO NOTHING
"""
FORGET_ORIGINS = """
    DELETE FROM item_origin WHERE account_id = ANY($1::uuid[]) OR user_id = ANY($1::uuid[])
"""
BLANK_VERSIONS = """
    UPDATE item_version SET title = '', model = '' WHERE account_id = ANY($1::uuid[])
"""
TAKE_BACK_LIKES = """
    UPDATE item_like_version SET is_liked = false WHERE user_id = ANY($1::uuid[])
"""
LIST_PAST = """
    WITH past AS (
        SELECT item.id, user_id, job_id, asset_key, file_name, operation, model, prompt, title,
               is_public, created_at, updated_at, content_type, size_bytes, width, height
          FROM item JOIN asset ON asset.key = asset_key
         WHERE user_id = $1 AND NOT EXISTS (SELECT FROM item_origin WHERE id = item.id)
        UNION ALL
        SELECT origin.id, user_id, job_id, asset_key, file_name, operation,
               coalesce(said.model, origin.model), prompt, coalesce(said.title, origin.title),
               coalesce(said.is_public, origin.is_public), created_at,
               coalesce(said.changed_at, updated_at), content_type, size_bytes, width, height
          FROM item_origin AS origin LEFT JOIN LATERAL (
               SELECT title, model, is_public, is_deleted, changed_at FROM item_version
                WHERE item_id = origin.id AND changed_at <= $2
                ORDER BY version DESC LIMIT 1) AS said ON true
         WHERE user_id = $1 AND said.is_deleted IS NOT TRUE
    )
    SELECT past.*, thumbnail.key AS thumbnail_key, blur_hash, like_count, is_liked
      FROM past LEFT JOIN thumbnail ON thumbnail.asset_key = past.asset_key CROSS JOIN LATERAL (
           SELECT (count(*) FILTER (WHERE newest.is_liked))::integer AS like_count,
                  coalesce(bool_or(newest.is_liked) FILTER (WHERE newest.user_id = $1), false)
                      AS is_liked
             FROM (SELECT DISTINCT ON (user_id) user_id, is_liked FROM item_like_version
                    WHERE item_id = past.id AND liked_at <= $2
                    ORDER BY user_id, version DESC) AS newest) AS likes
     WHERE (created_at, id) < ($3, $4) AND operation <> 'profile'
       AND ($6::text IS NULL OR starts_with(content_type, $6))
       AND ($7::text IS NULL OR model = $7)
       AND ($8::boolean IS NULL OR is_public = $8)
       AND ($9::boolean IS NULL OR is_liked = $9)
       AND ($10::uuid IS NULL OR job_id = $10)
     ORDER BY created_at DESC, id DESC LIMIT $5
"""


async def note(
    connection: Connection, facts: Sequence[ItemFact], likes: Sequence[tuple[Like, datetime]]
) -> None:
    """Keep all that was said; what is kept already stays."""
    if facts:
        rows = [
            (
                fact.item_id,
                fact.version,
                fact.account_id,
                fact.is_public,
                fact.title,
                fact.model,
                fact.is_deleted,
                fact.changed_at,
            )
            for fact in facts
        ]
        await connection.execute(NOTE_VERSIONS, *zip(*rows, strict=True))
    if likes:
        said = [(like.item_id, like.user_id, like.version, like.is_liked, at) for like, at in likes]
        await connection.execute(NOTE_LIKES, *zip(*said, strict=True))


async def keep_origins(connection: Connection, item_ids: Sequence[UUID]) -> None:
    """Keep pictures as they are, before what is said of them is applied for the first time."""
    await connection.execute(KEEP_ORIGINS, item_ids)


async def forget(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Leave nothing of persons' pictures, words and tastes in the past either."""
    for statement in (FORGET_ORIGINS, BLANK_VERSIONS, TAKE_BACK_LIKES):
        await connection.execute(statement, account_ids)


async def list_items(
    connection: Connection,
    user_id: UUID,
    moment: datetime,
    after: Position,
    limit: int,
    wanted: Filters,
) -> list[ListedItem]:
    """A user's pictures as they stood then, newest first; also those that were deleted since."""
    rows = await connection.fetch(
        LIST_PAST,
        user_id,
        moment,
        after.at,
        after.id,
        limit,
        *wanted_by(wanted),
    )
    return [ListedItem(**row) for row in rows]
