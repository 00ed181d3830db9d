"""Jars are fetched once by whoever comes first, in spite of a network that fails now and then."""

import hashlib
import threading
import time
from pathlib import Path

import pytest
import requests

from infra.local import jars
from infra.local.jars import Jar
from infra.local.problem import Problem

CONTENT = b"classes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WANTED = [Jar("org.example", name, "1.0", SHA256) for name in ("first", "second", "third")]


class Repository:
    """Hands files out, after the answers that were planned for the first tries."""

    def __init__(self, *troubles: Exception | bytes) -> None:
        self.troubles = list(troubles)
        self.served: list[str] = []
        self._turn = threading.Lock()

    def download(self, jar: Jar, place: Path) -> Path:
        file = place / jar.filename
        assert not file.exists(), "what a broken try left behind is in the way of the next"
        with self._turn:
            trouble = self.troubles.pop(0) if self.troubles else CONTENT
        if isinstance(trouble, Exception):
            file.write_bytes(CONTENT[:2])
            raise trouble
        file.write_bytes(trouble)
        self.served.append(jar.artifact)
        return file


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "PAUSES_SECONDS", (0.0, 0.0))


def serve(monkeypatch: pytest.MonkeyPatch, *troubles: Exception | bytes) -> Repository:
    repository = Repository(*troubles)
    monkeypatch.setattr(jars, "download", repository.download)
    return repository


def arrived(directory: Path) -> set[str]:
    return {file.name for file in directory.glob("*.jar")}


@pytest.mark.parametrize(
    "trouble",
    [requests.ReadTimeout("slow"), requests.ConnectionError("cut"), Problem("not found"), b"half"],
    ids=["timeout", "cut", "refused", "cut short"],
)
def test_a_network_that_fails_now_and_then_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception | bytes
) -> None:
    serve(monkeypatch, trouble, trouble)
    jars.ensure(WANTED, tmp_path, lambda _: None)
    assert arrived(tmp_path) == {jar.filename for jar in WANTED}
    assert all((tmp_path / jar.filename).read_bytes() == CONTENT for jar in WANTED)


def test_a_network_that_stays_away_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, *[requests.ConnectionError("cut")] * 3)
    with pytest.raises(Problem, match="check the network"):
        jars.ensure(WANTED[:1], tmp_path, lambda _: None)
    assert not arrived(tmp_path)


def test_a_file_that_is_never_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, *[b"other classes"] * 3)
    with pytest.raises(Problem, match="not the pinned one"):
        jars.ensure(WANTED[:1], tmp_path, lambda _: None)
    assert not arrived(tmp_path)


def test_a_full_disk_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = serve(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(Problem, match="No space left"):
        jars.ensure(WANTED[:1], tmp_path, lambda _: None)
    assert not repository.served


def test_one_process_fetches_for_all_that_start_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = serve(monkeypatch)
    is_first_here = threading.Event()
    may_end = threading.Event()

    def download(jar: Jar, place: Path) -> Path:
        is_first_here.set()
        may_end.wait(30)
        return repository.download(jar, place)

    monkeypatch.setattr(jars, "download", download)
    reports: list[str] = []
    starts = [
        threading.Thread(target=jars.ensure, args=(WANTED, tmp_path, reports.append))
        for _ in range(2)
    ]
    starts[0].start()
    assert is_first_here.wait(30)
    starts[1].start()
    while not any("waiting for it" in line for line in reports):
        time.sleep(0.01)
    may_end.set()
    for start in starts:
        start.join(30)
    assert sorted(repository.served) == ["first", "second", "third"]
    assert arrived(tmp_path) == {jar.filename for jar in WANTED}
