"""References of all tables: whether each one's object is there, and holds what it should."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from libs.runtime.objects import ObjectNotFound, ObjectStore
from tools.assets import store
from tools.assets.store import Reference

AT_ONCE: Final = 4
NAMED_MAX: Final = 1_000
PROGRESS_SECONDS: Final = 2.0

Say = Callable[[str], None]


class Verification(Struct, kw_only=True):
    """What was read, and which objects are not as they were told."""

    objects: int = 0
    size_bytes: int = 0
    missing: int = 0
    changed: int = 0
    missing_keys: list[str] = field(default_factory=list)  # the first of them
    changed_keys: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.changed


async def verify(connection: store.Connection, objects: ObjectStore, *, say: Say) -> Verification:
    """Read every object that a table refers to, and compare its SHA-256.

    Raises:
        StorageUnavailable: nothing can be said of the rest.
    """
    found, expected = Verification(), await store.count_references(connection)
    told_at = time.monotonic()
    async for page in store.references(connection):
        for start in range(0, len(page), AT_ONCE):
            some = page[start : start + AT_ONCE]
            read = await asyncio.gather(*(_digest(objects, each.key) for each in some))
            for reference, (digest, size_bytes) in zip(some, read, strict=True):
                found.objects += 1
                found.size_bytes += size_bytes
                await _note(connection, found, reference, digest)
            if time.monotonic() - told_at >= PROGRESS_SECONDS:
                told_at = time.monotonic()
                say(f"{found.objects:,} of about {expected:,} objects, {found.size_bytes:,} bytes")
    return found


async def _note(
    connection: store.Connection, found: Verification, reference: Reference, digest: str | None
) -> None:
    if digest is not None and reference.sha256 in {None, digest}:
        return
    if not await store.is_referenced(connection, reference.key):
        return  # it was thrown away meanwhile
    if digest is None:
        found.missing += 1
        found.missing_keys += [reference.key][: NAMED_MAX - len(found.missing_keys)]
    else:
        found.changed += 1
        found.changed_keys += [reference.key][: NAMED_MAX - len(found.changed_keys)]


async def _digest(objects: ObjectStore, key: str) -> tuple[str | None, int]:
    """(SHA-256, size) of an object; no digest where there is no object."""
    digest, size_bytes = hashlib.sha256(), 0
    try:
        async with objects.open(key) as body:
            async for chunk in body.chunks():
                digest.update(chunk)
                size_bytes += len(chunk)
    except ObjectNotFound:
        return None, 0
    return digest.hexdigest(), size_bytes
