"""Bodies that cross the HTTP edge. Fields are named in camel case, as the web client reads them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from pydantic import ConfigDict, Field

from libs.events.generation import Operation
from libs.runtime.http.bodies import Body
from services.gateway.domain.inputs import Given
from services.gateway.domain.orders import Draft


class SignUp(Body):
    email: str | None = None
    password: str | None = None
    display_name: str | None = None


class LogIn(Body):
    email: str | None = None
    password: str | None = None


class UserBody(Body):
    id: str
    auth_user_id: str
    email: str
    display_name: str | None
    credits: int
    profile_image: str | None
    role: Literal["USER", "ADMIN"]
    created_at: datetime
    updated_at: datetime


class Session(Body):
    access_token: str
    user: UserBody


class GenerationBody(Body):
    """What to generate. Options stand in `providerOptions` or beside it, as clients differ."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    model: str | None = None
    provider_options: dict[str, Any] | None = None
    deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="Fail, uncharged, if it is not done by then. At most what the system allows.",
    )
    webhook_url: str | None = Field(
        default=None, description="Tell the job's state there as it changes: see `/api/webhooks`."
    )

    def draft(
        self,
        *,
        provider: str | None = None,
        operation: str | None = None,
        given: tuple[Given, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Draft:
        """The request as the domain takes it; `options` hold where it says nothing itself."""
        return Draft(
            operation=operation,
            provider=provider,
            model=self.model,
            prompt=self.prompt,
            options={**(options or {}), **(self.model_extra or {})},
            provider_options=self.provider_options or {},
            given=given,
            deadline_seconds=self.deadline_seconds,
            webhook_url=self.webhook_url,
        )


class JobRequest(GenerationBody):
    """A generation of any kind. Without `operation` it is an image, if the model makes any."""

    provider: str | None = None
    operation: str | None = None
    price_book_version: int | None = Field(
        default=None, description="Admit at the prices of this book alone: 409 if it has changed."
    )


class AcceptedBody(Body):
    job_id: UUID
    status: str


class ImageBody(Body):
    url: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    sha256: str


class JobMetadata(Body):
    """What is known of the result. Clients have read its address under all these names."""

    stage: str
    mime_type: str | None = None
    file_url: str | None = None
    r2_file_url: str | None = None
    url: str | None = None
    r2_file_id: str | None = None
    results: list[str] = Field(default_factory=list)
    images: list[ImageBody] = Field(default_factory=list)
    texts: list[str] = Field(default_factory=list)
    seed: int | None = None


class JobCredits(Body):
    """What the job was admitted for, and what it cost once that is known."""

    held: int
    charged: int | None
    unit: int
    units: int
    price_book_version: int


JobType = Literal["IMAGE_GENERATION", "IMAGE_EDIT", "IMAGE_RESIZE", "VIDEO_GENERATION"]

_TYPES: Final[Mapping[Operation, JobType]] = {
    Operation.IMAGE: "IMAGE_GENERATION",
    Operation.UPSCALE: "IMAGE_RESIZE",
    Operation.VIDEO: "VIDEO_GENERATION",
}


def type_of(operation: str) -> JobType:
    """What the web client calls jobs of an operation."""
    return _TYPES.get(Operation(operation), "IMAGE_EDIT")


OPERATIONS_OF: Final[Mapping[JobType, list[str]]] = {
    kind: [each.value for each in Operation if type_of(each) == kind] for kind in get_args(JobType)
}


class JobBody(Body):
    """`queuePosition` and `etaSeconds` stand where one job is read that has not ended.

    The first counts the jobs before it; the second follows from how long others took of late.
    """

    id: UUID
    job_id: UUID
    type: JobType
    operation: str
    provider: str
    model: str
    prompt: str
    status: str
    stage: str
    progress: int
    result_url: str | None
    error: str | None
    error_code: str | None
    metadata: JobMetadata
    credits: JobCredits
    created_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    queue_position: int | None = None
    eta_seconds: int | None = None


class BalanceBody(Body):
    """A user's own account as this gateway knows it: the ledger's figures at `version`.

    `credits` is what the user is shown, `available` what may still be promised.
    """

    credits: int
    available: int
    settled: int
    held: int
    grace: int
    version: int


class GeneratedBody(Body):
    """The one answer that pleases every client which waits for its picture."""

    success: Literal[True] = True
    job_id: UUID
    status: Literal["completed"] = "completed"
    provider: str
    model: str
    mime_type: str | None
    content_type: str | None
    image_base64: str | None
    data_url: str | None
    data_urls: list[str]
    images: list[str]
