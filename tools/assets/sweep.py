"""Objects in storage that nobody refers to: found, and deleted if that is wanted."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from libs.runtime.objects import ListedObject, ObjectStore
from tools.assets import store

BATCH: Final = 500
NAMED_MAX: Final = 1_000
PROBES: Final = frozenset({".ready"})  # written at each start, to see whether storage answers
PROGRESS: Final = 5_000

Say = Callable[[str], None]


class Sweep(Struct, kw_only=True):
    """What lies in storage, and for whom."""

    objects: int = 0
    size_bytes: int = 0
    young: int = 0  # not old enough to be judged
    held: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    orphan_bytes: int = 0
    orphan_keys: list[str] = field(default_factory=list)  # the first of them
    strangers: int = 0
    stranger_keys: list[str] = field(default_factory=list)
    deleted: int = 0

    @property
    def is_clean(self) -> bool:
        return self.orphans == self.deleted and not self.strangers


async def sweep(
    connection: store.Connection,
    objects: ObjectStore,
    *,
    before: datetime,
    is_deleting: bool,
    say: Say,
) -> Sweep:
    """Look for whoever needs each object; delete what was stored before a time and nobody needs.

    An object is listed first and looked up then: whoever writes down what is being stored does so
    before `before` is over, or before the first byte.

    Raises:
        StorageUnavailable: what was deleted until then is gone, the rest comes with the next run.
    """
    found = Sweep()
    batch: list[ListedObject] = []
    async for each in objects.list(""):
        if each.key in PROBES:
            continue
        found.objects += 1
        found.size_bytes += each.size_bytes
        if found.objects % PROGRESS == 0:
            say(f"{found.objects:,} objects looked at, {found.orphans:,} orphans")
        if not each.key.startswith(store.PREFIXES):
            found.strangers += 1
            found.stranger_keys += [each.key][: NAMED_MAX - len(found.stranger_keys)]
            continue
        batch.append(each)
        if len(batch) == BATCH:
            await _judge(connection, objects, batch, found, before, is_deleting=is_deleting)
            batch.clear()
    await _judge(connection, objects, batch, found, before, is_deleting=is_deleting)
    return found


async def _judge(
    connection: store.Connection,
    objects: ObjectStore,
    batch: list[ListedObject],
    found: Sweep,
    before: datetime,
    *,
    is_deleting: bool,
) -> None:
    if not batch:
        return
    held = await store.holders(connection, [each.key for each in batch])
    found.held.update(held.values())
    free = [each for each in batch if each.key not in held]
    orphans = [each for each in free if each.modified_at < before]
    found.young += len(free) - len(orphans)
    found.orphans += len(orphans)
    found.orphan_bytes += sum(each.size_bytes for each in orphans)
    keys = [each.key for each in orphans]
    found.orphan_keys += keys[: NAMED_MAX - len(found.orphan_keys)]
    if is_deleting and keys:
        await objects.delete(keys)
        found.deleted += len(keys)
