"""What text from outside must satisfy, and the refusal of input that does not fit."""


class InvalidRequestError(ValueError):
    """Malformed or missing input; the text is one sentence for the person who sent it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def is_storable(text: str) -> bool:
    """Whether Postgres takes it: JSON allows NUL and lone surrogates, Postgres does not."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
