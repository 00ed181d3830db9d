"""Use cases: requests coming in, attempts and their ends, and what is overdue."""
