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
    """The provider delivered, our own storage did not take it."""

    spent: Spent


Outcome = Delivery | ProviderFailed | StorageFailed
