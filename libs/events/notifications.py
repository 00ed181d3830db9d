"""What any service may have people told, by mail: the gateway alone knows their addresses.

A service writes it on its own topic, as a type of its own below `NotificationRequested`. It says
whom, by which template, and parameters that anybody may read: no address, no token, no words.
"""

from collections.abc import Mapping
from uuid import UUID

from libs.events.payload import Payload


class NotificationRequested(Payload, frozen=True, kw_only=True):
    """Somebody is to be told something, once."""

    account_id: UUID
    user_id: UUID
    template: str
    parameters: Mapping[str, str] = {}

    @property
    def subject(self) -> str:
        return str(self.user_id)

    @property
    def account(self) -> UUID:
        return self.account_id
