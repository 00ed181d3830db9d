"""The documentation is true of the tree: paths, names, links, ADR numbers and settings exist."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from libs.events.names import Service
from libs.runtime.settings import ServiceSettings
from tools.places import ROOT
from tools.tidy import tracked

WHERE_THINGS_GO = ROOT / "docs" / "where-things-go.md"
ADRS = ROOT / "docs" / "adr"
EXAMPLE = ROOT / ".env.example"

# Decisions and the change log tell of their own time: what they name may have moved since.
LIVING = (
    "README.md",
    "ARCHITECTURE.md",
    "docs/assets.md",
    "docs/events/README.md",
    "docs/operations.md",
    "docs/where-things-go.md",
)
LINKED = (
    *LIVING,
    "CHANGELOG.md",
    *(f"services/{service}/README.md" for service in Service),
    *(f"docs/adr/{each.name}" for each in ADRS.glob("*.md")),
)

CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"[\w.][\w.<>-]*(/[\w.<>-]+)*/?")
ENDINGS = (".py", ".sql", ".md", ".toml", ".json", ".txt", ".in", ".lock", ".yml")
PLACEHOLDER = re.compile(r"<[\w-]+>|NNNN|\bN\b")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SETTING = re.compile(r"(?P<off>#)?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


class Named(NamedTuple):
    """A place in the tree that a text names: a path, perhaps with something inside the file."""

    path: str
    inside: str


def named(text: str) -> Iterator[Named]:
    """`path`, or `path::name`, where a path has a slash or a file's ending."""
    for span in CODE.findall(FENCE.sub("", text)):
        path, _, inside = span.partition("::")
        looks_like_one = "/" in path or path.endswith(ENDINGS)
        # What stands in a home is made at a start and is no part of the tree.
        if looks_like_one and PATH.fullmatch(path) and not path.startswith(".daygen/"):
            yield Named(path, inside)


def found(path: str, files: list[str]) -> list[str]:
    """The tracked files that a path stands for; `<name>` and numbers stand for any.

    A name alone (`app.py`, `domain/`) is that of the root or of a service.
    """
    path = path.removeprefix("./").rstrip("/")
    parts = PLACEHOLDER.split(path)
    service = "" if "/" in path else "(services/[^/]+/)?"
    pattern = re.compile(service + "[^/]+".join(map(re.escape, parts)) + "(/.*)?")
    return [file for file in files if pattern.fullmatch(file)]


def holds(file: Path, name: str) -> bool:
    """Whether a module defines a name (`function`, `Class.method`, `CONSTANT`)."""
    if file.suffix != ".py":
        return re.search(rf"\b{re.escape(name)}\b", file.read_text()) is not None
    scope: list[ast.stmt] = ast.parse(file.read_text()).body
    for part in name.split("."):
        node = next((each for each in scope if part in _names_of(each)), None)
        if node is None:
            return False
        scope = getattr(node, "body", [])
    return True


def _names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {each.id for each in targets if isinstance(each, ast.Name)}


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as readers on the web give them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", LIVING)
def test_every_path_that_is_named_exists(page: str) -> None:
    files = tracked(ROOT)
    text = (ROOT / page).read_text()
    assert [each.path for each in named(text) if not found(each.path, files)] == []


@pytest.mark.parametrize("page", LIVING)
def test_every_function_that_is_named_is_there(page: str) -> None:
    files = tracked(ROOT)
    missing = [
        f"{each.path}::{each.inside}"
        for each in named((ROOT / page).read_text())
        if each.inside
        and not any(holds(ROOT / file, each.inside) for file in found(each.path, files))
    ]
    assert missing == []


def test_the_page_of_places_names_enough_of_them() -> None:
    assert len({each.path for each in named(WHERE_THINGS_GO.read_text())}) > 40


@pytest.mark.parametrize("page", LINKED)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text())
    broken = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_decisions_are_numbered_without_gaps_and_have_one_shape() -> None:
    files = sorted(ADRS.glob("*.md"))
    assert [file.name[:5] for file in files] == [f"{n:04}-" for n in range(1, len(files) + 1)]
    for file in files:
        text = file.read_text()
        assert text.startswith(f"# {file.name[:4]}. "), file.name
        headings = [each for each in HEADING.findall(text)[1:] if not each.startswith("#")]
        assert headings == ["Context", "Decision", "Consequences"], file.name


def test_the_architecture_leads_to_every_decision() -> None:
    links = set(LINK.findall((ROOT / "ARCHITECTURE.md").read_text()))
    assert {f"docs/adr/{file.name}" for file in ADRS.glob("*.md")} <= links


class Line(NamedTuple):
    """A variable of the example environment; one that is off stands in a comment."""

    value: str
    is_off: bool
    comment: str


def example() -> dict[str, Line]:
    lines: dict[str, Line] = {}
    comment = ""
    for text in EXAMPLE.read_text().splitlines():
        if line := SETTING.fullmatch(text):
            assert line["name"] not in lines, line["name"]
            lines[line["name"]] = Line(line["value"], line["off"] is not None, comment)
            comment = ""
        else:
            comment = text.removeprefix("#").strip()
    return lines


def settings_of(service: Service) -> type[ServiceSettings]:
    # By name: only a service's own app.py may import its settings, and that is checked.
    module = importlib.import_module(f"services.{service}.settings")
    settings: type[ServiceSettings] = module.Settings
    return settings


@pytest.mark.parametrize("service", Service)
def test_the_example_environment_holds_every_setting_and_no_other(service: Service) -> None:
    prefix = f"{service.upper()}_"
    expected = {f"{prefix}{field}".upper() for field in settings_of(service).model_fields}
    assert {name for name in example() if name.startswith(prefix)} == expected


@pytest.mark.parametrize("service", Service)
def test_the_example_environment_shows_the_defaults(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = settings_of(service)
    lines = {field: example()[f"{service}_{field}".upper()] for field in model.model_fields}
    for field, line in lines.items():
        monkeypatch.delenv(f"{service}_{field}".upper(), raising=False)
        if not line.is_off:
            monkeypatch.setenv(f"{service}_{field}".upper(), line.value)
    settings = model.load()
    for name, info in model.model_fields.items():
        has_plain_default = not (info.is_required() or info.default_factory or info.default is None)
        assert lines[name].is_off is not (info.is_required() or has_plain_default), name
        assert lines[name].comment.startswith("Required: ") is info.is_required(), name
        if has_plain_default:
            assert getattr(settings, name) == info.get_default(), name


def test_every_setting_of_the_example_environment_has_its_comment() -> None:
    assert [name for name, line in example().items() if not line.comment] == []


def test_the_readme_names_every_command() -> None:
    named = set(re.findall(r"`\./daygen (\w+)", (ROOT / "README.md").read_text()))
    commands = {path.stem for path in (ROOT / "tools" / "commands").glob("[a-z]*.py")}
    assert named == commands
