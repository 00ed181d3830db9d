"""Proofs for people: the log's checkpoint, its proofs, receipts of jobs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.proofs import merkle, tiles
from libs.proofs.checkpoints import Checkpoint
from libs.proofs.keyring import Keyring, PublishedKeys
from libs.proofs.merkle import Span, span_hash
from libs.proofs.notes import to_base64
from libs.proofs.receipts import sign_receipt
from libs.runtime.auth import Principal
from libs.runtime.db import Connection, Database
from libs.runtime.errors import BadRequest, Conflict, NotFound, Unavailable
from services.ledger.domain.postings import TransactionKind
from services.ledger.domain.receipts import Move, Sealed, compose
from services.ledger.ports import Keys
from services.ledger.store import answered
from services.ledger.store import log as store
from services.ledger.store.answered import Moved
from services.ledger.store.log import Seal

RETRY_AFTER_SECONDS = 2.0


class ReceiptNotFound(NotFound):
    code = "receipt_not_found"


class ReceiptNotReady(Conflict):
    """It comes by itself."""

    code = "receipt_not_ready"
    retry_after_seconds = RETRY_AFTER_SECONDS


class ReceiptsUnavailable(Unavailable):
    code = "receipts_unavailable"


class LogPositionUnknown(BadRequest):
    code = "log_position_unknown"


class LogEmpty(NotFound):
    code = "log_empty"


class Proof(Struct, frozen=True, kw_only=True):
    """Hashes in the order in which they are joined."""

    hashes: Sequence[str]
    size: int
    root: bytes


class Receipts:
    """Reads what the sealer has written and Kafka holds; nothing here waits for anything."""

    def __init__(self, database: Database, keys: Keys | None) -> None:
        self._database = database
        self._keys = keys

    def published_keys(self) -> PublishedKeys:
        """The keys that verify what this ledger has signed."""
        return self._keyring().published()

    async def checkpoint(self, size: int | None = None) -> str:
        """The log's last signed state, or that of an earlier seal."""
        async with self._database.read() as connection:
            seal = await _seal(connection, size)
        return _checkpoint(seal, self._keyring())

    async def inclusion(self, position: int, size: int | None) -> Proof:
        """That a leaf is in a tree: the last sealed one, or an earlier one."""
        async with self._database.read() as connection:
            last = await _seal(connection, None)
            size = last.size if size is None else size
            if not position < size <= last.size:
                raise LogPositionUnknown(
                    f"The log has {last.size} leaves: ask for a position below size, and a size "
                    "up to that."
                )
            return await _prove(connection, size, merkle.inclusion_spans(position, size))

    async def consistency(self, old: int, size: int | None) -> Proof:
        """That a tree begins with an older one."""
        async with self._database.read() as connection:
            last = await _seal(connection, None)
            size = last.size if size is None else size
            if not 0 < old <= size <= last.size:
                raise LogPositionUnknown(
                    f"The log has {last.size} leaves: ask for two sizes up to that, the smaller "
                    "one first."
                )
            return await _prove(connection, size, merkle.consistency_spans(old, size))

    async def receipt(self, job_id: UUID, caller: Principal) -> bytes:
        """The signed receipt of a job, the same each time while the key is the same.

        Raises:
            ReceiptNotFound: the job is unknown here, or somebody else's.
            ReceiptNotReady: it is not finished, or its seal is not published yet.
        """
        keyring = self._keyring()
        async with self._database.read() as connection:
            moved = await answered.moves(connection, job_id)
            job = await answered.find(connection, job_id)
            if not moved or not (
                caller.is_admin
                or caller.account_id == moved[0].account_id
                or (job is not None and job.job.user_id == str(caller.user_id))
            ):
                raise ReceiptNotFound("There is no such job among yours.")
            if len(moved) == 1:
                raise ReceiptNotReady("The job has not ended: its receipt comes with its charge.")
            event_ids = [each.event_id for each in moved]
            positions = await store.positions(connection, event_ids)
            seal = await _seal_of(connection, moved, positions)
            if seal is None or job is None:
                raise ReceiptNotReady("The charge is not sealed yet: ask again in two seconds.")
            kept = await store.kept(connection, event_ids)
            if len(kept) < len(moved):  # the streams are being read again
                raise ReceiptNotReady("The charge is being read again: ask again in two seconds.")
            reserved, closed = [
                await _move(connection, each, positions[each.event_id], kept[each.event_id], seal)
                for each in moved
            ]
        sealed = Sealed(
            origin=keyring.origin,
            checkpoint=_checkpoint(seal, keyring),
            event_id=seal.event_id,
            sealed_at=seal.sealed_at,
        )
        return sign_receipt(compose(job, reserved, closed, sealed), keyring.signing)

    def _keyring(self) -> Keyring:
        if self._keys is None:
            raise ReceiptsUnavailable(
                "Receipts are switched off here: set LEDGER_RECEIPT_KEYS_FILE to have them."
            )
        return self._keys()


def _checkpoint(seal: Seal, keyring: Keyring) -> str:
    state = Checkpoint(origin=keyring.origin, size=seal.size, root=seal.root)
    return state.sign(keyring.signing)


async def _seal(connection: Connection, size: int | None) -> Seal:
    if size is None:
        seal = await store.published_head(connection)
        if seal is None:
            raise LogEmpty("Nothing has been sealed yet: ask again after the first booking.")
        return seal
    seal = await store.published_at_size(connection, size)
    if seal is None:
        raise LogPositionUnknown(f"No seal ends at {size}: ask for the checkpoint without a size.")
    return seal


async def _seal_of(
    connection: Connection, moved: Sequence[Moved], positions: Mapping[UUID, int]
) -> Seal | None:
    """The seal under which all of them are, if Kafka holds it."""
    if len(positions) < len(moved):
        return None
    return await store.published_covering(connection, max(positions.values()))


async def _move(
    connection: Connection, moved: Moved, position: int, encoded: bytes, seal: Seal
) -> Move:
    proof = await _prove(connection, seal.size, merkle.inclusion_spans(position, seal.size))
    return Move(
        kind=TransactionKind(moved.kind),
        position=position,
        event=msgspec.json.decode(encoded),
        proof=proof.hashes,
    )


async def _prove(connection: Connection, size: int, spans: Sequence[Span]) -> Proof:
    wanted = [*spans, (0, size)]
    node = tiles.reader(await store.load_tiles(connection, tiles.needed(wanted)))
    *hashes, root = [span_hash(each, node) for each in wanted]
    return Proof(hashes=[to_base64(each) for each in hashes], size=size, root=root)
