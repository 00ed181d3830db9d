"""What people have done with pictures, kept apart from the pictures: either may be known first.

Facts stay when a picture goes, so that a picture that is listed again is what its owner made of it.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import astuple

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.db import Connection
from services.gallery.domain import facts, pictures, thumbnails
from services.gallery.domain.facts import Standing
from services.gallery.store import past
from services.gallery.store.items import add_assets, add_items
from services.gallery.store.thumbnails import (
    add_thumbnails,
    remove_late_thumbnails,
    remove_thumbnails_of,
    remove_thumbnails_of_accounts,
)

# A fact that came again, or late, is not newer than what is noted.
NOTE_FACTS = """
    INSERT INTO item_fact
        (item_id, account_id, job_id, version, is_public, title, model, is_deleted, changed_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::boolean[],
                         $6::text[], $7::text[], $8::boolean[], $9::timestamptz[])
    ON CONFLICT (item_id) DO UPDATE
       SET version = excluded.version, is_public = excluded.is_public, title = excluded.title,
           model = excluded.model, is_deleted = excluded.is_deleted,
           changed_at = excluded.changed_at
     WHERE item_fact.version < excluded.version
"""
NOTE_LIKES = """
    INSERT INTO item_like (item_id, user_id, version, is_liked)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::boolean[])
    ON CONFLICT (item_id, user_id) DO UPDATE
       SET version = excluded.version, is_liked = excluded.is_liked
     WHERE item_like.version < excluded.version
"""
WITH_FACTS = """
    SELECT item_id FROM item_fact WHERE item_id = ANY($1::uuid[])
    UNION SELECT item_id FROM item_like WHERE item_id = ANY($1::uuid[])
"""
APPLY_FACTS = """
    UPDATE item SET is_public = item_fact.is_public, title = item_fact.title,
                    model = item_fact.model, updated_at = item_fact.changed_at
      FROM item_fact
     WHERE item.id = item_fact.item_id AND item.id = ANY($1::uuid[]) AND NOT is_deleted
"""
COUNT_LIKES = """
    UPDATE item SET like_count = (
               SELECT count(*) FROM item_like WHERE item_id = item.id AND is_liked)
     WHERE id = ANY($1::uuid[])
"""
DELETED_AMONG = """
    SELECT id, asset_key FROM item JOIN item_fact ON item_id = id
     WHERE id = ANY($1::uuid[]) AND is_deleted
     ORDER BY id FOR UPDATE OF item
"""
LOCK_ASSETS = "SELECT FROM asset WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE"
DELETE_ITEMS = "DELETE FROM item WHERE id = ANY($1::uuid[])"
# A statement of its own: it sees that the items are gone.
REMOVE_ASSETS = """
    DELETE FROM asset WHERE key = ANY($1::text[])
       AND NOT EXISTS (SELECT FROM item WHERE item.asset_key = asset.key)
    RETURNING key
"""
FIND_STANDING = """
    SELECT item.id, item.account_id, item.user_id, item.job_id, item.is_public, item.title,
           item.model, item.like_count, coalesce(item_fact.version, 0) AS version,
           coalesce(item_like.version, 0) AS like_version,
           coalesce(item_like.is_liked, false) AS is_liked
      FROM item
           LEFT JOIN item_fact ON item_fact.item_id = item.id
           LEFT JOIN item_like ON item_like.item_id = item.id AND item_like.user_id = $2
     WHERE item.id = $1
"""
LOCK_ITEMS = "SELECT FROM item WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
FIND_BY_KEY = """
    SELECT id FROM item WHERE asset_key = $1 AND user_id = $2 ORDER BY created_at DESC, id DESC
     LIMIT 1
"""
ITEMS_OF = """
    SELECT id, asset_key FROM item
     WHERE account_id = ANY($1::uuid[]) OR user_id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""
EMPTY_CONFIRMATIONS = "UPDATE confirmation SET items = 0 WHERE account_id = ANY($1::uuid[])"
BLANK_FACTS = "UPDATE item_fact SET title = '', model = '' WHERE account_id = ANY($1::uuid[])"
LIKED_BY = """
    SELECT id FROM item
     WHERE id IN (SELECT item_id FROM item_like WHERE user_id = ANY($1::uuid[]) AND is_liked)
     ORDER BY id FOR UPDATE
"""
TAKE_BACK_LIKES = "UPDATE item_like SET is_liked = false WHERE user_id = ANY($1::uuid[])"


