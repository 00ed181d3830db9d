"""Pictures that people bring: to an address of their own, as base64, or as a form's file."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from msgspec import Struct
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.carriers import JsonReader, UnreadableError, decoded
from libs.runtime.clock import Clock
from libs.runtime.errors import DomainError, Forbidden, Unavailable
from libs.runtime.http.bodies import Body, Text
from services.gallery.api.bodies import URL_CHARACTERS_MAX, Addresses
from services.gallery.domain.addresses import AddressRefusedError, Grant, Signer
from services.gallery.domain.facts import MODEL_CHARACTERS_MAX
from services.gallery.domain.uploads import (
    PROFILE,
    Described,
    NameRefusedError,
    extension_of,
    key_of,
    plain_name,
)
from services.gallery.handlers.uploads import (
    ADDRESS_LIFETIME,
    Uploaded,
    UploadRefused,
    Uploads,
)

BODY_BYTES_MAX: Final = 80_000_000  # base64 makes four characters of three bytes
BATCH_MAX: Final = 10
LONG_TEXT_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 64 * 1024
PROMPT_CHARACTERS_MAX: Final = 10_000

ModelT = TypeVar("ModelT", bound=BaseModel)
Name = Annotated[Text, AfterValidator(plain_name)]
Prompt = Annotated[Text, Field(max_length=PROMPT_CHARACTERS_MAX)]
Model = Annotated[Text, Field(max_length=MODEL_CHARACTERS_MAX)]
Folder = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9 _-]{1,64}(?:/[A-Za-z0-9 _-]{1,64}){0,4})?$")]


class AddressRequest(Body):
    """A file that is about to be uploaded. Folders are accepted and mean nothing."""

    file_name: Name
    content_type: Annotated[str, Field(max_length=100)]
    folder: Folder = ""


class Address(Body):
    """Where to `PUT` the file within fifteen minutes, once; and where it will be found."""

    success: bool = True
    upload_url: str
    public_url: str
    file_name: str
    content_type: str


class Base64Upload(Body):
    base64_data: Any
    mime_type: Annotated[str, Field(max_length=100)] = "image/png"
    folder: Folder = ""
    prompt: Prompt = ""
    model: Model = ""


class UploadBody(Body):
    success: bool = True
    id: str
    url: str
    public_url: str
    mime_type: str


class BatchPicture(Base64Upload):
    original_url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)] = ""


class Batch(Body):
    images: Annotated[list[BatchPicture], Field(max_length=BATCH_MAX)]


class Moved(Body):
    success: bool = True
    original_url: str
    new_url: str


class NotMoved(Body):
    index: int
    error: str


class BatchAnswer(Body):
    results: list[Moved]
    errors: list[NotMoved]


class AddressNotGranted(Forbidden):
    code = "upload_address_refused"


class Desk(Struct, frozen=True, kw_only=True):
    """What the routes share."""

    uploads: Uploads
    addresses: Addresses
    signer: Signer
    clock: Clock
    public_base_url: str


def create_router(desk: Desk, principal_of: RequirePrincipal) -> APIRouter:
    """The routes of `/api/upload`."""
    router = APIRouter(prefix="/api/upload", tags=["gallery"])
    Caller = Annotated[Principal, Depends(principal_of)]  # noqa: N806  # a type, made at start

    @router.post("/presigned")
    async def give_address(caller: Caller, body: AddressRequest) -> Address:
        """An address for one file, good for fifteen minutes and one try."""
        return _address(desk, caller, body)

    @router.put("/put/{token}")
    async def put(token: str, request: Request) -> UploadBody:
        """The file itself, to an address that was given out: no log-in is asked for."""
        grant = _granted(desk, token)
        caller = Principal(
            user_id=grant.user_id,
            role="USER",
            account_id=grant.account_id,
            workspace_id=grant.workspace_id,
        )
        taken = await desk.uploads.take_at(
            caller,
            grant.item_id,
            aiter(request.stream()),
            grant.described,
            extension=grant.extension,
            expires_at=grant.expires_at,
        )
        return _uploaded(desk, taken)

    @router.post("/base64")
    async def take_base64(caller: Caller, request: Request) -> UploadBody:
        """A picture as base64 text, with or without the head of a data URL."""
        return _uploaded(desk, await _take(desk, caller, await _read(request, Base64Upload)))

    @router.post("/migrate-base64-batch")
    async def take_batch(caller: Caller, request: Request) -> BatchAnswer:
        """Up to ten pictures that a browser has kept; one that is refused stops no other."""
        return await _take_batch(desk, caller, await _read(request, Batch))

    @router.post("/file")
    async def take_file(caller: Caller, request: Request) -> UploadBody:
        """A picture as the `file` of a form."""
        return _uploaded(desk, await _take_form(desk, caller, request, "upload"))

    @router.post("/profile-picture/upload")
    async def take_profile_picture(caller: Caller, request: Request) -> UploadBody:
        """A picture of oneself as the `file` of a form; the gallery does not list it."""
        return _uploaded(desk, await _take_form(desk, caller, request, PROFILE))

    return router


def _address(desk: Desk, caller: Principal, body: AddressRequest) -> Address:
    extension = extension_of(body.content_type)
    if extension is None:
        raise _type_refused(body.content_type)
    grant = Grant(
        item_id=desk.uploads.new_id(),
        user_id=caller.user_id,
        account_id=caller.account_id,
        workspace_id=caller.workspace_id,
        extension=extension,
        described=Described(file_name=body.file_name),
        expires_at=desk.clock.now() + ADDRESS_LIFETIME,
    )
    base = desk.public_base_url.rstrip("/")
    return Address(
        upload_url=f"{base}/api/upload/put/{desk.signer.sign(grant)}",
        public_url=desk.addresses.of(key_of(grant.item_id, extension), is_public=False),
        file_name=body.file_name,
        content_type=body.content_type,
    )


def _granted(desk: Desk, token: str) -> Grant:
    try:
        return desk.signer.open(token, desk.clock.now())
    except AddressRefusedError:
        raise AddressNotGranted(
            "This address is not good, or no longer: ask for another one."
        ) from None


async def _take(desk: Desk, caller: Principal, sent: Base64Upload) -> Uploaded:
    if extension_of(sent.mime_type) is None:
        raise _type_refused(sent.mime_type)
    described = Described(prompt=sent.prompt, model=sent.model)
    return await desk.uploads.take(caller, decoded(sent.base64_data), described)


async def _take_batch(desk: Desk, caller: Principal, batch: Batch) -> BatchAnswer:
    results: list[Moved] = []
    errors: list[NotMoved] = []
    for index, each in enumerate(batch.images):
        try:
            taken = await _take(desk, caller, each)
        except Unavailable:
            raise
        except DomainError as error:
            errors.append(NotMoved(index=index, error=error.message))
        else:
            url = desk.addresses.of(taken.image.key, is_public=False)
            results.append(Moved(original_url=each.original_url, new_url=url))
    return BatchAnswer(results=results, errors=errors)


async def _take_form(desk: Desk, caller: Principal, request: Request, purpose: str) -> Uploaded:
    async with request.form(max_files=1, max_fields=20, max_part_size=LONG_TEXT_BYTES) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise UploadRefused("Send the picture as the field `file` of a form.")
        if extension_of(file.content_type or "") is None:
            raise _type_refused(file.content_type or "")
        try:
            name = plain_name(file.filename or "")
        except NameRefusedError as error:
            raise UploadRefused(str(error)) from None
        described = Described(purpose=purpose, file_name=name)
        return await desk.uploads.take(caller, _chunks(file), described)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


async def _read(request: Request, model: type[ModelT]) -> ModelT:
    """A JSON body whose long texts lie in files."""
    reader = JsonReader(LONG_TEXT_BYTES)
    try:
        async for chunk in request.stream():
            reader.feed(chunk)
        value = reader.close()
    except UnreadableError:
        problem = {"type": "json_invalid", "loc": ("body",), "msg": "", "input": None}
        raise RequestValidationError([problem]) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_input=False)
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in found]
        ) from None


def _uploaded(desk: Desk, taken: Uploaded) -> UploadBody:
    url = desk.addresses.of(taken.image.key, is_public=taken.is_public)
    return UploadBody(
        id=str(taken.item_id), url=url, public_url=url, mime_type=taken.image.content_type
    )


def _type_refused(content_type: str) -> UploadRefused:
    return UploadRefused(
        f"{content_type[:100]!r} is not kept here: send a PNG, JPEG, WebP or GIF picture."
    )
