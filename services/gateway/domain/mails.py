"""What mails say, and when one that could not be sent is tried again."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

RESET_LIFETIME: Final = timedelta(hours=1)
# After these times; then nobody would expect the mail any more.
LADDER: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200)
)


class Template(StrEnum):
    """The mails that there are. Who asks for one by an event: `notices.py`."""

    PASSWORD_RESET = "password_reset"  # noqa: S105  # a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a name
    CREDITS_GRANTED = "credits_granted"


class Text(Struct, frozen=True, kw_only=True):
    """A mail without its address."""

    subject: str
    body: str


_TEXTS: Final[Mapping[Template, Text]] = {
    Template.PASSWORD_RESET: Text(
        subject="Set a new password for DayGen",
        body=(
            "Somebody, most likely you, asked for a new password for DayGen.\n\n"
            "Set it here within an hour; the link works once:\n\n{link}\n\n"
            "If it was not you, do nothing: your password stays as it is.\n"
        ),
    ),
    Template.PASSWORD_CHANGED: Text(
        subject="Your DayGen password was changed",
        body=(
            "The password of your DayGen account was changed, and every log-in has ended.\n\n"
            "If it was not you, ask for a new one at once: {link}\n"
        ),
    ),
    Template.CREDITS_GRANTED: Text(
        subject="There are new credits in your DayGen account",
        body="{credits} credits have come to your DayGen account.\n\nSee what you have: {link}\n",
    ),
}

# Where the web client goes on.
PAGES: Final[Mapping[Template, str]] = {
    Template.PASSWORD_RESET: "/reset-password",
    Template.PASSWORD_CHANGED: "/reset-password",
    Template.CREDITS_GRANTED: "/account",
}


def text_of(template: Template, parameters: Mapping[str, str]) -> Text:
    """A template, filled in."""
    text = _TEXTS[template]
    return Text(subject=text.subject, body=text.body.format_map(dict(parameters)))


def delay_after(attempts: int) -> timedelta | None:
    """How long to wait after so many attempts; None: give it up."""
    return LADDER[attempts - 1] if attempts <= len(LADDER) else None
