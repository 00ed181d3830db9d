"""The short way from a request to the arguments of a route that costs.

The framework's own way is general, and was measured at a quarter of all that such a request takes
at the edge. What a route declares stays its documentation; here the same is done in the same words:
dependency, body, headers, path, each looked up in the signature once.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends, Header
from fastapi.routing import APIRoute
from pydantic import BaseModel

from libs.runtime.errors import BadRequest
from libs.runtime.http import validation_sentence
from services.gateway.api.reading import read_body
from services.gateway.handlers.errors import UnprocessableRequest

Argument: TypeAlias = Callable[[Request], Awaitable[Any]]


class CostingRoute(APIRoute):
    """A route whose arguments are one caller, one JSON body, text headers and text in its path."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What the framework asks for when a route is included."""
        endpoint = self.endpoint
        arguments = _arguments(endpoint)

        async def handle(request: Request) -> Response:
            try:
                values = {name: await value_of(request) for name, value_of in arguments}
                response: Response = await endpoint(**values)
            finally:
                await request.close()  # files that came with it
            return response

        return handle


class NeverBadRequest(CostingRoute):
    """A route of a client that sends a request again when the answer is 400: it is 422 instead."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            try:
                return await handle(request)
            except BadRequest as error:
                raise UnprocessableRequest(error.message, details=error.details) from None
            except RequestValidationError as error:
                raise UnprocessableRequest(validation_sentence(error.errors())) from None

        return handle_once


def _arguments(endpoint: Callable[..., Any]) -> list[tuple[str, Argument]]:
    """How to get each argument, the caller first: a stranger's body is not even read."""
    hints = get_type_hints(endpoint, include_extras=True)
    names = inspect.signature(endpoint).parameters
    found = [(name, *_argument(name, hints[name])) for name in names]
    return [(name, argument) for name, _, argument in sorted(found, key=lambda each: each[1])]


def _argument(name: str, hint: Any) -> tuple[int, Argument]:
    """The place in the order, and the way to the value."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    for mark in marks:
        if isinstance(mark, Depends) and mark.dependency is not None:
            return 0, _caller(mark.dependency)
        if isinstance(mark, Header):
            return 1, _header(mark.alias or name)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return 3, _body(hint)
    return 2, _path(name)


def _caller(dependency: Callable[..., Any]) -> Argument:
    """A dependency that takes the request, or what another dependency makes of it."""
    if not inspect.isfunction(dependency):
        return dependency
    ((name, hint),) = (
        each
        for each in get_type_hints(dependency, include_extras=True).items()
        if each[0] != "return"
    )
    if hint is Request:
        return dependency
    _, inner = _argument(name, hint)

    async def value_of(request: Request) -> Any:
        return await dependency(await inner(request))

    return value_of


def _header(name: str) -> Argument:
    async def value_of(request: Request) -> str | None:
        return request.headers.get(name)

    return value_of


def _path(name: str) -> Argument:
    async def value_of(request: Request) -> Any:
        return request.path_params[name]

    return value_of


def _body(model: type[BaseModel]) -> Argument:
    async def value_of(request: Request) -> BaseModel:
        return await read_body(request, model)

    return value_of
