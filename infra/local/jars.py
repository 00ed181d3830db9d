"""The broker's jars: pinned with hashes in jars.lock, fetched once into the user's cache."""

import hashlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from infra.local.problem import Problem

LOCK = Path(__file__).parents[1] / "kafka" / "jars.lock"
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
# Resolved by itself: together with the broker its versions would be mixed with the broker's.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
DOWNLOADS_AT_ONCE = 8


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
    """Fetch what is missing; each file appears complete and checked, or not at all."""
    missing = [jar for jar in jars if not (directory / jar.filename).exists()]
    if not missing:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as scratch:
            _fetch_all(missing, Path(scratch), directory, report)
    except OSError as error:
        raise Problem(_explain(error, directory)) from error


def _fetch_all(
    missing: Sequence[Jar], scratch: Path, directory: Path, report: Callable[[str], None]
) -> None:
    report(f"kafka       downloading {len(missing)} jars into {directory}")
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        downloads = [pool.submit(_fetch, jar, scratch, directory) for jar in missing]
        for done, download in enumerate(as_completed(downloads), start=1):
            download.result()
            if done % 10 == 0 or done == len(missing):
                report(f"kafka       {done} of {len(missing)} jars are here")


def _fetch(jar: Jar, scratch: Path, directory: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, needed once

    context = MavenContext(repo_cache=scratch)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    try:
        file = component.artifact().resolve()
    except RuntimeError as error:
        raise Problem(f"The jar {jar.filename} could not be downloaded: {error}.") from error
    if hashlib.sha256(file.read_bytes()).hexdigest() != jar.sha256:
        raise Problem(f"The downloaded {jar.filename} is not the pinned one: its hash differs.")
    shutil.move(file, directory / jar.filename)


def _explain(error: OSError, directory: Path) -> str:
    if error.errno is not None:
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
