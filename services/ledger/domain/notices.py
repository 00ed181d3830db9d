"""Of what people are told by mail: credits that came to an account that was there already."""

from typing import Final

from libs.events.credits import CreditsEvent, CreditsGranted, CreditsNotificationRequested

CREDITS_GRANTED: Final = "credits_granted"


def notice_of(event: CreditsEvent) -> CreditsNotificationRequested | None:
    """What a person is to be told of an event; an account that is nobody's own tells nobody."""
    if not isinstance(event, CreditsGranted) or event.account_version == 1:
        return None
    return CreditsNotificationRequested(
        account_id=event.account_id,
        user_id=event.account_id,  # a person's own account has the person's id
        template=CREDITS_GRANTED,
        parameters={"credits": str(event.credits)},
    )
