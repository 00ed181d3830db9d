"""The ledger's keys: in a file that only its owner reads, or in the settings."""

import os
import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from libs.proofs.keyring import SECRET_BYTES, HeldKey, Keyring, KeyringError
from services.ledger.ports import Keys


class KeysError(Exception):
    """The keys cannot be used; the text says what to do, and never holds any of them."""


def keys_of_text(text: str, name: str) -> Keys:
    """Keys that the settings hold.

    Raises:
        KeysError: they hold none.
    """
    keyring = _read(text, name)
    return lambda: keyring


class KeyFile:
    """Keys of a file, read again once it was changed. The first ones are made if there is none."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        try:
            _make(path, now)
        except OSError as error:
            raise KeysError(f"{path} cannot be written: {error.strerror}.") from error
        self._seen: tuple[int, int] | None = None
        self._keyring = self()

    def __call__(self) -> Keyring:
        """The keys as the file has them now.

        Raises:
            KeysError: it cannot be read.
        """
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_ino
            if seen != self._seen:
                self._keyring = _read(self._path.read_text(), str(self._path))
                self._seen = seen
        except OSError as error:
            raise KeysError(f"{self._path} cannot be read: {error.strerror}.") from error
        return self._keyring


def _read(text: str, where: str) -> Keyring:
    try:
        return Keyring.read(text)
    except KeyringError as error:
        raise KeysError(f"Correct {where}: {error}.") from None


def _make(path: Path, now: datetime) -> None:
    """Of several processes that start at once, one makes the keys; the others take those."""
    if path.exists():
        return
    keyring = Keyring(
        origin=f"daygen-{secrets.token_hex(4)}/ledger",
        prompt_key=secrets.token_bytes(SECRET_BYTES),
        keys=(HeldKey(seed=secrets.token_bytes(SECRET_BYTES), created_at=now),),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(keyring.text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
