"""What rebuilds and verifications have found, as a person or a program reads it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.runtime.rebuild.compare import Comparison
from libs.runtime.rebuild.engine import Outcome


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Every figure; checksums as text, since they are larger than JSON readers keep exact."""
    found: dict[str, Any] = msgspec.to_builtins(outcome)
    for table, comparison in zip(found["tables"], outcome.tables, strict=True):
        table["equal"] = comparison.is_equal
        for side in ("live_checksum", "rebuilt_checksum"):
            table[side] = str(table[side])
    return found | {"equal": outcome.is_equal}


def table_of(service: str, tables: Sequence[Comparison]) -> list[str]:
    """One line for each table, and below it the rows that differ."""
    lines = []
    for each in tables:
        name = f"{service}.{each.table}"
        verdict = "equal" if each.is_equal else "DIFFERENT"
        lines.append(
            f"  {name:<26} {each.live_rows:>11,} {each.rebuilt_rows:>11,}  "
            f"{each.live_checksum % 2**64:016x}  {each.rebuilt_checksum % 2**64:016x}  {verdict}"
        )
        if not each.is_equal:
            least = "at least " if each.is_partial else ""
            lines.append(
                f"    {least}{each.missing} missing, {each.extra} extra, {each.changed} changed"
            )
            lines += [f"    {example.kind}: {example.key}" for example in each.examples]
    return lines


HEADING = (
    f"  {'table':<26} {'live rows':>11} {'rebuilt':>11}  {'live checksum':<16}  "
    f"{'rebuilt checksum':<16}"
)
