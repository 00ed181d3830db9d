"""The ledger's HTTP routes."""
