"""Price books: added by administrators, never changed."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.events.operations import PriceBookAdded
from libs.runtime.db import Database
from services.gateway.domain.pricing import InvalidPriceBookError, check_book
from services.gateway.handlers.errors import (
    EffectiveInThePast,
    InvalidPriceBook,
    PriceBookNotFound,
)
from services.gateway.store import prices as store
from services.gateway.store.prices import StoredBook


class PriceBooks:
    """Adds and reads price books."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, file: bytes, *, effective_from: datetime | None, actor: UUID
    ) -> tuple[StoredBook, bool]:
        """The new version in that file, in force from then, or at once; and whether it is new.

        The newest book once more, for the same instant, is not added again: somebody repeats what
        they had no answer to.

        Raises:
            InvalidPriceBook: the file is none.
            EffectiveInThePast: by the database's clock.
        """
        try:
            check_book(file)
        except InvalidPriceBookError as error:
            raise InvalidPriceBook(str(error)) from None
        body, sha256 = file.decode(), hashlib.sha256(file).hexdigest()
        async with self._database.transaction() as transaction:
            newest = await store.lock(transaction.connection)
            if (
                newest is not None
                and newest.sha256 == sha256
                and effective_from in {None, newest.effective_from}
            ):
                return newest, False
            added = await store.add(transaction.connection, body, sha256, effective_from)
            if added is None:
                raise EffectiveInThePast
            transaction.publish(
                PriceBookAdded(
                    version=added.version,
                    sha256=sha256,
                    effective_from=added.effective_from,
                    body=body,
                    actor=actor,
                )
            )
        return added, True

    async def all(self) -> Sequence[StoredBook]:
        """Every version, the oldest first."""
        async with self._database.read() as connection:
            return await store.find_all(connection)

    async def get(self, version: int) -> StoredBook:
        """One version.

        Raises:
            PriceBookNotFound: there is none.
        """
        async with self._database.read() as connection:
            found = await store.find(connection, version)
        if found is None:
            raise PriceBookNotFound(version)
        return found
