"""Every SQL statement of the ledger. Each takes a whole batch; none is run once per event."""

from services.ledger.store.books import Needed, load, record, write

__all__ = ["Needed", "load", "record", "write"]
