"""The one error of this package that a person is meant to read."""


class Problem(Exception):
    """One sentence that says what is wrong and what to do; the command line exits with code 2."""
