"""docs/events as it is stored, as it should be, and as it was when it was published."""

import json
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from infra.kafka.topics import PARTITIONS_EMBEDDED, PARTITIONS_PRODUCTION, definitions
from infra.local.problem import Problem
from libs.events.history import (
    SAMPLES,
    SCHEMAS,
    Stored,
    broken_promises,
    missing_parts,
)
from libs.events.registry import EVENTS
from libs.events.schemas import Version, event_schema, file_name, version_in, version_of
from libs.events.upcasters import UPCASTERS
from tools.events.asyncapi import document
from tools.events.subscriptions import all_subscriptions
from tools.places import ROOT

ASYNCAPI = "asyncapi.json"
COMMAND = "./daygen events schema"
REPLICAS_PRODUCTION = 3

Files = Mapping[str, bytes]
"""Contents by path below the root."""


def promises_broken(base: str = "HEAD", root: Path = ROOT) -> list[str]:
    """What the models or the files changed of the versions that `base` has published."""
    present = files_of(root)
    before = published_files(root, base)
    published = stored(present if before is None else before)
    return list(broken_promises(EVENTS, published, stored(present)))


def parts_missing(root: Path = ROOT) -> list[str]:
    """Writers, upcasters and samples that a registered version lacks."""
    return list(missing_parts(EVENTS, UPCASTERS, stored(files_of(root))))


def drifted(root: Path = ROOT) -> list[str]:
    """Generated files that differ from what the models say."""
    return [
        path
        for path, text in generated(root).items()
        if not (root / path).is_file() or (root / path).read_text() != text
    ]


def write(root: Path = ROOT) -> list[str]:
    """Bring the generated files up to date; returns those that were written."""
    texts = generated(root)
    paths = drifted(root)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(texts[path])
    return paths


def generated(root: Path = ROOT) -> dict[str, str]:
    """Every file that follows from the models. Those of older versions stay as published."""
    newest = {version_of(model): event_schema(model) for model in EVENTS}
    known = {**stored(files_of(root)).schemas, **newest}
    embedded = definitions(PARTITIONS_EMBEDDED, 1)
    production = definitions(PARTITIONS_PRODUCTION, REPLICAS_PRODUCTION)
    topics = {one.name: (one, other) for one, other in zip(embedded, production, strict=True)}
    overview = document(EVENTS, known, all_subscriptions(), topics, _release(root))
    texts = {f"{SCHEMAS}/{file_name(version)}": _text(each) for version, each in newest.items()}
    return {**texts, f"{SCHEMAS}/{ASYNCAPI}": _text(overview)}


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _release(root: Path) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def stored(files: Files) -> Stored:
    """The schemas and samples among some files.

    Raises:
        Problem: one of them is not JSON.
    """
    found: dict[str, dict[Version, Any]] = {SCHEMAS: {}, SAMPLES: {}}
    for path, content in files.items():
        version = version_in(PurePosixPath(path).name)
        if version is not None:
            found[str(PurePosixPath(path).parent)][version] = _json(path, content)
    return Stored(schemas=found[SCHEMAS], samples=found[SAMPLES])


def _json(path: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise Problem(f"{path} is not JSON: restore it from its last commit.") from error


def files_of(root: Path) -> Files:
    """The JSON files of the two folders as they are now."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in (SCHEMAS, SAMPLES)
        for path in sorted((root / folder).glob("*.json"))
    }


def published_files(root: Path, base: str) -> Files | None:
    """The same of a commit; None where there is no repository to ask.

    Raises:
        Problem: the repository has no such commit.
    """
    if not (root / ".git").exists():
        return None
    listing = _git(root, "ls-tree", "-r", base, "--", SCHEMAS, SAMPLES)
    if listing is None:
        raise Problem(f"There is no commit {base} to compare with: name another one with --base.")
    paths = dict(_objects(listing.decode()))
    contents = _git(root, "cat-file", "--batch", given="\n".join(paths.values()).encode())
    return dict(zip(paths, _batch(contents or b""), strict=True))


def _objects(listing: str) -> Iterator[tuple[str, str]]:
    """Path and object id of each JSON file in a listing of `git ls-tree`."""
    for line in listing.splitlines():
        attributes, path = line.split("\t", 1)
        if path.endswith(".json"):
            yield path, attributes.split()[2]


def _batch(answers: bytes) -> Iterator[bytes]:
    """Contents in an answer of `git cat-file --batch`: a line with the size before each."""
    place = 0
    while place < len(answers):
        end = answers.index(b"\n", place)
        size = int(answers[place:end].split()[2])
        yield answers[end + 1 : end + 1 + size]
        place = end + 1 + size + 1


def _git(root: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    result = subprocess.run(
        ["git", *arguments], cwd=root, input=given, capture_output=True, check=False
    )
    return result.stdout if result.returncode == 0 else None
