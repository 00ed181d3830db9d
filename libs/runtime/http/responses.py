"""Bodies encoded by msgspec: structs, UUIDs and datetimes as they are, several times faster."""

from typing import Any, Final

import msgspec
from pydantic import BaseModel
from starlette.responses import JSONResponse


def _encode_other(value: Any) -> Any:
    """What msgspec does not know: pydantic models of the HTTP edge.

    Raises:
        NotImplementedError: as msgspec's protocol of such a hook wants it for all other types.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise NotImplementedError(f"{type(value).__name__} is no JSON: turn it into plain values.")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encode_other)


class JsonResponse(JSONResponse):
    """Return one from a route to skip FastAPI's validation and encoding of the answer.

    By its base the framework knows that the documented answer is an object, not a text.
    """

    def render(self, content: Any) -> bytes:
        return _encoder.encode(content)


class ProblemResponse(JsonResponse):
    """An RFC 9457 body."""

    media_type = "application/problem+json"
