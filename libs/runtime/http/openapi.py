"""The OpenAPI document tells the truth about errors: problems, and 400 for invalid requests."""

from typing import Any, Final

from fastapi import FastAPI

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457; `error` and `message` both repeat `detail`.",
    "required": ["type", "title", "status", "detail", "code", "error", "message"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:daygen:problem:insufficient_credits"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "examples": ["insufficient_credits"]},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "requestId": {"type": "string"},
    },
}
_PROBLEM_ANSWER: Final[dict[str, Any]] = {
    "description": "A problem",
    "content": {
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {
                "type": "urn:daygen:problem:invalid_request",
                "title": "Bad Request",
                "status": 400,
                "detail": "Prompt is required",
                "instance": "/api/jobs",
                "code": "invalid_request",
                "error": "Prompt is required",
                "message": "Prompt is required",
                "requestId": "01a1fed6-b1f0-77c3-8006-d01abb2a0520",
            },
        }
    },
}
_FRAMEWORK_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")


def document_problems(app: FastAPI) -> None:
    """Put our errors in the place of the framework's in `app.openapi()`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]
                answers.setdefault("400", _PROBLEM_ANSWER)
            answers.setdefault("default", _PROBLEM_ANSWER)
    return document
