"""Receipts: two verifiers that share nothing agree, and every changed bit is found by both."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from libs.proofs import merkle, tiles
from libs.proofs.canonical import canonical
from libs.proofs.checkpoints import Checkpoint
from libs.proofs.keyring import HeldKey, Keyring, KeyringError, read_published
from libs.proofs.leaves import leaf_of_value
from libs.proofs.notes import to_base64
from libs.proofs.receipts import (
    Credits,
    Events,
    Image,
    Job,
    Log,
    LogEntry,
    Receipt,
    ReceiptError,
    Times,
    sign_receipt,
    verify_receipt,
)
from libs.proofs.tests import independent

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEYRING = Keyring(
    origin="daygen-test/ledger",
    prompt_key=b"p" * 32,
    keys=(HeldKey(seed=bytes(range(32)), created_at=NOW),),
)
PUBLISHED = msgspec.json.encode(KEYRING.published())
JOB, ACCOUNT = "01990000-0000-7000-8000-00000000000a", "01990000-0000-7000-8000-00000000000b"


def event(kind: str, number: int, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"01990000-0000-7000-8000-0000000000{number:02}",
        "source": "/daygen/ledger",
        "type": f"daygen.credits.{kind}",
        "time": f"2026-11-21T11:00:{number:02}Z",
        "causationid": f"01990000-0000-7000-8000-0000000000{number + 50}",
        "data": {"job_id": JOB, "account_id": ACCOUNT, **data},
    }


def receipt_of(reserved: dict[str, Any], closed: dict[str, Any]) -> Receipt:
    """A receipt in a log of 300 leaves, with the events at 2 and 290."""
    leaves = [merkle.leaf_hash(str(each).encode()) for each in range(300)]
    leaves[2], leaves[290] = leaf_of_value(reserved), leaf_of_value(closed)
    node = tiles.reader(tiles.append(0, {}, leaves))

    def entry(position: int, value: dict[str, Any]) -> LogEntry:
        spans = merkle.inclusion_spans(position, 300)
        proof = tuple(to_base64(merkle.span_hash(each, node)) for each in spans)
        return LogEntry(position=position, event=value, proof=proof)

    state = Checkpoint(origin=KEYRING.origin, size=300, root=merkle.span_hash((0, 300), node))
    return Receipt(
        type="daygen.receipt",
        version=1,
        job=Job(
            job_id=JOB,
            account_id=ACCOUNT,
            provider="local",
            model="local-sketch",
            units=3,
            unit_credits=2,
            delivered_units=2,
            outcome="completed",
            prompt_hash="hmac-sha256:00",
            images=(Image(sha256="00", content_type="image/png", size_bytes=5),) * 2,
        ),
        credits=Credits(held=6, captured=4, released=2),
        events=Events(
            requested=reserved["causationid"],
            reserved=reserved["id"],
            answered=closed["causationid"],
            closed=closed["id"],
            sealed="01990000-0000-7000-8000-0000000000ff",
        ),
        times=Times(
            requested_at="2026-11-21T10:59:59Z",
            reserved_at=reserved["time"],
            answered_at="2026-11-21T11:00:02Z",
            closed_at=closed["time"],
            sealed_at="2026-11-21T11:00:04Z",
        ),
        log=Log(
            origin=KEYRING.origin,
            checkpoint=state.sign(KEYRING.signing),
            entries=(entry(2, reserved), entry(290, closed)),
        ),
    )


RESERVED = event("reserved", 1, credits=6)
CAPTURED = event("captured", 3, credits=4, released_credits=2, reason="für \u20ac \U0001f600")
RECEIPT = receipt_of(RESERVED, CAPTURED)
TEXT = sign_receipt(RECEIPT, KEYRING.signing)


def test_both_verifiers_accept_it() -> None:
    assert verify_receipt(TEXT, read_published(PUBLISHED)) == RECEIPT
    assert independent.verify(TEXT, PUBLISHED)["job"]["jobId"] == JOB


def test_a_change_in_any_byte_is_found() -> None:
    keys = KEYRING.verifiers
    for at in range(len(TEXT)):
        for bit in {0, 5, at % 8}:
            changed = bytearray(TEXT)
            changed[at] ^= 1 << bit
            with pytest.raises(ReceiptError):
                verify_receipt(bytes(changed), keys)
    for changed_text in (TEXT[:-1], TEXT + b"\n", b" " + TEXT, b"", TEXT[1:]):
        with pytest.raises(ReceiptError):
            verify_receipt(changed_text, keys)


def test_the_second_verifier_finds_changes_everywhere_too() -> None:
    for at in range(0, len(TEXT), 5):
        changed = bytearray(TEXT)
        changed[at] ^= 1 << at % 8
        with pytest.raises((independent.WrongError, ValueError, KeyError, TypeError)):
            independent.verify(bytes(changed), PUBLISHED)


def test_every_changed_byte_of_the_published_keys_is_found_or_says_nothing_of_the_key() -> None:
    """What is not the key itself may change: when it was made, spaces, the order of members."""
    key = KEYRING.verifiers[0].text.encode()
    start = PUBLISHED.index(key)
    for at in range(start, start + len(key)):
        changed = bytearray(PUBLISHED)
        changed[at] ^= 1
        with pytest.raises((KeyringError, ReceiptError)):
            verify_receipt(TEXT, read_published(bytes(changed)))


def test_an_old_receipt_stays_valid_after_a_rotation_and_a_new_key_signs() -> None:
    rotated = KEYRING.rotated(b"n" * 32, NOW)
    assert verify_receipt(TEXT, rotated.verifiers) == RECEIPT
    again = sign_receipt(
        replace(RECEIPT, log=replace(RECEIPT.log, checkpoint=_signed_by(rotated))), rotated.signing
    )
    assert verify_receipt(again, rotated.verifiers).credits == RECEIPT.credits
    assert independent.verify(again, msgspec.json.encode(rotated.published()))
    with pytest.raises(ReceiptError, match="not among the given ones"):
        verify_receipt(again, KEYRING.verifiers)
    assert [each.is_signing for each in rotated.published().keys] == [False, True]


def _signed_by(keyring: Keyring) -> str:
    size, root = independent.checkpoint(RECEIPT.log.checkpoint, PUBLISHED, KEYRING.origin)
    return Checkpoint(origin=keyring.origin, size=size, root=root).sign(keyring.signing)


OTHER = event("captured", 3, credits=5, released_credits=1)
LIES: list[tuple[str, Receipt]] = [
    ("capture", replace(RECEIPT, credits=Credits(held=6, captured=3, released=3))),
    ("hold", replace(RECEIPT, credits=Credits(held=7, captured=4, released=3))),
    ("price", replace(RECEIPT, job=replace(RECEIPT.job, unit_credits=1))),
    ("job", replace(RECEIPT, job=replace(RECEIPT.job, job_id=ACCOUNT))),
    ("account", replace(RECEIPT, job=replace(RECEIPT.job, account_id=JOB))),
    ("events", replace(RECEIPT, events=replace(RECEIPT.events, closed=JOB))),
    ("causes", replace(RECEIPT, events=replace(RECEIPT.events, answered=JOB))),
    ("times", replace(RECEIPT, times=replace(RECEIPT.times, closed_at="2026-11-21T11:00:01Z"))),
    (
        "not in the tree",
        replace(
            RECEIPT,
            log=replace(
                RECEIPT.log,
                entries=(RECEIPT.log.entries[0], replace(RECEIPT.log.entries[1], event=OTHER)),
            ),
        ),
    ),
]


@pytest.mark.parametrize(("part", "lie"), LIES, ids=[part for part, _ in LIES])
def test_a_receipt_that_says_other_than_the_log_is_refused_although_it_is_signed(
    part: str, lie: Receipt
) -> None:
    with pytest.raises(ReceiptError, match=part):
        verify_receipt(sign_receipt(lie, KEYRING.signing), KEYRING.verifiers)


def test_a_receipt_of_a_log_with_another_name_is_refused() -> None:
    other = replace(RECEIPT, log=replace(RECEIPT.log, origin="other/ledger"))
    with pytest.raises(ReceiptError):
        verify_receipt(sign_receipt(other, KEYRING.signing), KEYRING.verifiers)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"1", b'{"signature":1}', canonical({"signature": "a+b+c"}), b'{"a":1}', b"\xff"],
)
def test_what_is_no_receipt_is_refused_in_a_sentence(body: bytes) -> None:
    with pytest.raises(ReceiptError):
        verify_receipt(body, KEYRING.verifiers)


def test_a_keyring_reads_what_it_writes_and_refuses_the_rest_without_telling_it() -> None:
    assert Keyring.read(KEYRING.text) == KEYRING
    for text in ("", "{}", KEYRING.text.replace("daygen-test", "a b"), KEYRING.text[:-30]):
        with pytest.raises(KeyringError) as refused:
            Keyring.read(text)
        assert to_base64(KEYRING.keys[0].seed) not in str(refused.value)


def test_the_second_verifiers_signatures_are_those_of_rfc_8032() -> None:
    """Section 7.1, tests 2 and 3."""
    for public, message, signature in (
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            (
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ):
        parts = [bytes.fromhex(each) for each in (public, message, signature)]
        independent.check_signature(*parts)
        with pytest.raises(independent.WrongError):
            independent.check_signature(parts[0], parts[1] + b".", parts[2])
