"""The broker's jars: pinned with hashes in jars.lock, fetched once into the user's cache."""

import fcntl
import hashlib
import os
import pwd
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.problem import Problem

LOCK = Path(__file__).parents[1] / "kafka" / "jars.lock"
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
# Resolved by itself: together with the broker its versions would be mixed with the broker's.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
DOWNLOADS_AT_ONCE = 8
READ_TIMEOUT_SECONDS = 30
# Between one try and the next, each up to half as long again so that they do not come together.
PAUSES_SECONDS = (1.0, 3.0, 9.0, 20.0)


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact and the SHA-256 of its file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK) -> list[Jar]:
    """One line a jar: `group:artifact:version sha256`."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    pins = [(coordinate.split(":"), sha256) for coordinate, sha256 in lines]
    return [Jar(group, artifact, version, sha256) for (group, artifact, version), sha256 in pins]


def cache_directory() -> Path:
    """A cache for all homes of this user; without a HOME, under the one of the password file."""
    user = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    base = os.environ.get("XDG_CACHE_HOME") or Path(user) / ".cache"
    return Path(base) / "daygen" / "jars"


def ensure(jars: Sequence[Jar], directory: Path, report: Callable[[str], None]) -> None:
    """Fetch what is missing; each file appears complete and checked, or not at all.

    One process fetches for all that start at once; the others wait and find the files.
    """
    if not _missing(jars, directory):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory, report):
            missing = _missing(jars, directory)
            with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as scratch:
                _fetch_all(missing, Path(scratch), directory, report)
    except OSError as error:
        raise Problem(_explain(error, directory)) from error


def _missing(jars: Sequence[Jar], directory: Path) -> list[Jar]:
    return [jar for jar in jars if not (directory / jar.filename).exists()]


@contextmanager
def _alone(directory: Path, report: Callable[[str], None]) -> Iterator[None]:
    """A lock that the kernel frees however its process ends."""
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("kafka       another start is downloading its jars: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_all(
    missing: Sequence[Jar], scratch: Path, directory: Path, report: Callable[[str], None]
) -> None:
    if not missing:
        return
    report(f"kafka       downloading {len(missing)} jars into {directory}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about each other: nothing for a newcomer
        import jgo.maven  # noqa: F401, PLC0415 - slow to import, needed once
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        downloads = [pool.submit(_fetch, jar, scratch, directory) for jar in missing]
        for done, download in enumerate(as_completed(downloads), start=1):
            download.result()
            if done % 10 == 0 or done == len(missing):
                report(f"kafka       {done} of {len(missing)} jars are here")


def _fetch(jar: Jar, scratch: Path, directory: Path) -> None:
    """Try again what a network does now and then: cut, time out, deliver in part."""
    for pause_seconds in (*PAUSES_SECONDS, None):
        # Each try has a place of its own: what a broken one left behind is not taken for a file.
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            try:
                file = download(jar, Path(place))
                _check(file, jar)
                shutil.move(file, directory / jar.filename)
            except (OSError, RuntimeError, Problem) as error:
                if pause_seconds is None or _is_of_the_disk(error):
                    raise
            else:
                return
        time.sleep(pause_seconds * random.uniform(1.0, 1.5))  # noqa: S311 - spreads, hides nothing


def download(jar: Jar, place: Path) -> Path:
    """The jar's file, somewhere below `place`.

    Raises:
        OSError: the network failed (without an `errno`), or the disk did.
        Problem: no repository has it.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, needed once

    context = MavenContext(repo_cache=place, timeout=READ_TIMEOUT_SECONDS)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    try:
        return Path(component.artifact().resolve())
    except RuntimeError as error:
        raise Problem(f"The jar {jar.filename} could not be downloaded: {error}.") from error


def _check(file: Path, jar: Jar) -> None:
    if hashlib.sha256(file.read_bytes()).hexdigest() != jar.sha256:
        raise Problem(f"The downloaded {jar.filename} is not the pinned one: its hash differs.")


def _is_of_the_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno is not None


def _explain(error: OSError, directory: Path) -> str:
    if _is_of_the_disk(error):
        return f"Kafka's jars cannot be stored in {directory}: {error.strerror}."
    return "Kafka's jars cannot be downloaded: check the network and start again."


def resolve_lock(report: Callable[[str], None]) -> str:
    """Text of a fresh lock: the broker, all it needs, and a binding for its log."""
    import jgo  # noqa: PLC0415 - slow to import, needed only to refresh the lock

    binding = [a for a in jgo.resolve(LOG_BINDING) if a.artifactId == "log4j-slf4j-impl"]
    lines = []
    for artifact in [*jgo.resolve(KAFKA), *binding]:
        digest = hashlib.sha256(artifact.resolve().read_bytes()).hexdigest()
        lines.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {digest}")
    report(f"{len(lines)} jars pinned")
    return "\n".join(["# Made by `./daygen lock`: coordinate, SHA-256.", *sorted(lines), ""])
