"""What other services may have people told by mail, and what they must say for it."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Event
from libs.events.notifications import NotificationRequested
from libs.events.payload import Payload
from services.gateway.domain.mails import Template

# Each with its parameters: on a stream stands what anybody may read, so no mail with a token.
NOTICES: Final[Mapping[Template, frozenset[str]]] = {
    Template.CREDITS_GRANTED: frozenset({"credits"}),
}
VALUE_CHARS_MAX: Final = 200


class UnknownNoticeError(ValueError):
    """There is no such notice, or it is asked for with other parameters than it has."""

    code: ClassVar[str] = "unknown_notice"


class Notice(Struct, frozen=True, kw_only=True):
    """A mail to somebody; the event that asks for it is its id, so that it is sent once."""

    mail_id: UUID
    user_id: UUID
    template: Template
    parameters: Mapping[str, str]
    at: datetime


def notice_of(event: Event[Payload]) -> Notice | None:
    """The mail that an event asks for, if it does.

    Raises:
        UnknownNoticeError: nobody here can write it. A later release may.
    """
    asked = event.data
    if not isinstance(asked, NotificationRequested):
        return None
    template = next((each for each in NOTICES if each.value == asked.template), None)
    is_whole = template is not None and set(asked.parameters) == NOTICES[template]
    if template is None or not is_whole:
        raise UnknownNoticeError(f"{asked.template} with {sorted(asked.parameters)} is no notice")
    if any(len(each) > VALUE_CHARS_MAX for each in asked.parameters.values()):
        raise UnknownNoticeError(f"a parameter of {asked.template} is too long")
    return Notice(
        mail_id=event.id,
        user_id=asked.user_id,
        template=template,
        parameters=dict(asked.parameters),
        at=event.time,
    )
