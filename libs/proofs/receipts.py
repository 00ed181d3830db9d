"""Receipts: what a job cost and why, signed, with the proof that the ledger's log says the same.

A receipt is canonical JSON, byte for byte. Everything in it but `signature` is signed; its events
are leaves of the log whose checkpoint stands in it. So it can be verified with a published key and
nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from libs.proofs.canonical import NotCanonicalError, canonical, read_canonical
from libs.proofs.checkpoints import Checkpoint, open_checkpoint
from libs.proofs.leaves import leaf_of_value
from libs.proofs.merkle import ProofError, verify_inclusion
from libs.proofs.notes import NoteError, SigningKey, VerifierKey, from_base64, to_base64

TYPE: Final = "daygen.receipt"
VERSION: Final = 1
# What a key signs here can never be taken for a note, which has no such first line.
PREFIX: Final = b"daygen receipt v1\n"
RESERVED: Final = "daygen.credits.reserved"
CAPTURED: Final = "daygen.credits.captured"
RELEASED: Final = "daygen.credits.released"


class ReceiptError(ValueError):
    """The receipt does not hold; the text says where."""


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Image(_Strict, frozen=True, kw_only=True):
    """A delivered picture."""

    sha256: str
    content_type: str
    size_bytes: int


class Job(_Strict, frozen=True, kw_only=True):
    """What was asked for, at what price, and what came of it."""

    job_id: str
    account_id: str
    user_id: str | None = None
    workspace_id: str | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    units: int | None = None
    unit_credits: int | None = None
    price_book_version: int | None = None
    prompt_hash: str | None = None
    outcome: str
    failure_code: str | None = None
    delivered_units: int = 0
    images: tuple[Image, ...] = ()


class Credits(_Strict, frozen=True, kw_only=True):
    """What was set aside, what of it was charged, and what came back."""

    held: int
    captured: int
    released: int


class Events(_Strict, frozen=True, kw_only=True):
    """The chain of causes, by the ids of its events."""

    requested: str | None
    reserved: str
    answered: str | None
    closed: str
    sealed: str


class Times(_Strict, frozen=True, kw_only=True):
    """When each of them was."""

    requested_at: str | None
    reserved_at: str
    answered_at: str
    closed_at: str
    sealed_at: str


class LogEntry(_Strict, frozen=True, kw_only=True):
    """An event in the log, as it was published, and the way from it to the checkpoint's root."""

    position: int
    event: dict[str, Any]
    proof: tuple[str, ...]


class Log(_Strict, frozen=True, kw_only=True):
    """The log's part: the reservation, and what closed it."""

    origin: str
    checkpoint: str
    entries: tuple[LogEntry, LogEntry]


class Receipt(_Strict, frozen=True, kw_only=True):
    """A receipt without its signature."""

    type: str
    version: int
    job: Job
    credits: Credits
    events: Events
    times: Times
    log: Log


def sign_receipt(receipt: Receipt, key: SigningKey) -> bytes:
    """The receipt as it is handed out."""
    body = msgspec.to_builtins(receipt)
    signature = to_base64(key.sign(PREFIX + canonical(body)))
    signed = {**body, "signature": f"{key.name}+{key.verifier.id.hex()}+{signature}"}
    return canonical(signed)


def verify_receipt(text: bytes, keys: Sequence[VerifierKey]) -> Receipt:
    """The receipt, once everything in it was checked.

    Raises:
        ReceiptError: a byte was changed, no key of these has signed it, or its parts differ.
    """
    try:
        receipt = _open(text, keys)
        checkpoint = open_checkpoint(receipt.log.checkpoint, keys, receipt.log.origin)
        for entry in receipt.log.entries:
            _check_inclusion(entry, checkpoint)
    except (NotCanonicalError, NoteError, ProofError) as error:
        raise ReceiptError(str(error)) from error
    _check_facts(receipt)
    return receipt


def _open(text: bytes, keys: Sequence[VerifierKey]) -> Receipt:
    signed = read_canonical(text)
    if not isinstance(signed, dict) or not isinstance(signed.get("signature"), str):
        raise ReceiptError("It is not a receipt: it has no signature.")
    body = {name: value for name, value in signed.items() if name != "signature"}
    name, _, rest = signed["signature"].partition("+")
    key_id, _, signature = rest.partition("+")
    key = next((each for each in keys if (each.name, each.id.hex()) == (name, key_id)), None)
    if key is None:
        raise ReceiptError(
            f"It is signed with key {key_id[:20]!r} of {name[:100]!r}, which is not among the "
            "given ones."
        )
    key.verify(PREFIX + canonical(body), from_base64(signature))
    try:
        receipt = msgspec.convert(body, Receipt)
    except msgspec.ValidationError as error:
        raise ReceiptError(f"It is not a receipt of ours: {error}") from error
    if (receipt.type, receipt.version) != (TYPE, VERSION):
        raise ReceiptError(f"Receipts of version {receipt.version} are not known here.")
    if receipt.log.origin != name:
        raise ReceiptError(f"It was signed by {name}, and its log is {receipt.log.origin}.")
    return receipt


def _check_inclusion(entry: LogEntry, checkpoint: Checkpoint) -> None:
    proof = [from_base64(each) for each in entry.proof]
    leaf = leaf_of_value(entry.event)
    verify_inclusion(leaf, entry.position, checkpoint.size, proof, checkpoint.root)


def _check_facts(receipt: Receipt) -> None:
    """What the receipt says, and what its two events say, are the same."""
    reserved, closed = (each.event for each in receipt.log.entries)
    job, credits_, events, times = receipt.job, receipt.credits, receipt.events, receipt.times
    taken, given = _data(reserved), _data(closed)
    is_captured = closed.get("type") == CAPTURED
    charge = given.get("credits") if is_captured else 0
    pairs = {
        "job": ([job.job_id] * 2, [taken.get("job_id"), given.get("job_id")]),
        "account": ([job.account_id] * 2, [taken.get("account_id"), given.get("account_id")]),
        "hold": (credits_.held, taken.get("credits")),
        "capture": (credits_.captured, charge),
        "release": (credits_.released, given.get("released_credits")),
        "sum": (credits_.held, credits_.captured + credits_.released),
        "events": ([events.reserved, events.closed], [reserved.get("id"), closed.get("id")]),
        "causes": (
            [events.requested, events.answered],
            [reserved.get("causationid"), closed.get("causationid")],
        ),
        "times": ([times.reserved_at, times.closed_at], [reserved.get("time"), closed.get("time")]),
        "kinds": (
            [RESERVED, CAPTURED if is_captured else RELEASED],
            [reserved.get("type"), closed.get("type")],
        ),
    }
    if job.unit_credits is not None and job.units is not None:
        price = job.unit_credits * min(job.delivered_units, job.units)
        pairs["price"] = (credits_.captured, price)
    for name, (said, found) in pairs.items():
        if said != found:
            raise ReceiptError(f"The {name} of the receipt differ from what the log says.")


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data")
    return data if isinstance(data, dict) else {}
