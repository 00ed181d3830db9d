"""The command line itself: what it offers and how it refuses."""

import argparse
from pathlib import Path

import pytest

from infra.local.home import Home
from infra.local.problem import Problem
from tools import cli
from tools.commands import test, up


def test_every_command_has_a_summary() -> None:
    summaries = cli.summaries()
    assert {"up", "down", "status", "logs", "test", "check"} <= set(summaries)
    assert all(summaries.values())


def test_a_problem_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise Problem("The disk is full.")

    monkeypatch.setattr(up, "run", run)
    assert cli.main(["up"]) == 2
    assert capsys.readouterr().err == "daygen: The disk is full.\n"


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize("port", ["65536", "web", "-1"])
def test_a_port_that_is_none_is_refused(
    command: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main([command, "--port", port])
    assert refusal.value.code == 2


def test_a_step_that_check_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main(["check", "spelling"])
    assert refusal.value.code == 2
    assert "there is no step spelling: choose from format, lint" in capsys.readouterr().err


def test_a_command_to_type_names_a_home_that_is_not_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAYGEN_HOME", str(tmp_path))
    assert Home(tmp_path).command("down") == "./daygen down"
    assert Home(tmp_path / "other").command("down") == f"./daygen down --home {tmp_path}/other"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main(["fly"])
    assert refusal.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "passed_on"),
    [
        ([], []),
        (["all"], []),
        (["unit"], ["-m", "unit"]),
        (["integration", "-k", "kafka", "-x"], ["-m", "integration", "-k", "kafka", "-x"]),
        (["--durations=5"], ["--durations=5"]),
        (["libs/events", "-q"], ["libs/events", "-q"]),
    ],
)
def test_options_after_the_suite_reach_pytest(words: list[str], passed_on: list[str]) -> None:
    assert cli.parse(["test", *words], test).words == words
    shared, *rest = test.pytest_words(words)
    assert 1 <= int(shared.removeprefix("--numprocesses=")) <= test.WORKERS_MAX
    assert rest == passed_on


@pytest.mark.parametrize("word", ["-n0", "--numprocesses=3", "-s", "--pdb"])
def test_whoever_talks_to_pytest_says_how_many_processes_there_are(word: str) -> None:
    assert test.pytest_words(["unit", word]) == ["-m", "unit", word]
