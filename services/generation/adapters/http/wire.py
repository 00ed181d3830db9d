"""What all adapters share: their access, and what a failed call is in our words."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from libs.events.generation import CostSource, FailureCode
from libs.runtime.carriers import UnreadableError, decoded
from libs.runtime.guard import Allowed
from services.generation.adapters.http.bodies import (
    Body,
    ChangedError,
    Field,
    form_body,
    json_body,
)
from services.generation.adapters.http.client import (
    Answer,
    Call,
    CallFailed,
    ProviderHttp,
    Unreadable,
)
from services.generation.domain.references import note
from services.generation.domain.retries import TRANSIENT
from services.generation.ports import ByteStream, ProviderError

# What a user is told. The provider's own words go to operators alone.
MESSAGES: Final[Mapping[FailureCode, str]] = {
    FailureCode.BAD_REQUEST: "The provider did not accept this: change the prompt or the options.",
    FailureCode.AUTH: "The provider is not set up correctly here: choose another one.",
    FailureCode.FORBIDDEN: "The provider does not allow this here: choose another model.",
    FailureCode.NOT_FOUND: "The provider does not know this model any more: choose another one.",
    FailureCode.MODERATION: "The provider's content rules do not allow this: change the prompt.",
    FailureCode.CREDIT: "The provider cannot take orders at present: choose another one.",
    FailureCode.RATE_LIMIT: "The provider is busy: try it again in a minute.",
    FailureCode.TOO_LARGE: "The request is too large for the provider: send less.",
    FailureCode.TIMEOUT: "The provider did not answer in time: try it again.",
    FailureCode.SERVER: "The provider failed: try it again.",
    FailureCode.BAD_OUTPUT: "The provider answered without a usable picture: try it again.",
}

_STATUSES: Final[Mapping[int, FailureCode]] = {
    401: FailureCode.AUTH,
    402: FailureCode.CREDIT,
    403: FailureCode.FORBIDDEN,
    404: FailureCode.NOT_FOUND,
    408: FailureCode.TIMEOUT,
    413: FailureCode.TOO_LARGE,
    429: FailureCode.RATE_LIMIT,
}


class Access(Struct, frozen=True, kw_only=True):
    """Where a provider is, and what opens it."""

    base_url: str
    key: str
    timeout_seconds: float = math.inf  # if a call shall take less than its adapter allows
    result_hosts: tuple[str, ...] = ()  # from where its results come besides, as an operator knows
    webhook_url: str = ""  # where it may tell by itself that a job of its own is done
    webhook_secret: str = ""  # what it signs that with; with none it is not asked to


def refused(
    code: FailureCode,
    detail: str,
    *,
    rest_seconds: float = 0.0,
    is_of_the_job: bool = False,
    cost_microusd: int = 0,
    cost_source: CostSource = CostSource.UNKNOWN,
) -> ProviderError:
    """A provider's no, with our words for the user and its own for operators."""
    return ProviderError(
        code,
        MESSAGES[code],
        detail=detail,
        rest_seconds=rest_seconds,
        is_of_the_job=is_of_the_job,
        cost_microusd=cost_microusd,
        cost_source=cost_source,
    )


def code_of(status: int) -> FailureCode:
    """What a status means where a provider does not say it more exactly."""
    if status in _STATUSES:
        return _STATUSES[status]
    return FailureCode.SERVER if status >= 500 else FailureCode.BAD_REQUEST


def plain(answer: Answer) -> FailureCode:
    """A provider whose statuses say it all."""
    return code_of(answer.status)


def unnamed(_: Answer) -> Iterable[str]:
    """A provider whose answers to orders carry no name that its bills would repeat."""
    return ()


