"""Signed notes against C2SP's example, canonical JSON against RFC 8785's, checkpoints."""

import pytest

from libs.proofs import notes
from libs.proofs.canonical import NotCanonicalError, canonical, read_canonical
from libs.proofs.checkpoints import Checkpoint, open_checkpoint
from libs.proofs.notes import NoteError, SigningKey, VerifierKey, open_note, sign_note

EXAMPLE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
EXAMPLE_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
EXAMPLE = (
    f"{EXAMPLE_TEXT}\n\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUg"
    "YN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
KEY = SigningKey(name="example.org/log", seed=bytes(range(32)))
CHECKPOINT = Checkpoint(origin="example.org/log", size=27, root=bytes(range(32)))


def test_the_published_note_is_verified_by_its_published_key() -> None:
    key = VerifierKey.read(EXAMPLE_KEY)
    assert key.text == EXAMPLE_KEY
    assert open_note(EXAMPLE, [key]) == EXAMPLE_TEXT


def test_a_signed_note_opens_again_and_only_with_its_key() -> None:
    note = sign_note("one\n\ntwo\n", KEY)
    assert open_note(note, [VerifierKey.read(KEY.verifier.text)]) == "one\n\ntwo\n"
    other = SigningKey(name=KEY.name, seed=bytes(32)).verifier
    with pytest.raises(NoteError, match="None of the given keys"):
        open_note(note, [other])


def test_every_changed_bit_of_a_checkpoint_is_found() -> None:
    note = CHECKPOINT.sign(KEY).encode()
    keys = [KEY.verifier]
    assert open_checkpoint(note.decode(), keys, CHECKPOINT.origin) == CHECKPOINT
    for at in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[at] ^= 1 << bit
            with pytest.raises((NoteError, UnicodeDecodeError)):
                open_checkpoint(changed.decode(), keys, CHECKPOINT.origin)


def test_a_checkpoint_of_another_log_or_form_is_refused() -> None:
    keys = [KEY.verifier]
    with pytest.raises(NoteError, match="not of 'mine'"):
        open_checkpoint(CHECKPOINT.sign(KEY), keys, "mine")
    for text in ("a\n1\n", "a\n01\nAAAA\n", "a\n1\nAAAA\n", "a\nx\nAAAA\n", "a\n1\nAAAA\nmore\n"):
        with pytest.raises(NoteError):
            open_checkpoint(sign_note(text, KEY), keys, "a")


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", EXAMPLE_KEY[:-1], EXAMPLE_KEY.replace("c74f", "c74e"), "a b+c74f20a3+AQ=="],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.read(text)


def test_base64_has_one_spelling() -> None:
    assert notes.from_base64("AQ==") == b"\1"
    for text in ("AR==", "AQ", "AQ=", "AQ==\n", " AQ==", "", "A$=="):
        with pytest.raises(NoteError):
            notes.from_base64(text)


def test_members_stand_in_the_published_order() -> None:
    """RFC 8785, section 3.2.3: by UTF-16 units, not by code points."""
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    found = [each.split('":')[0] for each in canonical(value).decode()[2:].split(',"')]
    assert found == ["\\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_texts_are_spelled_as_published() -> None:
    """RFC 8785, section 3.2.2.2: only what must be is escaped, and in lower case."""
    value = {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False]}
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize("value", [1.5, float("nan"), {1: 2}, b"bytes", "\ud800", {"a": [0.0]}])
def test_what_has_no_one_spelling_is_refused(value: object) -> None:
    with pytest.raises(NotCanonicalError):
        canonical(value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b' {"a":1}', b'{"a":1}\n', b'{"a":1,"a":1}', b'{"b":1,"a":2}', b"1.0", b"\xff"],
)
def test_another_spelling_is_not_read(text: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        read_canonical(text)
    assert read_canonical(b'{"a":1}') == {"a": 1}
