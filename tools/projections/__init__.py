"""Projections of a home, made anew and compared: what `rebuild` and `verify` share."""
