"""Reads the bodies of requests that may carry pictures, without ever holding a picture.

Small JSON is read at once. Of large JSON the long strings go to files as they stream in, and so do
the files of a form.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from msgspec import Struct
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from libs.runtime.carriers import JsonReader, UnreadableError
from services.gateway.api.bodies import GenerationBody
from services.gateway.domain.inputs import Given, given_file
from services.gateway.domain.orders import Draft
from services.gateway.domain.text import InvalidRequestError
from services.gateway.handlers.errors import InvalidRequest

BODY_BYTES_MAX: Final = 50_000_000
SMALL_BYTES: Final = 256 * 1024
# A text that long is a picture: the longest prompt, every character escaped, is shorter.
LONG_TEXT_BYTES: Final = 512 * 1024
FIELD_BYTES_MAX: Final = 512 * 1024
FILES_MAX: Final = 20
FIELDS_MAX: Final = 100
CHUNK_BYTES: Final = 64 * 1024

_JSON: Final = "application/json"
_FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
# In a form everything is text.
_WHOLE: Final = frozenset({"n", "num_images", "seed", "resemblance", "detail", "image_weight"})
_FLAGS: Final = {"true": True, "false": False}
_YES_OR_NO: Final = frozenset({"watermark", "prompt_extend"})


ModelT = TypeVar("ModelT", bound=BaseModel)


class Sent(Struct, frozen=True, kw_only=True):
    """A request for pictures as it came: its fields, and the files beside them."""

    body: GenerationBody
    given: tuple[Given, ...] = ()

    def draft(
        self, *, provider: str | None = None, operation: str | None = None, **options: Any
    ) -> Draft:
        """The request as the domain takes it; `options` are what the route itself asks for."""
        return self.body.draft(
            provider=provider, operation=operation, given=self.given, options=options
        )


async def read_body(request: Request, model: type[ModelT]) -> ModelT:
    """A JSON body.

    Raises:
        RequestValidationError: it is none, or does not fit.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) <= SMALL_BYTES:
        raw = await request.body()
        if not raw:
            raise invalid("missing")
        _require_json(request)
        return _validated(lambda: model.model_validate_json(raw))
    _require_json(request)
    reader, is_empty = JsonReader(LONG_TEXT_BYTES), True
    try:
        async for chunk in request.stream():
            reader.feed(chunk)
            is_empty = is_empty and not chunk
        if is_empty:
            raise invalid("missing")
        value = reader.close()
    except UnreadableError:
        raise invalid("json_invalid") from None
    return _validated(lambda: model.model_validate(value))


async def read_sent(request: Request) -> Sent:
    """A request for pictures, as JSON or as a form with files.

    Raises:
        RequestValidationError, InvalidRequest: it cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        return Sent(body=await read_body(request, GenerationBody))
    form = await request.form(
        max_files=FILES_MAX, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX
    )
    try:
        fields, given = dict(_fields_of(form)), tuple(_pictures_of(form))
    except InvalidRequestError as error:
        raise InvalidRequest(error) from None
    return Sent(body=_validated(lambda: GenerationBody.model_validate(fields)), given=given)


def _fields_of(form: FormData) -> Iterator[tuple[str, Any]]:
    """Texts of a form; in the place of a picture a text may stand as well."""
    for name, value in form.multi_items():
        if isinstance(value, str) and value:
            yield name.removesuffix("[]"), _typed(name, value)


def _pictures_of(form: FormData) -> Iterator[Given]:
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            given = given_file(name, _chunks(value))
            if given is None:
                raise InvalidRequestError(f"{name} is no file we know: leave it out", field=name)
            yield given


def _typed(name: str, text: str) -> Any:
    if name in _WHOLE:
        try:
            return int(text)
        except ValueError:
            raise InvalidRequestError(f"{name} must be a whole number", field=name) from None
    if name in _YES_OR_NO:
        if text.lower() not in _FLAGS:
            raise InvalidRequestError(f"{name} must be true or false", field=name)
        return _FLAGS[text.lower()]
    return text


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


def _validated(validate: Callable[[], ModelT]) -> ModelT:
    try:
        return validate()
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from None


def _require_json(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type == _JSON:
        return
    kind = content_type.partition(";")[0].strip().lower()
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise invalid("model_attributes_type")


def invalid(kind: str) -> RequestValidationError:
    """A finding about the whole body, as the framework words it."""
    return RequestValidationError([{"type": kind, "loc": ("body",), "msg": "", "input": None}])
