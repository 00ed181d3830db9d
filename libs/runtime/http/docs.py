"""`/docs` and `/openapi.json`, complete without a network: the page's script comes from here."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from libs.runtime.http.responses import JsonResponse

Document: TypeAlias = Callable[[FastAPI], Awaitable[dict[str, Any]]]
"""Answers the OpenAPI document of an application."""

PAGE: Final = "/docs"
OPENAPI: Final = "/openapi.json"


async def own_document(app: FastAPI) -> dict[str, Any]:
    """What the application says of its own routes."""
    return app.openapi()


def add_documentation(app: FastAPI, document: Document = own_document) -> None:
    """Serve the document, a page that shows it, and lead from `/` to the page."""

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse(PAGE.lstrip("/"))

    @app.get(OPENAPI, include_in_schema=False)
    async def openapi() -> Response:
        return JsonResponse(await document(app))

    # Relative addresses: the page works under a prefix, too, and behind a proxy that ends TLS.
    @app.get(PAGE, include_in_schema=False)
    async def page() -> HTMLResponse:
        files = PAGE.lstrip("/")
        return get_swagger_ui_html(
            title=app.title,
            openapi_url=OPENAPI.lstrip("/"),
            swagger_js_url=f"{files}/swagger-ui-bundle.js",
            swagger_css_url=f"{files}/swagger-ui.css",
            swagger_favicon_url=f"{files}/favicon-32x32.png",
        )

    app.mount(PAGE, StaticFiles(packages=[("fastapi_swagger", "resources")]))
