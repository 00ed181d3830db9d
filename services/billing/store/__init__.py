"""Every SQL statement of billing."""
