"""The refusal of input that does not fit."""


class InvalidRequestError(ValueError):
    """Malformed or missing input; the text is one sentence for the person who sent it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
