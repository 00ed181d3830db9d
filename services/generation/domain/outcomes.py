"""What can come of an attempt: a delivery, a provider that failed, a storage that did."""

from msgspec import Struct

from services.generation.domain.capabilities import Failure
from services.generation.domain.jobs import Delivery, Spent


class ProviderFailed(Struct, frozen=True, kw_only=True):
    """The provider said no, or nothing that we can use."""

    failure: Failure
    spent: Spent
    detail: str = ""  # the provider's own words, for operators
    rest_seconds: float = 0.0
    goes_on: bool = False  # the provider's own job may still bring something


class StorageFailed(Struct, frozen=True, kw_only=True):
    """Our own storage did not give what the provider was to have, or not take what it delivered."""

    spent: Spent
    is_asked: bool  # whether the provider may have begun


Outcome = Delivery | ProviderFailed | StorageFailed
