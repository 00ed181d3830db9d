"""What the ledger refuses. All of it is deterministic: the same input is refused again.

LedgerError
├── InvalidInputError    an amount or an id that cannot be right
├── ForeignJobError      a job's credits asked for by another account than the one that pays for it
└── BrokenBooksError     a booking that would leave the books wrong
"""

from typing import ClassVar


class LedgerError(ValueError):
    """Base of all refusals; `code` is for machines and never changes."""

    code: ClassVar[str]


class InvalidInputError(LedgerError):
    code = "ledger_invalid_input"


class ForeignJobError(LedgerError):
    code = "ledger_foreign_job"


class BrokenBooksError(LedgerError):
    code = "ledger_broken_books"
