"""The one error of this package that a person is meant to read."""


class Problem(Exception):  # noqa: N818 - it is said to a person, who has a problem, not an error
    """One sentence that says what is wrong and what to do; the command line exits with code 2."""
