"""Argon2id in a small pool of threads: hashing releases the interpreter, the event loop runs on.

Imported users may have bcrypt hashes: those are verified, and replaced at the next log-in.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from libs.runtime.errors import Unavailable

# OWASP's first choice for argon2id: 46 MiB, one pass, one lane.
MEMORY_KIB: Final = 47_104
PASSES: Final = 1
LANES: Final = 1
WAITING_MAX: Final = 256
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES_MAX: Final = 72  # bcrypt looks at no more; other libraries cut in silence

T = TypeVar("T")


class PasswordsCongested(Unavailable):
    """More log-ins at once than can be worked off soon."""

    code = "log_ins_congested"


class Argon2Passwords:
    """Hashes and verifies with a bounded number of threads and a bounded queue before them."""

    def __init__(self, *, threads: int, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._waiting = 0
        self._stand_in = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits. For nobody's, a stand-in is verified: that takes as long."""
        fits = await self._run(lambda: self._fits(password, password_hash or self._stand_in))
        return fits and password_hash is not None

    def is_dated(self, password_hash: str) -> bool:
        """Whether the hash is of another kind, or cheaper to guess, than those made now."""
        if password_hash.startswith(_BCRYPT):
            return True
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fits(self, password: str, password_hash: str) -> bool:
        if password_hash.startswith(_BCRYPT):
            return _fits_bcrypt(password, password_hash)
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise PasswordsCongested("Too many people log in right now: try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _fits_bcrypt(password: str, password_hash: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES_MAX], password_hash.encode())
    except ValueError:  # a damaged hash fits nothing
        return False
