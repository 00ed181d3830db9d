"""What generation asks of a picture provider, whoever it is.

A new provider is one module in `adapters/` that implements `Provider`, and one line in `app.py`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from libs.events.generation import CostSource, FailureCode
from services.generation.domain.capabilities import Capabilities, Failure

ByteStream = AsyncIterator[bytes]


class ProviderRequest(Struct, frozen=True, kw_only=True):
    """One attempt at a job. Equal for every attempt of it, save `attempt_id`."""

    job_id: UUID
    attempt_id: UUID
    operation: str
    model: str  # as the client sent it
    prompt: str
    options: dict[str, Any]
    input_keys: tuple[str, ...]
    units: int
    deadline_at: datetime


class ProviderResult(Struct, frozen=True, kw_only=True):
    """What a provider delivered. Each picture is read once, in order, and never held whole."""

    pictures: Sequence[ByteStream] = ()
    texts: tuple[str, ...] = ()
    seed: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    cost_source: CostSource = CostSource.UNKNOWN


class ProviderError(Exception):
    """A provider's refusal or failure, in one taxonomy for all of them.

    `message` is shown to the user; `detail` is the provider's own text, for operators alone.
    """

    def __init__(
        self, code: FailureCode, message: str, *, detail: str = "", cost_microusd: int = 0
    ) -> None:
        super().__init__(f"{code.value}: {message}")
        self.failure = Failure(code=code, message=message)
        self.detail = detail
        self.cost_microusd = cost_microusd


class Provider(Protocol):
    """A maker of pictures."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        """Make what is asked. Cancelled when the job has ended or its deadline is over.

        Raises:
            ProviderError: it cannot, now or ever; also while a picture is being read.
        """
        ...
