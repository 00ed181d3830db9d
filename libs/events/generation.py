"""Events of a generation: the gateway asks, the generation service answers exactly once."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from msgspec import Struct

from libs.events.names import EventType, Service, Topic
from libs.events.payload import Moment, Payload


class FailureCode(StrEnum):
    """Why a generation failed, for machines."""

    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    MODERATION = "moderation"
    CREDIT = "credit"
    RATE_LIMIT = "rate_limit"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    SERVER = "server"
    BAD_OUTPUT = "bad_output"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    UNPROCESSABLE = "unprocessable"


class AttemptOutcome(StrEnum):
    """How an attempt ended that did not win its job."""

    FAILED = "failed"  # the provider, or our storage, said no
    UNKNOWN = "unknown"  # its worker was lost, and its outcome with it
    HANDED_BACK = "handed_back"  # its worker was told to stop
    STOPPED = "stopped"  # the job ended while it ran: cancelled, or past its deadline
    LATE = "late"  # it came to an end after it was given up: this is told besides


class CostSource(StrEnum):
    """Where the figure of what a provider charges comes from."""

    UNKNOWN = "unknown"  # nobody said: the figure is 0 and means nothing
    NONE = "none"  # the provider charges nothing
    LISTED = "listed"  # worked out from the provider's list of prices
    REPORTED = "reported"  # the provider's answer said so


class Operation(StrEnum):
    """What can be asked for; each has a price of its own. The options say the rest.

    `edit` with `method` "remix" or "reframe"; `background` with `method` "replace" or "remove".
    Without a method: what the inputs and the other options are enough for.
    """

    IMAGE = "image"
    EDIT = "edit"
    DESCRIBE = "describe"
    VARIATE = "variate"
    VECTORISE = "vectorise"
    BACKGROUND = "background"
    UPSCALE = "upscale"
    VIDEO = "video"


class InputRole(StrEnum):
    """What an input picture is for."""

    IMAGE = "image"  # what is worked on; of a video its first frame
    MASK = "mask"  # of that picture; what its colours mean is the provider's own convention
    REFERENCE = "reference"
    STYLE = "style"
    CHARACTER = "character"
    LAST_FRAME = "last_frame"


# The option that says what each of `input_keys` is for, in their order.
INPUT_ROLES = "input_roles"


def input_roles(operation: str, count: int, options: Mapping[str, Any]) -> list[InputRole]:
    """What the inputs of a request are for: as `input_roles` says, else by its operation.

    Without that option the first input is the picture that is worked on, and all others, as all
    inputs of a new picture, are references.

    Raises:
        ValueError: there are not as many roles as inputs, or one of them is unknown.
    """
    given = options.get(INPUT_ROLES)
    if given is None:
        first = InputRole.REFERENCE if operation == Operation.IMAGE else InputRole.IMAGE
        return [first, *[InputRole.REFERENCE] * (count - 1)][:count]
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"{INPUT_ROLES} must name the role of each of the {count} inputs")
    return [InputRole(role) for role in given]


class RequestFacts(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """What was asked and at what price. Every answer repeats it, so that no reader needs a join."""

    job_id: UUID
    account_id: UUID  # who pays: a user or a workspace
    user_id: UUID  # who acts
    workspace_id: UUID | None = None
    operation: str
    provider: str
    model: str  # as the client sent it
    prompt: str
    options: dict[str, Any]
    input_keys: tuple[str, ...] = ()  # of objects, see `input_roles`
    unit_credits: int
    units: int
    price_book_version: int
    requested_at: Moment
    deadline_at: Moment

    @property
    def credits_held(self) -> int:
        """Credits that admission set aside for the job."""
        return self.unit_credits * self.units


class StoredImage(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A picture in object storage, under the key of the attempt that made it."""

    key: str
    sha256: str  # lower-case hex
    content_type: str
    size_bytes: int
    width: int
    height: int


class JobEvent(Payload, frozen=True, kw_only=True):
    """An event about one job."""

    topic: ClassVar[Topic] = Topic.GENERATION

    job_id: UUID
    account_id: UUID

    @property
    def subject(self) -> str:
        return str(self.job_id)

    @property
    def account(self) -> UUID:
        return self.account_id


class GenerationRequested(JobEvent, frozen=True, kw_only=True):
    """A job was admitted: its price is held, generation may start."""

    event_type: ClassVar[EventType] = EventType.GENERATION_REQUESTED
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    request: RequestFacts


class GenerationCancelRequested(JobEvent, frozen=True, kw_only=True):
    """The user wants the job to end; Failed{cancelled} answers, or Completed if too late."""

    event_type: ClassVar[EventType] = EventType.GENERATION_CANCEL_REQUESTED
    writers: ClassVar[tuple[Service, ...]] = (Service.GATEWAY,)

    user_id: UUID


class GenerationStarted(JobEvent, frozen=True, kw_only=True):
    """A worker took the job. A passing signal for progress displays; nothing may depend on it."""

    event_type: ClassVar[EventType] = EventType.GENERATION_STARTED
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)
    topic: ClassVar[Topic] = Topic.PROGRESS

    attempt: int


class GenerationAttemptEnded(JobEvent, frozen=True, kw_only=True):
    """An attempt ended, and did not decide its job. Of one that did, the job's answer tells.

    Told again, as `late`, of an attempt that ended after all: the last word counts.
    """

    event_type: ClassVar[EventType] = EventType.GENERATION_ATTEMPT_ENDED
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)

    attempt_id: UUID
    provider: str
    model: str
    outcome: AttemptOutcome
    code: FailureCode | None = None  # of a failed one
    started_at: Moment
    provider_ms: int = 0
    provider_references: tuple[str, ...] = ()  # what the provider calls its calls, as far as known
    provider_cost_microusd: int = 0
    provider_cost_source: CostSource = CostSource.UNKNOWN


class GenerationCompleted(JobEvent, frozen=True, kw_only=True):
    """The one answer to a request that delivered: pictures in storage, or text for `describe`."""

    event_type: ClassVar[EventType] = EventType.GENERATION_COMPLETED
    event_version: ClassVar[int] = 3
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)

    request: RequestFacts
    attempt_id: UUID
    images: tuple[StoredImage, ...]
    texts: tuple[str, ...] = ()
    delivered_units: int
    seed: int | None = None
    queued_ms: int
    provider_ms: int
    upload_ms: int
    input_tokens: int = 0
    output_tokens: int = 0
    provider_cost_microusd: int = 0
    provider_cost_source: CostSource = CostSource.UNKNOWN
    provider_references: tuple[str, ...] = ()  # what the provider calls the attempt's calls


class GenerationFailed(JobEvent, frozen=True, kw_only=True):
    """The one answer to a request that delivered nothing; `request` is None if unreadable."""

    event_type: ClassVar[EventType] = EventType.GENERATION_FAILED
    event_version: ClassVar[int] = 3
    writers: ClassVar[tuple[Service, ...]] = (Service.GENERATION,)

    request: RequestFacts | None
    code: FailureCode
    message: str  # safe to show to the user
    attempt_id: UUID | None = None
    queued_ms: int = 0
    provider_ms: int = 0
    provider_cost_microusd: int = 0
    provider_cost_source: CostSource = CostSource.UNKNOWN
    provider_references: tuple[str, ...] = ()  # what the provider calls the attempt's calls
