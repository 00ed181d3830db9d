"""Every route declares who may call it, and the page says so."""

from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr

from libs.events.bus import KafkaBus
from libs.runtime.clock import SystemClock
from libs.runtime.ids import SystemIds
from libs.runtime.service import Parts
from services.gateway.api.access import POLICIES, declare, page, routes_of
from services.gateway.app import create_app
from services.gateway.domain.api_keys import Scope
from services.gateway.settings import Settings

ROOT = Path(__file__).parents[4]
# Of what an API key for generating may do, this makes no job.
COSTLESS = {
    "POST /api/quote",
    "POST /api/jobs/{job_id}/cancel",
    "POST /api/r2files/{item_id}/toggle-like",
    "POST /api/upload/presigned",
    "POST /api/upload/base64",
    "POST /api/upload/file",
    "POST /api/upload/profile-picture/upload",
    "POST /api/upload/migrate-base64-batch",
    "POST /api/upload/proxy-image",
}
SECRET = SecretStr("not between anybody: 32 bytes long")


def document() -> dict[str, Any]:
    clock, random = SystemClock(), Random()
    nowhere = "http://127.0.0.1:9"
    settings = Settings(
        database_dsn=SecretStr("postgresql://nobody@127.0.0.1:9/nothing"),
        kafka_bootstrap="127.0.0.1:9",
        internal_secret=SECRET,
        jwt_secret=SECRET,
        s3_endpoint=nowhere,
        s3_region="nowhere",
        s3_bucket="nothing",
        s3_access_key=SECRET,
        s3_secret_key=SECRET,
        public_base_url=nowhere,
        generation_url=nowhere,
        gallery_url=nowhere,
        ledger_url=nowhere,
        billing_url=nowhere,
    )
    parts = Parts(
        clock=clock,
        random=random,
        ids=SystemIds(clock, random),
        bus=KafkaBus("127.0.0.1:9", client_id="nobody"),
    )
    return create_app(settings, parts).openapi()


def test_every_route_is_declared_and_nothing_else() -> None:
    routes = set(routes_of(document()))
    assert routes - set(POLICIES) == set(), "declare them in services/gateway/api/access.py"
    assert set(POLICIES) - routes == set()


def test_the_document_says_it() -> None:
    told = document()
    declare(told)
    assert told["paths"]["/api/jobs/{job_id}"]["get"]["x-access"] == {
        "access": "owner",
        "keyScope": "read",
    }


def test_the_page_is_what_is_declared() -> None:
    assert (ROOT / "docs/access.md").read_text() == page(), (
        "python -m services.gateway.api.access > docs/access.md"
    )


def test_every_post_that_costs_takes_an_idempotency_key() -> None:
    paths = document()["paths"]
    for route, policy in POLICIES.items():
        method, path = route.split()
        if method != "POST" or policy.scope is not Scope.GENERATE or route in COSTLESS:
            continue
        taken = {each["name"] for each in paths[path]["post"].get("parameters", [])}
        assert "Idempotency-Key" in taken, route
