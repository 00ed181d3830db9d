"""The gateway's copy of a credit account: what the ledger last said, and what is held of it."""

from msgspec import Struct
from msgspec.structs import replace


class AccountCopy(Struct, frozen=True, kw_only=True, gc=False):
    """`settled` and `grace` are the ledger's at `version`; `held` is the sum of the open holds."""

    version: int
    settled: int
    grace: int
    held: int

    @property
    def available(self) -> int:
        """What may still be promised. Below zero is debt, which blocks admission."""
        return self.settled + self.grace - self.held

    @property
    def shown_credits(self) -> int:
        """The balance that a user sees."""
        return max(0, self.settled - self.held)


def catch_up(copy: AccountCopy, *, version: int, settled: int, grace: int) -> AccountCopy:
    """The copy after a credits event. An older one says nothing: a newer has said it better."""
    if version <= copy.version:
        return copy
    return replace(copy, version=version, settled=settled, grace=grace)


def let_go(copy: AccountCopy, held_credits: int) -> AccountCopy:
    """The copy after a hold of so many credits was closed."""
    return replace(copy, held=copy.held - held_credits)
