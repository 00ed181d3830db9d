"""The home directory of one embedded system: its paths, its lock, its secrets, its ports."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local.problem import Problem

ADMIN_EMAIL = "admin@daygen.local"


def default_root() -> Path:
    """What commands are about when no home is named: beside the code, or the environment's."""
    return Path(os.environ.get("DAYGEN_HOME", Path(__file__).parents[2] / ".daygen"))


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of one embedded system lives."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def admin_password_file(self) -> Path:
        return self.root / "admin-password"

    @property
    def receipt_keys_file(self) -> Path:
        return self.root / "receipt-keys.json"

    def part(self, name: str) -> Path:
        return self.root / name

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def command(self, words: str) -> str:
        """What to type so that a command is about this home, and not about the default one."""
        is_default = self.root == default_root().expanduser().resolve()
        return f"./daygen {words}" if is_default else f"./daygen {words} --home {self.root}"

    def make(self) -> None:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(
                f"The home {self.root} cannot be made ({error.strerror}): choose another --home."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for one supervisor; the kernel frees it however that one ends."""
        self.make()
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Problem(
                    f"DayGen already runs on {self.root}: end it with `{self.command('down')}`, "
                    "or give this one another --home and --port."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def supervisor_pid(self) -> int | None:
        """Who holds the home, if anybody does."""
        text = (self.root / "lock").read_text() if self.is_locked() else ""
        return int(text) if text else None

    def is_locked(self) -> bool:
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


@dataclass(frozen=True, slots=True)
class Secrets:
    """Random once per home; in one file that only its owner may read."""

    postgres: dict[str, str]
    s3_access_key: str
    s3_secret_key: str
    jwt: str
    internal: str
    webhooks: str  # what simulated providers sign their calls with


def load_secrets(home: Home, roles: Sequence[str]) -> Secrets:
    """Read the home's secrets; what is missing (a first start, a new role) is made up."""
    known = read_json(home.secrets_file)
    passwords = known.get("postgres", {})
    made = Secrets(
        postgres={role: passwords.get(role) or secrets.token_urlsafe(24) for role in roles},
        s3_access_key=known.get("s3_access_key") or secrets.token_hex(10).upper(),
        s3_secret_key=known.get("s3_secret_key") or secrets.token_urlsafe(30),
        jwt=known.get("jwt") or secrets.token_urlsafe(48),
        internal=known.get("internal") or secrets.token_urlsafe(48),
        webhooks=known.get("webhooks") or secrets.token_urlsafe(48),
    )
    write_json(home.secrets_file, asdict(made))
    if not home.admin_password_file.exists():
        write_private(home.admin_password_file, secrets.token_urlsafe(18) + "\n")
    return made


def read_json(path: Path) -> Any:
    """The file's object, an empty one if there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Problem(f"{path} is not readable JSON: remove that file and start again.") from None


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, so that a reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}.") from error


def write_json(path: Path, value: object) -> None:
    write_private(path, json.dumps(value, indent=2) + "\n")
