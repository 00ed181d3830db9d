"""Each rule of tidy finds a planted breach and lets the clean case pass."""

from collections.abc import Iterable

import pytest

from tools import tidy

CLEAN = '"""A module."""\n\nANSWER = 42\n'


def texts(findings: Iterable[tidy.Finding]) -> list[str]:
    return [finding.text for finding in findings]


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "daygen",
        ".ci/run",
        "docs/adr/0001-one-distribution.md",
        "services/ledger/store.py",
        "services/gateway/api/jobs.py",
        "services/gallery/migrations/0001_create_items.sql",
        "libs/runtime/db.py",
        "infra/local/kafka.py",
        "tools/commands/up.py",
        "tests/e2e/test_crash.py",
    ],
)
def test_files_of_the_map_are_in_their_place(name: str) -> None:
    assert not list(tidy.misplaced(name))


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "dump.sql",
        "helpers/strings.py",
        "services/ledger/helpers.py",
        "services/ledger/utils/text.py",
        "services/payments/app.py",
        "libs/platform/db.py",
        "infra/scripts/run.py",
        ".ci/helper",
    ],
)
def test_a_file_outside_the_map_is_found(name: str) -> None:
    assert len(list(tidy.misplaced(name))) == 1


def test_a_clean_module_has_no_findings() -> None:
    assert not list(tidy.check_python("libs/runtime/x.py", CLEAN))


def test_a_module_without_a_docstring_is_found() -> None:
    assert "docstring" in texts(tidy.check_python("libs/x.py", "ANSWER = 42\n"))[0]


def test_an_empty_package_file_needs_no_docstring() -> None:
    assert not list(tidy.check_python("libs/runtime/tests/__init__.py", ""))


@pytest.mark.parametrize(
    ("lines", "name", "warnings", "errors"),
    [
        (250, "libs/x.py", 0, 0),
        (251, "libs/x.py", 1, 0),
        (401, "libs/x.py", 0, 1),
        (600, "libs/tests/unit/test_x.py", 0, 0),
        (601, "libs/tests/unit/test_x.py", 0, 1),
    ],
)
def test_a_file_is_measured_against_its_ceilings(
    lines: int, name: str, warnings: int, errors: int
) -> None:
    text = '"""A module."""\n' + "A = 1\n" * (lines - 1)
    found = list(tidy.check_python(name, text))
    assert sum(f.warning for f in found) == warnings
    assert sum(not f.warning for f in found) == errors


@pytest.mark.parametrize(("lines", "warning"), [(31, True), (61, False)])
def test_a_long_function_is_found(lines: int, warning: bool) -> None:
    text = '"""A module."""\ndef long() -> None:\n' + "    a = 1\n" * (lines - 1)
    (finding,) = tidy.check_python("libs/x.py", text)
    assert finding.warning is warning
    assert "long has" in finding.text


def test_a_function_docstring_is_not_counted() -> None:
    docstring = '    """First.\n' + "    more\n" * 40 + '    """\n'
    text = '"""A module."""\ndef told() -> int:\n' + docstring + "    return 1\n"
    assert not list(tidy.check_python("libs/x.py", text))


def test_a_line_past_the_columns_is_found() -> None:
    assert (
        "columns" in texts(tidy.check_python("libs/x.py", CLEAN + "B = '" + "b" * 100 + "'\n"))[0]
    )


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME"])
def test_a_leftover_marker_is_found(word: str) -> None:
    assert "leftover" in texts(tidy.forbidden_text("libs/x.py", f"# {word}: later\n"))[0]


@pytest.mark.parametrize("host", ["files.python" + "hosted.org", "py" + "pi.org", "crates" + ".io"])
def test_a_registry_host_is_found(host: str) -> None:
    assert "registry" in texts(tidy.forbidden_text("requirements/a.txt", f"https://{host}/x"))[0]


@pytest.mark.parametrize("path", ["/ro" + "ot/.cache", "/wo" + "rk/main", "/ho" + "me/ann/daygen"])
def test_a_path_of_one_machine_is_found(path: str) -> None:
    assert "machine" in texts(tidy.forbidden_text("docs/a.md", f"see {path}/x"))[0]


@pytest.mark.parametrize("path", ["/api/work/items", "https://x.example/home/page", "~/.cache/"])
def test_other_paths_are_left_alone(path: str) -> None:
    assert not list(tidy.forbidden_text("docs/a.md", f"see {path}"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM b",
        "INSERT INTO b VALUES (1)",
        "UPDATE b SET a = 1",
        "DELETE FROM b",
        "\n        WITH fresh AS (SELECT 1) SELECT * FROM fresh",
    ],
)
def test_sql_outside_the_store_is_found(statement: str) -> None:
    text = f'"""A module."""\nQUERY = """{statement}"""\n'
    assert "store" in texts(tidy.check_python("services/ledger/handlers.py", text))[0]
    assert not list(tidy.check_python("services/ledger/store.py", text))
    assert not list(tidy.check_python("services/ledger/store/entries.py", text))


def test_prose_about_selecting_is_not_sql() -> None:
    text = '"""A module."""\nTEXT = "Select a plan from the list to update your set"\n'
    assert not list(tidy.check_python("services/ledger/handlers.py", text))
