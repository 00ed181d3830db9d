"""Every SQL statement of the gateway, one module per feature. Locks: account, job, user feed, limit; each sorted by id."""
