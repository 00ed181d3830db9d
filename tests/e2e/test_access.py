"""Every route of the running system, as each kind of caller: who is let in is as declared."""

import asyncio
import base64
import io
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp
from msgspec import Struct
from PIL import Image

from services.gateway.api.access import POLICIES, Caller, routes_of
from tests.e2e.front import outside_token
from tests.e2e.system import PASSWORD, System, until
from tools.api_client import ApiClient, Json

# Answers from behind the door: whoever gets one was let in.
BEHIND: Final = {"invalid_credentials", "wrong_password", "upload_address_refused"}
# With these codes a 404 says that what is named is not the caller's.
NOT_THEIRS: Final = {
    "job_not_found",
    "api_key_not_found",
    "receipt_not_found",
    "item_not_found",
    "webhook_not_found",
}
# What stands in the place of a log-in.
BODIES: Final[dict[str, Callable[[], Json]]] = {  # made when they are sent: a token ends
    "POST /api/auth/oauth-callback": lambda: {"access_token": outside_token("anybody")}
}
ENDS_LOG_INS: Final = "POST /api/auth/signout-everywhere"


class Visitor(Struct):
    """Somebody who comes with a token, and can get another one."""

    email: str
    password: str
    token: str = ""


class Visit(Struct):
    """The system, and who comes to it."""

    url: str
    session: aiohttp.ClientSession
    visitors: dict[Caller, Visitor]
    tokens: dict[Caller, str]
    names: dict[str, str]

    async def call(self, route: str, caller: Caller) -> int:
        """The refusal's status; 200 for whoever was let in."""
        method, path = route.split()
        if "{item_id}" in path:  # a new one each time: some routes throw it away
            self.names["item_id"] = await self.publish()
        if "{webhook_id}" in path and method == "DELETE":
            self.names["webhook_id"] = await self.register()
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", value)
        headers = {}
        if token := self.tokens.get(caller):
            headers["Authorization"] = f"Bearer {token}"
        body: Json | None = None if method == "GET" else BODIES.get(route, dict)()
        url = self.url + path
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            if answer.status not in {401, 403, 404}:
                return 200
            code = (await answer.json(content_type=None)).get("code")
        if answer.status == 404:
            return 404 if code in NOT_THEIRS else 200
        return 200 if code in BEHIND else answer.status

    async def publish(self) -> str:
        """The id of a new picture of the member that everybody may see."""
        headers = {"Authorization": f"Bearer {self.tokens[Caller.MEMBER]}"}
        url, body = f"{self.url}/api/upload/base64", {"base64Data": picture()}
        async with self.session.post(url, json=body, headers=headers) as answer:
            item = (await answer.json())["id"]
        url = f"{self.url}/api/r2files/{item}"
        async with self.session.patch(url, json={"isPublic": True}, headers=headers) as answer:
            answer.raise_for_status()
        return str(item)

    async def register(self) -> str:
        """The id of a new webhook of the member, in the place of the last one."""
        headers = {"Authorization": f"Bearer {self.tokens[Caller.MEMBER]}"}
        url = f"{self.url}/api/webhooks"
        if last := self.names.get("webhook_id"):
            async with self.session.delete(f"{url}/{last}", headers=headers):
                pass
        async with self.session.post(url, json={}, headers=headers) as answer:
            return str((await answer.json())["id"])

    async def log_in(self, caller: Caller) -> None:
        visitor = self.visitors[caller]
        body = {"email": visitor.email, "password": visitor.password}
        async with self.session.post(f"{self.url}/api/auth/login", json=body) as answer:
            self.tokens[caller] = (await answer.json())["accessToken"]


def picture() -> str:
    """A small PNG as base64."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def test_every_route_lets_in_whom_its_policy_says(system: System) -> None:
    async with AsyncExitStack() as stack:
        visit = await _visit(system, stack)
        async with visit.session.get(f"{visit.url}/openapi.json") as answer:
            document: Json = await answer.json()
        routes = sorted(routes_of(document))
        assert set(routes) == set(POLICIES)
        wrong = []
        for route in routes:
            for caller in Caller:
                status = await visit.call(route, caller)
                if status != POLICIES[route].answer(caller):
                    wrong.append((route, caller.value, status))
                if route == ENDS_LOG_INS and caller in visit.visitors:
                    await visit.log_in(caller)
        assert wrong == []


async def _visit(system: System, stack: AsyncExitStack) -> Visit:
    now = system.status()
    session = await stack.enter_async_context(aiohttp.ClientSession())
    password = await asyncio.to_thread(Path(now["admin"]["password_file"]).read_text)
    admin = Visitor(now["admin"]["email"], password.strip())
    visitors = {Caller.ADMIN: admin}
    for caller in (Caller.OTHER_USER, Caller.MEMBER):
        visitors[caller] = Visitor(f"{secrets.token_hex(8)}@example.com", PASSWORD)
    url = now["gateway_url"]
    member = await stack.enter_async_context(ApiClient(url))
    other = await stack.enter_async_context(ApiClient(url))
    visit = Visit(url, session, visitors, {}, {})
    await member.sign_up(visitors[Caller.MEMBER].email, PASSWORD)
    await other.sign_up(visitors[Caller.OTHER_USER].email, PASSWORD)
    for caller in visitors:
        await visit.log_in(caller)
    keys = {Caller.READ_KEY: "read", Caller.GENERATE_KEY: "generate"}
    for caller, scope in keys.items():
        made = await member.call("POST", "/api/keys", json={"name": scope, "scopes": [scope]})
        visit.tokens[caller] = made["key"]
    spare = await member.call("POST", "/api/keys", json={"name": "spare", "scopes": ["read"]})
    job = await member.call("POST", "/api/jobs", json={"prompt": "a fox", "provider": "local"})

    async def is_known_to_all() -> bool:
        path = f"/api/jobs/{job['jobId']}"
        answers = [await member.answer("GET", f"{path}/{each}") for each in ("trail", "receipt")]
        return all(status == 200 for status, _ in answers)

    await until(is_known_to_all, seconds=90)
    visit.names.update(
        job_id=job["jobId"],
        key_id=spare["id"],
        webhook_id=await visit.register(),
        provider="local",
        kind="user",
        subject=str(uuid4()),
        key="nothing.png",
        version="1",
        position="1",
        old="1",
        model="local-sketch",
        token="nonsense",
        **{
            f"{name}_id": str(uuid4())
            for name in ("user", "account", "deduction", "parked", "delivery")
        },
    )
    return visit
