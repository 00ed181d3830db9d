"""How an end and an output are put into words."""

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


def test_without_a_trouble_the_last_line_is_told() -> None:
    assert telling_line("one\ntwo\n\n") == "two"


def test_silence_is_told_too() -> None:
    assert telling_line("") == "no output"
