"""What adapters have in common: their wire, what they can do, and how a request is read."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from libs.events.generation import FailureCode, InputRole, Operation
from services.generation.adapters.http.client import Answer, ProviderHttp
from services.generation.adapters.http.wire import Access, Wire, code_of
from services.generation.adapters.options import model_of
from services.generation.domain.capabilities import Capabilities, Model
from services.generation.ports import Input, ProviderError, ProviderRequest


class Adapter:
    """One provider over its wire. By default a bearer token opens it, and statuses say it all."""

    hosts: ClassVar[tuple[str, ...]] = ()  # from where its results come, besides its own address

    def __init__(self, http: ProviderHttp, access: Access, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._access = access
        self._wire = Wire(
            http,
            access,
            headers=self.headers(access.key),
            hosts=self.hosts,
            classify=self.classify,
            references=self.references,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @staticmethod
    def headers(key: str) -> Mapping[str, str]:
        """What every call carries."""
        return {"Authorization": f"Bearer {key}"}

    @staticmethod
    def classify(answer: Answer) -> FailureCode:
        """The kind of a refusal."""
        return code_of(answer.status)

    @staticmethod
    def references(answer: Answer) -> Iterable[str]:
        """What the provider calls an order, as its bills name it.

        Of one that works on its own that is the name of its job, noted where it is written down.
        """
        return filter(None, (answer.headers.get("x-request-id"),))

    def _model(self, request: ProviderRequest) -> Model:
        return model_of(self._capabilities, request)


def picture_of(request: ProviderRequest) -> Input:
    """The picture that is to be worked on.

    Raises:
        ProviderError: there is none.
    """
    found = request.inputs_for(InputRole.IMAGE) or request.inputs_for(InputRole.REFERENCE)
    if not found:
        raise ProviderError(FailureCode.BAD_REQUEST, "An input picture is needed: send one.")
    return found[0]


def mask_of(request: ProviderRequest) -> Input | None:
    """Which part of it, if that is said."""
    return next(iter(request.inputs_for(InputRole.MASK)), None)


def prompt_of(request: ProviderRequest) -> str:
    """What to do, where that must be said.

    Raises:
        ProviderError: nothing is said.
    """
    if not request.prompt.strip():
        raise ProviderError(FailureCode.BAD_REQUEST, "Prompt is required.")
    return request.prompt


def unoffered(request: ProviderRequest) -> ProviderError:
    """The catalogue offers an operation that its adapter does not know."""
    return ProviderError(
        FailureCode.UNPROCESSABLE, f"The operation {request.operation!r} is not offered here."
    )


def is_edit(request: ProviderRequest) -> bool:
    """Whether a picture is to be changed, not a new one made."""
    return request.operation == Operation.EDIT
