"""What the gateway refuses of people who come in. The web client matches some of these texts.

BadRequest          BadResetToken
Unauthorized        InvalidCredentials
Forbidden           WrongPassword
Conflict            EmailTaken
TooManyRequests     GuessesExceeded
Unsupported         NoOutsideLogIns
"""

from libs.runtime.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    TooManyRequests,
    Unauthorized,
    Unsupported,
)


class BadResetToken(BadRequest):
    """Never given out, used, or expired: one answer for all."""

    code = "bad_reset_token"

    def __init__(self) -> None:
        super().__init__("This reset token is not good any more: ask for a new mail")


class InvalidCredentials(Unauthorized):
    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("Invalid email or password")


class WrongPassword(Forbidden):
    """The log-in is good, but whoever has it does not know the password: not a 401."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("This is not your password: try again, or reset it by mail")


class EmailTaken(Conflict):
    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("Email is already registered")


class NoOutsideLogIns(Unsupported):
    code = "no_outside_log_ins"

    def __init__(self) -> None:
        super().__init__("No outside log-in is configured here: use an e-mail and a password")


class GuessesExceeded(TooManyRequests):
    """The same for known and unknown people."""

    code = "guesses_exceeded"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            "Too many attempts: wait some minutes and try again",
            retry_after_seconds=retry_after_seconds,
        )
