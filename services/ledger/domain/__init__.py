"""The rules of credits as pure functions: no I/O, no clock, no random."""
