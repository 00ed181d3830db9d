"""One OpenAPI document: of forwarded routes it says what their owners say."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI, status

from libs.events.names import Service
from libs.runtime.http import Document
from services.gateway.api import access
from services.gateway.api.examples import add_examples
from services.gateway.api.forwarding import OWNED
from services.gateway.ports import OwnerCall, Owners, OwnerUnreachableError

OWNER_SECONDS: Final = 2.0
_SCHEMAS: Final = "#/components/schemas/"

logger = structlog.get_logger(__name__)


def merged_document(owners: Owners) -> Document:
    """The gateway's document, completed by those of the owners that answer in time."""

    async def document(app: FastAPI) -> dict[str, Any]:
        merged = msgspec.json.decode(msgspec.json.encode(app.openapi()))  # a copy to write into
        asked = sorted({route.owner for route in OWNED})
        for owner, said in zip(asked, await _ask(owners, asked), strict=True):
            _complete(merged, owner, said)
        add_examples(merged)
        access.declare(merged)
        return merged  # type: ignore[no-any-return]  # an object, as OpenAPI asks

    return document


async def _ask(owners: Owners, asked: Sequence[Service]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(_document_of(owners, owner) for owner in asked))


async def _document_of(owners: Owners, owner: Service) -> dict[str, Any]:
    """An owner's document, or an empty one: its routes are then described in one line each."""
    call = OwnerCall(owner=owner, method="GET", target="/openapi.json", headers={})
    try:
        async with asyncio.timeout(OWNER_SECONDS), owners.call(call) as answer:
            if answer.status != status.HTTP_200_OK:
                return {}
            body = b"".join([chunk async for chunk in answer.chunks()])
        return msgspec.json.decode(body, type=dict[str, Any])
    except (OwnerUnreachableError, TimeoutError, OSError, msgspec.DecodeError) as error:
        logger.warning("owner_not_documented", owner=owner.value, error=repr(error))
        return {}


def _complete(document: dict[str, Any], owner: Service, said: Mapping[str, Any]) -> None:
    """Take over an owner's routes, as far as they are public, and the schemas they refer to."""
    paths = {route.path for route in OWNED if route.owner is owner} & set(said.get("paths", {}))
    theirs = said.get("components", {}).get("schemas", {})
    ours = document["components"]["schemas"]
    renamed = {
        name: f"{owner.value.capitalize()}{name}"
        for name, schema in theirs.items()
        if ours.get(name, schema) != schema
    }
    for path in paths:
        for method, operation in said["paths"][path].items():
            if method in document["paths"][path]:
                document["paths"][path][method] = {
                    **_renamed(operation, renamed),
                    "tags": document["paths"][path][method]["tags"],
                    "security": document["paths"][path][method].get("security", []),
                }
    for name, schema in theirs.items():
        ours[renamed.get(name, name)] = _renamed(schema, renamed)


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """The same part, with its references to schemas that had to take another name."""
    if isinstance(part, list):
        return [_renamed(each, names) for each in part]
    if not isinstance(part, dict):
        return part
    changed = {key: _renamed(value, names) for key, value in part.items()}
    name = str(part.get("$ref", "")).removeprefix(_SCHEMAS)
    return {**changed, "$ref": _SCHEMAS + names[name]} if name in names else changed
