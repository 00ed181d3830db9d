"""Every SQL statement of the ledger. Each takes a whole batch; none is run once per event."""

from services.ledger.store.books import COLUMNS, Needed, load, record, rows_of, write

__all__ = ["COLUMNS", "Needed", "load", "record", "rows_of", "write"]