class Wire:
    """Calls of one provider."""

    def __init__(
        self,
        http: ProviderHttp,
        access: Access,
        *,
        headers: Mapping[str, str],
        hosts: tuple[str, ...] = (),
        classify: Callable[[Answer], FailureCode] = plain,
        references: Callable[[Answer], Iterable[str]] = unnamed,
    ) -> None:
        self._http = http
        self._base_url = access.base_url.rstrip("/")
        self._headers = headers
        self._timeout_seconds = access.timeout_seconds
        self._classify = classify
        self._references = references
        self.allowed = Allowed(hosts=(*hosts, *access.result_hosts), origin=self._base_url)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """An order that may cost money, as JSON with an `Upload` where a picture is to stand.

        Raises:
            ProviderError: it was refused, or its outcome is not known.
            StorageUnavailable: an input could not be read.
        """
        return await self._post(path, json_body(body), timeout_seconds, headers or {})

    async def post_form(
        self, path: str, fields: Sequence[Field], *, timeout_seconds: float
    ) -> Answer:
        """As `post`, with a multipart body."""
        return await self._post(path, form_body(fields), timeout_seconds, {})

    async def _post(
        self, path: str, body: Body, timeout_seconds: float, headers: Mapping[str, str]
    ) -> Answer:
        call = Call(
            method="POST",
            url=self._base_url + path,
            headers={**self._headers, **headers},
            body=body,
            timeout_seconds=timeout_seconds,
        )
        return await self._send(call)

    async def get(self, path: str, *, timeout_seconds: float = 15.0) -> Answer:
        """A question, which costs nothing. A whole URL is one that the provider has named."""
        is_named = "://" in path
        call = Call(
            method="GET",
            url=path if is_named else self._base_url + path,
            headers=self._headers,
            timeout_seconds=timeout_seconds,
            is_safe=True,
        )
        return await self._send(call, is_named=is_named)

    async def get_job(self, path: str) -> Answer:
        """As `get`, about a job that the provider has taken: that it is gone is its failure."""
        try:
            return await self.get(path)
        except ProviderError as error:
            if error.failure.code is not FailureCode.NOT_FOUND:
                raise
            raise refused(FailureCode.SERVER, error.detail, is_of_the_job=True) from error

    async def delete(self, path: str) -> None:
        """Call something off; what is gone already is fine."""
        call = Call(method="DELETE", url=self._base_url + path, headers=self._headers, is_safe=True)
        try:
            await self._send(call)
        except ProviderError as error:
            if error.failure.code is not FailureCode.NOT_FOUND:
                raise

    async def _send(self, call: Call, *, is_named: bool = False) -> Answer:
        try:
            limit = min(call.timeout_seconds, self._timeout_seconds)
            answer = await self._http.send(
                replace(call, timeout_seconds=limit),
                named_by=self.allowed if is_named else None,
                is_final=lambda answer: self._classify(answer) not in TRANSIENT,
            )
        except CallFailed as error:
            raise _of(error) from error
        except ChangedError as error:
            raise refused(FailureCode.BAD_REQUEST, str(error)) from error
        if not call.is_safe:
            for reference in self._references(answer):
                note(reference)
        if answer.status >= 300:
            code = self._classify(answer) if answer.status >= 400 else FailureCode.BAD_OUTPUT
            detail = f"{answer.status}: {answer.text}"
            raise refused(code, detail, rest_seconds=answer.rest_seconds or 0.0)
        if answer.json is None and answer.status != 204:
            raise refused(FailureCode.BAD_OUTPUT, f"no JSON: {answer.text}")
        return answer

    async def picture_at(self, url: object) -> ByteStream:
        """The picture that lies at a URL of the provider's."""
        if not isinstance(url, str):
            raise refused(FailureCode.BAD_OUTPUT, "no URL where one should be")
        try:
            async for chunk in self._http.download(url, self.allowed):
                yield chunk
        except CallFailed as error:
            raise _of(error) from error


async def picture_in(value: object) -> ByteStream:
    """The picture in a base64 string."""
    try:
        async for chunk in decoded(value):
            yield chunk
    except UnreadableError as error:
        raise refused(FailureCode.BAD_OUTPUT, str(error)) from error


def _of(error: CallFailed) -> ProviderError:
    if isinstance(error, Unreadable):
        return refused(FailureCode.BAD_OUTPUT, str(error))
    return refused(FailureCode.TIMEOUT if error.is_timeout else FailureCode.SERVER, str(error))
