"""Errors as RFC 9457 problems: the only place that knows which status a kind of refusal has."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from libs.runtime.errors import DomainError, Kind
from libs.runtime.http.responses import ProblemResponse

PROBLEM_TYPE_PREFIX: Final = "urn:daygen:problem:"

STATUS_OF: Final[Mapping[Kind, HTTPStatus]] = {
    Kind.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    Kind.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    Kind.PAYMENT_REQUIRED: HTTPStatus.PAYMENT_REQUIRED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.UNPROCESSABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNSUPPORTED: HTTPStatus.NOT_IMPLEMENTED,
    Kind.BAD_GATEWAY: HTTPStatus.BAD_GATEWAY,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.GATEWAY_TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
}
_CODE_OF_STATUS: Final = {status.value: kind.value for kind, status in STATUS_OF.items()} | {
    405: "method_not_allowed"
}
_SENTENCE_OF_STATUS: Final = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
}
# What pydantic says of these is about Python, or is two sentences in one.
_COMPLAINT_OF: Final = {
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "dict_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
}
_PLACES: Final = frozenset({"body", "query", "path", "header", "cookie"})
_FIELDS_REPORTED_MAX: Final = 20


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every raised error of `app` with a problem."""
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_response(
    scope: Scope,
    status: int,
    code: str,
    sentence: str,
    *,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """A problem body; details can add members to it and never replace the standard ones.

    `error` and `message` repeat the sentence, because the web client reads those, as strings.
    """
    state = scope.setdefault("state", {})
    state["error_code"] = code  # for the request's log line
    body = {
        **(details or {}),
        "type": f"{PROBLEM_TYPE_PREFIX}{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "instance": scope["path"],
        "code": code,
        "error": sentence,
        "message": sentence,
        "requestId": state.get("request_id"),
    }
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))


async def _on_domain_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, DomainError)  # noqa: S101  # registered for this class alone
    return problem_of(request.scope, error)


def problem_of(scope: Scope, error: DomainError) -> ProblemResponse:
    """A refusal as a problem; also of a socket that is not to open."""
    return problem_response(
        scope,
        STATUS_OF[error.kind],
        error.code,
        error.message,
        details=error.details,
        headers=_headers_of(error),
    )


def _headers_of(error: DomainError) -> dict[str, str]:
    if error.kind is Kind.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if error.retry_after_seconds is not None:
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
    return {}


async def _on_http_exception(request: Request, error: Exception) -> ProblemResponse:
    """What the framework refuses by itself: no such route, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class alone
    status = error.status_code
    sentence = error.detail
    if sentence == HTTPStatus(status).phrase:  # the framework's default says nothing
        sentence = _SENTENCE_OF_STATUS.get(status, sentence)
    return problem_response(
        request.scope,
        status,
        _CODE_OF_STATUS.get(status, f"http_{status}"),
        sentence,
        headers=error.headers,
    )


async def _on_validation_error(request: Request, error: Exception) -> ProblemResponse:
    # Registered for this class alone.
    assert isinstance(error, RequestValidationError)  # noqa: S101
    problems = error.errors()
    fields = [
        {"field": _field_of(item), "message": _sentence(item)}
        for item in problems[:_FIELDS_REPORTED_MAX]
    ]
    return problem_response(
        request.scope,
        HTTPStatus.BAD_REQUEST,
        "invalid_request",
        validation_sentence(problems),
        details={"fields": fields},
    )


def validation_sentence(problems: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's findings as a sentence for a person, without the value sent.

    A `ValueError` raised by a model's own validator is passed on word for word.
    """
    return _sentence(problems[0]) if problems else "The request is not valid."


def _sentence(problem: Mapping[str, Any]) -> str:
    kind, field = problem["type"], _field_of(problem)
    if kind == "json_invalid":
        return "The body is not valid JSON."
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "missing":
        return f"{field} is required." if field else "A JSON body is required."
    if kind == "extra_forbidden":
        return f"{field} is not known here; leave it out."
    complaint = _COMPLAINT_OF.get(kind) or str(problem["msg"]).removeprefix("Input ").rstrip(".")
    if not field and kind in _COMPLAINT_OF:  # the same finding if the type was not said
        complaint += ", sent as application/json"
    return f"{field or 'The body'} {complaint[:1].lower()}{complaint[1:]}."


def _field_of(problem: Mapping[str, Any]) -> str:
    """`body -> items -> 0 -> size` as `items[0].size`; empty if it is about the whole body."""
    if problem["type"] == "json_invalid":  # its location is a character
        return ""
    location: Sequence[str | int] = problem["loc"]
    parts = location[1:] if location and location[0] in _PLACES else location
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
