"""How an end and an output are put into words."""

import json

import pytest

from infra.local.process import describe, telling_line


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "still running"), (0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL")],
)
def test_an_end_is_described_in_words(code: int | None, words: str) -> None:
    assert describe(code) == words


def test_the_line_that_names_the_trouble_is_told() -> None:
    output = "starting\nFATAL: could not write: No space left on device\nshutting down\n"
    assert telling_line(output) == "FATAL: could not write: No space left on device"


def test_an_exception_in_a_line_of_json_is_told_without_its_traceback() -> None:
    event = 'Traceback (most recent call last):\n  File "a.py"\nMigrationError: 0002 is gone.\n'
    records = [{"level": "error", "event": event}, {"level": "error", "event": "Exiting."}]
    output = "\n".join(json.dumps(record) for record in records)
    assert telling_line(output) == "MigrationError: 0002 is gone."


def test_without_a_trouble_the_last_line_is_told() -> None:
    assert telling_line("one\ntwo\n\n") == "two"


def test_silence_is_told_too() -> None:
    assert telling_line("") == "no output"
