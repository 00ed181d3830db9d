"""Fetch and verify receipts of jobs and the log's checkpoints; look after the keys."""

import argparse
import asyncio
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from infra.local.home import write_private
from infra.local.problem import Problem
from libs.proofs import merkle
from libs.proofs.checkpoints import Checkpoint, open_checkpoint
from libs.proofs.keyring import SECRET_BYTES, Keyring, KeyringError, read_published
from libs.proofs.merkle import ProofError
from libs.proofs.notes import NoteError, VerifierKey, from_base64
from libs.proofs.receipts import Receipt, ReceiptError, verify_receipt
from tools.admin_session import run_as_admin
from tools.api_client import ApiClient
from tools.places import add_home, home_of

EXIT_WRONG: Final = 1
KEYS_PATH: Final = "/.well-known/daygen-keys.json"
FILE_BYTES_MAX: Final = 4_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    verify = commands.add_parser("verify", help="Check a receipt, offline.")
    verify.add_argument("file", type=Path)
    get = commands.add_parser("get", help="A job's receipt, as it is to be kept.")
    get.add_argument("job", type=UUID)
    get.add_argument("--out", type=Path, help="default: standard output")
    check = commands.add_parser("checkpoint", help="The log's signed state, checked.")
    check.add_argument("--since", type=Path, help="an older one: the log must begin with it")
    prove = commands.add_parser("prove", help="The proof that an entry of the log is in it.")
    prove.add_argument("position", type=int)
    keys = commands.add_parser("keys", help="The keys that sign, and that have signed.")
    keys.add_argument("action", choices=("list", "rotate"))
    for child in (verify, get, check, prove, keys):
        add_home(child)
        child.add_argument("--json", action="store_true", help="for programs")
    for child in (verify, check):
        child.add_argument("--keys", type=Path, help="published keys; default: those of the home")
    check.add_argument("--out", type=Path, help="default: standard output")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if what was to be checked does not hold."""
    match arguments.subcommand:
        case "verify":
            return _verify(arguments)
        case "keys":
            return _rotate(arguments) if arguments.action == "rotate" else _list(arguments)
        case "get":
            return run_as_admin(arguments, _get)
        case "prove":
            return run_as_admin(arguments, _prove)
    return run_as_admin(arguments, _checkpoint)


def _verify(arguments: argparse.Namespace) -> int:
    text = _read(arguments.file)
    try:
        receipt = verify_receipt(text, _keys(arguments))
    except ReceiptError as error:
        _tell(arguments, {"valid": False, "reason": str(error)}, f"NOT VALID: {error}")
        return EXIT_WRONG
    _tell(arguments, {"valid": True, **json.loads(text)}, _words(receipt))
    return 0


def _words(receipt: Receipt) -> str:
    job, moved = receipt.job, receipt.credits
    first, second = (each.position for each in receipt.log.entries)
    made = f"{job.operation} by {job.provider}, model {job.model}" if job.provider else "unreadable"
    price = f"{job.units} x {job.unit_credits} credits, price book {job.price_book_version}"
    return "\n".join(
        [
            f"Valid: signed by {receipt.log.origin}, nothing was changed.",
            f"  job        {job.job_id}  ({made}; {job.outcome})",
            f"  price      {price if job.units else '-'}",
            f"  charged    {moved.captured} credits of {moved.held} held, {moved.released} freed",
            f"  delivered  {job.delivered_units}, {len(job.images)} pictures",
            *(f"             sha256 {each.sha256}" for each in job.images),
            f"  closed     {receipt.times.closed_at}, sealed {receipt.times.sealed_at}",
            f"  log        entries {first} and {second} are in it",
        ]
    )


async def _get(client: ApiClient, arguments: argparse.Namespace) -> int:
    text = await client.read(f"/api/jobs/{arguments.job}/receipt")
    _write(arguments.out, text)
    return 0


async def _prove(client: ApiClient, arguments: argparse.Namespace) -> int:
    proof = await client.call("GET", f"/api/log/proof/inclusion/{arguments.position}")
    lines = [f"entry {arguments.position} of {proof['size']}, root {proof['root']}"]
    _tell(arguments, proof, "\n".join([*lines, *(f"  {each}" for each in proof["hashes"])]))
    return 0


async def _checkpoint(client: ApiClient, arguments: argparse.Namespace) -> int:
    note = (await client.read("/api/log/checkpoint")).decode()
    older = None if arguments.since is None else await _older(arguments.since)
    try:
        keys = await asyncio.to_thread(_keys, arguments)
        origin = keys[-1].name
        now = open_checkpoint(note, keys, origin)
        if older is not None:
            await _check_consistency(client, open_checkpoint(older, keys, origin), now)
    except (NoteError, ProofError) as error:
        _tell(arguments, {"valid": False, "reason": str(error)}, f"NOT VALID: {error}")
        return EXIT_WRONG
    _write(arguments.out, note.encode())
    return 0


async def _older(file: Path) -> str:
    return (await asyncio.to_thread(_read, file)).decode("utf-8", "replace")


async def _check_consistency(client: ApiClient, old: Checkpoint, now: Checkpoint) -> None:
    if old.size > now.size:
        raise ProofError(f"The log had {old.size} entries, and has {now.size} now.")
    path = f"/api/log/proof/consistency/{old.size}?size={now.size}"
    proof = await client.call("GET", path)
    hashes = [from_base64(each) for each in proof["hashes"]]
    merkle.verify_consistency(old.size, now.size, old.root, now.root, hashes)


def _list(arguments: argparse.Namespace) -> int:
    published = _keyring(arguments).published()
    lines = [f"keys of {published.origin}"]
    for each in published.keys:
        use = "signs" if each.is_signing else "verifies"
        lines.append(f"  {each.created_at.isoformat()}  {use:<8}  {each.key}")
    _tell(arguments, msgspec.to_builtins(published), "\n".join(lines))
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    keyring = _keyring(arguments).rotated(secrets.token_bytes(SECRET_BYTES), datetime.now(UTC))
    write_private(home_of(arguments).receipt_keys_file, keyring.text)
    return _list(arguments)


def _keyring(arguments: argparse.Namespace) -> Keyring:
    file = home_of(arguments).receipt_keys_file
    try:
        return Keyring.read(file.read_text())
    except FileNotFoundError:
        up = home_of(arguments).command("up")
        raise Problem(f"{file} is not there: the first `{up}` makes it.") from None
    except (OSError, KeyringError) as error:
        raise Problem(f"{file} cannot be read: {error}.") from error


def _keys(arguments: argparse.Namespace) -> Sequence[VerifierKey]:
    """The given published keys, else those of the home.

    Raises:
        Problem: there are none.
    """
    if arguments.keys is None:
        return _keyring(arguments).verifiers
    try:
        return read_published(_read(arguments.keys))
    except KeyringError as error:
        raise Problem(f"{arguments.keys}: {error}; fetch {KEYS_PATH} again.") from error


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES_MAX)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}.") from error


def _write(out: Path | None, text: bytes) -> None:
    if out is None:
        print(text.decode(), end="")
        return
    try:
        out.write_bytes(text)
    except OSError as error:
        raise Problem(f"{out} cannot be written: {error.strerror}.") from error


def _tell(arguments: argparse.Namespace, value: object, text: str) -> None:
    print(json.dumps(value, indent=2) if arguments.json else text)
