"""The table in docs/providers.md: each row is what one run of the tests has seen."""

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
    """One provider's row, for the operation `image`."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._cells: dict[str, str] = {}

    def cell(self, situation: str, outcome: str) -> None:
        """What was seen."""
        self._cells[situation] = outcome

    def check(self) -> None:
        """Compare with the page; a row that is not true any more is written, and fails."""
        assert set(self._cells) == set(COLUMNS), "every cell is run"
        cells = (f"`{self._provider}`", "image", *(self._cells[each] for each in COLUMNS))
        row = f"| {' | '.join(cells)} |"
        text = PAGE.read_text()
        before, _, after = text.partition(BEGIN)
        lines = after.strip().splitlines()
        rows = {line.split("|")[1].strip(): line for line in lines[2:] if line.startswith("|")}
        rest = [line for line in lines if not line.startswith("|")]
        is_true = rows.get(cells[0]) == row
        rows[cells[0]] = row
        head = f"| provider | operation | {' | '.join(COLUMNS.values())} |"
        rule = "|---" * (len(COLUMNS) + 2) + "|"
        written = [BEGIN, "", head, rule, *(rows[name] for name in sorted(rows)), *rest]
        PAGE.write_text(before + "\n".join(written) + "\n")
        assert is_true, f"{PAGE.name} was not true of {self._provider}: it is now, commit it"
