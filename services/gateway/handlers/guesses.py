"""Attempts at passwords are counted before they are looked at."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from libs.runtime.db import Database
from services.gateway.domain import guesses as rules
from services.gateway.domain.guesses import Bucket, TooManyGuesses
from services.gateway.handlers.account_errors import GuessesExceeded
from services.gateway.store import guesses as store


class Guesses:
    """Counts in Postgres: so all replicas count together."""

    def __init__(self, *, database: Database, secret: SecretStr, attempts: int) -> None:
        """`attempts` in a quarter of an hour, at one person from one address."""
        self._database = database
        self._key = hashlib.sha256(b"guesses" + secret.get_secret_value().encode()).digest()
        self._attempts = attempts

    @asynccontextmanager
    async def counted(self, purpose: str, whom: str, address: str | None) -> AsyncIterator[None]:
        """Count an attempt; it is forgotten if the block ends without an error: it was right.

        Raises:
            GuessesExceeded: there were too many before, whether or not there is such a person.
        """
        buckets = rules.buckets_of(purpose, whom, address, self._attempts)
        await self._take(buckets)
        yield
        taken = {self._hash(each): each.interval for each in buckets}
        async with self._database.transaction() as transaction:
            await store.give_back(transaction.connection, taken)

    async def count(self, purpose: str, whom: str, address: str | None) -> None:
        """Count something that costs whether it is right or wrong.

        Raises:
            GuessesExceeded: there were too many before.
        """
        await self._take(rules.buckets_of(purpose, whom, address, self._attempts))

    async def _take(self, buckets: list[Bucket]) -> None:
        hashed = {each.subject: self._hash(each) for each in buckets}
        async with self._database.transaction() as transaction:
            rows, now = await store.lock(transaction.connection, sorted(hashed.values()))
            drained = {subject: rows[row] for subject, row in hashed.items()}
            after = rules.guess(buckets, drained, now)
            if isinstance(after, TooManyGuesses):
                raise GuessesExceeded(after.retry_after.total_seconds())
            await store.write(
                transaction.connection, {hashed[subject]: at for subject, at in after.items()}
            )

    def _hash(self, bucket: Bucket) -> bytes:
        text = bucket.subject.encode(errors="surrogatepass")  # it may be anything that was sent
        return hmac.digest(self._key, text, "sha256")
