"""`./daygen receipt` as a person meets it: exit codes and sentences, with nothing running."""

import json
from pathlib import Path

import pytest

from libs.proofs.keyring import Keyring
from libs.proofs.tests.unit.test_receipts import KEYRING, PUBLISHED, TEXT
from tools.tests.integration.test_commands import daygen


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "receipt.json").write_bytes(TEXT)
    (tmp_path / "keys.json").write_bytes(PUBLISHED)
    (tmp_path / "receipt-keys.json").write_text(KEYRING.text)
    return tmp_path


def test_a_receipt_is_valid_by_published_keys_or_by_those_of_the_home(home: Path) -> None:
    for words in (("--keys", str(home / "keys.json")), ("--home", str(home))):
        result = daygen("receipt", "verify", str(home / "receipt.json"), *words)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("Valid: signed by daygen-test/ledger")
        assert "4 credits of 6 held, 2 freed" in result.stdout


def test_a_changed_receipt_is_not_valid_and_exits_with_1(home: Path) -> None:
    changed = TEXT.replace(b'"captured":4', b'"captured":3')
    assert changed != TEXT
    (home / "receipt.json").write_bytes(changed)
    result = daygen("receipt", "verify", str(home / "receipt.json"), "--home", str(home), "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["valid"] is False


def test_what_cannot_be_read_exits_with_2_and_says_why(home: Path) -> None:
    missing = daygen("receipt", "verify", str(home / "none.json"), "--home", str(home))
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    (home / "keys.json").write_text("{}")
    words = ("--keys", str(home / "keys.json"))
    broken = daygen("receipt", "verify", str(home / "receipt.json"), *words)
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
    nothing = daygen("receipt", "keys", "list", "--home", str(home / "nowhere"))
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


def test_a_rotation_adds_a_key_and_keeps_the_file_private(home: Path) -> None:
    result = daygen("receipt", "keys", "rotate", "--home", str(home))
    assert result.returncode == 0
    file = home / "receipt-keys.json"
    rotated = Keyring.read(file.read_text())
    assert rotated.keys[:1] == KEYRING.keys
    assert len(rotated.keys) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    valid = daygen("receipt", "verify", str(home / "receipt.json"), "--home", str(home))
    assert valid.returncode == 0
