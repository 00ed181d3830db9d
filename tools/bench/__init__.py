"""Measures the system beside a floor: the same path with no features, on the same parts."""
