"""Use cases: load, decide, write, announce, in one transaction each."""
