"""The table in docs/providers.md: each row is what a run of the tests has seen."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from infra.simulators.scripts import Situation

PAGE = Path(__file__).parents[4] / "docs" / "providers.md"
BEGIN = "<!-- the tests write this table -->"
COLUMNS = {
    Situation.SUCCESS: "success",
    Situation.MODERATION: "moderation",
    Situation.RATE_LIMIT: "rate limit",
    Situation.CREDIT: "no credit",
    Situation.AUTH: "wrong key",
    Situation.BAD_REQUEST: "bad request",
    Situation.SERVER: "5xx",
    Situation.TIMEOUT: "no answer",
    Situation.TRUNCATED: "cut off",
    Situation.WRONG_TYPE: "no picture",
    "crash": "crash, then resume",
    Situation.NEVER: "never ends",
}


class Table:
    """One provider's row for one operation."""

    def __init__(self, provider: str, operation: str) -> None:
        self._name = (f"`{provider}`", operation)
        self._cells: dict[str, str] = {}

    def cell(self, situation: str, outcome: str) -> None:
        """What was seen."""
        self._cells[situation] = outcome

    @property
    def row(self) -> tuple[str, ...]:
        """Its cells, all of them."""
        assert set(self._cells) == set(COLUMNS), "every cell is run"
        return (*self._name, *(self._cells[each] for each in COLUMNS))


def check(tables: Iterable[Table]) -> None:
    """Compare with the page; a row that is not true any more is written, and fails."""
    before, rows = _read()
    seen = {table.row[:2]: table.row for table in tables}
    wrong = sorted(name for name in seen if rows.get(name) != seen[name])
    if wrong:
        _write(before, {**rows, **seen})
    assert not wrong, f"{PAGE.name} was not true of {wrong}: it is now, commit it"


def forget_all_but(names: Collection[tuple[str, str]]) -> None:
    """Rows of what there is no more do not stay."""
    before, rows = _read()
    gone = sorted(set(rows) - {(f"`{provider}`", operation) for provider, operation in names})
    if gone:
        _write(before, {name: row for name, row in rows.items() if name not in gone})
    assert not gone, f"{PAGE.name} had rows of {gone}: they are gone, commit it"


def _read() -> tuple[str, dict[tuple[str, ...], tuple[str, ...]]]:
    before, _, after = PAGE.read_text().partition(BEGIN)
    lines = [line for line in after.strip().splitlines() if line.startswith("| `")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return before, {row[:2]: row for row in cells}


def _write(before: str, rows: Mapping[tuple[str, ...], tuple[str, ...]]) -> None:
    head = ("provider", "operation", *COLUMNS.values())
    lines = [head, tuple("---" for _ in head), *(rows[name] for name in sorted(rows))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n")
