"""Who is banned may read, and leave: on every route, also by a new log-in or an API key."""

from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI, Request

from libs.runtime.testing_http import serving
from services.gateway.api.access import POLICIES, Access
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start

ORDER = {"prompt": "a fox", "provider": "local", "model": "local-sketch"}
# An order must be one before anybody looks at who may give it: with its pictures, of a known model.
NO_ORDER = {400, 422}


def gallery(calls: list[str]) -> FastAPI:
    """Takes whatever comes, and keeps what it was asked to do."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def take(request: Request) -> dict[str, Any]:
        calls.append(f"{request.method} {request.url.path}")
        return {}

    return app


def code_of(answer: httpx2.Response) -> str:
    """A refusal's code, also in OpenAI's words."""
    said = answer.json()
    return str(said["error"]["code"] if isinstance(said["error"], dict) else said["code"])


async def banned(gateway: RunningGateway) -> tuple[Person, Person]:
    """Somebody who has logged in again after a ban, and their API key."""
    ada, admin = await gateway.sign_up(), await gateway.admin()
    made = await ada.post("/api/keys", {"name": "k", "scopes": ["read", "generate"]})
    path = f"/api/admin/users/{ada.user_id}/ban"
    assert (await admin.post(path, {"reason": "abuse"})).status_code == 200
    await ada.log_in_again()
    return ada, Person(ada.user_id, made.json()["key"], ada.client)


async def test_who_is_banned_changes_nothing_by_any_route(start_gateway: Start) -> None:
    calls: list[str] = []
    async with serving(gallery(calls)) as url:
        gateway = await start_gateway(gallery_url=url)
        ada, key = await banned(gateway)
        for route, policy in POLICIES.items():
            method, path = route.split()
            if policy.answer_to_banned(method) != 403 or policy.access is Access.ADMIN:
                continue
            path = path.replace("{provider}", "local").replace("{job_id}", str(uuid4()))
            for caller in (ada, key):
                answer = await ada.client.request(method, path, json=ORDER, headers=caller.headers)
                is_scoped = caller is ada or policy.scope is not None
                code = "user_banned" if is_scoped else "log_in_needed"
                if answer.status_code not in NO_ORDER:
                    assert answer.status_code == 403, (route, answer.text)
                    assert code_of(answer) == code, route
        put = await ada.client.put("/api/upload/put/signed", content=b"x", headers=ada.headers)
        assert put.status_code == 403
        assert calls == []
        assert await gateway.value("SELECT count(*) FROM job") == 0
        assert await gateway.value("SELECT count(*) FROM api_key") == 1


async def test_who_is_banned_reads_and_leaves(start_gateway: Start) -> None:
    calls: list[str] = []
    async with serving(gallery(calls)) as url:
        gateway = await start_gateway(gallery_url=url)
        ada, key = await banned(gateway)
        for person in (ada, key):
            for path in ("/api/auth/me", "/api/r2files", "/api/jobs"):
                assert (await person.get(path)).status_code == 200, path
        assert calls == ["GET /api/r2files"] * 2
        key_id = await gateway.value("SELECT key_id FROM api_key")
        assert (await ada.delete(f"/api/keys/{key_id}")).status_code == 204
        assert (await key.get("/api/auth/me")).status_code == 401
        assert (await ada.post("/api/auth/signout-everywhere", None)).status_code == 204
        await ada.log_in_again()
        assert (await ada.erase()).status_code == 204
