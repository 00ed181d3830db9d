"""The HTTP edge that all services share: one application factory, one shape of error, no routes."""

from libs.runtime.http.app import HttpOptions, create_http_app
from libs.runtime.http.docs import Document
from libs.runtime.http.health import ReadyCheck
from libs.runtime.http.problems import STATUS_OF, problem_response, validation_sentence
from libs.runtime.http.responses import JsonResponse

__all__ = [
    "STATUS_OF",
    "Document",
    "HttpOptions",
    "JsonResponse",
    "ReadyCheck",
    "create_http_app",
    "problem_response",
    "validation_sentence",
]
