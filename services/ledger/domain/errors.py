"""What the ledger refuses. All of it is deterministic: the same input is refused again.

LedgerError
├── InvalidInputError      an amount or an id that cannot be right
├── ForeignJobError        a job's credits asked for by another account than the one that pays
├── ForeignKeyError        something booked for one account, asked for again by another
├── AlreadyReversedError   a transaction is reversed once
├── NotReversibleError     a transaction that has no opposite
├── BrokenBooksError       a booking that would leave the books wrong
└── BrokenLogError         a seal that does not fit the log before it
"""

from typing import ClassVar


class LedgerError(ValueError):
    """Base of all refusals; `code` is for machines and never changes."""

    code: ClassVar[str]


class InvalidInputError(LedgerError):
    code = "ledger_invalid_input"


class ForeignJobError(LedgerError):
    code = "ledger_foreign_job"


class ForeignKeyError(LedgerError):
    code = "ledger_foreign_key"


class AlreadyReversedError(LedgerError):
    code = "ledger_already_reversed"


class NotReversibleError(LedgerError):
    code = "ledger_not_reversible"


class BrokenBooksError(LedgerError):
    code = "ledger_broken_books"


class BrokenLogError(LedgerError):
    code = "ledger_broken_log"
