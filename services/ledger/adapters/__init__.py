"""Where the ledger's secrets are kept."""
