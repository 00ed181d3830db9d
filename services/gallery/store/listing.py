"""Pages of pictures: one person's own, everybody's public ones, and who makes the best liked."""

from uuid import UUID

from libs.runtime.db import Connection
from libs.runtime.paging import Position
from services.gallery.domain.listing import Creator, Filters, ListedItem

# ruff: noqa: S608  -- the pieces are our own

COLUMNS = """
    item.id, item.user_id, item.job_id, item.asset_key, item.file_name, item.operation, item.model,
    item.prompt, item.title, item.is_public, item.like_count, item.created_at, item.updated_at,
    asset.content_type, asset.size_bytes, asset.width, asset.height,
    thumbnail.key AS thumbnail_key, thumbnail.blur_hash,
    EXISTS (SELECT FROM item_like
             WHERE item_like.item_id = item.id AND item_like.user_id = {viewer} AND is_liked
           ) AS is_liked
"""
TABLES = """item JOIN asset ON asset.key = item.asset_key
           LEFT JOIN thumbnail ON thumbnail.asset_key = item.asset_key"""
NEWEST_FIRST = "ORDER BY item.created_at DESC, item.id DESC LIMIT $4"

# The offset keeps the order: of a person's pictures the newest first, and of each its object. By
# what it guesses of filters the planner would begin with all objects there are, and sort.
LIST_OWN = f"""
    SELECT {COLUMNS.format(viewer="$1")}
      FROM item CROSS JOIN LATERAL (
               SELECT * FROM asset WHERE asset.key = item.asset_key OFFSET 0) AS asset
           LEFT JOIN thumbnail ON thumbnail.asset_key = item.asset_key
     WHERE item.user_id = $1 AND (item.created_at, item.id) < ($2, $3)
       AND item.operation <> 'profile'
       {{filters}}
     {NEWEST_FIRST}
"""
# In the order of `wanted_by`. What is not asked for does not stand in the statement: of "is null or
# equal" the planner thinks that it leaves next to nothing, and reads all that somebody has.
FILTERS = (
    "AND starts_with(asset.content_type, {}::text)",
    "AND item.model = {}::text",
    "AND item.is_public = {}::boolean",
    """AND {}::boolean = EXISTS (
            SELECT FROM item_like
             WHERE item_like.item_id = item.id AND item_like.user_id = $1 AND is_liked)""",
    "AND item.job_id = {}::uuid",
)
LIST_PUBLIC = f"""
    SELECT {COLUMNS.format(viewer="$1")}
      FROM {TABLES}
     WHERE item.is_public AND (item.created_at, item.id) < ($2, $3)
     {NEWEST_FIRST}
"""
LIST_PUBLIC_OF = f"""
    SELECT {COLUMNS.format(viewer="$1")}
      FROM {TABLES}
     WHERE item.is_public AND item.user_id = $5 AND (item.created_at, item.id) < ($2, $3)
     {NEWEST_FIRST}
"""
FIND = f"""
    SELECT {COLUMNS.format(viewer="$2")}
      FROM {TABLES}
     WHERE item.id = $1
"""
COUNT_PUBLIC = "SELECT count(*) FROM item WHERE is_public"
COUNT_PUBLIC_OF = "SELECT count(*) FROM item WHERE is_public AND user_id = $1"
TOP_CREATORS = """
    WITH best AS (
        SELECT user_id, sum(like_count)::bigint AS total_likes, count(*) AS image_count
          FROM item WHERE is_public GROUP BY user_id
         ORDER BY total_likes DESC, image_count DESC, user_id LIMIT $1)
    SELECT best.user_id, total_likes, image_count, (
               SELECT asset_key FROM item WHERE is_public AND item.user_id = best.user_id
                ORDER BY like_count DESC, created_at DESC, id DESC LIMIT 1) AS best_key
      FROM best ORDER BY total_likes DESC, image_count DESC, user_id
"""


def wanted_by(
    filters: Filters,
) -> tuple[str | None, str | None, bool | None, bool | None, UUID | None]:
    """Start of the content type, model, whether public, whether liked, job: None is any."""
    kind = None if filters.kind is None else f"{filters.kind}/"
    return kind, filters.model, filters.is_public, filters.is_liked, filters.job_id


def list_own(filters: Filters) -> tuple[str, list[object]]:
    """The statement for a page of somebody's pictures, and what it takes behind the first four."""
    asked = [(text, each) for text, each in zip(FILTERS, wanted_by(filters), strict=True)]
    given = [(text, each) for text, each in asked if each is not None]
    parts = [text.format(f"${number}") for number, (text, _) in enumerate(given, start=5)]
    return LIST_OWN.format(filters=" ".join(parts)), [each for _, each in given]


async def list_items(
    connection: Connection,
    user_id: UUID,
    after: Position,
    limit: int,
    filters: Filters | None = None,
) -> list[ListedItem]:
    """A user's pictures, newest first, from behind a position on."""
    statement, wanted = list_own(filters or Filters())
    rows = await connection.fetch(statement, user_id, after.at, after.id, limit, *wanted)
    return [ListedItem(**row) for row in rows]


async def list_public(
    connection: Connection,
    viewer_id: UUID | None,
    after: Position,
    limit: int,
    user_id: UUID | None = None,
) -> list[ListedItem]:
    """Public pictures, everybody's or one user's, newest first, from behind a position on."""
    if user_id is None:
        rows = await connection.fetch(LIST_PUBLIC, viewer_id, after.at, after.id, limit)
    else:
        rows = await connection.fetch(LIST_PUBLIC_OF, viewer_id, after.at, after.id, limit, user_id)
    return [ListedItem(**row) for row in rows]


async def find_item(
    connection: Connection, item_id: UUID, viewer_id: UUID | None
) -> ListedItem | None:
    """One picture, whosesoever it is."""
    row = await connection.fetchrow(FIND, item_id, viewer_id)
    return None if row is None else ListedItem(**row)


async def count_public(connection: Connection, user_id: UUID | None = None) -> int:
    """How many public pictures there are, everybody's or one user's."""
    if user_id is None:
        return int(await connection.fetchval(COUNT_PUBLIC))
    return int(await connection.fetchval(COUNT_PUBLIC_OF, user_id))


async def top_creators(connection: Connection, limit: int) -> list[Creator]:
    """Whose public pictures are liked most."""
    return [Creator(**row) for row in await connection.fetch(TOP_CREATORS, limit)]
