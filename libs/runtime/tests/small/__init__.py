"""The smallest service: it counts what it has heard, and answers each event with another."""
