"""Migration files, as far as they can be judged without a database."""

from pathlib import Path

import pytest

from libs.events.names import Service
from libs.runtime.migrate import (
    RUNTIME_MIGRATIONS,
    Migration,
    MigrationError,
    _check,
    read_migrations,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "ledger" / "migrations"
    directory.mkdir(parents=True)
    return directory


def write(directory: Path, *names: str, sql: str = "-- because\nSELECT 1;\n") -> None:
    for name in names:
        (directory / name).write_text(sql, encoding="utf-8")


def test_files_are_read_in_order_under_the_name_of_their_owner(directory: Path) -> None:
    write(directory, "0002_add_entry.sql", "0001_create_entry.sql")
    assert [each.name for each in read_migrations(directory)] == [
        "ledger/0001_create_entry.sql",
        "ledger/0002_add_entry.sql",
    ]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("0001_create_a.sql", "0003_create_b.sql"), "Renumber ledger/0003_create_b.sql"),
        (("0002_create_a.sql",), "the next number there is 0001"),
        (("0001_create_a.sql", "0001_create_b.sql"), "the next number there is 0002"),
        (("0001-create.sql",), "Rename ledger/0001-create.sql"),
        (("0001_create.sql",), "is called NNNN_verb_object.sql"),
        (("create_a.sql",), "Rename ledger/create_a.sql"),
    ],
)
def test_a_gap_a_double_or_a_strange_name_is_refused(
    directory: Path, names: tuple[str, ...], sentence: str
) -> None:
    write(directory, *names)
    with pytest.raises(MigrationError, match=sentence):
        read_migrations(directory)


@pytest.mark.parametrize("sql", ["", "SELECT 1;", "--\nSELECT 1;", "\n-- late\n"])
def test_a_file_without_a_reason_is_refused(directory: Path, sql: str) -> None:
    write(directory, "0001_create_a.sql", sql=sql)
    with pytest.raises(MigrationError, match="gives its reason"):
        read_migrations(directory)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="not a directory"):
        read_migrations(tmp_path / "nowhere")


FIRST = Migration(name="ledger/0001_create_a.sql", sql="-- one")


def test_history_that_fits_is_accepted() -> None:
    _check([FIRST], {FIRST.name: FIRST.sha256})
    _check([FIRST], {})


@pytest.mark.parametrize(
    ("files", "recorded", "sentence"),
    [
        ([FIRST], {FIRST.name: "0" * 64}, "changed after it was applied"),
        ([], {FIRST.name: FIRST.sha256}, "its file is gone"),
        ([FIRST, FIRST], {}, "same name"),
    ],
)
def test_rewritten_history_is_refused(
    files: list[Migration], recorded: dict[str, str], sentence: str
) -> None:
    with pytest.raises(MigrationError, match=sentence):
        _check(files, recorded)


SERVICES = Path(__file__).parents[4] / "services"


@pytest.mark.parametrize(
    "directory", [RUNTIME_MIGRATIONS, *(SERVICES / each / "migrations" for each in Service)]
)
def test_the_files_of_the_tree_are_in_order(directory: Path) -> None:
    assert read_migrations(directory)
