"""What generation asks of a picture provider, whoever it is.

A new provider is one module in `adapters/` that implements `Provider` if it answers in the call
itself, `PollingProvider` if it works on its own and is asked later, and one line in
`adapters/doors.py`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.events.generation import CostSource, FailureCode, InputRole
from services.generation.domain.capabilities import Capabilities, Failure
from services.generation.domain.retries import TRANSIENT

ByteStream = AsyncIterator[bytes]


class Input(Protocol):
    """A picture of ours that a provider works on. It is read as it is sent, never held whole."""

    @property
    def role(self) -> InputRole: ...

    @property
    def content_type(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def stream(self) -> ByteStream:
        """Its bytes, from the start; as often as it takes.

        Raises, as it is read:
            StorageUnavailable: the object store does not answer.
        """
        ...

    async def address(self) -> str:
        """A URL where a provider that wants one can fetch it for a while."""
        ...


class ProviderRequest(Struct, frozen=True, kw_only=True):
    """One attempt at a job. Equal for every attempt of it, save `attempt_id`."""

    job_id: UUID
    attempt_id: UUID
    operation: str
    model: str  # as the client sent it
    prompt: str
    options: dict[str, Any]
    inputs: tuple[Input, ...] = ()
    units: int
    deadline_at: datetime

    def inputs_for(self, *roles: InputRole) -> list[Input]:
        """Its inputs of these roles, in order."""
        return [each for each in self.inputs if each.role in roles]


class ProviderResult(Struct, frozen=True, kw_only=True):
    """What a provider delivered. Each picture is read once, in order, and never held whole."""

    pictures: Sequence[ByteStream] = ()
    texts: tuple[str, ...] = ()
    seed: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    cost_source: CostSource = CostSource.UNKNOWN


class Submission(Struct, frozen=True, kw_only=True):
    """A job at the provider's: all that is needed to ask for its result, in any process."""

    id: str
    address: str = ""  # where to ask, if the provider has said so
    cost_microusd: int = 0
    cost_source: CostSource = CostSource.UNKNOWN


def read_submission(encoded: bytes) -> Submission:
    """What was written down."""
    return msgspec.json.decode(encoded, type=Submission)


def references_of(submission: bytes | None) -> tuple[str, ...]:
    """What a provider that works on its own calls an attempt, if it has taken it."""
    return () if submission is None else (read_submission(submission).id,)


class Pending(Struct, frozen=True, kw_only=True):
    """The provider is not done."""


class ProviderError(Exception):
    """A provider's refusal or failure, in one taxonomy for all of them.

    `message` is shown to the user; `detail` is the provider's own text, for operators alone.
    `rest_seconds` is how long the provider wants to be left alone. `is_of_the_job`: the provider's
    own job has failed; otherwise a call has.
    """

    def __init__(
        self,
        code: FailureCode,
        message: str,
        *,
        detail: str = "",
        cost_microusd: int = 0,
        cost_source: CostSource = CostSource.UNKNOWN,
        rest_seconds: float = 0.0,
        is_of_the_job: bool = False,
    ) -> None:
        super().__init__(f"{code.value}: {message}")
        self.failure = Failure(code=code, message=message)
        self.detail = detail
        self.cost_microusd = cost_microusd
        self.cost_source = cost_source
        self.rest_seconds = rest_seconds
        self.is_of_the_job = is_of_the_job

    @property
    def is_transient(self) -> bool:
        """Whether it may pass by itself."""
        return self.failure.code in TRANSIENT


class Provider(Protocol):
    """A maker of pictures that answers in the call itself."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def generate(self, request: ProviderRequest) -> ProviderResult:
        """Make what is asked. Cancelled when the job has ended or its deadline is over.

        Raises:
            ProviderError: it cannot, now or ever; also while a picture is being read.
        """
        ...


@runtime_checkable
class PollingProvider(Protocol):
    """A maker of pictures that takes an order, works on its own, and is asked for the result."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def submit(self, request: ProviderRequest) -> Submission:
        """Order what is asked. What is returned is written down before anything else is done.

        Raises:
            ProviderError: it was not taken.
        """
        ...

    async def poll(
        self, submission: Submission, request: ProviderRequest, /
    ) -> ProviderResult | Pending:
        """Ask once how far it is.

        Raises:
            ProviderError: the job has failed; or it could not be asked, with a transient code.
        """
        ...

    async def cancel(self, submission: Submission) -> None:
        """Tell that nobody waits for it; nothing where the provider has no such call.

        Raises:
            ProviderError: it could not be told.
        """
        ...


AnyProvider = Provider | PollingProvider