async def follow(connection: Connection, events: Sequence[Event[Payload]]) -> list[str]:
    """Write what people have done; answers the keys of objects that nothing shows any more.

    What is written already, or newer than that, stays as it is. Commands, rebuild and recovery all
    write by this.
    """
    brought = pictures.uploads(events)
    await add_assets(connection, [asset for asset, _ in brought])
    await add_items(connection, [item for _, item in brought])
    small = thumbnails.newest(events)
    await add_thumbnails(connection, small)
    ever_said, ever_liked = facts.all_facts(events), facts.all_likes(events)
    await past.note(connection, ever_said, ever_liked)
    said = facts.newest_facts(ever_said)
    likes = facts.newest_likes(like for like, _ in ever_liked)
    if said:
        await connection.execute(NOTE_FACTS, *zip(*map(astuple, said), strict=True))
    if likes:
        await connection.execute(NOTE_LIKES, *zip(*map(astuple, likes), strict=True))
    touched = {each.item_id for each in said} | {each.item_id for each in likes}
    touched |= {item.id for _, item in brought} | {each.item_id for each in small}
    return await settle(connection, sorted(touched)) if touched else []


async def settle(connection: Connection, item_ids: Sequence[UUID]) -> list[str]:
    """Make pictures what is said of them; answers the keys of objects that nothing shows any more.

    Pictures come before facts or after them: with the second of the two this is called.
    """
    rows = await connection.fetch(WITH_FACTS, item_ids)
    touched = sorted(row["item_id"] for row in rows)
    if not touched:
        return []
    await past.keep_origins(connection, touched)
    await connection.execute(APPLY_FACTS, touched)
    await connection.execute(COUNT_LIKES, touched)
    deleted = await connection.fetch(DELETED_AMONG, touched)
    freed = await _remove(connection, [(row["id"], row["asset_key"]) for row in deleted])
    return freed + await remove_late_thumbnails(connection, touched)


async def find_standing(connection: Connection, item_id: UUID, viewer_id: UUID) -> Standing | None:
    """A picture as somebody sees it now. In a transaction nobody else changes it until the end."""
    await lock_items(connection, [item_id])  # apart: the next statement sees what it waited for
    row = await connection.fetchrow(FIND_STANDING, item_id, viewer_id)
    return None if row is None else Standing(**row)


async def lock_items(connection: Connection, item_ids: Sequence[UUID]) -> None:
    """Nobody else changes pictures until the end of the transaction. Before their assets' locks."""
    await connection.execute(LOCK_ITEMS, item_ids)


async def lock_assets(connection: Connection, keys: Sequence[str]) -> None:
    """Whoever is about to free one of the objects waits until the commit."""
    await connection.execute(LOCK_ASSETS, keys)


async def find_by_key(connection: Connection, key: str, user_id: UUID) -> UUID | None:
    """The person's newest picture that shows an object."""
    found: UUID | None = await connection.fetchval(FIND_BY_KEY, key, user_id)
    return found


async def remove_accounts(connection: Connection, account_ids: Sequence[UUID]) -> list[str]:
    """Remove persons' pictures and likes; answers the keys of objects to be deleted."""
    rows = await connection.fetch(ITEMS_OF, account_ids)
    await connection.execute(EMPTY_CONFIRMATIONS, account_ids)
    freed = await _remove(connection, [(row["id"], row["asset_key"]) for row in rows])
    freed += await remove_thumbnails_of_accounts(connection, account_ids)
    await connection.execute(BLANK_FACTS, account_ids)
    liked = [row["id"] for row in await connection.fetch(LIKED_BY, account_ids)]
    await connection.execute(TAKE_BACK_LIKES, account_ids)
    await connection.execute(COUNT_LIKES, liked)
    await past.forget(connection, account_ids)
    return freed


async def _remove(connection: Connection, items: Sequence[tuple[UUID, str]]) -> list[str]:
    """Remove items that are locked. Of two that show one object, the later frees it."""
    if not items:
        return []
    keys = sorted({key for _, key in items})
    await lock_assets(connection, keys)
    await connection.execute(DELETE_ITEMS, [item_id for item_id, _ in items])
    freed = [row["key"] for row in await connection.fetch(REMOVE_ASSETS, keys)]
    return freed + await remove_thumbnails_of(connection, freed)
