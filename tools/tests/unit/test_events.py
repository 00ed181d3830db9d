"""docs/events is what the models say, and the models say what the services do."""

import ast
import json
import shutil
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.local.problem import Problem
from libs.events.history import SAMPLES, SCHEMAS
from libs.events.names import Service
from libs.events.registry import EVENTS
from tools import cli
from tools.events import catalogue, schema
from tools.events.subscriptions import all_subscriptions
from tools.places import ROOT

COMPLETED = "daygen.generation.completed.3.json"


def test_the_generated_files_are_up_to_date() -> None:
    assert schema.drift() == []


def test_what_was_published_has_not_changed() -> None:
    assert catalogue.promises_broken() == []


def test_every_version_has_its_writers_upcasters_and_samples() -> None:
    assert catalogue.parts_missing() == []


def test_generating_twice_gives_the_same_bytes() -> None:
    assert catalogue.generated() == catalogue.generated()


def test_nothing_else_lies_among_the_generated_files() -> None:
    versions = {f"{SCHEMAS}/{each.name}" for each in (ROOT / SCHEMAS).iterdir()}
    older = {path for path in catalogue.files_of(ROOT) if path.startswith(SCHEMAS)}
    assert versions - older <= {f"{SCHEMAS}/README.md"}


@cache
def makers() -> dict[str, set[Service]]:
    """Which services make a payload of which class; the runtime does what every service does."""
    found: dict[str, set[Service]] = defaultdict(set)
    places = {
        **{f"services/{service.value}": {service} for service in Service},
        "libs/runtime": set(Service),
    }
    for place, services in places.items():
        for file in (ROOT / place).rglob("*.py"):
            if "tests" in file.parts or file.stem.startswith("testing"):
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    found[node.func.id] |= services
    return found


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_a_service_that_makes_an_event_is_one_of_its_declared_writers(model: Any) -> None:
    assert makers()[model.__name__] <= set(model.writers)


def test_the_search_for_makers_finds_them() -> None:
    assert makers()["GenerationCompleted"] == {Service.GENERATION}
    assert makers()["MessageParked"] == set(Service)


@pytest.mark.parametrize("reader", all_subscriptions(), ids=lambda reader: reader.group)
def test_a_service_reads_the_topics_of_the_types_it_handles_and_no_others(reader: Any) -> None:
    handled = {model.topic for model in EVENTS if model.event_type in reader.event_types}
    assert handled == set(reader.topics)


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {each for item in node for each in references(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*(references(each) for each in node.values()))


def test_every_reference_of_the_overview_leads_somewhere() -> None:
    overview = json.loads(catalogue.generated()[f"{SCHEMAS}/asyncapi.json"])
    for reference in references(overview):
        if reference.startswith("#/"):
            place = overview
            for name in reference.removeprefix("#/").split("/"):
                place = place[name]
        else:
            assert (ROOT / SCHEMAS / reference).is_file()


def test_every_event_is_sent_by_its_writers_and_received_by_its_readers() -> None:
    overview = json.loads(catalogue.generated()[f"{SCHEMAS}/asyncapi.json"])
    operations = overview["operations"]
    channel = "#/channels/daygen.generation"
    assert operations["gateway.send.daygen.generation"]["messages"] == [
        {"$ref": f"{channel}/messages/daygen.generation.requested.1"},
        {"$ref": f"{channel}/messages/daygen.generation.cancel_requested.1"},
    ]
    assert operations["gallery.receive.daygen.generation"]["messages"] == [
        {"$ref": f"{channel}/messages/daygen.generation.completed.1"},
        {"$ref": f"{channel}/messages/daygen.generation.completed.2"},
        {"$ref": f"{channel}/messages/daygen.generation.completed.3"},
    ]
    assert operations["gallery.receive.daygen.generation"]["bindings"]["kafka"]["groupId"] == {
        "type": "string",
        "enum": ["daygen.gallery"],
    }
    assert set(overview["components"]["messages"]) == {
        "dead-letter",
        *(
            f"{model.event_type.value}.{number}"
            for model in EVENTS
            for number in range(1, model.event_version + 1)
        ),
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the catalogue reads, published as the first commit of a repository."""
    shutil.copytree(ROOT / SCHEMAS, tmp_path / SCHEMAS)
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_missing_or_changed_file_is_written_again(tree: Path) -> None:
    text = (tree / SCHEMAS / COMPLETED).read_text()
    (tree / SCHEMAS / COMPLETED).unlink()
    (tree / SCHEMAS / "asyncapi.json").write_text("{}")
    paths = [f"{SCHEMAS}/{COMPLETED}", f"{SCHEMAS}/asyncapi.json"]
    assert catalogue.drifted(tree) == paths
    assert catalogue.write(tree) == paths
    assert catalogue.drifted(tree) == []
    assert (tree / SCHEMAS / COMPLETED).read_text() == text


def test_published_is_what_was_committed_whatever_the_file_says_now(tree: Path) -> None:
    path = tree / SAMPLES / COMPLETED
    path.write_text(path.read_text().replace("a lighthouse", "a windmill"))
    (sentence,) = catalogue.promises_broken(root=tree)
    assert sentence.endswith(f"is never edited: restore {SAMPLES}/{COMPLETED}.")
    shutil.rmtree(tree / ".git")
    assert catalogue.promises_broken(root=tree) == []


def test_a_file_that_is_not_json_is_a_problem(tree: Path) -> None:
    (tree / SCHEMAS / COMPLETED).write_text("<<<<<<< HEAD")
    with pytest.raises(Problem, match=f"{SCHEMAS}/{COMPLETED} is not JSON: restore it"):
        catalogue.promises_broken(root=tree)


def test_a_published_type_without_a_model_is_refused(tree: Path) -> None:
    old = json.loads((tree / SCHEMAS / COMPLETED).read_text())
    (tree / SCHEMAS / "daygen.generation.completed.4.json").write_text(json.dumps(old))
    shutil.rmtree(tree / ".git")
    (sentence,) = catalogue.promises_broken(root=tree)
    assert sentence.startswith("daygen.generation.completed version 4 was published and has no")


def test_drift_is_one_sentence_that_names_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "drifted", lambda: [f"{SCHEMAS}/{COMPLETED}"])
    assert cli.main(["events", "schema", "--check"]) == 1
    assert capsys.readouterr().out == (
        f"docs/events differs from the models ({COMPLETED}): run `./daygen events schema`.\n"
    )


def test_nothing_is_written_over_what_was_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "promises_broken", lambda _base: ["It changed."])
    monkeypatch.setattr(catalogue, "write", lambda: pytest.fail("written"))
    assert cli.main(["events", "schema"]) == 2
    told = capsys.readouterr()
    assert told.out == "It changed.\n"
    assert told.err.startswith("daygen: Nothing was written to docs/events")


def test_a_commit_that_does_not_exist_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["events", "schema", "--check", "--base", "no-such-commit"]) == 2
    assert "There is no commit no-such-commit" in capsys.readouterr().err
