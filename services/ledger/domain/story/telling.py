"""To whom something is told, and how amounts, lots and times read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.credits import LotAmount

PROMPT_CHARACTERS_MAX: Final = 80


class LotFacts(Struct, frozen=True, kw_only=True):
    """What a person knows a lot by."""

    wallet: str
    source: str
    credits: int
    opened_at: datetime | None


class Telling(Struct, frozen=True, kw_only=True):
    """An administrator is told everything. A person hears of no attempt's, cost's or other's id."""

    is_admin: bool
    lots: Mapping[UUID, LotFacts] = {}

    def inside(self, text: str) -> str:
        """What only administrators are told, behind a sentence."""
        return f" [{text}]" if self.is_admin else ""

    def who(self, user_id: UUID) -> str:
        """A sentence's subject."""
        return f"User {user_id}" if self.is_admin else "You"

    def whose(self, account_id: UUID) -> str:
        return f"Account {account_id}'s" if self.is_admin else "Your"

    def by(self, actor: UUID | None) -> str:
        """Who did it, where that is somebody else."""
        if actor is None:
            return ""
        return f" by {actor}" if self.is_admin else " by an administrator"

    def out_of(self, amounts: Sequence[LotAmount]) -> str:
        """From which lots, in the order in which they were taken."""
        return ", ".join(self._lot(each) for each in amounts if each.credits)

    def _lot(self, amount: LotAmount) -> str:
        if amount.lot_id is None:
            return f"{amount.credits} beyond all lots"
        lot = self.lots.get(amount.lot_id)
        name = f" {amount.lot_id}" if self.is_admin else ""
        if lot is None:
            return f"{amount.credits} from a lot{name}"
        since = "" if lot.opened_at is None else f" of {lot.opened_at.astimezone(UTC):%Y-%m-%d}"
        return f"{amount.credits} from the {lot.wallet} lot{name}{since} ({lot.source})"


def credits_(count: int) -> str:
    return plural(count, "credit")


def plural(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if abs(count) == 1 else f"{count:,} {thing}s"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def quoted(text: str) -> str:
    """Somebody's words, no longer than a line takes."""
    if not text:
        return ""
    line = " ".join(text.split())
    if len(line) > PROMPT_CHARACTERS_MAX:
        line = f"{line[: PROMPT_CHARACTERS_MAX - 1]}…"
    return f': "{line}"'


def because(reason: str) -> str:
    return f", because: {reason}" if reason else ""
