"""Compare a provider's bill (CSV) with the attempts: what is doubled, missing, free or unknown."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from infra.local.problem import Problem
from services.billing.domain.bills import FILE_BYTES_MAX
from tools.admin_session import run_as_admin
from tools.api_client import ApiClient, Json
from tools.places import add_home
from tools.times import moment_argument

BILLS: Final = "/api/admin/reconciliation/bills"
EXIT_FLAGGED: Final = 1
SENTENCES: Final = {
    "cost_differs": "costs {amount}, we had recorded {own}",
    "zero_cost": "is charged with nothing",
    "doubled": "was listed before",
    "unknown_attempt": "is nothing of ours, {amount}",
    "missing": "is not listed, we had recorded {own}",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", help="whose bill it is, as openai")
    parser.add_argument("file", type=Path, help="the CSV file, its columns as BILLING_BILL_FORMATS")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what it comes to, keep nothing"
    )
    for end in ("since", "until"):
        parser.add_argument(
            f"--{end}",
            type=partial(moment_argument, zone=UTC),  # as times in bills
            metavar="TIME",
            help="what the bill covers, in UTC (default: from its first line to its last)",
        )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_home(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if something is flagged, 2 if the bill is refused; then nothing is changed."""

    async def work(client: ApiClient, arguments: argparse.Namespace) -> int:
        asked = {
            "provider": arguments.provider,
            "fileName": arguments.file.name,
            "dryRun": str(arguments.dry_run).lower(),
            **{end: at for end in ("since", "until") if (at := getattr(arguments, end))},
        }
        answer = await client.call(
            "POST",
            f"{BILLS}?{urlencode(asked)}",
            data=_content(arguments.file),
            headers={"Content-Type": "text/csv"},
        )
        print(json.dumps(answer, indent=2) if arguments.json else "\n".join(_text(answer)))
        return EXIT_FLAGGED if answer["flagged"] else 0

    return run_as_admin(arguments, work)


def _content(file: Path) -> bytes:
    """The file, as far as it would be taken: what is too much is refused by its line."""
    try:
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}.") from error


def _text(bill: Json) -> Iterator[str]:
    kept = "a dry run, nothing is kept" if bill["isDryRun"] else f"bill {bill['id']}"
    if not bill["isNew"]:
        kept = f"known since {bill['importedAt']} as {kept}: nothing is changed"
    yield f"{bill['provider']}: {bill['lines']:,} lines, {kept}"
    yield f"  covers {bill['since']} to {bill['until']}"
    yield (
        f"  billed {_dollars(bill['billedMicrousd'])}, recorded {_dollars(bill['ownMicrousd'])},"
        f" drift {_dollars(bill['driftMicrousd'])}"
    )
    for finding, count in bill["findings"].items():
        yield f"  {count:>9,}  {finding.replace('_', ' ')}"
    for entry in bill["flaggedEntries"]:
        yield _entry(entry)
    if bill["flagged"] > len(bill["flaggedEntries"]):
        yield f"  ... {bill['flagged']:,} in all: GET {BILLS}/{bill['id']}/entries"


def _entry(entry: Json) -> str:
    place = f"line {entry['line']}" if entry["line"] else f"attempt {entry['attemptId']}"
    what = SENTENCES[entry["finding"]].format(
        amount=_dollars(entry["amountMicrousd"]), own=_dollars(entry["ownMicrousd"])
    )
    return f"  {place} ({entry['reference'] or 'no reference'}, {entry['at']}) {what}"


def _dollars(microusd: int) -> str:
    whole, rest = divmod(abs(microusd), 1_000_000)
    return f"{'-' if microusd < 0 else ''}${whole:,}.{rest:06}"
