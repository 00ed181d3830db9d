"""The OpenAPI document is true: what it allows, and what it does not, is answered so."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from services.gateway.api.forwarding import OWNED
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start

EXAMPLES = 4
# What is not there in this test answers that it is not: other services, and who takes jobs.
AWAY = frozenset({
    HTTPStatus.NOT_IMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
})  # fmt: skip
ENDLESS = frozenset({"/api/events", "/api/jobs/{job_id}/events"})
OURSELVES = ("delete", "/api/users/me")

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]

load_all_checks()
PROMISES: list[Any] = CHECKS.get_by_names([
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
])  # fmt: skip


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    schema = schemathesis.openapi.from_dict(document)
    theirs = {route.path for route in OWNED} | ENDLESS | {"/assets/{key}"}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path not in theirs and (operation.method, operation.path) != OURSELVES:
            yield operation


def undocumented(document: dict[str, Any]) -> list[str]:
    """Operations that lack a summary, an error body with an example, or an example request."""
    return [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not operation.get("summary")
        or not all(
            "example" in media
            for media in (
                *operation.get("requestBody", {}).get("content", {}).values(),
                *list(operation["responses"]["default"]["content"].values())[:1],
            )
        )
    ]


def attack(gateway: RunningGateway, person: Person, operation: Operation) -> None:
    """Send what hypothesis makes of the document."""
    headers = {**person.headers, "Prefer": "respond-async"}

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Case) -> None:
        response = case.call(base_url=gateway.url, headers=headers)
        is_ours = response.status_code < 500 or response.status_code in AWAY
        assert is_ours, f"{operation.label}: {response.status_code} {response.text}"
        case.validate_response(response, checks=PROMISES)

    send()


# The server's own threads draw from the same generator meanwhile, which hypothesis sees.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_whatever_is_sent_is_answered_as_the_document_says(start_gateway: Start) -> None:
    gateway = await start_gateway(
        rate_limit_per_minute=100_000,
        flood_limit_per_minute=1_000_000,
        signup_credits=1_000_000,
        wait_seconds=1,
    )
    admin = await gateway.admin()
    document = (await gateway.client.get("/openapi.json")).json()
    broken: list[str] = []
    assert undocumented(document) == []
    found = list(operations(document))
    assert len(found) > 40
    for operation in found:
        try:
            await asyncio.to_thread(attack, gateway, admin, operation)
        except (AssertionError, BaseExceptionGroup) as error:
            broken += [f"{operation.label}: {each}" for each in _failures(error)]
    assert not broken, "\n\n".join(broken)


def _failures(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for each in error.exceptions for inner in _failures(each)]
    return [error]
